"""Turns the policy itself into views: which entries were needed, which are too wide, public, or expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.address import PUBLIC, may_be_short, scope_of_network
from airgap_check.domain import normal
from airgap_check.policy import DEFAULT_REQUIRE, Entry, Policy, many, networks_of, port_range
from airgap_check.policy.permission import matches
from airgap_check.view import PolicyEntryView, PolicyNetworkView, PolicyRequirementView, PolicyWaiverView, YesNo

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from airgap_check.evidence import Answer
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import RuleResult
    from airgap_check.policy.allowlist import Allowlist


def entries(
    inspection: Inspection,
    policy: Policy,
    allowlist: Allowlist,
    answers: Iterable[Answer],
    uses: Mapping[str | None, int],
) -> Iterator[PolicyEntryView]:
    """Yield each entry of the allowlist; ``uses`` counts what needed it."""
    expired = allowlist.expired()
    outside = {
        normal(answer.name)
        for answer in answers
        if any(allowlist.scoped(end).scope in PUBLIC for end in answer.addresses)
    }
    for index, entry in enumerate(policy.file.allow):
        leads_outside = _leads_outside(entry, outside, policy)
        yield PolicyEntryView(
            policy=policy.terms,
            name=entry.name,
            role=entry.role,
            source=policy.sources.get(entry.name, "policy"),
            expired="yes" if entry.name in expired else "no",
            used="yes" if uses.get(entry.name) else _unused(entry, inspection),
            public="no" if not leads_outside else "approved" if entry.public else "unapproved",
            broad=breadth(entry),
            line=policy.lines.get(("allow", index)),
        )


def _unused(entry: Entry, inspection: Inspection) -> Literal["no", "unknown", "unseen"]:
    """Tell what it means that nothing was seen to need an entry.

    Datagrams from sockets without a peer are for nobody to see but for who observes every attempt, and the kernel may
    have let approved ones pass without having room to count them.
    """
    if inspection.source == "rehearsal":
        return "unseen"  # what was not rehearsed may need it
    sockets = inspection.of("sockets")
    if sockets.status != "complete":
        return "unknown"
    attempts = inspection.of("attempts")
    if attempts.counts.get("uses_uncounted"):
        return "unknown"
    if attempts.status == "complete":
        return "no"
    return "unseen" if entry.protocol in {"udp", "any"} and sockets.counts.get("unconnected_udp") else "no"


def _leads_outside(entry: Entry, outside: Iterable[str], policy: Policy) -> bool:
    """Tell whether an entry is for public addresses: by its networks, or by what its names were seen to be."""
    if any(scope_of_network(network) in PUBLIC and not policy.is_internal(network) for network in networks_of(entry)):
        return True
    return any(matches(normal(host), name) for host in many(entry.host) for name in outside)


def networks(policy: Policy) -> Iterator[PolicyNetworkView]:
    """Yield each network that the policy calls the site's own."""
    for network in policy.internal:
        scope = "private" if may_be_short(network) else scope_of_network(network)
        yield PolicyNetworkView(policy=policy.terms, network=str(network), scope=scope)


def requirements(policy: Policy) -> Iterator[PolicyRequirementView]:
    """Yield each collector that the default demands."""
    for collector in DEFAULT_REQUIRE:
        required: YesNo = "yes" if collector in policy.file.require else "no"
        yield PolicyRequirementView(policy=policy.terms, collector=collector, required=required)


def waivers(
    policy: Policy, results: Mapping[str, RuleResult], today: date, *, rehearsed: bool = False
) -> Iterator[PolicyWaiverView]:
    """Yield each waiver of the policy, with whether it waived anything; what it is for may be on the host alone."""
    for index, waiver in enumerate(policy.waivers):
        result = results.get(waiver.file.rule)
        used = result is not None and any(finding.waived_by == waiver.text for finding in result.findings)
        decided = result is not None and result.outcome in {"pass", "fail"}
        yield PolicyWaiverView(
            policy=policy.terms,
            rule=waiver.file.rule,
            reason=waiver.file.reason,
            owner=waiver.file.owner,
            days=(waiver.file.expires - today).days,
            matched="yes" if used else "unseen" if rehearsed else "no" if decided else "unknown",
            line=policy.lines.get(("waivers", index)),
        )


# Wider than this is a part of a campus, not a set of servers: 65,536 IPv4 addresses, a /48 site in IPv6.
_WIDEST = {4: 16, 6: 48}
# With every port open, more than one subnet of hosts is an open door.
_WIDEST_ANY_PORT = {4: 24, 6: 64}
_MANY_PORTS = 4096


def breadth(entry: Entry) -> str | None:
    """Say why an entry approves more than a destination, or None."""
    for network in networks_of(entry):
        if network.prefixlen < _WIDEST[network.version]:
            return f"{network} holds {network.num_addresses:,} addresses"
        if not entry.ports and entry.protocol != "icmp" and network.prefixlen < _WIDEST_ANY_PORT[network.version]:
            return f"every port of {network}"
    for host in many(entry.host):
        if host.startswith("*.") and "." not in host[2:].rstrip("."):
            return f"{host} is a whole top-level domain"
    spans = [span for port in entry.ports if (span := port_range(port))]
    opened = sum(high - low + 1 for low, high in spans)
    return f"{opened:,} ports" if opened > _MANY_PORTS else None
