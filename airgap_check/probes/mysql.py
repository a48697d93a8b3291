"""Says hello to MySQL or MariaDB and completes the handshake as a user that does not exist.

A connection that is dropped in the middle counts against the host, and after ``max_connect_errors`` of them the server
locks the host out; an access that is denied does not. Source: MySQL Internals, Connection Phase.
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from airgap_check.probes import tls
from airgap_check.probes.account import ConversationError, Heard, quoted

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_LONG_PASSWORD, _PROTOCOL_41, _SSL, _SECURE_CONNECTION, _PLUGIN_AUTH = 0x1, 0x200, 0x800, 0x8000, 0x80000
_LARGEST_PACKET = 1 << 24
_UTF8 = 33
_LONGEST = 64 << 10
_MOST_ROUNDS = 5
_OK, _MORE, _SWITCH, _ERROR = 0x00, 0x01, 0xFE, 0xFF
_QUIT = b"\x01"
USER = "airgap-check"


def greet(line: Line, target: Target) -> Heard:
    """Complete a handshake as nobody.

    Raises `ConversationError` when it is no MySQL, lets nobody in from here, or has no TLS where that is required.
    """
    number, greeting = _packet(line)
    if greeting[0] == _ERROR:
        raise ConversationError(f"it lets nobody in from here: {_error(greeting)}")
    version, offered, plugin = _greeting(greeting)
    wanted = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE_CONNECTION | (offered & _PLUGIN_AUTH)
    secure = target.tls != "none" and bool(offered & _SSL)
    head = pack("<IIB23x", wanted | (_SSL if secure else 0), _LARGEST_PACKET, _UTF8)
    if secure:
        number += 1
        line.send(_framed(number, head))
        tls.secure(line, target)
    answer = head + USER.encode() + b"\0" + b"\0" + (plugin + b"\0" if offered & _PLUGIN_AUTH else b"")
    line.send(_framed(number + 1, answer))
    said = _end_of_handshake(line)
    if target.tls == "required" and not secure:  # only now: a handshake that was begun is completed
        raise ConversationError("it offers no TLS")
    return Heard(f"version {version}; it answers: {said}")


def _greeting(body: bytes) -> tuple[str, int, bytes]:
    """Return version, capabilities and plugin of a Protocol::HandshakeV10."""
    version, end, rest = body[1:].partition(b"\0")
    if body[0] != 10 or not end or len(rest) < 18:
        raise ConversationError(f"it does not speak MySQL's protocol 10: {quoted(repr(body[:20]))}")
    offered = int.from_bytes(rest[13:15], "little") | int.from_bytes(rest[18:20], "little") << 16
    if not offered & _PROTOCOL_41:
        raise ConversationError("it is a server from before MySQL 4.1")
    salt = max(13, rest[20] - 8) if len(rest) > 20 else 13
    plugin = rest[31 + salt :].partition(b"\0")[0] if offered & _PLUGIN_AUTH else b""
    return quoted(version), offered, plugin or b"mysql_native_password"


def _end_of_handshake(line: Line) -> str:
    """Answer every question with nothing until the server has decided."""
    for _ in range(_MOST_ROUNDS):
        number, body = _packet(line)
        if body[0] == _ERROR:
            return _error(body)
        if body[0] == _OK:
            line.send(_framed(0, _QUIT))
            return f"it lets anybody in as {USER}"
        if body[0] not in {_MORE, _SWITCH}:
            raise ConversationError("it does not speak MySQL")
        line.send(_framed(number + 1, b"\0" if body[0] == _MORE else b""))
    raise ConversationError("its handshake has no end")


def _framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number & 0xFF]) + body


def _packet(line: Line) -> tuple[int, bytes]:
    head = line.read(4)
    size = int.from_bytes(head[:3], "little")
    if not 1 <= size <= _LONGEST:
        raise ConversationError(f"it does not speak MySQL: {quoted(repr(head))}")
    return head[3], line.read(size)


def _error(body: bytes) -> str:
    text = body[3:]
    if text[:1] == b"#":
        text = text[6:]
    return f"{quoted(text)} ({int.from_bytes(body[1:3], 'little')})"
