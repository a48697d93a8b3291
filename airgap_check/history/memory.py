"""Whether anything remembers earlier runs, and why not."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.errors import UsageError
from airgap_check.history import folder
from airgap_check.history.folder import StorageError
from airgap_check.history.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator


class Memory(NamedTuple):
    """What remembers earlier runs; ``reason`` says why nothing does, which leaves doubts where it was ``wanted``."""

    store: Store | None
    reason: str = ""
    wanted: bool = False


@contextmanager
def recalled(path: str | None) -> Iterator[Memory]:
    """Open the memory in a folder that somebody named, or in the default one as root, for this run alone; "" is none.

    Raises `UsageError` for a folder that was named and cannot be used; a disk that is full or fails is no reason not to
    look. Where the default folder cannot be made nothing has been remembered yet; one that is there and cannot be
    opened leaves doubts.
    """
    if path == "":
        yield Memory(None, "nothing was to be remembered")
        return
    if path is None and os.geteuid() != 0:
        yield Memory(None, "no state folder: name one with --state DIR")
        return
    try:
        store = Store(path or folder.DEFAULT)
    except UsageError as error:
        if path is not None and not isinstance(error, StorageError):
            raise
        yield Memory(None, str(error), wanted=path is not None or os.path.lexists(folder.DEFAULT))
        return
    with store:
        yield Memory(store)
