"""Answers clients of a directory: every bind succeeds, and nothing is found (RFC 4511). Keeps no password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.world.line import Secured

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_BIND, _UNBIND, _SEARCH, _EXTENDED = 0x60, 0x42, 0x63, 0x77
_NAMES = {_BIND: "bind", _SEARCH: "search", _EXTENDED: "extended", 0x66: "modify", 0x68: "add", 0x6E: "compare"}
_START_TLS = b"1.3.6.1.4.1.1466.20037"
_LONGEST = 1 << 15
_SUCCESS = b"\x0a\x01\x00\x04\x00\x04\x00"  # resultCode success, no matchedDN, no message


async def converse(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Answer until the client unbinds; return the line for TLS where it asks for that."""
    while (message := await _message(line)) is not None:
        number, operation, body = message
        if operation == _UNBIND:
            return None
        account.ask(_shown(operation, body))
        starts = operation == _EXTENDED and _START_TLS in body
        kind = 0x65 if operation == _SEARCH else operation + 1 & 0xFF
        await line.send(_sequence(0x30, b"\x02" + bytes([len(number)]) + number + _sequence(kind, _SUCCESS)))
        if starts and not isinstance(line, Secured):
            return line
    return None


async def _message(line: Line) -> tuple[bytes, int, bytes] | None:
    """Take an LDAPMessage: its number, the tag of its operation, and what is in that; None where it is none."""
    head = await line.exactly(2)
    if head is None or head[0] != 0x30:
        return None
    size = head[1]
    if size >= 0x80:
        octets = await line.exactly(size & 0x7F) if 0x80 < size <= 0x84 else None
        size = int.from_bytes(octets, "big") if octets else 0
    content = await line.exactly(size) if 5 <= size <= _LONGEST else None
    if content is None or content[0] != 2 or not 1 <= content[1] <= 4 or len(content) < 4 + content[1]:
        return None
    end = 2 + content[1]
    _, body, _ = _element(content[end:])
    return content[2:end], content[end], body


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Split the first element of BER off: its tag, its content as far as it goes, and the rest."""
    if len(data) < 2:
        return 0, b"", b""
    begin, size = 2, data[1]
    if size >= 0x80:
        begin = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:begin], "big")
    return data[0], data[begin : begin + size], data[begin + size :]


def _shown(operation: int, body: bytes) -> str:
    name = _NAMES.get(operation, f"operation {operation:#x}")
    if operation == _EXTENDED and _START_TLS in body:
        return "StartTLS"
    if operation == _BIND:
        _, _, rest = _element(body)  # the version
        return f"bind {_quoted(_element(rest)[1])}"
    if operation == _SEARCH:
        return f"search {_quoted(_element(body)[1])}"
    return name


def _quoted(name: bytes) -> str:
    return printable(name[:120].decode(errors="replace")) or "(no name)"


def _sequence(tag: int, content: bytes) -> bytes:
    assert len(content) < 0x80
    return bytes([tag, len(content)]) + content
