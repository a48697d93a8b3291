"""Says hello to PostgreSQL: asks for TLS, names a user that does not exist, reads the first answer, and leaves.

Source: PostgreSQL documentation, 55.2.1 and 55.7. Whoever leaves while a password is awaited just hangs up: Terminate
is no message of the startup phase, and a server writes nothing about it into its log.
"""

from __future__ import annotations

from struct import pack, unpack
from typing import TYPE_CHECKING

from airgap_check.probes import tls
from airgap_check.probes.account import ConversationError, Heard, quoted

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_SSL_REQUEST = pack("!II", 8, 80877103)
_VERSION_3 = 196608
_TERMINATE = b"X" + pack("!I", 4)
_LONGEST = 64 << 10
_MOST_MESSAGES = 200
USER = "airgap-check"


def greet(line: Line, target: Target) -> Heard:
    """Start a session as nobody.

    Raises `ConversationError` when it is no PostgreSQL, or has no TLS where that is required.
    """
    if target.tls != "none":
        line.send(_SSL_REQUEST)
        answer = line.read(1)
        if answer == b"S":
            tls.secure(line, target)
        elif answer not in b"NE":
            raise ConversationError(f"it does not speak PostgreSQL: {quoted(repr(answer))}")
        elif target.tls == "required":
            raise ConversationError("it offers no TLS")
        elif answer == b"E":
            raise ConversationError("it knows of no SSLRequest")
    words = ["user", USER, "database", target.detail or USER, "application_name", USER]
    startup = pack("!I", _VERSION_3) + b"".join(_text(word) for word in words) + b"\0"
    line.send(pack("!I", len(startup) + 4) + startup)
    return Heard(_first_answer(line))


def _text(word: str) -> bytes:
    return word.replace("\0", "").encode("utf-8", "replace") + b"\0"


def _first_answer(line: Line) -> str:
    kind, body = _message(line)
    if kind == b"v":  # NegotiateProtocolVersion
        kind, body = _message(line)
    if kind == b"E":
        return f"it answers: {_error(body)}"
    if kind != b"R" or len(body) < 4:
        raise ConversationError(f"it does not speak PostgreSQL: {quoted(repr(kind))}")
    if unpack("!I", body[:4])[0]:
        return "it asks for credentials"
    for _ in range(_MOST_MESSAGES):  # it let a user in that does not exist: wait until it is ready, then leave
        kind, body = _message(line)
        if kind == b"E":
            return f"it answers: {_error(body)}"
        if kind == b"Z":
            line.send(_TERMINATE)
            return f"it lets anybody in as {USER}"
    raise ConversationError("its startup has no end")


def _message(line: Line) -> tuple[bytes, bytes]:
    kind = line.read(1)
    size = unpack("!I", line.read(4))[0]
    if kind not in b"RESKZNv" or not 4 <= size <= _LONGEST:
        raise ConversationError("it does not speak PostgreSQL")
    return kind, line.read(size - 4)


def _error(body: bytes) -> str:
    fields = {field[:1]: field[1:] for field in body.split(b"\0") if field}
    return f"{quoted(fields.get(b'M', b'an error'))} ({quoted(fields.get(b'C', b'?'))})"
