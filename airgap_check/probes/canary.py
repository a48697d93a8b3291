"""Knows what canaries tell: hosts outside of the gap that would answer if it were open.

The routing tables are asked first, which sends nothing. Then each address is tried once, at one port, and must stay
silent; each name is asked of the internal name servers, and must not lead to a public address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC, scope_of
from airgap_check.evidence import Answer
from airgap_check.evidence.asset import Check
from airgap_check.kernel import netns, routes
from airgap_check.probes.errand import Errand, Need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airgap_check.address import Address, Network
    from airgap_check.evidence import Evidence
    from airgap_check.evidence.asset import Outcome
    from airgap_check.probes.vantage_point import VantagePoint

_NO_ANSWER = "not answered: "  # as `resolution.collect` says of names that servers gave nothing for
_SILENT = frozenset({"timeout", "error"})  # a later answer, or another server's, may be a public address
PORT = 443  # what the internet is reached by, if by anything; one attempt a canary and network namespace


def errands(addresses: Iterable[Address], points: Sequence[VantagePoint]) -> list[Errand]:
    """Return the attempts: each canary from each point of view."""
    return [
        Errand(need(address), point, point.owners[0] if point.owners else None, address)
        for address in addresses
        for point in points
    ]


def need(address: Address) -> Need:
    """Describe a canary as something to try."""
    return Need(str(address), PORT, "tcp", "none", role="canary", purpose="canary")


def routed(addresses: Sequence[Address], points: Iterable[VantagePoint]) -> Iterator[Check]:
    """Yield, for each canary and namespace, whether a route leads there; no packet is sent."""
    for point in points:
        if not addresses:
            return
        try:
            found = netns.inside(point.namespace, lambda: [_look_up(address, point) for address in addresses])  # noqa: B023  (called at once)
        except OSError as error:
            reason = f"the namespace could not be entered ({error.strerror})"
            found = [("unknown", reason) for _ in addresses]
        for address, (outcome, detail) in zip(addresses, found, strict=True):
            yield Check(
                aspect="public-route", subject=str(address), outcome=outcome, detail=detail,
                pointer=f"from {point.who}", seen="probes",
            )  # fmt: skip


def _look_up(address: Address, point: VantagePoint) -> tuple[Outcome, str]:
    """Ask for the way of our own connections, and of those of the runtime's user: routing may go by who it is."""
    for uid in dict.fromkeys((None, *point.uids)):
        try:
            route = routes.find(address, port=PORT, uid=uid)
        except OSError as error:
            return "unknown", f"the routing tables could not be asked ({error.strerror})"
        if route is not None and route.local:
            return "unknown", "it is an address of this host itself, so that it can prove nothing"
        if route is not None:
            via = f" via {routes.shown(route.gateway)}" if route.gateway else ""
            whose = f" for uid {uid}" if uid is not None else ""
            return "failed", f"a route leads there by {route.interface}{via}{whose}"
    return "passed", "no route"


def is_outside(by: Address, point: VantagePoint, internal: Iterable[Network]) -> bool:
    """Tell whether who refused an attempt stands beyond the gap: no router of the site, and not this host itself."""
    if scope_of(by) not in PUBLIC or any(by in network for network in internal):
        return False
    try:
        way = netns.inside(point.namespace, lambda: routes.find(by))
    except OSError:
        return True
    return way is None or not way.local


def answered(names: Iterable[str], told: Evidence) -> Iterator[Check]:
    """Yield, for each name, whether the internal name servers lead it to a public address."""
    answers: dict[str, list[Answer]] = {}
    for answer in told.of(Answer):
        answers.setdefault(answer.name, []).append(answer)
    for name in names:
        public = sorted(
            {str(end.address) for answer in answers.get(name, ()) for end in answer.addresses if end.scope in PUBLIC}
        )
        statuses = dict.fromkeys(answer.status for answer in answers.get(name, ()))
        unasked = [part for part in told.reason.split("; ") if part and _NO_ANSWER not in part]
        outcome: Outcome = "passed"
        detail = ", ".join(statuses)
        if public:
            outcome, detail = "failed", f"leads to {', '.join(public[:3])}"
        elif unasked or not statuses:
            outcome, detail = "unknown", f"was not asked everywhere: {told.reason}"
        elif _SILENT & statuses.keys():
            outcome, detail = "unknown", "no name server said in time that there is no such name"
        yield Check(aspect="canary-name", subject=name, outcome=outcome, detail=detail, seen="probes")
