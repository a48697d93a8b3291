"""Takes the link layer off a captured frame (the LINKTYPE_ numbers of libpcap, and the DLT_ where they differ)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

IPV4, IPV6 = 0x0800, 0x86DD
NULL, ETHERNET, PPP, RAW, LOOP, SLL, SLL2 = 0, 1, 9, 101, 108, 113, 276

_TAGS = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})  # 802.1Q, 802.1ad, and what came before it
_MOST_TAGS = 8
_IPV6_FAMILIES = frozenset({10, 24, 28, 30})  # AF_INET6 of Linux, NetBSD, FreeBSD, macOS
_PPP_PROTOCOLS = {0x0021: IPV4, 0x0057: IPV6}
_TYPE = struct.Struct(">H").unpack_from


class Network(NamedTuple):
    """What a frame carries: the ethertype, and the bytes from there on."""

    ethertype: int
    data: bytes


def network(linktype: int, frame: bytes) -> Network | None:
    """Return what a frame carries; None for a frame cut short, without an ethertype, or of an unknown link type."""
    read = _READERS.get(linktype)
    return read(frame) if read else None


def unreadable(linktype: int) -> str:
    """Say why frames of a link type cannot be read; "" when they can."""
    return "" if linktype in _READERS else f"link type {linktype} is not known here"


def _ethernet(frame: bytes) -> Network | None:
    return _tagged(frame, 12)


def _cooked(frame: bytes) -> Network | None:
    return _tagged(frame, 14)


def _cooked2(frame: bytes) -> Network | None:
    if len(frame) < 20:
        return None
    ethertype = _TYPE(frame)[0]
    return _under_tags(ethertype, frame, 20)


def _tagged(frame: bytes, position: int) -> Network | None:
    if len(frame) < position + 2:
        return None
    return _under_tags(_TYPE(frame, position)[0], frame, position + 2)


def _under_tags(ethertype: int, frame: bytes, position: int) -> Network | None:
    for _ in range(_MOST_TAGS):
        if ethertype not in _TAGS:
            # Below 0x600 it is a length, and LLC follows (IEEE 802.3 3.2.6): no IP.
            return Network(ethertype, frame[position:]) if ethertype >= 0x600 else None
        if len(frame) < position + 4:
            return None
        ethertype = _TYPE(frame, position + 2)[0]
        position += 4
    return None


def _raw(frame: bytes) -> Network | None:
    version = frame[0] >> 4 if frame else 0
    if version == 4:
        return Network(IPV4, frame)
    return Network(IPV6, frame) if version == 6 else None


def _loopback(frame: bytes) -> Network | None:
    """Read the address family: four bytes in the order of who captured (DLT_NULL) or of the net (DLT_LOOP)."""
    if len(frame) < 4:
        return None
    family = min(int.from_bytes(frame[:4], "little"), int.from_bytes(frame[:4], "big"))
    if family == 2:
        return Network(IPV4, frame[4:])
    return Network(IPV6, frame[4:]) if family in _IPV6_FAMILIES else None


def _ppp(frame: bytes) -> Network | None:
    start = 2 if frame[:2] == b"\xff\x03" else 0  # address and control, which may be left out (RFC 1661, RFC 1662)
    if len(frame) < start + 2:
        return None
    protocol, size = (frame[start], 1) if frame[start] & 1 else (_TYPE(frame, start)[0], 2)
    ethertype = _PPP_PROTOCOLS.get(protocol)
    return Network(ethertype, frame[start + size :]) if ethertype else None


_READERS: dict[int, Callable[[bytes], Network | None]] = {
    NULL: _loopback,
    ETHERNET: _ethernet,
    PPP: _ppp,
    12: _raw,  # DLT_RAW; 14 on OpenBSD
    14: _raw,
    50: _ppp,  # PPP in HDLC-like framing
    RAW: _raw,
    LOOP: _loopback,
    SLL: _cooked,
    228: _raw,  # IPv4
    229: _raw,  # IPv6
    SLL2: _cooked2,
}
