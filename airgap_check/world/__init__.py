"""The sealed world of a rehearsal: namespaces without a way out, in which somebody answers for everything."""
