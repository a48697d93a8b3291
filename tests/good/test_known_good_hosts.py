"""Known-good hosts must stay silent, and the same hosts with one bad thing more must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Connection
from tests import building
from tests.good import known_good

if TYPE_CHECKING:
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report
    from airgap_check.policy import Policy

HOSTS = known_good.names()
SABOTAGES = [(name, sabotage.name) for name in HOSTS for sabotage in known_good.read(name).sabotages]


def judged(seen: Inspection, policy: Policy) -> Report:
    """Judge so strictly that a low finding fails, and that nothing may be undecided at any severity."""
    return judge(seen, building.RULES, policy, Terms(fail_on="low"))


def findings(report: Report) -> list[str]:
    """List each finding as ``rule subject``, without the pid and whom the process runs for."""
    return sorted(
        f"{result.rule} {finding.subject.partition('[')[0]}" for result in report.results for finding in result.findings
    )


@pytest.mark.parametrize("name", HOSTS)
def test_a_known_good_host_is_silent(name: str) -> None:
    host = known_good.read(name)
    policy = known_good.policy_of(host)
    report = judged(known_good.look(host, policy), policy)
    assert findings(report) == []
    assert [item.reason for item in report.results if item.outcome not in {"pass", "not_applicable"}] == []
    assert [item.reason for item in report.coverage if item.status != "complete"] == []
    assert (report.verdict, report.exit_code) == ("compliant", 0), report.reasons


@pytest.mark.parametrize("name", HOSTS)
def test_every_connection_of_a_known_good_host_is_approved(name: str) -> None:
    host = known_good.read(name)
    policy = known_good.policy_of(host)
    doubtful = [item for item in judged(known_good.look(host, policy), policy).connections if item.allowed != "yes"]
    if policy.file.inbound is None:  # who may connect is not judged unless it is said
        assert {item.by for item in doubtful} == {"the policy has no inbound section"}
    else:
        assert doubtful == []


@pytest.mark.parametrize(("name", "what"), SABOTAGES)
def test_a_sabotaged_host_is_not_silent(name: str, what: str) -> None:
    host = known_good.read(name)
    policy = known_good.policy_of(host)
    sabotage = next(sabotage for sabotage in host.sabotages if sabotage.name == what)
    report = judged(known_good.look(host, policy, sabotage), policy)
    assert findings(report) == sorted(sabotage.finds)
    assert (report.verdict, report.exit_code) == ("not_compliant", 1)


def test_every_host_is_sabotaged_and_every_rule_for_sockets_finds_something() -> None:
    assert {name for name, _ in SABOTAGES} == set(HOSTS)
    found = {text.partition(" ")[0] for name in HOSTS for one in known_good.read(name).sabotages for text in one.finds}
    assert {rule.id for rule in building.RULES.rules if rule.kind in {"connection", "peer", "listener"}} <= found


@pytest.mark.parametrize("name", HOSTS)
def test_every_socket_of_a_known_good_host_is_accounted_for(name: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host)).of("sockets")
    described = sum(len(known_good.lines(space.sockets)) for space in host.namespaces.values())
    connections = sum(record.count for record in seen.records if isinstance(record, Connection))
    quiet = seen.counts["loopback"] + seen.counts["listeners"] + seen.counts["unconnected_udp"]
    assert seen.counts["sockets"] == described == connections + quiet


@pytest.mark.parametrize("name", HOSTS)
def test_a_known_good_host_needs_every_entry_of_its_policy(name: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host))
    idle = {
        entry["name"]
        for section in ("allow", "inbound")
        for entry in host.policy.get(section) or ()
        if not _needs(host, seen, section, entry)
    }
    assert idle == set(host.unseen)


def _needs(host: known_good.Host, seen: Inspection, section: str, entry: dict[str, Any]) -> bool:
    """Tell whether the host would not be silent without one entry of its policy."""
    others = [other for other in host.policy[section] if other is not entry]
    if section == "allow" and not others:
        return True  # a policy without a single entry is refused
    return judged(seen, known_good.policy_of(host, **{section: others})).verdict != "compliant"
