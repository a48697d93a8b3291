"""Which rule files are in force: those shipped with the tool, and those of every ``--rules`` folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import read_bytes
from airgap_check.rule import RuleSet, compile_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def shipped() -> str:
    """Return the folder of the shipped rules: inside an installed package, or beside it in a checkout."""
    inside = os.path.join(_PACKAGE, "rules")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(_PACKAGE), "rules")


def load(folders: Sequence[str] = ()) -> RuleSet:
    """Load the shipped rules and those of more folders. Raises `UsageError`, with every fault of every file."""
    files = [(path, read_bytes(path)) for folder in (shipped(), *folders) for path in _files(folder)]
    return compile_all(files)


def _files(folder: str) -> Iterator[str]:
    """Yield the rule files of a folder in order: ``folder/group/name.yaml``, the id being ``group.name``."""
    try:
        groups = sorted(entry.path for entry in os.scandir(folder) if entry.is_dir())
        found = [
            entry.path
            for group in groups
            for entry in sorted(os.scandir(group), key=lambda entry: entry.name)
            if entry.name.endswith((".yaml", ".yml"))
        ]
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror or error}") from error
    if not found:
        raise UsageError(f"{folder}: no rule files (looked for GROUP/NAME.yaml)")
    yield from found
