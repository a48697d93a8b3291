"""Writes an archive as the next link of this host's chain, whose head the memory keeps."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.archive.manifest import Link
from airgap_check.archive.writing import write_placed
from airgap_check.errors import UsageError
from airgap_check.history.folder import StorageError
from airgap_check.history.store import Head

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from airgap_check.archive.writing import Case, Tail
    from airgap_check.history.account import Account
    from airgap_check.history.memory import Memory
    from airgap_check.history.store import Store
    from airgap_check.release.seal import PrivateKey

    Recall = Callable[[], AbstractContextManager[Memory]]

CHAIN = "archive"
_NONE = Head("", 0)


class Appended(NamedTuple):
    """The SHA-256 of the manifest that was written, and why it belongs to no chain where it was to belong to one."""

    digest: str
    outside: str = ""


def head(store: Store | Account) -> Head | None:
    """Return the manifest of the last archive that this host wrote, and its number. Raises `UsageError`."""
    kept = store.head(CHAIN)
    return kept if kept and kept.sequence else None


def append(path: str, case: Case, key: PrivateKey | None, recall: Recall) -> Appended:
    """Write an archive that names the one before. Raises `UsageError`.

    The memory, which all runs wait for, is held only while the end is written. The head moves on before the file gets
    its name: whoever is killed in between leaves a number that is missing, which can be explained, and not two archives
    that follow the same one. Without a memory, or where its disk is full, the archive belongs to no chain.
    """
    step = _Step(recall)
    with ExitStack() as undo:
        undo.callback(step.take_back)
        digest = write_placed(path, case, key, step.place)
        undo.pop_all()
    return Appended(digest, step.outside)


class _Step:
    """One step of the head, which can be taken back."""

    def __init__(self, recall: Recall) -> None:
        self._recall = recall
        self._before: Head | None = None
        self._moved: Head | None = None
        self.outside = ""

    def place(self, end: Callable[[Link], Tail]) -> Tail:
        with self._recall() as memory:
            if memory.store is None:
                self.outside = memory.reason if memory.wanted else ""
                return end(Link())
            before = head(memory.store)
            link = Link(before.digest, before.sequence + 1) if before else Link(None, 1)
            tail = end(link)
            moved = Head(tail.digest, link.sequence)
            try:
                memory.store.set_head(CHAIN, moved)
            except StorageError as error:  # evidence that belongs to no chain is better than none
                self.outside = str(error)
                return end(Link())
            self._before, self._moved = before, moved
            return tail

    def take_back(self) -> None:
        """Move the head back, unless another run has followed; then, or where it fails, the number is missing."""
        if self._moved is None:
            return
        with suppress(UsageError), self._recall() as memory:
            if memory.store and head(memory.store) == self._moved:
                memory.store.set_head(CHAIN, self._before or _NONE)
