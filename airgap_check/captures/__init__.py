"""Captures and logs that others made, one module a format; all are read as a stream."""
