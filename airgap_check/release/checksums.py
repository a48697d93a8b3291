"""Reads and writes the checksums file of a release, as coreutils' sha256sum does, and compares it with the files.

Source: coreutils, "cksum output modes": two digits a byte, a blank, ``*`` or a blank, the name; a line whose name holds
a backslash or a line break begins with a backslash and has it escaped. Lines of ``--tag`` are understood as well.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
NAMES = (NAME, "sha256sums.txt", "SHA256SUMS.txt", "sha256sum.txt", "checksums.txt")
LIMIT = 64 << 20  # bytes of a checksums file: 100,000 long names are a third of it
_LINE = re.compile(r"(\\?)([0-9A-Fa-f]{64}) [ *](.+)\Z", re.DOTALL)
_TAGGED = re.compile(r"(\\?)SHA256 \((.+)\) = ([0-9A-Fa-f]{64})\Z", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\"}
_ESCAPED = {character: f"\\{letter}" for letter, character in _ESCAPES.items()}


class Listed(NamedTuple):
    """What a checksums file says: digests by name, and the lines, from 1, that say nothing that can be understood."""

    digests: Mapping[str, str]
    faults: tuple[tuple[int, str], ...]


class Compared(NamedTuple):
    """How the files differ from the list: names, sorted."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unlisted: tuple[str, ...]


def write(digests: Mapping[str, str]) -> bytes:
    """Return the content of a checksums file for these names, sorted by their bytes."""
    lines = []
    for name in sorted(digests, key=_bytes):
        escaped = "".join(_ESCAPED.get(character, character) for character in name)
        mark = "\\" if escaped != name else ""
        lines.append(f"{mark}{digests[name]}  {escaped}\n")
    return b"".join(map(_bytes, lines))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # names are bytes, and need not be UTF-8


def parse(content: bytes) -> Listed:
    """Read a checksums file; two digests for one name, and a name that leads out of the folder, are faults."""
    digests: dict[str, str] = {}
    faults: list[tuple[int, str]] = []
    for number, line in enumerate(content.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _read(line.removesuffix("\r"))
        if found is None:
            faults.append((number, "is no line of a checksums file"))
            continue
        name, digest = found
        if name.startswith("/") or name.partition("/")[0] == ".." or not name:
            faults.append((number, "names a file outside of the bundle"))
        elif digests.setdefault(name, digest) != digest:
            faults.append((number, "gives a file a second, different digest"))
    return Listed(digests, tuple(faults))


def _read(line: str) -> tuple[str, str] | None:
    plain, tagged = _LINE.match(line), _TAGGED.match(line)
    if plain:
        mark, digest, name = plain.groups()
    elif tagged:
        mark, name, digest = tagged.groups()
    else:
        return None
    if mark:
        if re.search(r"(?<!\\)(?:\\\\)*\\(?![nr\\])", name):
            return None
        name = re.sub(r"\\([nr\\])", lambda escape: _ESCAPES[escape[1]], name)
    return posixpath.normpath(name), digest.lower()


def compare(listed: Mapping[str, str], present: Mapping[str, str | None]) -> Compared:
    """Compare what is listed with what is there; None is the digest of a file that could not be read."""
    both = listed.keys() & present.keys()
    return Compared(
        changed=tuple(sorted(name for name in both if present[name] not in {None, listed[name]})),
        missing=tuple(sorted(listed.keys() - present.keys())),
        unlisted=tuple(sorted(present.keys() - listed.keys())),
    )
