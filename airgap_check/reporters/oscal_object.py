"""The small objects of OSCAL 1.2 documents: properties, control ids, times; and how texts have to look in them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.finding import RuleResult

VERSION: Final = "1.2.3"
SPACE: Final = "urn:airgap-check:oscal:1"  # the namespace of properties that are ours
CATALOGUE: Final = "nist-800-53"
_CONTROL = re.compile(r"([A-Za-z]{2})-(\d+)(?:\((\d+)\))?")


def prop(name: str, value: object) -> dict[str, str]:
    """Make a property of ours; its value is a text without blanks at its ends, and never empty."""
    return {"name": name, "ns": SPACE, "value": line(str(value))}


def line(text: str) -> str:
    """Return a text that fits OSCAL's *string*: one line, no blank at either end, something in it."""
    return printable(text).strip() or "-"


def token(name: str) -> str:
    """Return a rule's name as OSCAL's *token*: a site may call its own rules what it likes."""
    return _TOKEN.sub("_", name if name[:1].isalpha() else f"_{name}")


def prose(text: str) -> str:
    """Return a text that fits OSCAL's *markup*: foreign text must not turn into headings, links, code or HTML."""
    return _MARKUP.sub(r"\\\1", "\n".join(map(printable, text.splitlines())).strip()).replace("<", "&lt;") or "-"


def heading(text: str) -> str:
    """Return a text that fits OSCAL's *markup-line*: prose in one line."""
    return prose(line(text))


_TOKEN = re.compile(r"[^\w.-]")
_MARKUP = re.compile(r"([\\`*_\[\]{}#|~$^])")


def moment(time: datetime) -> str:
    """Write a time with its zone."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def controls_of(result: RuleResult) -> list[str]:
    """List the NIST controls that a rule supports as OSCAL's catalogue calls them: ``SC-7(5)`` is ``sc-7.5``."""
    found = (_CONTROL.match(name) for name in result.controls.get(CATALOGUE, ()))
    names = (f"{one[1].lower()}-{one[2]}" + (f".{one[3]}" if one[3] else "") for one in found if one)
    return list(dict.fromkeys(names))


def other_controls(result: RuleResult) -> list[dict[str, str]]:
    """List the controls of other catalogues as properties."""
    return [
        prop("control", f"{catalogue} {one}")
        for catalogue, ids in result.controls.items()
        if catalogue != CATALOGUE
        for one in ids
    ]


def related(kind: str, ids: list[str]) -> list[dict[str, Any]]:
    """Point to observations or risks by their ids."""
    return [{f"{kind}-uuid": one} for one in ids]
