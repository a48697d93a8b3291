"""Which runtime of the product an image brings along, and what that one makes of the rest of the release.

The runtime is known by its packages of Node inside the image. An image that holds the open runtime inside of something
called after the closed product may be either: then nothing is said of what it reads, but an unset `OS_CLOUD_URL` is
still read by the open one's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from airgap_check.objectos import behaviour, product
from airgap_check.release.version_range import holds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence.asset import Outcome
    from airgap_check.release.delivered import Delivered

_CLOSED = ("objectos", "@objectos/")
# scheme of a database's URL -> the packages of which one must be there
_DRIVERS: dict[str, tuple[str, ...]] = {
    "postgres": ("pg",), "postgresql": ("pg",),
    "mysql": ("mysql2",), "mysql2": ("mysql2",), "mariadb": ("mysql2", "mariadb"),
    "mongodb": ("mongodb",), "mongodb+srv": ("mongodb",),
    "libsql": ("@libsql/client",),
}  # fmt: skip
_CARRIED = frozenset({"file", "sqlite", "memory", ""})  # the runtime itself has them
_NETWORKED = tuple(dict.fromkeys(name for names in _DRIVERS.values() for name in names))


class Carried(NamedTuple):
    """A runtime in an image: the name by which the archive calls the image, the product, its version.

    ``core`` is the version of the open runtime inside, by which an artifact's protocol is judged.
    """

    subject: str
    path: str
    image: Delivered
    product: str
    version: str | None
    core: str | None

    @property
    def title(self) -> str:
        """Name it for a person."""
        named = self.product if self.product != product.UNKNOWN else f"a product around {product.OBJECTSTACK}"
        return f"{named} {self.version or ''}".strip()

    @property
    def unset_means(self) -> Literal["public", "offline", "unknown"]:
        """Say what it makes of an unset `OS_CLOUD_URL`; unknown wrappings of the open runtime run the same code."""
        known = product.OBJECTSTACK if self.product == product.UNKNOWN else self.product
        return behaviour.unset_means(known, self.version)


def find(path: str, images: Iterable[Delivered]) -> list[Carried]:
    """Return the runtimes that are in the images of one archive."""
    found = []
    for image in images:
        open_ = [one for one in image.packages if one.name == product.OBJECTSTACK]
        closed = [one for one in image.packages if one.name == _CLOSED[0] or one.name.startswith(_CLOSED[1])]
        if not open_ and not closed:
            continue
        subject = image.references[0] if image.references else image.id
        called = any("objectos" in reference.rpartition("/")[2] for reference in image.references)
        # nobody can tell from outside which of two is started, so that each is judged
        for core in dict.fromkeys(one.version for one in open_) or [None]:
            versions = dict.fromkeys(one.version for one in closed)
            found += [Carried(subject, path, image, product.OBJECTOS, version, core) for version in versions]
            if not closed:
                known = product.UNKNOWN if called else product.OBJECTSTACK
                found.append(Carried(subject, path, image, known, core, core))
    return found


def fits(carried: Carried, protocol: str | None) -> tuple[Outcome, str]:
    """Tell whether a runtime is one that an artifact says it needs."""
    if not protocol:
        return "unknown", "the artifact does not say which runtime it needs (manifest.engines.protocol)"
    if carried.core is None:
        return (
            "unknown",
            f"the version of {product.OBJECTSTACK} inside could not be told; the artifact needs {protocol}",
        )
    inside = holds(protocol, carried.core)
    if inside is None:
        return "unknown", f"cannot compare {carried.core} with {protocol}, which the artifact needs"
    text = f"{product.OBJECTSTACK} {carried.core} is inside, and the artifact needs {protocol}"
    return ("passed" if inside else "failed"), text


def drives(carried: Carried, url: str | None) -> tuple[Outcome, str]:
    """Tell whether an image holds the driver for a database's URL; None where no URL is known."""
    inside = {one.name for one in carried.image.packages}
    scheme = _scheme(url) if url else None
    if scheme is None:
        drivers = [name for name in _NETWORKED if name in inside]
        if drivers:
            return "passed", f"no database is named; {', '.join(drivers)} is inside"
        return "unknown", "no database is named, and no driver for one on the network is inside"
    if scheme in _CARRIED:
        return "passed", "the runtime itself carries SQLite"
    wanted = _DRIVERS.get(scheme)
    if wanted is None:
        return "unknown", f"nobody has found out which driver {scheme}: needs"
    present = [name for name in wanted if name in inside]
    if present:
        return "passed", f"{present[0]} is inside for {scheme}:"
    return "failed", f"the database is {scheme}:, and {' or '.join(wanted)} is not inside"


def _scheme(url: str) -> str | None:
    """Return the scheme of a database's URL; nothing for a path, None for a text that is to be replaced."""
    text = url.strip(" \"'`")
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme:
        return scheme
    return "" if text.startswith(("/", "./")) or text.endswith((".db", ".sqlite")) else None
