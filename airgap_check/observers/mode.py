"""The ways in which an attempt can end that the self-test tries, each at an address for documentation of its own.

Source: RFC 5737 and RFC 3849 for the addresses.
"""

from __future__ import annotations

from typing import NamedTuple

from airgap_check.kernel.programs.event import CONNECT4, CONNECT6, EGRESS, QUEUE, SENDMSG4, SENDMSG6


class Mode(NamedTuple):
    """A way to fail: what the canary is told (see `canary.Mode`), how it should end, and who can see it.

    ``hook`` is that of the programs; ``on_wire`` is set when a packet leaves that the traffic observer is about, and
    ``named`` when whoever sees it can tell the process.
    """

    name: str
    kind: str
    address: str
    port: int
    place: str
    ending: str
    hook: int
    on_wire: bool = False
    named: bool = True


MODES = (
    Mode("accepted and closed at once", "tcp", "192.0.2.10", 443, "wire", "accepted", CONNECT4, on_wire=True),
    Mode("refused", "tcp", "192.0.2.11", 444, "wire", "ECONNREFUSED", CONNECT4, on_wire=True),
    Mode("silently dropped", "tcp", "192.0.2.12", 443, "silence", "silence", CONNECT4, on_wire=True),
    Mode("locally rejected", "tcp", "198.51.100.1", 443, "unreachable", "EHOSTUNREACH", CONNECT4),
    Mode("prohibit route", "tcp", "198.51.100.2", 443, "prohibit", "EACCES", CONNECT4),
    Mode("no route", "tcp", "203.0.113.1", 443, "nowhere", "ENETUNREACH", CONNECT4),
    Mode("UDP unconnected", "udp", "192.0.2.13", 9999, "wire", "sent", SENDMSG4),
    Mode("IPv6", "tcp", "2001:db8::10", 444, "wire", "ECONNREFUSED", CONNECT6, on_wire=True),
    Mode("IPv6, no route", "tcp", "2001:db8:1::1", 443, "nowhere", "ENETUNREACH", CONNECT6),
    Mode("IPv6, UDP unconnected", "udp", "2001:db8::11", 9999, "wire", "sent", SENDMSG6),
    Mode("source routed", "routed", "2001:db8::13", 9999, "wire", "sent", EGRESS, named=False),
    Mode("raw ICMP", "raw", "192.0.2.14", 0, "wire", "sent", EGRESS, on_wire=True),
    Mode("IPv6, raw ICMP", "raw", "2001:db8::12", 0, "wire", "sent", EGRESS, on_wire=True),
    Mode("ping socket", "ping", "192.0.2.15", 0, "wire", "sent", EGRESS, on_wire=True),
    Mode("packet socket", "packet", "192.0.2.16", 0, "wire", "sent", QUEUE, on_wire=True),
    Mode("DNS question", "dns", "192.0.2.53", 53, "wire", "sent", SENDMSG4, on_wire=True),
)
