"""Tells a real secret in a variable from a placeholder that somebody is to replace, and from what is none at all."""

from __future__ import annotations

import re

from airgap_check.redact import REDACTED, printable, value

_TO_FILL = re.compile(
    r"<[^<>]*>|\$\{|\$\(|\{\{|\$[A-Z_]+|%[A-Z_]+%|__\w+__|\[[A-Z_ -]+\]|\.\.\."
    r"|chang[e_-]|replac|placeholder|fill[_ -]?(?:in|me)|insert|example|sample|dummy|todo|fixme|tbd"
    r"|your[_ -]|redacted|set[_ -]?(?:me|this)|enter[_ -]|generate|openssl rand",
    re.IGNORECASE,
)
# What a documentation writes where a password goes; nobody's production has it.
_STOCK = "password passwd pass secret token key apikey api-key api_key user:password user:pass"
_STOCK_WORDS = frozenset(_STOCK.split())
_SAME = re.compile(r"(\W|[xX0*.-])\1*\Z")
_SWITCH = re.compile(r"(?:\d{1,5}[smhd]?|true|false|yes|no|on|off|none|null|enabled|disabled)\Z", re.IGNORECASE)
# Digests and names of keys that base images state openly: what a download was checked with.
_OPEN = re.compile(r"GPG_KEYS?\Z|.*(?:PUBLIC_KEY|KEY_ID|_SHA256|_SHA512|FINGERPRINT)\Z|KEYRING.*", re.IGNORECASE)


# Who logs in, without a password: a database asks for it elsewhere. Behind https a name alone may be a token.
_USER = re.compile(r"(?<=://)[^/@:\s]+@")


def is_real(name: str, text: str) -> bool:
    """Tell whether a variable holds a secret that would work, by what a report would have to hide of it."""
    if _OPEN.match(name):
        return False
    if not text.lstrip().lower().startswith("http"):
        text = _USER.sub("", text, count=1)
    return any(not is_placeholder(piece) for piece in _hidden(name, text.strip()))


def _hidden(name: str, text: str) -> list[str]:
    """Return the parts of a value that must not be shown."""
    shown = value(name, text)
    if REDACTED not in shown:
        return []
    pattern = "(.*)".join(map(re.escape, shown.split(REDACTED)))
    found = re.fullmatch(pattern, printable(text), re.DOTALL)
    return [piece for piece in found.groups() if piece] if found else [text]


def is_placeholder(text: str) -> bool:
    """Tell whether a text stands for a secret to come."""
    bare = text.strip(" \"'`")
    if not bare or _SAME.match(bare) or _SWITCH.match(bare) or bare.lower() in _STOCK_WORDS:
        return True
    return _TO_FILL.search(bare) is not None or re.fullmatch(r"[A-Z]+(?:_[A-Z]+)+", bare) is not None
