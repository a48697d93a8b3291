"""Recognises what an artifact should not give away: secrets, and paths of the machine that it was built on."""

from __future__ import annotations

import re

from airgap_check.objectos.artifact.destination import without_templates
from airgap_check.redact import REDACTED, url

_USER_INFO = re.compile(r"\A[A-Za-z][A-Za-z0-9+.-]{0,40}://[^/\s@:]*+:[^/\s@]++@")
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+\.|gh[pos]_[A-Za-z0-9_]{16,}|github_pat_[A-Za-z0-9_]{16,}|"
    r"glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|SG\.[A-Za-z0-9_-]{16,}+\.|sk[-_](?:[a-z]+[-_])*[A-Za-z0-9]{20,}|"
    r"AKIA[A-Z0-9]{16}(?![A-Z0-9])|npm_[A-Za-z0-9]{30,})"
)
# What certainly hides nothing; most URLs are like this, and the search for secrets is thorough.
_PLAIN_URL = re.compile(
    r"https?://(?!hooks\.slack|(?:[a-z]+\.)?discord|api\.telegram)[a-z0-9.-]{1,253}(?::\d{1,5})?(?:/(?!xox|glpat-|sk-)[a-z0-9.-]{0,19})*+\Z"
)
# If none of these stands in the bytes of a piece, none of its texts is a secret by its looks. An escape may hide one.
# Those that begin alike are looked for together, in one pass over the file.
_MARKS: tuple[tuple[re.Pattern[bytes] | None, tuple[bytes, ...]], ...] = (
    (None, (b"PRIVATE KEY", b"eyJ", b"github_pat_", b"glpat-", b"xox", b"SG.", b"AKIA", b"npm_", b"@")),
    (re.compile(rb"gh[ops]_"), (b"ghp_", b"gho_", b"ghs_")),
    (re.compile(rb"sk[-_]"), (b"sk-", b"sk_")),
    (
        re.compile(rb'"/(?:home|Users|root|builds|workspace)'),
        (b'"/home/', b'"/Users/', b'"/root/', b'"/builds/', b'"/workspace'),
    ),
)
_ESCAPES = (b"\\u00", b"\\/", b":\\\\")  # of what can be written plainly; the last one is a drive of Windows
_AT = b"@"  # of user info in a URL
_REFERENCE = re.compile(
    r"(?:env|secret|secrets|vault|ref|file|ssm|arn|kms|op)[:./]|process\.env\b|\$|/|\.{1,2}/", re.IGNORECASE
)
_NO_SECRETS = """
    true false none null bearer basic include omit same-origin required optional hidden password secret token text
    string jwt apikey api-key cookie header query encrypted masked undefined redacted <redacted>
"""
_WORDS = frozenset(_NO_SECRETS.split())
BUILD = ("/home/", "/Users/", "/root/", "/builds/", "/workspace/", "/workspaces/")
_DRIVE = re.compile(r"(?:file:///)?[A-Za-z]:\\{1,2}[\w. -]+\\")


def marks(text: bytes | bytearray) -> tuple[bytes, ...]:
    """Return what occurs anywhere in a file of all that betrays a secret: its pieces are searched for that alone."""
    there = [mark for likeness, group in _MARKS if likeness is None or likeness.search(text) for mark in group]
    escapes = _ESCAPES if b"\\" in text else ()
    return tuple(mark for mark in (*there, *escapes) if mark in text)


def may_hold_secrets(piece: memoryview, marks_of_file: tuple[bytes, ...]) -> bool:
    """Tell whether the texts in a piece of JSON have to be looked at one by one."""
    if not marks_of_file:
        return False
    data = bytes(piece)
    return any(mark in data for mark in marks_of_file if mark != _AT) or (_AT in data and b"://" in data)


def looks_secret(text: str) -> str | None:
    """Say what kind of secret a text holds by its looks, if it does."""
    if "PRIVATE KEY-----" in text and "-----BEGIN" in text:
        return "a private key"
    if "@" in text and "://" in text and _USER_INFO.match(without_templates(text[:8192])):
        return "a password in a URL"
    return "a token of a well-known make" if _TOKEN.search(text) else None


def is_secret_value(name: str, text: str) -> bool:
    """Tell whether what stands under the name of a secret is one: no reference to one, no template, no label."""
    bare = text.strip()
    plain = re.sub(r"\A(?:bearer|basic|token|apikey)\s+", "", bare, flags=re.IGNORECASE)
    literal = without_templates(plain).strip(" :")
    if not literal or literal.lower() in _WORDS or _REFERENCE.match(plain) or set(literal) <= set("*xX.•-"):
        return False
    return re.sub(r"[\W_]", "", literal).lower() != re.sub(r"[\W_]", "", name).lower() and " " not in literal


def hides_in_url(text: str) -> bool:
    """Tell whether a URL carries a credential: in its user info, its parameters, or its path (Slack's webhooks do)."""
    if _PLAIN_URL.match(text):
        return False
    plain = re.sub(r"://:?@", "://", without_templates(text[:8192]))
    return REDACTED in url(plain)


def shown_url(text: str) -> str:
    """Return a URL without its credentials."""
    return text if _PLAIN_URL.match(text) else url(text[:8192])


def build_path(text: str) -> str | None:
    """Return the path of the machine that built it, if that is what a text is."""
    if text.startswith(BUILD):
        return text if len([part for part in text.split("/") if part]) > 2 and " " not in text[:32] else None
    return text if text[1:3] == ":\\" and _DRIVE.match(text) else None
