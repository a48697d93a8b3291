"""The eBPF programs, assembled in Python: each sees one way out of the host, and every exit of each allows.

This package is under the MIT licence as well as under that of the project (Apache-2.0): the kernel lends some of its
functions only to programs that declare a licence compatible with the GPL, and these declare ``Dual MIT/GPL``.
"""
