"""What a running ObjectOS says that it consists of, so far as a driver asks: applications, packages, objects.

All of it is another's text: a name that is none, and what has another shape, is left out.
"""

from __future__ import annotations

import re
from typing import Any

NAME = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_PLATFORM = "com.objectstack."
_PLATFORM_APPLICATIONS = frozenset({"setup", "account", "studio"})


def custom_objects(answer: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the name and the fields of each object that is the application's and not the platform's."""
    items = at(answer, "items")
    found = []
    for item in items if isinstance(items, list) else ():
        name, fields = at(item, "name"), at(item, "fields")
        if not (isinstance(name, str) and NAME.fullmatch(name) and isinstance(fields, dict)):
            continue
        if not name.startswith("sys_") and not item.get("isSystem") and item.get("managedBy") is None:
            found.append((name, fields))
    return found


def custom_packages(answer: Any) -> list[str]:
    """Return the packages that are not the platform's."""
    items = at(answer, "data", "packages")
    names = [at(item, "manifest", "id") for item in items] if isinstance(items, list) else []
    return [name for name in names if isinstance(name, str) and NAME.fullmatch(name) and not name.startswith(_PLATFORM)]


def custom_applications(answer: Any) -> list[str]:
    """Return the applications that are not the platform's."""
    items = at(answer, "items")
    names = [at(item, "name") for item in items] if isinstance(items, list) else []
    return [
        name for name in names if isinstance(name, str) and NAME.fullmatch(name) and name not in _PLATFORM_APPLICATIONS
    ]


def package_name(listing: Any) -> str:
    """Return a package to look at: the first of a listing, or one that nobody has."""
    data = at(listing, "data") or listing
    items = next((found for key in ("items", "packages") if isinstance(found := at(data, key), list)), data)
    first = items[0] if isinstance(items, list) and items else None
    names = [at(first, key) for key in ("id", "manifest_id", "manifestId", "name")]
    return next((name for name in names if isinstance(name, str) and NAME.fullmatch(name)), "com.example.rehearsal")


def at(value: Any, *keys: str) -> Any:
    """Return what stands below these keys; None where nothing does."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
