"""Knows what a product, in a version, makes of its settings: which it reads, what an unset one means, what it boots.

The facts are in the catalogue; where product or version is not known, nothing is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from airgap_check.objectos import catalogue
from airgap_check.objectos.product import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

Read = Literal["yes", "no", "unknown"]
OF_EACH = "OS_CLOUD_URL"  # what every process must have been told that may be a server; the rest, one of a tree
_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?([-+].*)?\Z")
_Order = tuple[int, int, int, bool]


def order(version: str | None) -> _Order | None:
    """Return what versions are compared by (semver.org, without comparing pre-releases); None for no version."""
    found = _VERSION.match(version or "")
    if not found:
        return None
    final = not (found[4] or "").startswith("-")
    return int(found[1]), int(found[2] or 0), int(found[3] or 0), final


def unset_means(product: str | None, version: str | None) -> Literal["public", "offline", "unknown"]:
    """Say what a product makes of an unset `OS_CLOUD_URL`."""
    known = catalogue.load().products.get(product or "")
    ordered = order(version)
    found: Literal["public", "offline", "unknown"] = "unknown"
    for since in known.cloud if known and ordered else ():
        begin = order(since.since)
        if begin and ordered and ordered >= begin:
            found = since.unset
    return found


def reads(name: str, product: str | None, version: str | None) -> Read | None:
    """Tell whether a product reads a variable; None where nobody has found out, *unknown* where it depends.

    It depends where product or version could not be told, and some product is known not to read it.
    """
    loaded = catalogue.load()
    known = loaded.find(name)
    if known is None or not known.read or product is None:
        return None
    if product == UNKNOWN:
        return "unknown" if any(stated != "all" for stated in known.read.values()) else None
    stated = known.read.get(loaded.short.get(product, ""))
    return None if stated is None else _within(version, stated)


def _within(version: str | None, stated: str) -> Read:
    """Tell whether a version is in a range: ``all``, ``none``, or an operator and a version."""
    if stated in {"all", "none"}:
        return "yes" if stated == "all" else "no"
    ordered, bound = order(version), order(stated.lstrip("<>="))
    if ordered is None or bound is None:
        return "unknown"
    inside = ordered > bound if stated[0] == ">" else ordered < bound
    return "yes" if inside or ("=" in stated and ordered == bound) else "no"


def expected(product: str, version: str | None) -> list[tuple[str, str, frozenset[str]]]:
    """List what a runtime must have been told: the variable to report, its role, and the names that would do."""
    loaded = catalogue.load()
    known = loaded.products.get(product) or loaded.products[UNKNOWN]
    found = []
    for role, name in known.expected.items():
        alike = loaded.named(role, loaded.variables[name].form) if name != OF_EACH else {name}
        found.append((name, role, frozenset(one for one in alike if reads(one, product, version) != "no")))
    return found


def artifacts(product: str, version: str | None, settings: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return what a product boots from by its settings: the variable and its value; none where they do not say.

    Of a product that could not be told, whatever one of them would follow.
    """
    loaded = catalogue.load()
    known = loaded.products.get(product)
    names = known.artifact if known and product != UNKNOWN else sorted(loaded.named("artifact", "path-or-url"))
    told = ((name, settings.get(name, "").strip()) for name in names if reads(name, product, version) != "no")
    found = [one for one in told if one[1]]
    return found if product == UNKNOWN else found[:1]
