"""Parses the list of mounts that a process sees.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple


class Mount(NamedTuple):
    """A mount: ``device`` as stat(2) counts it, the part of the file system that is mounted, where, and its type."""

    device: int
    root: str
    point: str
    type: str


def parse(data: bytes, file_system: str) -> list[Mount]:
    """Return the mounts of one type of file system, in the order they were made; a malformed line is no mount."""
    mark = b" - " + file_system.encode() + b" "
    if mark not in data:
        return []  # the common case, on hosts with thousands of mounts
    found = []
    for line in data.split(b"\n"):
        before, separator, _ = line.partition(mark)
        fields = before.split(b" ")
        if separator and len(fields) >= 6:
            major, _, minor = fields[2].partition(b":")
            if major.isdigit() and minor.isdigit() and len(major) < 8 and len(minor) < 8:
                device = os.makedev(int(major), int(minor))
                found.append(Mount(device, _unescape(fields[3]), _unescape(fields[4]), file_system))
    return found


def _unescape(text: bytes) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes."""
    return os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match[1], 8)]), text))
