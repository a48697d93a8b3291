"""Knows resolv.conf(5), and the comments in which Docker writes where its own resolver forwards to."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import parse as parse_address
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.address import Address

DEFAULT = IPv4Address("127.0.0.1")  # resolv.conf(5): without a nameserver line, the local machine is asked
LIMIT = 1 << 16  # bytes; there is no honest reason for more
_SEARCH_DOMAINS = 32
_NDOTS_MAX = 15
_UNREADABLE, _SHOWN = 8, 64


class Nameserver(NamedTuple):
    """A server to ask; ``zone`` is the interface of a link-local IPv6 address."""

    address: Address
    zone: str = ""


class External(NamedTuple):
    """A server that Docker's embedded resolver forwards to, from the host's namespace or the container's own."""

    address: Address | None
    from_host: bool


class ResolvConf(NamedTuple):
    """One resolv.conf. ``external`` is None when no comment of Docker names what 127.0.0.11 forwards to.

    ``unreadable`` holds what stands for a name server and is no address to us: another library may know better.
    """

    nameservers: tuple[Nameserver, ...]
    search: tuple[str, ...] = ()
    ndots: int = 1
    external: tuple[External, ...] | None = None
    unreadable: tuple[str, ...] = ()


def parse(text: str) -> ResolvConf:
    """Read a resolv.conf; a missing or empty one means the local machine.

    Every nameserver line counts: glibc and musl ask the first three, c-ares and Go ask them all.
    """
    nameservers: list[Nameserver] = []
    unreadable: list[str] = []
    search: tuple[str, ...] = ()
    ndots = 1
    external: tuple[External, ...] | None = None
    for whole in text.split("\n"):
        line = whole.partition("\0")[0]  # there libc's string ends, and it asks the server that stands before it
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values:
            value = values[0].partition("#")[0].partition(";")[0]
            nameserver = _nameserver(value)
            if nameserver and nameserver not in nameservers:
                nameservers.append(nameserver)
            elif value and not nameserver and len(unreadable) < _UNREADABLE:
                unreadable.append(printable(value[:_SHOWN]))
        elif keyword in {"search", "domain"}:
            search = _domains(values if keyword == "search" else values[:1])
        elif keyword == "options":
            ndots = _ndots(values, ndots)
        elif line.startswith("# ExtServers:"):
            external = _external(line)
    return ResolvConf(tuple(nameservers) or (Nameserver(DEFAULT),), search, ndots, external, tuple(unreadable))


def _nameserver(text: str) -> Nameserver | None:
    address = parse_address(text)
    if address is not None:
        return Nameserver(address, text.partition("%")[2] if address.version == 6 else "")
    number = _short_form(text)
    return None if number is None else Nameserver(IPv4Address(number))


def _short_form(text: str) -> int | None:
    """Read the other ways in which libc takes an IPv4 address, such as 8.2056 or 0x08080808 (inet_aton(3))."""
    parts = text.split(".")
    if len(parts) > 4 or not text.isascii() or len(text) > 64:
        return None
    value = 0
    for position, part in enumerate(parts):
        digits, base = (part[2:], 16) if part[:2].lower() == "0x" else (part, 8 if part[:1] == "0" else 10)
        if not digits.isalnum():
            return None
        try:
            number = int(digits, base)
        except ValueError:
            return None
        bits = 8 * (5 - len(parts)) if position == len(parts) - 1 else 8
        if number >> bits:
            return None
        value = value << bits | number
    return value


def _domains(values: list[str]) -> tuple[str, ...]:
    return tuple(value.strip(".").lower() for value in values[:_SEARCH_DOMAINS] if value.strip("."))


def _ndots(options: list[str], ndots: int) -> int:
    for option in options:
        name, _, value = option.partition(":")
        if name == "ndots" and value.isdecimal() and value.isascii():
            ndots = min(int(value[:4]), _NDOTS_MAX)
    return ndots


def _external(line: str) -> tuple[External, ...]:
    """Read ``# ExtServers: [host(127.0.0.53) 10.0.0.2]`` (libnetwork/internal/resolvconf of Docker)."""
    inside = line.partition("[")[2].partition("]")[0]
    found = []
    for word in inside.replace(",", " ").split():
        from_host = word.startswith("host(")
        found.append(External(parse_address(word.removeprefix("host(").removesuffix(")")), from_host))
    return tuple(found)
