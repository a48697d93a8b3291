"""Tells by its first bytes what a client speaks, and shows those bytes without what may be a secret in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check import redact
from airgap_check.dissect import dns, hello
from airgap_check.redact.strings import looks_like_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.rehearsed import Spoken

Kind = Literal[
    "more", "tls", "http", "http2", "socks4", "socks5", "smtp", "postgresql", "mysql", "redis", "mongodb", "ldap",
    "ssh", "dns", "unknown",
]  # fmt: skip

SHOWN = 48  # bytes
_STEADY = 11  # bytes of a hello before those that are random, and so other ones each time
_SHOWN = frozenset({"smtp", "ssh", "unknown"})
_SHORTEST_WORD = 4  # characters in a row that a reader could make sense of
_LONGEST_MARK = 8  # capitals that name a protocol (AMQP, MQTT), not whoever logs in
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113 3.4
_METHODS = (
    b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"CONNECT ", b"OPTIONS ", b"TRACE ", b"PATCH ", b"PROPFIND ",
    b"REPORT ", b"SEARCH ", b"QUERY ", b"LINK ", b"PURGE ",
)  # fmt: skip
_MAIL = (b"EHLO ", b"HELO ", b"LHLO ", b"EHLO\r", b"HELO\r", b"MAIL FROM:", b"STARTTLS\r", b"QUIT\r")
_REDIS = (b"PING\r", b"AUTH ", b"INFO\r", b"SELECT ", b"HELLO ")
_ASKS = frozenset({80877102, 80877103, 80877104, 196608})  # PostgreSQL: cancel, TLS, GSSAPI, protocol 3.0
_MONGODB = frozenset({2004, 2010, 2012, 2013})  # OP_QUERY, OP_COMMAND, OP_COMPRESSED, OP_MSG
_LDAP = frozenset({0x60, 0x63, 0x77, 0x42})  # bind, search, extended, unbind
_LONGEST_MESSAGE = 48_000_000
SPOKEN: dict[Kind, Spoken] = {
    "http": "http", "http2": "http2", "smtp": "smtp", "postgresql": "postgresql", "mysql": "mysql", "redis": "redis",
    "mongodb": "mongodb", "ldap": "ldap", "ssh": "ssh", "dns": "dns", "tls": "tls",
}  # fmt: skip


def recognise(data: bytes | bytearray) -> Kind:
    """Name what begins like this; *more* where that may still be several things, and nothing for good or ill yet."""
    head = bytes(data[:512])
    if not head:
        return "more"
    if hello.opens(head):
        return "tls" if len(head) >= 6 else "more"
    if head[0] == 4:
        return _socks4(head)
    if head[0] == 5:
        return _socks5(head)
    return _text(head) or _binary(head, len(data))


def _text(head: bytes) -> Kind | None:
    """Recognise what begins with words."""
    if head.startswith(_PREFACE[:16]):
        return "http2"
    for words, kind in _WORDS:
        if head.upper().startswith(words) if kind == "smtp" else head.startswith(words):
            return kind
    if head[:1] == b"*" and head[1:2].isdigit():
        return "redis"
    beginnings = (_PREFACE[:16], *(word for words, _ in _WORDS for word in words))
    if any(word.startswith(head.upper()) for word in beginnings) or head == b"*":
        return "more"
    method, blank, rest = head.partition(b" ")
    if blank and method.isalpha() and method.isupper() and b" HTTP/1." in rest.partition(b"\n")[0]:
        return "http"
    return None


_WORDS: tuple[tuple[tuple[bytes, ...], Kind], ...] = (
    (_METHODS, "http"), (_MAIL, "smtp"), (_REDIS, "redis"), ((b"SSH-",), "ssh"),
)  # fmt: skip


def _binary(head: bytes, size: int) -> Kind:
    """Recognise what begins with its length."""
    if len(head) >= 8 and int.from_bytes(head[4:8], "big") in _ASKS and 8 <= int.from_bytes(head[:4], "big") <= 10000:
        return "postgresql"
    if len(head) >= 16 and int.from_bytes(head[12:16], "little") in _MONGODB:
        return "mongodb" if 16 <= int.from_bytes(head[:4], "little") <= _LONGEST_MESSAGE else "unknown"
    if head[0] == 0x30 and _is_ldap(head):
        return "ldap"
    length = int.from_bytes(head[:2], "big")
    if len(head) > 14 and 2 + length == size and length <= len(head) and _is_query(head[2:]):
        return "dns"
    return "more" if len(head) < _SHORTEST and head[0] in _LENGTHS else "unknown"


_SHORTEST = 16  # bytes by which what begins with a length is known, unless it is short itself
_LENGTHS = frozenset({0, 0x30})  # what a length of less than 2^24, and a sequence of BER begin with


def _is_query(message: bytes) -> bool:
    parsed = dns.parse(message)
    return parsed is not None and not parsed.response and not parsed.truncated


def _is_ldap(head: bytes) -> bool:
    """Tell whether this is an LDAPMessage (RFC 4511 4.1.1): a sequence of a number and an operation."""
    position = 2 if len(head) > 1 and head[1] < 0x80 else 2 + (head[1] & 0x7F if len(head) > 1 else 0)
    if len(head) < position + 2 or head[position] != 2 or not 1 <= head[position + 1] <= 4:
        return False
    operation = position + 2 + head[position + 1]
    return len(head) > operation and head[operation] in _LDAP


def _socks4(head: bytes) -> Kind:
    """Tell whether somebody asks a proxy of version 4: a command, a port, an address, and a user that ends in zero."""
    if len(head) < 9:
        return "more" if head[1:2] in {b"", b"\1", b"\2"} else "unknown"
    return "socks4" if head[1] in {1, 2} else "unknown"


def _socks5(head: bytes) -> Kind:
    """Tell whether somebody greets a proxy of version 5 with his methods (RFC 1928 3)."""
    if len(head) < 2 or len(head) < 2 + head[1]:
        return "more"
    return "socks5" if 1 <= head[1] == len(head) - 2 else "unknown"


def begin(kind: Kind, data: bytes | bytearray) -> str:
    """Return what is shown of a beginning; nothing of a protocol whose first request says more."""
    if kind == "tls":
        return show(data[:_STEADY])
    return show(data) if SPOKEN.get(kind, "unknown") in _SHOWN else ""


def show(data: bytes | bytearray) -> str:
    """Return the first bytes as text: of text the first line, of anything else what is no text escaped."""
    head = bytes(data[:SHOWN])
    line, mark, _ = head.partition(b"\n")
    if line.strip() and all(32 <= octet < 127 or octet in {9, 13} for octet in line):
        words = line.decode("ascii").split()
        cut = "" if mark or len(data) <= SHOWN else "…"
        return " ".join(_words(words)) + cut
    return _masked(head)


def _words(words: list[str]) -> Iterator[str]:
    """Show words, up to one that announces who logs in, and with what."""
    before = ""
    for word in words:
        if before.upper().strip(":=") in _ANNOUNCES:
            yield redact.REDACTED
            return
        yield redact.REDACTED if looks_like_token(word) else redact.value(before.rstrip(":"), word)
        before = word


_ANNOUNCES = frozenset({"PASS", "AUTH", "LOGIN", "BASIC", "BEARER", "PLAIN", "XOAUTH2", "NICKSERV", "PASSWORD",
    "AUTHENTICATE", "IDENTIFY", "OPER"})  # fmt: skip


def _escaped(data: bytes) -> str:
    return "".join(chr(octet) if 32 <= octet < 127 and octet != 92 else f"\\x{octet:02x}" for octet in data)


def _masked(data: bytes) -> str:
    """Escape bytes, and leave out words: in a message that logs in, they are who does, and with what."""
    pieces: list[str] = []
    position = 0
    while position < len(data):
        end = position
        while end < len(data) and 32 <= data[end] < 127:
            end += 1
        word = data[position:end]
        if len(word) >= _SHORTEST_WORD:
            pieces.append(word.decode() if word.isalpha() and word.isupper() and len(word) <= _LONGEST_MARK else "…")
        else:
            end = max(end, position + 1)
            pieces.append(_escaped(data[position:end]))
        position = end
    return "".join(pieces)
