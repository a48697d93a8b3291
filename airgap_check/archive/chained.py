"""Writes an archive as the next link of this host's chain, whose head the memory keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.archive.manifest import Link
from airgap_check.archive.writing import write
from airgap_check.history.store import Head

if TYPE_CHECKING:
    from airgap_check.archive.writing import Case
    from airgap_check.history.store import Store
    from airgap_check.release.seal import PrivateKey

CHAIN = "archive"
_NONE = Head("", 0)


def head(store: Store) -> Head | None:
    """Return the manifest of the last archive that this host wrote, and its number."""
    kept = store.head(CHAIN)
    return kept if kept and kept.sequence else None


def append(path: str, case: Case, key: PrivateKey | None, store: Store | None) -> str:
    """Write an archive that names the one before, and return the SHA-256 of its manifest. Raises `UsageError`.

    Without a memory it belongs to no chain. The head moves on before the file gets its name: whoever is killed in
    between leaves a number that is missing, which can be explained, and not two archives that follow the same one.
    """
    if store is None:
        return write(path, case, Link(), key)
    before = head(store)
    link = Link(before.digest, before.sequence + 1) if before else Link(None, 1)
    moved = False

    def move_on(digest: str) -> None:
        nonlocal moved
        store.set_head(CHAIN, Head(digest, link.sequence))
        moved = True

    written = False
    try:
        digest = write(path, case, link, key, move_on)
        written = True
    finally:
        if moved and not written:
            store.set_head(CHAIN, before or _NONE)
    return digest
