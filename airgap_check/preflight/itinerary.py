"""What a preflight is going to send, from where: settled before anything is sent, and the same for who only asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.address import parse, unwrap
from airgap_check.domain import below, is_special, normal
from airgap_check.errors import UsageError
from airgap_check.evidence import Runtime
from airgap_check.policy import networks_of
from airgap_check.policy.allowlist import Allowlist
from airgap_check.preflight import needs
from airgap_check.probes import canary, front_door, vantage_point
from airgap_check.probes.errand import Errand, Need, Omission

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from airgap_check.address import Address, Unwrapped
    from airgap_check.evidence import Evidence
    from airgap_check.kernel.netns import Namespace
    from airgap_check.policy import Policy
    from airgap_check.probes.front_door import Door
    from airgap_check.probes.vantage_point import VantagePoint

_RANK = {"needed": 0, "posture": 1, "canary": 2}


class Itinerary(NamedTuple):
    """The errands, addresses not yet chosen; what is left out; and why it is not all that it should be.

    ``names`` are asked of the internal name servers; ``lookouts`` are where routing tables are asked, without a packet.
    """

    points: tuple[VantagePoint, ...]
    lookouts: tuple[VantagePoint, ...]
    errands: tuple[Errand, ...]
    names: tuple[str, ...]
    canaries: tuple[Address, ...]
    canary_names: tuple[str, ...]
    omissions: tuple[Omission, ...]
    faults: tuple[str, ...]

    def lines(self, *, resolve: bool) -> list[str]:
        """List what is sent, one thing a line, and what is not; without ``resolve`` no name is asked."""
        sent = sorted(self.errands, key=lambda errand: _RANK[errand.need.purpose])
        lines = [f"{errand.need}  from {errand.point}" for errand in sent]
        where = ", ".join(map(str, self.points))
        if resolve:
            lines += [f"name     dns        {name}  of the internal name servers of {where}" for name in self.names]
            lines += [f"canary   dns        {name}  of the internal name servers" for name in self.canary_names]
        lines += [f"not sent {omission}" for omission in self.omissions]
        return lines + [f"note     {fault}" for fault in self.faults]


def settle(
    policy: Policy, evidence: Sequence[Evidence], namespaces: Sequence[Namespace], names: Iterable[str], today: date
) -> Itinerary:
    """Settle what is sent under a policy, from what was seen on this host. Raises `UsageError` for useless canaries."""
    canaries = useful_canaries(policy, today)
    runtimes = [runtime for item in evidence for runtime in item.of(Runtime)]
    points, faults = vantage_point.find(runtimes, namespaces)
    ours = vantage_point.own(namespaces)
    lookouts = points if any(point.inode == ours.inode for point in points) else (*points, ours)
    errands: list[Errand] = []
    omissions: dict[Omission, None] = {}
    for point in points:
        needed = needs.of(policy, evidence, point, today)
        errands += [Errand(need, point, owner) for need, owner in needed.needs]
        omissions.update(dict.fromkeys(needed.omissions))
        try:
            doors = front_door.find(point)
        except OSError as error:
            faults.append(f"where {point.who} listens could not be seen ({error.strerror or error})")
            continue
        errands += [_knock(door, point) for door in doors]
        if point.owners and not doors:
            omissions[Omission(f"posture of {point.who}", "it listens nowhere")] = None
    errands += canary.errands(canaries, points)
    canary_names = tuple(map(normal, policy.file.canaries.names))
    if not canaries and not canary_names:
        faults.append("no canary is named: nobody can tell whether the gap is closed (canaries: in the policy)")
    return Itinerary(
        points, lookouts, tuple(errands), tuple(names), canaries, canary_names, tuple(omissions), tuple(faults)
    )


def _knock(door: Door, point: VantagePoint) -> Errand:
    """Return how a runtime is asked about itself."""
    need = Need(str(door.address), door.port, "runtime", "none", role="runtime", purpose="posture")
    return Errand(need, point, door.owner, door.address)


def useful_canaries(policy: Policy, today: date) -> tuple[Address, ...]:
    """Return the addresses of canaries. Raises `UsageError` for each that would prove nothing, names included."""
    faults: list[str] = []
    found: dict[Address, None] = {}
    where = f"{policy.shown_path or 'policy'}: canaries"
    allowlist = Allowlist(policy, (), today)
    for text in policy.file.canaries.addresses:
        if (address := parse(text)) is None:
            continue
        inner = unwrap(address)
        if reason := _useless(policy, inner):
            faults.append(f"{where}.addresses: {address} is {reason}: name a host of the internet that would answer")
        else:
            found[inner.address] = None
    for name in policy.file.canaries.names:
        inside = any(below(name, domain) for domain in policy.file.networks.domains)
        if is_special(name) or inside or allowlist.covers_name(name):
            why = "approved by the allowlist" if allowlist.covers_name(name) else "unknown to the internet"
            faults.append(f"{where}.names: {name} is {why}: name a host of the internet")
    if faults:
        raise UsageError("\n".join(faults))
    return tuple(found)


def _useless(policy: Policy, inner: Unwrapped) -> str:
    """Say why a public address cannot tell whether the gap is open; nothing where it can."""
    if inner.wrapping not in {None, "mapped"}:
        return f"an IPv4 address inside another ({inner.wrapping})"
    if any(inner.address in network for network in policy.internal):
        return "in networks.internal of the policy"
    for entry in policy.file.allow:
        if any(inner.address in network for network in networks_of(entry)):
            return f'approved by the entry "{entry.name}"'
    return ""
