"""Knows the runtime module beside an artifact: JavaScript that the runtime imports and runs with every right it has.

`os build` names it after the first 16 hexadecimal digits of its SHA-256 (packages/cli/src/utils/build-runtime.ts).
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos.artifact import destination, leak
from airgap_check.objectos.artifact.found import Flaw, Found
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

ASPECT = "runtime-module"
LIMIT = 64 << 20  # bytes; those of real applications have some hundred kilobytes
_NAME = re.compile(r"(?:\./)?objectstack-runtime\.([0-9a-f]{16})\.mjs\Z")
_LITERALS = 500
_LENGTH = 512
_POINTER = "$.runtimeModule"


class Name(NamedTuple):
    """The file that an artifact names; ``file`` is None where it may not be followed, ``digits`` begin its digest."""

    file: str | None
    digits: str | None
    flaw: Flaw | None


def read_name(name: str) -> Name:
    """Judge the name alone: it has to be a file of the same folder, named after its content."""
    shown = printable(name)[:_LENGTH]
    file = name.removeprefix("./")
    if "/" in file or "\\" in file or file in {"", ".", ".."} or "\0" in file or ":" in file:
        return Name(None, None, Flaw(ASPECT, "failed", f"{shown} leads out of the artifact's folder", _POINTER))
    known = _NAME.match(name)
    if known is None:
        return Name(file, None, Flaw(ASPECT, "failed", f"{shown} is not named after its content", _POINTER))
    return Name(file, known[1], None)


def verify(name: Name, digest: str) -> Flaw:
    """Compare the digest of a module's bytes (SHA-256, hexadecimal) with its name."""
    if name.flaw or name.digits is None:
        return name.flaw or Flaw(ASPECT, "unknown", "its name tells no digest", _POINTER)
    if digest.startswith(name.digits):
        return Flaw(ASPECT, "passed", f"{name.file} is what its name says", _POINTER)
    return Flaw(ASPECT, "failed", f"{name.file} has the digest {digest[:16]}..., not that of its name", _POINTER)


def destinations(source: str, artifact: bytes) -> Iterator[tuple[Found, int]]:
    """Yield what a module names in literals, each host once, with its line; `destination.in_source` says which count.

    The compiler writes the whole configuration into the module as well, where nobody runs it. A literal that stands in
    the ``artifact`` as often is that, and was judged there by its place: as a link, a webhook, or a text for people.
    """
    literals = list(islice(destination.in_source(source), _LITERALS))
    counts = Counter(text for text, _ in literals)
    in_code = {text for text, count in counts.items() if artifact.count(text.encode(errors="replace")) < count}
    line, counted = 1, 0
    seen: set[object] = set()
    for text, offset in literals:
        line, counted = line + source.count("\n", counted, offset), offset
        for one in destination.read(text) if text in in_code else ():
            if (one.endpoint or text) not in seen:
                seen.add(one.endpoint or text)
                shown = leak.shown_url(text)[:_LENGTH]
                yield Found(f"line {line}", shown, None, "server-event", one.endpoint, one.endpoint is None), line
