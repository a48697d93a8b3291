"""Asks scapy what stands inside a packet that is not plain: IPv6 extension headers, tunnels, labels and tags.

scapy (GPL-2.0, optional, 0.2 s to import) is imported when the first such packet comes. Importing it opens and closes
two netlink sockets to list interfaces, which nothing here uses; without it nothing is understood, and said so.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any, NamedTuple

IPV4, IPV6 = 0x0800, 0x86DD
# VLAN, QinQ and its older twins, MPLS, PPPoE sessions
ETHERTYPES = frozenset({0x8100, 0x88A8, 0x9100, 0x8847, 0x8848, 0x8864})
PROTOCOLS = frozenset({4, 41, 47, 51})  # IP in IP, 6in4, GRE, AH (RFC 4302)
EXTENSIONS = frozenset({0, 43, 44, 60})  # hop-by-hop, routing, fragment, destination (RFC 8200 4)
_HEADERS = EXTENSIONS | {51}
_LAYERS = 64  # headers that are looked at; more is nobody's honest packet
_LOADING = threading.Lock()


class Network(NamedTuple):
    """An IP packet inside another: the ethertype, and the bytes from its header on."""

    ethertype: int
    data: bytes


class Carried(NamedTuple):
    """What follows the last extension header, its protocol, and the packet inside it where it is a tunnel."""

    protocol: int
    transport: bytes
    inner: Network | None
    first_fragment: bool
    later_fragment: bool


class _Scapy(NamedTuple):
    """The classes of scapy that are asked for; ``carrier`` by ethertype."""

    ip: Any
    ipv6: Any
    fragment: Any
    extensions: tuple[Any, ...]
    carrier: dict[int, Any]


def carried(ethertype: int, data: bytes) -> Carried | None:
    """Tell what an IP packet (0x0800 or 0x86DD) carries; None when it was not understood, or scapy is missing."""
    scapy = _scapy()
    if scapy is None:
        return None
    layer = _dissected(scapy.ip if ethertype == IPV4 else scapy.ipv6, data)
    if layer is None:
        return None
    protocol: int = layer.proto if ethertype == IPV4 else layer.nh
    first = later = False
    for _ in range(_LAYERS):
        layer = layer.payload
        if isinstance(layer, scapy.fragment):
            later, first = layer.offset > 0, layer.m == 1
        if later or not isinstance(layer, scapy.extensions):
            break
        protocol = layer.nh
    if protocol in _HEADERS and not later:
        return None  # cut inside the headers, or far too many
    inner = _inner(scapy, layer) if protocol in PROTOCOLS else None
    return Carried(protocol, layer.original if layer else b"", inner, first, later)


def network(ethertype: int, data: bytes) -> Network | None:
    """Return the IP packet under a tag, a label or PPPoE; None when there is none."""
    scapy = _scapy()
    layer = scapy and _dissected(scapy.carrier[ethertype], data)
    return _inner(scapy, layer.payload) if scapy and layer is not None else None


def _inner(scapy: _Scapy, layer: Any) -> Network | None:
    for _ in range(_LAYERS):
        if isinstance(layer, (scapy.ip, scapy.ipv6)):
            return Network(IPV4 if isinstance(layer, scapy.ip) else IPV6, layer.original)
        if not layer:  # scapy's NoPayload
            break
        layer = layer.payload
    return None


def _dissected(layer: Any, data: bytes) -> Any:
    try:
        return layer(data)
    except Exception:  # noqa: BLE001 -- tens of thousands of lines of dissectors meet what an attacker sends
        return None


def _scapy() -> _Scapy | None:
    """Return the dissectors; None where scapy is not installed. One thread loads them, and the others wait."""
    with _LOADING:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> _Scapy | None:
    """Import scapy, which would otherwise keep files in the home directory and read the routes of this host."""
    import logging
    import os

    homes = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    before = {name: os.environ.get(name) for name in homes}
    os.environ.update(dict.fromkeys(homes, os.devnull))  # nothing can be made or read below it
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # it would complain on stderr of what it is sent
    try:
        from scapy.config import conf

        conf.route_autoload = conf.route6_autoload = False
        from scapy.contrib.mpls import MPLS
        from scapy.layers import inet, inet6, ipsec, l2, ppp
    except ImportError:
        return None
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    extensions = (
        inet6.IPv6ExtHdrHopByHop, inet6.IPv6ExtHdrRouting, inet6.IPv6ExtHdrSegmentRouting, inet6.IPv6ExtHdrFragment,
        inet6.IPv6ExtHdrDestOpt, ipsec.AH,
    )  # fmt: skip
    carrier = {0x8100: l2.Dot1Q, 0x88A8: l2.Dot1Q, 0x9100: l2.Dot1Q, 0x8847: MPLS, 0x8848: MPLS, 0x8864: ppp.PPPoE}
    return _Scapy(inet.IP, inet6.IPv6, inet6.IPv6ExtHdrFragment, extensions, carrier)
