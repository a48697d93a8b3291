"""Sends PING to Redis or Valkey. One that wants a password first says so, and has answered. Source: RESP2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.probes.account import ConversationError, Heard, quoted

if TYPE_CHECKING:
    from airgap_check.probes.account import Target
    from airgap_check.probes.line import Line

_PING = b"*1\r\n$4\r\nPING\r\n"
_LONGEST_LINE = 4096


def greet(line: Line, target: Target) -> Heard:  # noqa: ARG001 # every conversation is given its target
    """Ask whether it is there. Raises `ConversationError` when it is no Redis, or lets nobody in from here."""
    line.send(_PING)
    answer = line.read_until(b"\r\n", _LONGEST_LINE)
    if answer == b"+PONG":
        return Heard("it answers PONG")
    if not answer.startswith(b"-"):
        raise ConversationError(f"it does not speak Redis: {quoted(repr(answer[:40]))}")
    if answer.startswith((b"-DENIED", b"-ERR max number of clients")):
        raise ConversationError(f"it lets nobody in from here: {quoted(answer[1:])}")
    return Heard(f"it answers: {quoted(answer[1:])}")
