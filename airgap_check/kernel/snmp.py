"""Reads how many packets had no route, as the MIB counters of a network namespace tell it.

Source: RFC 4293 (ipSystemStatsOutNoRoutes), proc_pid_net(5), net/ipv4/proc.c, net/ipv6/proc.c.
"""

from __future__ import annotations

import errno

_HERE = "/proc/thread-self/net/"
_LONGEST = 1 << 16
NO_ROUTES4, NO_ROUTES6 = "Ip OutNoRoutes", "Ip6OutNoRoutes"


def no_routes() -> dict[str, int]:
    """Return both counters of the calling thread's namespace, by name; a kernel without IPv6 has only one.

    Raises OSError: EBADMSG where the first makes no sense.
    """
    found = {NO_ROUTES4: parse(_read("snmp"))}
    try:
        six = parse_six(_read("snmp6"))
    except FileNotFoundError:
        return found
    return found if six is None else found | {NO_ROUTES6: six}


def _read(name: str) -> bytes:
    with open(_HERE + name, "rb") as file:
        return file.read(_LONGEST)


def parse(text: bytes) -> int:
    """Return ``OutNoRoutes`` of ``Ip:``, a line of names above a line of values; raises OSError (EBADMSG)."""
    lines = [line.split() for line in text.splitlines() if line.startswith(b"Ip: ")]
    if len(lines) == 2:
        value = dict(zip(*lines, strict=False)).get(b"OutNoRoutes", b"")
        if value.isdigit():
            return int(value)
    raise OSError(errno.EBADMSG, "the counters of IPv4 make no sense")


def parse_six(text: bytes) -> int | None:
    """Return ``Ip6OutNoRoutes``, a name and a value on a line; None where it is not listed."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == b"Ip6OutNoRoutes" and words[1].isdigit():
            return int(words[1])
    return None
