"""Talks to one target over a connected socket in the target's own protocol, and tells what came of it.

Nothing is resolved and no socket opened here. A conversation completes its handshake, sends no credentials, changes
nothing and ends politely: an aborted MySQL handshake can lock the whole host out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.probes import http, mongodb, mysql, openid, postgresql, redis, runtime_posture, s3, saml, smtp, tls
from airgap_check.probes.account import Checked, ConversationError, Heard, Named, Target, Told, quoted
from airgap_check.probes.line import Line

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["Checked", "Named", "Target", "Told", "converse"]

# Ports where TLS begins with the first byte, by convention (IANA; 6380 and 8443, 9443 by common use).
_TLS_PORTS = frozenset({443, 465, 636, 853, 989, 990, 993, 995, 2376, 3269, 5671, 6380, 6443, 8443, 9443})
_SILENCE = Heard()
_UPGRADES = frozenset({"postgresql", "mysql", "smtp"})  # begin in clear and turn to TLS by agreement


def _nothing(line: Line, target: Target) -> Heard:
    """Say nothing: the handshake was all that was asked for."""
    return Heard("the TLS handshake was completed" if line.is_secure else f"port {target.port} is open")


_CONVERSATIONS: dict[str, Callable[[Line, Target], Heard]] = {
    "postgresql": postgresql.greet, "mysql": mysql.greet, "mongodb": mongodb.greet, "redis": redis.greet,
    "smtp": smtp.greet, "s3": s3.ask, "http": http.ask, "oidc": openid.ask, "saml": saml.ask,
    "runtime": runtime_posture.ask, "tls": _nothing, "tcp": _nothing,
}  # fmt: skip


def converse(end: socket.socket, target: Target, until: float) -> Told:
    """Talk to a target over a connected socket until a time of `time.monotonic`; closing it is the caller's.

    It never raises for what the other side does, and returns by then.
    """
    line = Line(end, until)
    try:
        if _begins_with_tls(target):
            tls.secure(line, target)
        heard = _CONVERSATIONS[target.protocol](line, target)
        line.close()
    except TimeoutError:
        return _told("timeout", line, "no answer in time")
    except ConversationError as error:
        return _told("failed", line, str(error))
    except OSError as error:
        return _told("failed", line, quoted(error.strerror or str(error)))
    line.stage = "done"
    return _told("reached", line, heard.detail, heard)


def _told(outcome: Literal["reached", "failed", "timeout"], line: Line, detail: str, heard: Heard = _SILENCE) -> Told:
    return Told(
        outcome=outcome,
        stage=line.stage,
        detail=detail,
        tls=line.tls,
        expires=line.expires,
        named=line.named + heard.named,
        checks=line.checks + heard.checks,
    )


def _begins_with_tls(target: Target) -> bool:
    if target.tls == "none":
        return False
    if target.protocol == "tls":
        return True
    if target.protocol == "smtp":
        return target.port == 465 or target.detail == "implicit"
    if target.protocol in _UPGRADES:
        return False
    return target.tls == "required" or target.port in _TLS_PORTS
