"""Collects what is installed on this host: artifacts, packages, rows, deployment files, and what ran here before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC
from airgap_check.collectors import artifact, state, upgrade
from airgap_check.domain import normal
from airgap_check.evidence import Answer, Setting
from airgap_check.evidence.fact import Place
from airgap_check.history.clearance import clearance
from airgap_check.history.memory import recalled
from airgap_check.policy.allowlist import Allowlist

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import Evidence
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.plan import Plan
    from airgap_check.policy import Policy


def collect(
    plan: Plan,
    installations: Sequence[Installation],
    *,
    context: Inspection,
    policy: Policy,
    seen: Sequence[Evidence],
    deadline: float,
    progress: Callable[[str], None],
) -> list[Evidence]:
    """Look at everything that a runtime was given or keeps, and at what else the plan names.

    ``context`` says when, and on which boot of this host; ``seen`` is what was collected of settings and names.
    Raises `UsageError` for files and folders of the plan that cannot be used.
    """
    progress("reading artifacts")
    found = [artifact.collect(installations, deadline), state.collect(installations, deadline)]
    if plan.deployment:
        from airgap_check.collectors import deployment  # nobody else has to wait for its import

        progress("reading deployment files")
        found.append(deployment.collect(plan.deployment, deadline))
    if plan.database:
        from airgap_check.collectors import database

        progress("reading the business database")
        approved = _Approved(policy, seen, context)
        found.append(database.collect(installations, approved.is_listed, deadline, addresses=approved.addresses))
    progress("comparing with what ran before")
    everything = [*seen, *found]
    cleared = clearance(context.subject.boot_id, policy.sha256, everything)
    with recalled(plan.state) as memory:
        found.append(
            upgrade.collect(installations, everything, memory, cleared, now=context.started, deadline=deadline)
        )
    return found


class _Approved:
    """What the allowlist says of a database that somebody wants to dial, and where its name was seen to lead."""

    def __init__(self, policy: Policy, seen: Sequence[Evidence], context: Inspection) -> None:
        self._answers = [answer for evidence in seen for answer in evidence.of(Answer)]
        self._allowlist = Allowlist(policy, self._answers, context.started.date())

    def is_listed(self, end: Endpoint) -> bool:
        """Tell whether an entry approves it, or it is of this very host."""
        setting = Setting(name="", posture="url", role="database", place=Place(kind="own"))
        return self._allowlist.endpoint(setting, end).allowed == "yes"

    def addresses(self, end: Endpoint) -> Sequence[str]:
        """List the approved addresses that its name was seen to lead to, its own where it has no name."""
        return [end.address] if end.address else list(self._answered(normal(end.name or "")))

    def _answered(self, name: str) -> Iterator[str]:
        """Yield what a name leads to; a public address only where an entry for the name approves such: we dial it."""
        may_be_public = self._allowlist.approves_public(name)
        for answer in self._answers:
            for address in answer.addresses if normal(answer.name) == name else ():
                if address.address and (may_be_public or self._allowlist.scoped(address).scope not in PUBLIC):
                    yield address.address
