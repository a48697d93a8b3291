"""Hears which command a client of MongoDB sends first, and is just shutting down.

Source: MongoDB, "MongoDB Wire Protocol", and bsonspec.org.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_REPLY, _QUERY, _MESSAGE = 1, 2004, 2013
_LONGEST = 1 << 15
_HEADER = struct.Struct("<4i")


async def converse(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Answer every command with an error (91, ShutdownInProgress)."""
    while (head := await line.exactly(16)) is not None:
        size, number, _, operation = _HEADER.unpack(head)
        body = await line.exactly(size - 16) if 16 <= size <= _LONGEST else None
        if body is None:
            return None
        account.ask(_command(operation, body))
        account.ended = "the world said that the database is shutting down"
        await line.send(_answer(operation, number))
    return None


def _command(operation: int, body: bytes) -> str:
    """Name a command: the first key of its document. Of OP_QUERY also the collection that it is sent to."""
    if operation == _QUERY:
        collection, _, rest = body[4:].partition(b"\0")
        return f"{_text(rest[13:])} on {_text(collection)}"
    return _text(body[10:]) if operation == _MESSAGE else f"operation {operation}"


def _text(raw: bytes) -> str:
    return printable(raw.partition(b"\0")[0][:64].decode(errors="replace"))


def _answer(operation: int, number: int) -> bytes:
    reason = b"rehearsal: shutting down\0"
    fields = b"\x01ok\0" + struct.pack("<d", 0.0) + b"\x10code\0" + struct.pack("<i", 91)
    fields += b"\x02errmsg\0" + struct.pack("<i", len(reason)) + reason
    document = struct.pack("<i", len(fields) + 5) + fields + b"\0"
    if operation == _QUERY:
        body, kind = struct.pack("<iqii", 0, 0, 0, 1) + document, _REPLY
    else:
        body, kind = bytes(4) + b"\0" + document, _MESSAGE
    return _HEADER.pack(16 + len(body), 1, number, kind) + body
