"""Which pages of ObjectOS' console are worth opening: its own links do not lead to all of them.

Source: the routes of @objectstack/console 17.4.0: /home, /apps/APP, /apps/APP/OBJECT, /apps/APP/metadata/object/OBJECT
and /studio/PACKAGE/TAB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALWAYS = ("/", "/_console/", "/api/v1/docs", "/_console/apps/setup", "/_console/studio")
_CONSOLE = "/_console"
_TABS = ("data", "automations", "interfaces")
_MOST = 5  # applications, packages or objects


def pages(applications: Sequence[str], packages: Sequence[str], objects: Sequence[str]) -> tuple[str, ...]:
    """Return the paths to begin at, for what the application consists of."""
    return tuple(dict.fromkeys([*ALWAYS, *_specific(applications, packages, objects)]))


def _specific(applications: Sequence[str], packages: Sequence[str], objects: Sequence[str]) -> Iterator[str]:
    for name in objects[:_MOST]:
        yield f"{_CONSOLE}/apps/setup/metadata/object/{quote(name, safe='')}"
    for application in applications[:_MOST]:
        yield f"{_CONSOLE}/apps/{quote(application, safe='')}"
    for application in (applications or ["setup"])[:_MOST]:
        for name in objects[:_MOST]:
            yield f"{_CONSOLE}/apps/{quote(application, safe='')}/{quote(name, safe='')}"
    for package in packages[:_MOST]:
        for tab in _TABS:
            yield f"{_CONSOLE}/studio/{quote(package, safe='')}/{tab}"
