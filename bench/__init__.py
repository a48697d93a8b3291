"""Measurements against other tools, side by side and interleaved, in network namespaces of their own."""
