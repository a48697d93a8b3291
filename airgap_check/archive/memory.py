"""Bounds the memory that an archive of hostile hands can make us take: half of what this machine has."""

from __future__ import annotations

import os
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST = 2 << 30  # bytes


@contextmanager
def bounded() -> Iterator[int]:
    """Let this process have no more address space than what is yielded, in bytes: beyond that it gets a MemoryError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    half = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    limit = min([max(half, _LEAST), *(one for one in (soft, hard) if one != resource.RLIM_INFINITY)])
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield limit
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
