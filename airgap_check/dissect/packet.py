"""Reads an IP packet: who sends to whom, and what the transport carries.

Plain IPv4 and IPv6 is read here, in a microsecond; extension headers and tunnels are left to ``encapsulation``.
Source: RFC 791, RFC 8200, RFC 9293, RFC 768.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from airgap_check.dissect import encapsulation

IPV4, IPV6 = 0x0800, 0x86DD
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_DCCP, _UDPLITE = 33, 136
_HEADER = {_DCCP: 12, SCTP: 12, _UDPLITE: 8}  # what stands before the payload, ports first
_NESTED = 4  # tunnels in tunnels that are followed

_Head = tuple[int, int, bytes, bytes]  # version, protocol, source, target

_V4 = struct.Struct(">BxHxxHxBxx4s4s").unpack_from  # version and length | total | fragment | protocol | addresses
_V6 = struct.Struct(">B3xHBx16s16s").unpack_from  # version | payload length | next header | addresses
_TCP = struct.Struct(">HHI4xBB").unpack_from  # ports | sequence | offset | flags
_UDP = struct.Struct(">HHH").unpack_from  # ports | length
_PORTS = struct.Struct(">HH").unpack_from


class Packet(NamedTuple):
    """One packet. Addresses are packed (4 or 16 bytes); ports, flags and sequence are 0 where the protocol has none.

    ``protocol`` is that of the last header (RFC 8200 4), ``payload`` what the transport carries; of a protocol that is
    not known here, all that follows IP. ``truncated`` is set where bytes are missing (cut by the capture, the first of
    several fragments) or could not be understood. ``inner`` is what a tunnel carries (IP in IP, 6in4, GRE).
    """

    version: int
    protocol: int
    source: bytes
    target: bytes
    source_port: int
    target_port: int
    flags: int
    sequence: int
    payload: bytes
    truncated: bool = False
    inner: Packet | None = None


def dissect(ethertype: int, data: bytes | memoryview) -> Packet | None:
    """Read a network packet; None for what is not IP, makes no sense, or is a later fragment.

    A packet under an MPLS label, a VLAN tag or PPPoE is the packet itself: such a carrier has no addresses of its own.
    """
    return _dissect(ethertype, data, _NESTED)


def _dissect(ethertype: int, data: bytes | memoryview, depth: int) -> Packet | None:
    if ethertype == IPV4:
        return _ipv4(data, depth)
    if ethertype == IPV6:
        return _ipv6(data, depth)
    if depth and ethertype in encapsulation.ETHERTYPES:
        found = encapsulation.network(ethertype, bytes(data))
        return _dissect(found.ethertype, found.data, depth - 1) if found else None
    return None


def _ipv4(data: bytes | memoryview, depth: int) -> Packet | None:
    if len(data) < 20:
        return None
    first, total, fragment, protocol, source, target = _V4(data)
    start, end = (first & 15) * 4, len(data)
    if not 0x45 <= first <= 0x4F or fragment & 0x1FFF or (total < start and total):  # 0: the card cuts it up later
        return None
    cut = total > end or fragment & 0x2000 != 0
    if start <= total < end:
        end = total
    if protocol in encapsulation.PROTOCOLS:
        return _encapsulated((4, protocol, source, target), bytes(data[:end]), start, cut=cut, depth=depth)
    return _transport((4, protocol, source, target), data, start, end, cut=cut)


def _ipv6(data: bytes | memoryview, depth: int) -> Packet | None:
    if len(data) < 40:
        return None
    first, length, protocol, source, target = _V6(data)
    if first >> 4 != 6:
        return None
    end = len(data)
    cut = 40 + length > end
    if length and 40 + length < end:  # 0: a jumbogram, or the card cuts it up later
        end = 40 + length
    if protocol in encapsulation.PROTOCOLS or protocol in encapsulation.EXTENSIONS:
        return _encapsulated((6, protocol, source, target), bytes(data[:end]), 40, cut=cut, depth=depth)
    return _transport((6, protocol, source, target), data, 40, end, cut=cut)


def _encapsulated(head: _Head, data: bytes, start: int, *, cut: bool, depth: int) -> Packet | None:
    carried = encapsulation.carried(IPV4 if head[0] == 4 else IPV6, data)
    if carried is None:
        return Packet(*head, 0, 0, 0, 0, data[start:], truncated=True)
    if carried.later_fragment:
        return None
    inner = None
    if carried.inner and depth:
        inner = _dissect(carried.inner.ethertype, carried.inner.data, depth - 1)
    head = (head[0], carried.protocol, *head[2:])
    transport = carried.transport
    packet = _transport(head, transport, 0, len(transport), cut=cut or carried.first_fragment)
    return packet._replace(inner=inner) if inner else packet


def _transport(head: _Head, data: bytes | memoryview, start: int, end: int, *, cut: bool) -> Packet:
    """Read what stands between ``start`` and ``end``; as much of it as is there."""
    source_port = target_port = flags = sequence = 0
    protocol = head[1]
    if protocol == TCP and end - start >= 20:
        source_port, target_port, sequence, offset, flags = _TCP(data, start)
        offset = (offset >> 4) * 4
        if offset < 20 or start + offset > end:
            start, cut = end, True
        else:
            start += offset
    elif protocol == UDP and end - start >= 8:
        source_port, target_port, length = _UDP(data, start)
        if length > end - start:
            cut = True
        elif length >= 8:
            end = start + length
        start += 8
    elif protocol in _HEADER or protocol in {TCP, UDP}:
        if end - start >= 4:
            source_port, target_port = _PORTS(data, start)
        header = _HEADER.get(protocol, end - start + 1)
        cut = cut or end - start < header
        start = min(start + header, end)
    return Packet(*head, source_port, target_port, flags, sequence, bytes(data[start:end]), cut)
