"""Chooses, by columns, the packets that may open something worth hearing: those that `speech` would, or more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from airgap_check.captures import beginning, speech
from airgap_check.captures.headers import copied
from airgap_check.dissect.packet import SYN, TCP, UDP

if TYPE_CHECKING:
    from airgap_check.captures.headers import Headers
    from airgap_check.captures.row import Column

_DNS = np.array(list(speech.DNS_PORTS))
_QUIC_PORTS = np.array(list(beginning.QUIC_PORTS))
_METHODS = np.frombuffer(b"".join(beginning.METHODS), ">u4")
_QUIC_VERSIONS = np.frombuffer(b"".join(beginning.QUIC_VERSIONS), ">u4")
_HEAD = np.dtype({  # the first bytes of a payload, as each protocol sees them
    "names": ["first", "major", "record", "kind", "message", "method", "version"],
    "formats": ["u1", "u1", ">u2", "u1", ">u4", ">u4", ">u4"],
    "offsets": [0, 1, 3, 5, 5, 0, 1],
    "itemsize": 12,
})  # fmt: skip


def find(data: bytes, packets: Headers) -> tuple[Column, Column]:
    """Tell which packets may name somebody, and list the rows of those in which a hello begins that does not end."""
    opens = np.zeros(len(packets.place), bool)
    carries, is_tcp = packets.payload < packets.end, packets.protocol == TCP
    source_port, target_port = packets.ends.source_port, packets.ends.target_port
    to_dns = (source_port == speech.DNS) | (target_port == speech.DNS)
    opens[is_tcp & to_dns & (carries | (packets.flags & SYN != 0))] = True

    segments = np.flatnonzero(is_tcp & carries)
    head, size = _heads(data, packets, segments)
    hello = (head["first"] == beginning.HANDSHAKE) & ((size < 2) | (head["major"] == beginning.TLS_MAJOR))
    hello &= (size < 6) | (head["kind"] == beginning.CLIENT_HELLO)
    opens[segments[hello | ((size >= 4) & np.isin(head["method"], _METHODS))]] = True

    datagrams = np.flatnonzero((packets.protocol == UDP) & carries)
    begun, length = _heads(data, packets, datagrams)
    quic = (length >= 5) & (begun["first"] & beginning.LONG_HEADER == beginning.LONG_HEADER)
    quic &= np.isin(begun["version"], _QUIC_VERSIONS) | np.isin(target_port[datagrams], _QUIC_PORTS)
    quic |= np.isin(source_port[datagrams], _DNS) | np.isin(target_port[datagrams], _DNS)
    opens[datagrams[quic]] = True
    return opens, segments[hello & _unfinished(head, size)]


def _heads(data: bytes, packets: Headers, rows: Column) -> tuple[Column, Column]:
    """Return the first bytes of payloads, and how long these are."""
    payload = packets.payload[rows]
    return copied(data, payload, _HEAD), packets.end[rows] - payload


def _unfinished(head: Column, size: Column) -> Column:
    """As `beginning.unfinished`."""
    message = (head["message"] & 0xFFFFFF).astype(np.int64)
    unfinished: Column = (size < 9) | (message + 9 > size) | (message + 4 > head["record"])
    return unfinished
