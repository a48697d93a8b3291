"""The eBPF programs, assembled in Python: each sees one way out of the host, and every exit of each allows."""
