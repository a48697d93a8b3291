"""What the readers of logs have in common: values of untrusted text become addresses, ports and times, or nothing."""

from __future__ import annotations

from datetime import datetime

from airgap_check.address import parse
from airgap_check.captures.window import SECOND, UNKNOWN_TIME
from airgap_check.dissect.packet import ICMP, ICMPV6, SCTP, TCP, UDP

NUMBERS = {
    "tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMPV6, "ipv6-icmp": ICMPV6, "sctp": SCTP, "dccp": 33, "gre": 47,
    "udplite": 136, "esp": 50, "ah": 51, "igmp": 2, "unknown_transport": 255, "unknown": 255,
}  # fmt: skip
_LATEST = 1 << 62


class MalformedError(Exception):
    """A line that cannot be what it claims to be."""


def address(value: object) -> bytes:
    """Return a packed address. Raises `MalformedError`."""
    parsed = parse(value) if isinstance(value, str) and len(value) < 128 else None
    if parsed is None:
        raise MalformedError
    return parsed.packed


def port(value: object) -> int:
    """Return a port, 0 where there is none. Raises `MalformedError`."""
    if value is None:
        return 0
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
        raise MalformedError
    return value


def protocol(value: object) -> int:
    """Return the number of an IP protocol. Raises `MalformedError`."""
    if not isinstance(value, str):
        raise MalformedError
    number = NUMBERS.get(value.lower())
    if number is None:
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 4 else 255
    return min(number, 255)


def seconds(value: object) -> int:
    """Return a time in nanoseconds: a number of seconds, its text, or ISO 8601. Raises `MalformedError`."""
    if value is None:
        return UNKNOWN_TIME
    try:
        if isinstance(value, str) and "T" in value:
            moment = datetime.fromisoformat(value).timestamp()
        elif isinstance(value, (str, int, float)):
            moment = float(value)
        else:
            raise MalformedError
        time = round(moment * 1_000_000) * (SECOND // 1_000_000)
    except (ValueError, OverflowError) as error:
        raise MalformedError from error
    return time if 0 <= time < _LATEST else UNKNOWN_TIME
