"""One audit on one page: load, collect, judge."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec

from airgap_check import engine, host, policyfile, recording, rulebook
from airgap_check.allowlist import Allowlist
from airgap_check.collectors import environment, listeners, resolution, sockets
from airgap_check.errors import UsageError
from airgap_check.evidence import Answer, Connection, Evidence, PolicyTrust, Resolver, Runtime, Setting
from airgap_check.fact import Fact
from airgap_check.input import read_bytes, written_by_others
from airgap_check.inspection import Inspection, PolicyReference
from airgap_check.kernel import inventory, netns
from airgap_check.objectos.derive import derive
from airgap_check.policy import Policy, normal
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date, datetime

    from airgap_check.finding import Report
    from airgap_check.rule import RuleSet

DEFAULT_POLICY = "/etc/airgap-check/policy.yaml"


class Plan(Fact, frozen=True, kw_only=True):
    """What the caller asked for. ``max_time`` is in seconds; ``every_owner`` looks up owners nobody needs yet."""

    policy: str | None = None
    rules: tuple[str, ...] = ()
    terms: engine.Terms = engine.Terms()
    resolve: bool = True
    max_time: float = 60.0
    every_owner: bool = False
    argv: tuple[str, ...] = ()


def load(plan: Plan) -> tuple[RuleSet, Policy | None]:
    """Load rules and policy; None means that one has to be derived. Raises `UsageError` with every fault."""
    rules = rulebook.load(plan.rules)
    path = plan.policy or (DEFAULT_POLICY if os.path.exists(DEFAULT_POLICY) else None)
    if path is None:
        return rules, None
    return rules, policyfile.load(path, read_bytes(path), {rule.id: rule.kind for rule in rules.rules})


def run(plan: Plan, clock: Callable[[], datetime], progress: Callable[[str], None]) -> tuple[Inspection, Report]:
    """Audit this host. ``clock`` is the wall clock; ``progress`` hears the name of each stage."""
    rules, policy = load(plan)
    inspection, policy = collect(plan, policy, clock, progress)
    progress("judging")
    return inspection, engine.judge(inspection, rules, policy, plan.terms)


def replay(plan: Plan, path: str) -> tuple[Inspection, Report]:
    """Judge recorded evidence again, under this policy and these rules."""
    rules, policy = load(plan)
    recorded = recording.read(path)
    policy = policy or derive(recorded.records(Setting), recorded.records(Resolver))
    inspection = msgspec.structs.replace(recorded, evidence=(*recorded.evidence, trust(policy)))
    return inspection, engine.judge(inspection, rules, policy, plan.terms)


def proposal() -> tuple[Policy, list[Setting]]:
    """Derive a policy from this host, and return the settings that it rests on; no name server is asked."""
    settings = list(environment.collect(None).of(Setting))
    namespaces, _ = netns.discover()
    named = resolution.collect((), namespaces, (), ask=False, deadline=None)
    return derive(settings, list(named.of(Resolver))), settings


def collect(
    plan: Plan, given: Policy | None, clock: Callable[[], datetime], progress: Callable[[str], None]
) -> tuple[Inspection, Policy]:
    """See what there is to see, and settle the policy that it is to be judged by."""
    started, deadline = clock(), time.monotonic() + plan.max_time
    tool = host.tool()
    progress("reading environments")
    seen = [environment.collect(deadline)]
    settings = list(seen[0].of(Setting))
    runtimes = list(seen[0].of(Runtime))
    policy = given or derive(settings)
    progress("listing sockets")
    namespaces, _ = found = netns.discover()
    stock = inventory.take(found, deadline)
    progress("resolving names")
    subjects = [runtime.process.pid for runtime in runtimes]
    seen.append(
        resolution.collect(_names(policy, settings, started.date()), namespaces, subjects, plan.resolve, deadline)
    )
    if given is None:
        policy = derive(settings, list(seen[1].of(Resolver)))
    progress("finding owners")
    allowlist = Allowlist(policy, list(seen[1].of(Answer)), started.date())

    def wants_owner(connection: Connection) -> bool:
        """Look up who it is only where that can matter: for a finding, or for an entry that is only for some."""
        return plan.every_owner or allowlist.decide(connection).allowed != "yes"

    seen += [sockets.collect(stock, wants_owner, deadline), listeners.collect(stock, deadline), trust(policy)]
    inspection = Inspection(
        tool=tool,
        subject=host.subject(),
        run=host.run(list(plan.argv)),
        clock=host.clock(),
        started=started,
        finished=clock(),
        policy=PolicyReference(path=policy.shown_path, sha256=policy.sha256, derived=policy.derived),
        evidence=tuple(seen),
    )
    return inspection, policy


def _names(policy: Policy, settings: Sequence[Setting], today: date) -> list[str]:
    """List the names that may be asked: those of the allowlist, and configured ones that a wildcard of it covers."""
    allowlist = Allowlist(policy, (), today)
    configured = [normal(end.name) for setting in settings for end in setting.endpoints if end.name]
    return list(dict.fromkeys([*policy.names(), *(name for name in configured if allowlist.covers_name(name))]))


def trust(policy: Policy) -> Evidence:
    """Say whether somebody other than root could have written the policy that root is about to rely on."""
    if policy.path is None or os.geteuid() != 0:
        return Evidence(kind="policy", status="complete", scope="derived" if policy.derived else "not run as root")
    try:
        reason = written_by_others(policy.path)
    except OSError as error:
        raise UsageError(f"{policy.path}: {error.strerror or error}") from error
    record = PolicyTrust(path=policy.shown_path or "", trusted="no" if reason else "yes", reason=printable(reason))
    return Evidence(kind="policy", status="complete", records=(record,), scope="file and folders")
