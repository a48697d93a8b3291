"""Collects what there is to see on this host at one moment, and settles the policy that it is to be judged by."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from msgspec.structs import replace

from airgap_check import installed
from airgap_check.address import parse
from airgap_check.collectors import environment, listeners, resolution, sockets
from airgap_check.domain import normal
from airgap_check.evidence import Answer, Connection, EntryUse, Evidence, PolicyTrust, Resolver, Runtime, Setting
from airgap_check.input import written_by_others
from airgap_check.kernel import inventory, netns, open_sockets
from airgap_check.objectos.derive import derive
from airgap_check.policy.allowlist import Allowlist
from airgap_check.policy.permission import Permission
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from airgap_check.evidence import AnyRecord, Status
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.kernel.netns import Namespace
    from airgap_check.plan import Need, Plan
    from airgap_check.policy import Policy

_STATUSES: tuple[Status, ...] = ("complete", "partial", "unavailable")


class Snapshot(NamedTuple):
    """What was seen, the policy in force, and what is needed to look again: the names to ask, the runtimes' pids."""

    evidence: list[Evidence]
    policy: Policy
    names: list[str]
    subjects: list[int]


def take(
    plan: Plan,
    given: Policy | None,
    context: Inspection,
    progress: Callable[[str], None],
    *,
    pids: Sequence[int] | None = None,
) -> Snapshot:
    """Look at everything once; without a policy one is derived from what is found. ``context`` says when and where.

    ``pids`` are the processes whose environments tell; without them all that there are.
    """
    deadline, today = time.monotonic() + plan.max_time, context.started.date()
    progress("reading environments")
    settled, installations = environment.examine(deadline, pids=pids)
    settings = list(settled.of(Setting))
    subjects = [runtime.process.pid for runtime in settled.of(Runtime)]
    policy = given or derive(settings)
    progress("listing sockets")
    found = netns.discover()
    stock = inventory.take(found, deadline)
    progress("resolving names")
    names = _names(policy, settings, today)
    named = resolution.collect(names, found[0], subjects, plan.resolve, deadline)
    if given is None:
        policy = derive(settings, list(named.of(Resolver)))
    progress("finding owners")
    peers = _peers(plan, policy, named, today=today, stock=stock, deadline=deadline)
    assets = installed.collect(
        plan, installations, context=context, policy=policy, seen=[settled, named], deadline=deadline, progress=progress
    )
    trusted = trust(policy)
    ours = replace(trusted, records=(*trusted.records, *_needed(plan.needs, policy, today)))
    return Snapshot([settled, named, *peers, *assets, ours], policy, names, subjects)


def again(plan: Plan, first: Snapshot, today: date, progress: Callable[[str], None]) -> list[Evidence]:
    """Look once more at what may have changed, and add it to what was seen before."""
    deadline = time.monotonic() + plan.max_time
    progress("looking once more")
    found = netns.discover()
    named = look_up(plan, first, found[0], deadline)
    anew = _peers(plan, first.policy, named, today=today, stock=inventory.take(found, deadline), deadline=deadline)
    later = {evidence.kind: evidence for evidence in (*anew, named)}
    return [
        _joined(evidence, later[evidence.kind]) if evidence.kind in later else evidence for evidence in first.evidence
    ]


def look_up(plan: Plan, first: Snapshot, namespaces: Sequence[Namespace], deadline: float) -> Evidence:
    """Ask for the names of the allowlist anew: what a name leads to changes while time passes."""
    return resolution.collect(first.names, namespaces, first.subjects, plan.resolve, deadline)


def joined(kind: str, evidence: Sequence[Evidence], later: Evidence) -> list[Evidence]:
    """Return the evidence with that of one kind completed by what was seen later."""
    return [_joined(item, later) if item.kind == kind else item for item in evidence]


def _peers(
    plan: Plan, policy: Policy, named: Evidence, *, today: date, stock: inventory.Inventory, deadline: float
) -> list[Evidence]:
    allowlist = Allowlist(policy, list(named.of(Answer)), today)

    def wants_owner(connection: Connection) -> bool:
        """Look up who it is only where that can matter."""
        return plan.every_owner or allowlist.wants_owner(connection)

    seen = sockets.collect(stock, wants_owner, deadline, open_sockets.own())
    return [seen, listeners.collect(stock, deadline)]


def _joined(first: Evidence, later: Evidence) -> Evidence:
    """Join two looks at the same thing: a fact seen twice is one, and how well we saw is the worse of the two."""
    status = max(first.status, later.status, key=_STATUSES.index)
    reasons = dict.fromkeys(reason for reason in (first.reason, later.reason) if reason)
    return replace(
        later,
        status=status,
        records=tuple(_united((*first.records, *later.records))),
        reason="; ".join(reasons),
        blind=tuple(dict.fromkeys((*first.blind, *later.blind))),
    )


def _united(records: Iterable[AnyRecord]) -> Iterable[AnyRecord]:
    """Return each fact once, a connection with its greater count."""
    known: dict[AnyRecord, AnyRecord] = {}
    for record in records:
        key = replace(record, count=1) if isinstance(record, Connection) else record
        before = known.get(key)
        if isinstance(before, Connection) and isinstance(record, Connection) and before.count >= record.count:
            continue
        known[key] = record
    return known.values()


def _names(policy: Policy, settings: Sequence[Setting], today: date) -> list[str]:
    """List the names that may be asked: those of the allowlist, and configured ones that a wildcard of it covers."""
    allowlist = Allowlist(policy, (), today)
    configured = [normal(end.name) for setting in settings for end in setting.endpoints if end.name]
    return list(dict.fromkeys([*policy.names(), *(name for name in configured if allowlist.covers_name(name))]))


def _needed(needs: Iterable[Need], policy: Policy, today: date) -> Iterator[EntryUse]:
    """Yield the entries that alerts need: whether one was under way just now is not to turn a report."""
    rules = [Permission(entry, today) for entry in policy.file.allow]
    for need in needs:
        address, name = parse(need.host), normal(need.host)
        for rule in rules:
            is_for = rule.holds([address]) if address else name in rule.hosts
            if is_for and rule.carries(need.protocol, need.port):
                yield EntryUse(entry=rule.name, count=1)


def trust(policy: Policy) -> Evidence:
    """Say whether somebody other than root could have written the policy that root is about to rely on."""
    if policy.path is None or os.geteuid() != 0:
        return Evidence(kind="policy", status="complete", scope="derived" if policy.derived else "not run as root")
    try:
        reason = written_by_others(policy.path)
        trusted: Literal["yes", "no", "unknown"] = "no" if reason else "yes"
    except OSError as error:  # it has been read; a watch keeps what it was, however long the file is gone
        trusted, reason = "unknown", error.strerror or str(error)
    record = PolicyTrust(path=policy.shown_path or "", trusted=trusted, reason=printable(reason))
    return Evidence(kind="policy", status="complete", records=(record,), scope="file and folders")
