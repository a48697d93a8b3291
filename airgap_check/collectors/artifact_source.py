"""Knows what a runtime boots from: what its settings name, or the first of the usual places that has a file."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from airgap_check.kernel import foreign_path
from airgap_check.objectos import behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.collectors.installations import Installation

_DEFAULT = "dist/objectstack.json"


class Source(NamedTuple):
    """An artifact as a runtime was told of it, by a variable or by its default (``told_by`` is empty).

    ``path`` is absolute, None for a URL that is fetched and for a path that depends on an unknown working directory.
    """

    told_by: str
    path: str | None
    url: str | None = None


def sources(installation: Installation) -> list[Source]:
    """Return what a runtime boots from; more than one where the product could not be told and they differ."""
    told = behaviour.artifacts(installation.product, installation.version, installation.settings)
    if told:
        return list({one[1:]: one for one in (_told(installation, *setting) for setting in reversed(told))}.values())
    return [Source("", path) for path in _usual(installation) if _is_there(installation.thread, path)][:1]


def _told(installation: Installation, name: str, text: str) -> Source:
    scheme = urlsplit(text).scheme.lower() if "://" in text or text.startswith("file:") else ""
    if scheme not in {"", "file"}:
        return Source(name, None, text)
    return Source(name, installation.path(unquote(urlsplit(text).path) if scheme else text))


def _usual(installation: Installation) -> Iterator[str]:
    """Yield the default places: dist/ of the working directory, and of the product's home (packages/cli start.ts)."""
    inside = installation.path(".objectstack")
    homes = [
        installation.settings.get("OS_HOME"),
        inside,
        installation.home and posixpath.join(installation.home, ".objectstack"),
    ]
    folders = [installation.directory, *(home for home in homes if home and home.startswith("/"))]
    yield from (posixpath.normpath(posixpath.join(folder, _DEFAULT)) for folder in folders if folder)


def _is_there(thread: int, path: str) -> bool:
    """Tell whether there is something, be it unreadable."""
    try:
        os.close(foreign_path.locate(thread, path))
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True
