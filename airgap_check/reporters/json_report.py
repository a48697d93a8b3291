"""The report as JSON, field by field as the contract names them (schema ``airgap-check/report/1``).

It is written piece by piece, and in ASCII: one character of another script would make Python hold the whole text, which
may be of hundreds of megabytes, with four bytes a character.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec

from airgap_check.finding import Report, RuleResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WALKED: Final = (Report, RuleResult)  # what may hold many: field by field; everything else is written at once
_BATCH = 16 << 20  # characters
_FOREIGN = re.compile(r"[^\x00-\x7f]")


def render(report: Report) -> str:
    """Render the report as indented JSON with a final newline."""
    text, batch, size = "", [], 0
    for piece in chain(_pieces(report, "\n"), "\n"):
        batch.append(piece)
        size += len(piece)
        if size > _BATCH:
            # CPython lengthens it in place (unless it is traced: then it copies, which is why there are batches); to
            # join all pieces at once would hold everything twice.
            text += "".join(batch)
            batch, size = [], 0
    text += "".join(batch)
    return text


def _pieces(value: Any, line: str) -> Iterator[str]:
    """Yield the parts of a value; ``line`` is a line break and the indentation that the value stands at."""
    if isinstance(value, _WALKED):
        names = zip(value.__struct_encode_fields__, value.__struct_fields__, strict=True)
        yield from _enclosed("{}", [(f'"{shown}": ', getattr(value, name)) for shown, name in names], line)
    elif isinstance(value, tuple) and value:
        yield from _enclosed("[]", [("", item) for item in value], line)
    else:
        text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
        yield _escaped(text).replace("\n", line)


def _enclosed(brackets: str, items: Sequence[tuple[str, Any]], line: str) -> Iterator[str]:
    between = f"{brackets[0]}{line}  "
    for prefix, item in items:
        yield between + prefix
        yield from _pieces(item, f"{line}  ")
        between = f",{line}  "
    yield line + brackets[1]


def _escaped(text: str) -> str:
    """Write what is not ASCII as JSON's escapes, which it has inside of strings only (RFC 8259, section 7)."""
    return text if text.isascii() else _FOREIGN.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[begin : begin + 4]}" for begin in range(0, len(units), 4))
