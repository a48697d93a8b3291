"""The layers of an image: the packages of Node that they bring, and what they hide of the layers below.

Names are kept as hashes, because a layer may hold a million of them; what a name is about is decided when it passes.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check.redact import printable
from airgap_check.release import archive
from airgap_check.release.delivered import Packaged
from airgap_check.release.trouble import HostileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airgap_check.release.flow import Flow

MOST_MEMBERS = 2_000_000  # of all layers of an archive; the official images of Node have some 5,000
_MOST_PACKAGES = 2_000
_LARGEST_PACKAGE_FILE = 1 << 20
_DEEPEST_APPLICATION = 5  # folders; an application's own package.json stands near the root
_FILE = "/package.json"
_MODULES = "node_modules/"
_SCOPES = ("@objectstack/", "@objectos/")
_WANTED = {
    "objectos", "objectstack", "pg", "mysql", "mysql2", "mongodb", "@libsql/client", "better-sqlite3", "sqlite3",
    "sql.js", "tedious", "knex",
}  # fmt: skip
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"  # OCI image-spec, layer.md: everything below this folder in lower layers is hidden


class Contents(NamedTuple):
    """What one layer does: ``gone``, ``opaque`` and ``files`` hold hashes of paths, ``files`` whatever is no folder."""

    packages: dict[str, Packaged]
    gone: set[int]
    opaque: set[int]
    files: set[int]

    def hides(self, path: str) -> bool:
        """Tell whether a file of a lower layer is no longer there under this one."""
        if hash(path) in self.gone or hash(path) in self.files:
            return True
        return any(
            hash(folder) in self.gone or hash(folder) in self.opaque or hash(folder) in self.files
            for folder in _folders(path)
        )


def merged(layers: Iterable[Contents]) -> tuple[Packaged, ...]:
    """Return the packages that can be seen once the layers lie upon each other, the lowest first."""
    found: dict[str, Packaged] = {}
    for layer in layers:
        found = {path: package for path, package in found.items() if not layer.hides(path)} | layer.packages
    return tuple(found[path] for path in sorted(found))


def walk(flow: Flow, refuse: Callable[[str, str], None], count: Callable[[], None]) -> Contents:
    """Read a layer; ``refuse`` is told each member that is hostile and why, ``count`` is called once a member.

    Raises `BrokenError` for what is no archive, `HostileError` for one that is written to mislead.
    """
    contents = Contents({}, set(), set(), set())
    for member in archive.members(flow, marked=False):
        count()
        name = clean(member.name)
        why = _why_hostile(member, name)
        if why:
            refuse(member.name, why)
            continue
        folder, _, base = name.rpartition("/")
        if member.kind == "folder":
            continue
        if base.startswith(_WHITEOUT):
            if base == _OPAQUE:
                contents.opaque.add(hash(folder))
            else:
                contents.gone.add(hash(f"{folder}/{base[4:]}" if folder else base[4:]))
            continue
        if hash(name) in contents.files:
            refuse(member.name, "stands there twice, so that readers do not agree on its content")
            continue
        contents.files.add(hash(name))
        if name.endswith(_FILE) and (package := _package(name, member, flow)):
            if len(contents.packages) >= _MOST_PACKAGES:
                raise HostileError(f"{member.name}: more than {_MOST_PACKAGES:,} packages of the runtime in one layer")
            contents.packages[name] = package
    return contents


def clean(name: str) -> str:
    """Return a name within the root, without empty parts and dots that mean nothing."""
    if name.startswith(("/", "./")) or name.endswith(("/", "/.")) or "//" in name or "/./" in name or name == ".":
        return "/".join(part for part in name.split("/") if part not in {"", "."})
    return name


def _why_hostile(member: archive.Member, name: str) -> str:
    """Say why whoever unpacks a layer should not meet this member; whatever a symlink says holds inside the root."""
    if _climbs(name):
        return "climbs out of the image"
    if member.kind == "hardlink" and _climbs(member.target):
        return "is a hard link that leads out of the image"
    if member.kind == "block":
        return "is a block device"
    return "holds a NUL" if "\0" in name else ""


def _climbs(name: str) -> bool:
    return ".." in name and ".." in name.split("/")


def _folders(path: str) -> Iterator[str]:
    while path:
        path = posixpath.dirname(path)
        yield path


class _Stated(msgspec.Struct):
    name: str = ""
    version: str = ""
    engines: dict[str, str] = {}


def _package(path: str, member: archive.Member, flow: Flow) -> Packaged | None:
    """Read the package.json of a package that matters here; one that cannot be read has no version."""
    within = path.rpartition(_MODULES)
    expected = within[2].removesuffix(_FILE) if within[1] else ""
    if expected:
        if not _matters(expected):
            return None
    elif path.count("/") > _DEEPEST_APPLICATION:
        return None
    stated = _stated(flow.read(member.size)) if 0 < member.size <= _LARGEST_PACKAGE_FILE else None
    if stated is None or (expected and stated.name != expected):
        return Packaged(path, expected, None) if expected else None
    if not _matters(stated.name):
        return None
    engines = ((printable(name)[:64], printable(text)[:64]) for name, text in sorted(stated.engines.items())[:16])
    return Packaged(path, stated.name, printable(stated.version)[:64], tuple(engines))


def _matters(name: str) -> bool:
    return name in _WANTED or (name.startswith(_SCOPES) and name.count("/") == 1)


def _stated(text: bytes) -> _Stated | None:
    try:
        return msgspec.json.decode(text, type=_Stated)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
