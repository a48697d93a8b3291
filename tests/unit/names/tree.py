"""A file system that exists only in a test."""

from __future__ import annotations

import errno
import os


class Tree:
    """Files by path; a value that is an exception is raised when the file is read."""

    def __init__(self, files: dict[str, str | OSError] | None = None) -> None:
        self.files = files or {}

    def read(self, path: str, limit: int = 1 << 22) -> str:
        content = self.files.get(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path))
        if isinstance(content, OSError):
            raise content
        assert len(content) <= limit
        return content

    def names(self, path: str) -> list[str]:
        below = [
            name.removeprefix(f"{path.rstrip('/')}/") for name in self.files if name.startswith(f"{path.rstrip('/')}/")
        ]
        if not below:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return sorted({name.partition("/")[0] for name in below})


DENIED = PermissionError(errno.EACCES, "Permission denied")
