"""Knows what a value of a variable means: whether it switches it off, and where it leads."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from airgap_check.objectos import catalogue
from airgap_check.objectos.endpoint import is_malformed, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airgap_check.evidence import Posture
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.objectos.catalogue import Variable

_OFF_IN_GENERAL = frozenset({"off", "none", "disabled", "false"})
_NO_WORDS = (
    "local false 0 no n f null nil undefined disable unset empty offline never nowhere blank airgap airgapped void"
)
_LOOK_ALIKES = _OFF_IN_GENERAL | frozenset(_NO_WORDS.split())
# String.prototype.trim() of ECMAScript, which is what the product uses; Python's strip() takes other characters.
JS_BLANK = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
JS_BLANK += "\u205f\u3000\ufeff"


@lru_cache(maxsize=4096)
def variable(name: str) -> Variable | None:
    """Return what is known of a variable that says something on its own, or None when it is of no interest."""
    known = catalogue.load().find(name)
    return None if known is None or known.form == "detail" else known


def posture(name: str, value: str | None) -> Posture:
    """Say what a value amounts to: a disabling word of this very variable, something that only looks like one, ..."""
    if value is None:
        return "unset"
    trimmed = value.strip(JS_BLANK)
    if not trimmed:
        return "blank"
    known = variable(name)
    if trimmed.lower() in ((known and known.off) or _OFF_IN_GENERAL):
        return "disabled"
    if _looks_disabled(trimmed):
        return "lookalike"
    if known and known.form in {"word", "own"}:
        return "other"
    if "://" in trimmed or (known and known.form == "endpoint" and parse(trimmed)):
        return "url"
    return "other"


def _looks_disabled(text: str) -> bool:
    """Recognise ``"off"`` in literal quotes (docker's --env-file keeps them), ``false``, ``off # really`` and so on."""
    words = re.split(r"[^a-z0-9]+", text.lower().strip("\"'` \t;,#=-()[]{}<>"), maxsplit=1)
    return not re.search(r"[/:@]|\.\w", text) and (words[0] in _LOOK_ALIKES or not words[0])


def endpoints(name: str, value: str, settings: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return where a setting leads, by what it names or by what its word stands for.

    ``settings`` are those that were given beside it: the port may be in one, and another may lead elsewhere.
    """
    known = variable(name)
    if known is None or known.form == "own" or posture(name, value) in {"blank", "disabled", "lookalike"}:
        return ()
    if known.form == "word":
        return tuple(_implied(known, value, settings))
    if known.form == "path-or-url" and "://" not in value:
        return ()
    if known.skip:
        value = ",".join(item for item in re.split(r"[,|]", value) if item.strip() not in known.skip)
    sibling = settings.get(known.port_variable or "", "").strip()
    port = int(sibling) if sibling.isascii() and sibling.isdecimal() and len(sibling) < 6 else known.port
    return parse(value, port=port if port and port < 65536 else None)


def _implied(known: Variable, value: str, settings: Mapping[str, str]) -> Iterator[Endpoint]:
    """Yield the hosts that a word stands for; ``resend`` means its maker's mail service, wherever that is written."""
    if any(settings.get(other, "").strip(JS_BLANK) for other in known.unless):
        return
    hosts = known.implies.get(value.strip(JS_BLANK).lower()) or known.implies.get("*", ())
    for host in hosts:
        yield from parse(host, port=known.port or 443)


def is_unreadable(name: str, value: str) -> bool:
    """Tell whether a variable that should name a destination holds a template or something malformed."""
    known = variable(name)
    if known is None or known.form in {"word", "own"} or (known.form == "path-or-url" and "://" not in value):
        return False
    return is_malformed(value)
