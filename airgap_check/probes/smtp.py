"""Says EHLO to a mail server, turns to TLS where it is offered, and leaves with QUIT. Source: RFC 5321, RFC 3207."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.probes import tls
from airgap_check.probes.account import ConversationError, Heard, quoted

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_LONGEST_LINE = 4096
_MOST_LINES = 100
_SELF = "airgap-check.invalid"


def greet(line: Line, target: Target) -> Heard:
    """Say who we are, and good-bye.

    Raises `ConversationError` when it takes no mail, or has no TLS where that is required.
    """
    greeting = _reply(line)
    if greeting.code != 220:
        raise ConversationError(f"it takes no mail: {greeting.code} {greeting.lines[0]}")
    offered = _hello(line)
    if target.tls != "none" and not line.is_secure:
        if "STARTTLS" in offered:
            line.send(b"STARTTLS\r\n")
            ready = _reply(line)
            if ready.code == 220:
                tls.secure(line, target)
                _hello(line)  # what was said in clear counts for nothing
            elif target.tls == "required":
                raise ConversationError(f"it refuses TLS: {ready.code} {ready.lines[0]}")
        elif target.tls == "required":
            line.send(b"QUIT\r\n")
            raise ConversationError("it offers no TLS")
    line.send(b"QUIT\r\n")
    _reply(line)
    return Heard(f"it answers: {greeting.lines[0]}")


class _Reply(NamedTuple):
    code: int
    lines: list[str]


def _hello(line: Line) -> set[str]:
    """Return the keywords of the extensions that it offers."""
    line.send(f"EHLO {_SELF}\r\n".encode())
    reply = _reply(line)
    if reply.code != 250:
        raise ConversationError(f"it does not take EHLO: {reply.code} {reply.lines[0]}")
    return {text.partition(" ")[0].upper() for text in reply.lines[1:]}


def _reply(line: Line) -> _Reply:
    lines: list[str] = []
    for _ in range(_MOST_LINES):
        text = line.read_until(b"\n", _LONGEST_LINE).rstrip(b"\r")
        if not text[:3].isdigit() or text[3:4] not in {b"", b" ", b"-"}:
            raise ConversationError(f"it does not speak SMTP: {quoted(repr(text[:40]))}")
        lines.append(quoted(text[4:]))
        if text[3:4] != b"-":
            return _Reply(int(text[:3]), lines)
    raise ConversationError("a reply without end")
