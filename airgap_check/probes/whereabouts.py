"""Chooses the address at which an endpoint is tried: the one that the runtime there would take first.

Nothing is asked here: what names lead to was collected before, as each runtime sees it (`collectors.resolution`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC, parse, scope_of
from airgap_check.kernel import netns, routes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.address import Address, Network
    from airgap_check.evidence import Answer
    from airgap_check.probes.errand import Errand
    from airgap_check.probes.vantage_point import VantagePoint

_NOBODYS = frozenset({"unspecified", "multicast", "broadcast"})
_FAILED = frozenset({"nodata", "nxdomain", "servfail", "refused", "timeout", "dangling", "error"})


def errand(bare: Errand, answers: Sequence[Answer], internal: Sequence[Network] = ()) -> Errand:
    """Say at which address a need is tried, or why it is not. Names are as they were answered there.

    ``internal`` are the networks that the policy calls the site's own, public ones included.
    """
    need, point = bare.need, bare.point
    literal = parse(need.host)
    if literal is not None:
        return _at(bare, literal, "", internal)
    here = [answer for answer in answers if answer.netns == point.inode and answer.name == need.host]
    here.sort(key=lambda answer: (not answer.private, answer.source != "hosts"))  # as the runtime sees it, files first
    for answer in here:
        found = [address for end in answer.addresses if end.address and (address := parse(end.address))]
        if found:
            said = f"{need.host} is {', '.join(map(str, found[:3]))}{' ...' if len(found) > 3 else ''}"
            return _at(bare, _ordered(found, point)[0], f"{said}; tried " if len(found) > 1 else "", internal)
    failures = dict.fromkeys(answer.status for answer in here if answer.status in _FAILED)
    if failures:
        return bare._replace(verdict="unresolved", note=f"{need.host} leads nowhere ({', '.join(failures)})")
    return bare._replace(verdict="skipped", note="its name was not asked there")


def _at(bare: Errand, address: Address, said: str, internal: Sequence[Network]) -> Errand:
    """Take an address; to one that the owner did not approve nothing is sent, wherever a name leads."""
    scope = "internal" if any(address in network for network in internal) else scope_of(address)
    if scope in _NOBODYS:
        return bare._replace(verdict="skipped", note=f"{address} is {scope}")
    if scope in PUBLIC and not bare.need.public:
        return bare._replace(verdict="skipped", note=f"{address} is {scope}, and its entry does not say public: true")
    return bare._replace(address=address, note=f"{said}{address}" if said else "")


def _ordered(addresses: Sequence[Address], point: VantagePoint) -> list[Address]:
    """Order as getaddrinfo(3) mostly does (RFC 6724): IPv6 before IPv4 where it has a way, and else after it."""
    if len({address.version for address in addresses}) < 2:
        return list(addresses)

    def reachable() -> bool:
        return any(routes.find(address) is not None for address in addresses if address.version == 6)

    try:
        six_first = netns.inside(point.namespace, reachable)
    except OSError:
        six_first = False
    return sorted(addresses, key=lambda address: (address.version == 6) != six_first)
