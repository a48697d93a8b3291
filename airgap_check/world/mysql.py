"""Greets clients of MySQL, hears whom they want to be, and is just shutting down.

Source: MySQL Source Code Documentation, "Connection Phase".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.world.line import Secured

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_WITH_DATABASE, _PROTOCOL_41, _TLS, _SECURE, _PLUGIN = 0x8, 0x200, 0x800, 0x8000, 0x80000
_LENGTH_ENCODED = 0x200000
_OFFERED = 0x1 | _WITH_DATABASE | _PROTOCOL_41 | _TLS | 0x2000 | _SECURE | _PLUGIN
_LONGEST = 4096
_UTF8 = 45


def greeting() -> bytes:
    """Return what a server says first (HandshakeV10)."""
    scramble = b"rehearsalrehearsal--"
    body = b"\x0a8.0.0-rehearsal\0" + (1).to_bytes(4, "little") + scramble[:8] + b"\0"
    body += (_OFFERED & 0xFFFF).to_bytes(2, "little") + bytes([_UTF8, 2, 0]) + (_OFFERED >> 16).to_bytes(2, "little")
    body += bytes([21]) + bytes(10) + scramble[8:] + b"\0" + b"mysql_native_password\0"
    return _packet(0, body)


async def converse(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Agree to TLS, and return the line for it; else answer who logs in, which ends it. The greeting has been said."""
    head = await line.exactly(4)
    size = int.from_bytes(head[:3], "little") if head else 0
    body = await line.exactly(size) if head and 4 <= size <= _LONGEST else None
    if head is None or body is None:
        return None
    wanted = int.from_bytes(body[:4], "little")
    if wanted & _TLS and size == 32 and not isinstance(line, Secured):
        account.ask("SSLRequest")
        return line
    user, database = _login(body, wanted)
    account.ask(f"database {database} as {user}" if database else f"log in as {user}")
    account.ended = "the world said that the database is shutting down"
    await line.send(_packet(head[3] + 1, b"\xff" + (1053).to_bytes(2, "little") + b"#08S01Server shutdown in progress"))
    return None


def _login(body: bytes, wanted: int) -> tuple[str, str]:
    """Return user and database of a HandshakeResponse41; the proof of the password between them is skipped."""
    user, _, rest = body[32:].partition(b"\0")
    skipped = 1 + rest[0] if rest and wanted & (_SECURE | _LENGTH_ENCODED) else rest.find(b"\0") + 1
    database = rest[skipped:].partition(b"\0")[0] if wanted & _WITH_DATABASE else b""
    return printable(user.decode(errors="replace"))[:64], printable(database.decode(errors="replace"))[:64]


def _packet(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body
