"""Finds the archives that somebody named, or that lie in a folder that somebody named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.archive import form
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST = 100_000
_ENDINGS = (".zip", ".tar.zst")


class Found(NamedTuple):
    """Archives; ``whole`` where a folder was named, which has to hold all of a chain.

    ``others`` counts what lies there and is none: files, and folders, into which nobody looks.
    """

    paths: list[str]
    whole: bool
    others: int


def archives(named: Sequence[str]) -> Found:
    """List archives, in the order of their names within a folder.

    Raises `UsageError` for what is no archive or cannot be read, and where a folder holds none: nothing proves nothing.
    """
    paths: list[str] = []
    others = 0
    for path in named:
        if not os.path.isdir(path):
            paths.append(path)
            continue
        inside, folders = _inside(path)
        chosen = [name for name in inside if _is_called_so(name)]
        others += len(inside) - len(chosen) + folders
        if not chosen:
            raise UsageError(f"{path}: no archives (.zip, .tar.zst): nothing was verified")
        paths += chosen
    for path in paths:  # what only bears the name of one may have been one, and does not verify
        if not _is_called_so(path) and not form.is_archive(path):
            raise UsageError(f"{path}: not an archive of airgap-check (.zip or .tar.zst that --record wrote)")
    return Found(paths, any(os.path.isdir(path) for path in named), others)


def _is_called_so(path: str) -> bool:
    return path.lower().endswith(_ENDINGS)


def _inside(path: str) -> tuple[list[str], int]:
    """List the files of a folder, and count the folders in it."""
    try:
        with os.scandir(path) as entries:
            found = sorted((entry.is_dir(follow_symlinks=False), entry.path) for entry in entries)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if len(found) > _MOST:
        raise UsageError(f"{path}: more than {_MOST:,} files")
    files = [name for is_folder, name in found if not is_folder]
    return files, len(found) - len(files)
