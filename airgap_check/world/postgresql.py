"""Hears whom a client of PostgreSQL wants to be and which database it wants, and is just starting up.

Source: PostgreSQL, "Frontend/Backend Protocol".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.world.line import Secured

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_CANCEL, _TLS, _GSSAPI = 80877102, 80877103, 80877104
_LONGEST = 10000  # bytes of a startup packet (MAX_STARTUP_PACKET_LENGTH)


async def converse(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Agree to TLS, and return the line for it; else answer the startup, which ends it."""
    while (head := await line.exactly(8)) is not None:
        size, code = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if code == _TLS and not isinstance(line, Secured):
            account.ask("SSLRequest")
            await line.send(b"S")
            return line
        if code in {_TLS, _GSSAPI}:
            await line.send(b"N")
            continue
        if code == _CANCEL or not 8 <= size <= _LONGEST:
            return None
        body = await line.exactly(size - 8)
        if body is None:
            return None
        words = [printable(word.decode(errors="replace")) for word in body.split(b"\0")]
        given = dict(zip(words[::2], words[1::2], strict=False))
        user = given.get("user", "")
        account.ask(f"database {given.get('database') or user} as {user}")
        account.ended = "the world said that the database is starting up"
        await line.send(_error("FATAL", "57P03", "the database system is starting up"))
        return None
    return None


def _error(severity: str, code: str, message: str) -> bytes:
    """Build an ErrorResponse."""
    body = b"".join(
        kind + text.encode() + b"\0"
        for kind, text in ((b"S", severity), (b"V", severity), (b"C", code), (b"M", message))
    )
    return b"E" + (len(body) + 5).to_bytes(4, "big") + body + b"\0"
