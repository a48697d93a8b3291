"""Receives a client: hears what it speaks, lets that one answer who speaks it too, and begins anew within a tunnel."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from airgap_check.dissect import hello
from airgap_check.world import (
    greeting,
    http1,
    http2,
    ldap,
    mail,
    mongodb,
    mysql,
    name_stream,
    opening,
    postgresql,
    proxy,
    redis,
)
from airgap_check.world.host import MOST_SECURE
from airgap_check.world.line import ROOM, Secured

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

    Converse = Callable[[Line, Account, Host], Awaitable[Line | None]]

_DEEPEST = 8  # tunnels in tunnels
_LATE = 2.0  # seconds that the rest of a hello may take
_FAREWELL = 1.0  # seconds that a client may take to close when everything is said
_NAMES, _SECURE_NAMES = 53, 853
_SPEAKERS: dict[opening.Kind, Converse] = {
    "http": http1.converse, "http2": http2.converse, "socks4": proxy.converse4, "socks5": proxy.converse5,
    "smtp": mail.converse, "postgresql": postgresql.converse, "redis": redis.converse, "mongodb": mongodb.converse,
    "ldap": ldap.converse, "dns": name_stream.converse, "mysql": mysql.converse,
}  # fmt: skip


async def receive(line: Line, account: Account, host: Host) -> None:
    """Talk to a client until it closes, or all is said. Raises OSError for what goes wrong on the way."""
    async with AsyncExitStack() as held:
        for _ in range(_DEEPEST):
            further = await _converse(line, account, host, held)
            if further is None:
                break
            line = further
        account.ended = account.ended or ("closed by the client" if line.over else "answered, and closed")
        if not line.over:
            await _part(line)


async def _converse(line: Line, account: Account, host: Host, held: AsyncExitStack) -> Line | None:
    """Let the one answer who speaks the same; return the line that goes on, None at the end."""
    kind = await _hear(line, account, host)
    if kind == "more":
        return None  # nothing was said
    if kind == "tls":
        return await _secure(line, account, host, held)
    agreed = line.protocol if isinstance(line, Secured) else None
    if kind == "unknown":
        kind = _expected(line, account, agreed)
    account.open_with(opening.SPOKEN.get(kind, "unknown"), opening.begin(kind, line.said))
    speak = _SPEAKERS.get(kind)
    if speak is not None:
        return await speak(line, account, host)
    await (greeting.refuse(line, account) if greeting.turns_down(account) else line.listen())
    return None


async def _hear(line: Line, account: Account, host: Host) -> opening.Kind:
    """Hear the client until it is clear what it speaks; greet it first where it waits for that."""
    fresh = account.spoken in {"nothing", "tls"}
    first = greeting.at_once(account, host, secure=isinstance(line, Secured)) if fresh and not line.said else None
    if first:
        await line.send(first)
    patience = greeting.PATIENCE if fresh and not first else None
    try:
        while (kind := opening.recognise(line.said)) == "more":
            try:
                if not await line.more(patience):
                    return "unknown" if line.said else "more"
            except TimeoutError:
                patience = None
                late = None if line.said else greeting.after_silence(account, host)
                if late:
                    await line.send(late)
    except (OSError, asyncio.CancelledError):
        if line.said and account.spoken == "nothing":  # too little to know it by is not nothing
            account.open_with("unknown", opening.show(line.said))
        raise
    return kind


def _expected(line: Line, account: Account, agreed: str | None) -> opening.Kind:
    """Name what a client speaks that cannot be told by its first bytes: by its port, or what was agreed on."""
    if account.port == _NAMES or agreed == "dot" or (account.port == _SECURE_NAMES and isinstance(line, Secured)):
        return "dns"
    return "mysql" if account.port == greeting.MYSQL or account.spoken == "mysql" else "unknown"


async def _secure(line: Line, account: Account, host: Host, held: AsyncExitStack) -> Line | None:
    """Agree to TLS as the one whom the client wants to speak to; return the line within, None where it refuses."""
    if account.spoken == "nothing":
        account.open_with("tls", opening.begin("tls", line.said))
    while not _is_whole(line.said) and len(line.said) < ROOM:
        try:
            if not await line.more(_LATE):
                break
        except TimeoutError:
            break
    said = hello.peek(bytes(line.said))
    account.seek(said.name if said else None)
    if not account.encrypted:
        if host.secure.locked():
            host.teller.complain(
                f"more than {MOST_SECURE} connections with TLS were open at a time: the others had to wait"
            )
        await held.enter_async_context(host.secure)
    within = Secured(line, host.context(account))
    try:
        await within.shake_hands()
    except ssl.SSLError as error:
        account.ended = _refusal(error)
        line.over = True
        return None
    account.encrypted = True
    return within


def _is_whole(said: bytearray) -> bool:
    """Tell whether no more of a hello is to come."""
    found = hello.peek(bytes(said))
    return found is not None and found.complete


def _refusal(error: ssl.SSLError) -> str:
    """Say how a handshake failed: by the client's alert, or by what it offered."""
    reason = (error.reason or "unknown").upper()
    _, mark, alert = reason.partition("ALERT_")
    words = (alert if mark else reason).replace("_", " ").lower()
    return f"TLS refused by the client: {words}" if mark else f"TLS failed: {words}"


async def _part(line: Line) -> None:
    """Close in a way that nothing which was said is lost: what is unread at the end would reset the connection."""
    await line.end()
    until = time.monotonic() + _FAREWELL
    with suppress(TimeoutError):
        while (left := until - time.monotonic()) > 0 and await line.receive(left):
            pass
