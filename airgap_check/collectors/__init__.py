"""A kind of evidence each: what is on the host, as records, with how well we saw it."""
