"""What is known of a running product beyond its process: the settings in force, where it works, who runs it.

What stands here is unredacted, for other collectors to follow; none of it may go into a record as it is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.fact import Process, Workload


class Installation(NamedTuple):
    """One process of the product. ``thread`` is what /proc knows it by: its root, mounts and namespaces.

    ``directory`` is its working directory as it names it itself, None where that cannot be told. ``settings`` are those
    in force: what the command line says, over what it was started with, over its `.env*` files. ``home`` is HOME.
    ``artifact`` is the absolute path or URL that it boots from, None where that cannot be told.
    """

    thread: int
    process: Process
    workload: Workload | None
    product: str
    version: str | None
    directory: str | None
    home: str | None
    settings: Mapping[str, str]
    netns: int | None
    artifact: str | None = None

    def path(self, text: str) -> str | None:
        """Return a path of a setting as an absolute one, None where the working directory would have to be known."""
        if text.startswith("/"):
            return os.path.normpath(text)
        return None if self.directory is None else os.path.normpath(os.path.join(self.directory, text))
