"""Takes secrets out of variables, connection strings and command lines, and what a terminal would obey out of any text.

It errs on the side of hiding: a harmless word lost costs a reader little, a password in a report costs its owner a lot.
Every scan is linear in the text, because the text is whatever a process chose to call itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.redact import arguments
from airgap_check.redact.names import is_secret_name as is_secret_name
from airgap_check.redact.names import names_a_file
from airgap_check.redact.strings import looks_like_token

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

REDACTED = "<redacted>"
_MOST_PARAMETERS, _LONGEST_PARAMETER = 16, 40


def value(name: str, text: str) -> str:
    """Return the value of a variable as it may be shown; blank stays blank, so that its posture can be read."""
    text = printable(text)
    if text.strip() and is_secret_name(name) and not names_a_file(name, text):
        return REDACTED
    return url(text)


def url(text: str) -> str:
    """Return a URL, a connection string or any text without credentials; what is no secret stays as it is."""
    text = printable(text)
    inner = text.strip(" \"'`")
    begin = text.index(inner)
    return text[:begin] + _hide(inner, arguments.text_spans(inner)) + text[begin + len(inner) :]


def query(text: str) -> str:
    """Return the first parameters of a URL's query by their names: *a=…&b=…*, and of a value alone only that it is."""
    parts = printable(text).split("&", _MOST_PARAMETERS)[:_MOST_PARAMETERS]
    return "&".join(map(_parameter, filter(None, parts)))


def _parameter(text: str) -> str:
    name, equals, _ = text.partition("=")
    return f"{name}=…" if equals and len(name) <= _LONGEST_PARAMETER and not looks_like_token(name) else "…"


def command(argv: Sequence[str]) -> str:
    """Return a command line as one printable text without secrets."""
    shown = [printable(argument) for argument in argv]
    return " ".join(_hide(argument, spans) for argument, spans in zip(shown, arguments.spans(shown), strict=True))


def _hide(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Replace the union of the spans."""
    pieces: list[str] = []
    position = 0
    for begin, end in sorted(spans):
        if end <= max(begin, position):
            continue
        if begin > position or not pieces:
            pieces += [text[position:begin], REDACTED]
        position = end
    return "".join(pieces) + text[position:]


# --- what a terminal may be shown ------------------------------------------------------------------------------------

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")


def printable(text: str) -> str:
    """Return text without control characters, ANSI sequences and direction overrides; blanks become spaces."""
    if text.isprintable():
        return text
    return "".join(_printable_character(character) for character in _ANSI.sub("", text))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else ""
