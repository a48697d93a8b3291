"""Plays a SOCKS proxy: agrees to reach whatever is asked for, and goes on as what is there (RFC 1928, RFC 1929)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

from airgap_check.dissect.name import host as host_name

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_BOUND = bytes(6)  # the address that the proxy would speak from: none of the client's business
_COMMANDS = {1: "CONNECT", 2: "BIND", 3: "UDP"}


async def converse4(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Agree to a request of SOCKS 4 or 4a, and return the line."""
    head = await line.exactly(8)
    if head is None or await line.until(b"\0", 256) is None:  # the user's name
        return None
    address = IPv4Address(head[4:8])
    name = str(address)
    if 0 < int(address) < 256:  # 4a: the name follows
        said = await line.until(b"\0", 256)
        if said is None:
            return None
        name = host_name(said)
    _note(account, "SOCKS4", head[1], name, int.from_bytes(head[2:4], "big"))
    await line.send(b"\0\x5a" + _BOUND)
    return line


async def converse5(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Agree to a method and a request of SOCKS 5, and return the line; who logs in is not kept."""
    head = await line.exactly(2)
    methods = await line.exactly(head[1]) if head else None
    if methods is None:
        return None
    method = 0 if 0 in methods else 2 if 2 in methods else 0xFF
    await line.send(bytes([5, method]))
    if method == 0xFF or (method == 2 and not await _log_in(line)):
        return None
    head = await line.exactly(4)
    name = await _target(line, head[3]) if head else None
    port = await line.exactly(2) if name is not None else None
    if head is None or name is None or port is None:
        return None
    _note(account, "SOCKS5", head[1], name, int.from_bytes(port, "big"))
    await line.send(b"\5\0\0\1" + _BOUND)
    return line


async def _log_in(line: Line) -> bool:
    head = await line.exactly(2)
    user = await line.exactly(head[1]) if head else None
    size = await line.exactly(1) if user is not None else None
    if size is None or await line.exactly(size[0]) is None:
        return False
    await line.send(b"\1\0")
    return True


async def _target(line: Line, kind: int) -> str | None:
    """Take the address or name that a request is for."""
    if kind == 3:
        size = await line.exactly(1)
        name = await line.exactly(size[0]) if size else None
        return None if name is None else host_name(name)
    raw = await line.exactly({1: 4, 4: 16}.get(kind, 0))
    return str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw)) if raw else None


def _note(account: Account, version: str, command: int, name: str, port: int) -> None:
    where = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    account.ask(f"{version} {_COMMANDS.get(command, '?')} {where}", where)
    account.seek(name)
