"""Known-good hosts must stay silent, and the same hosts with one bad thing more must not."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Connection, Inspection
from tests import building
from tests.good import known_good

HOSTS = known_good.names()
SABOTAGES = [(name, sabotage.name) for name in HOSTS for sabotage in known_good.read(name).sabotages]
# Not even a low finding, and nothing undecided at any severity.
STRICTEST = Terms(fail_on="low")


@pytest.mark.parametrize("name", HOSTS)
def test_a_known_good_host_is_silent(name: str) -> None:
    host = known_good.read(name)
    policy = known_good.policy_of(host)
    report = judge(known_good.look(host, policy), building.RULES, policy, STRICTEST)
    assert {result.rule: [finding.message for finding in result.findings] for result in report.results if result.findings} == {}
    assert {result.rule: result.reason for result in report.results if result.outcome not in {"pass", "not_applicable"}} == {}
    assert [item.collector for item in report.coverage if item.status != "complete"] == []
    assert (report.verdict, report.exit_code) == ("compliant", 0), report.reasons
    assert [judged.by for judged in report.connections if judged.allowed != "yes"] == []


@pytest.mark.parametrize(("name", "what"), SABOTAGES)
def test_a_sabotaged_host_is_not_silent(name: str, what: str) -> None:
    host = known_good.read(name)
    policy = known_good.policy_of(host)
    sabotage = next(sabotage for sabotage in host.sabotages if sabotage.name == what)
    report = judge(known_good.look(host, policy, sabotage), building.RULES, policy, STRICTEST)
    found = [
        f"{result.rule} {finding.subject.partition('[')[0]}" for result in report.results for finding in result.findings
    ]
    assert sorted(found) == sorted(sabotage.finds)
    assert (report.verdict, report.exit_code) == ("not_compliant", 1)


@pytest.mark.parametrize("name", HOSTS)
def test_every_socket_of_a_known_good_host_is_accounted_for(name: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host)).of("sockets")
    lines = [line.partition("#")[0].strip() for space in host.namespaces.values() for line in space.sockets.splitlines()]
    connections = sum(record.count for record in seen.records if isinstance(record, Connection))
    quiet = seen.counts["loopback"] + seen.counts["listeners"] + seen.counts["unconnected_udp"]
    assert seen.counts["sockets"] == len([line for line in lines if line]) == connections + quiet


def _needed(host: known_good.Host, seen: Inspection, section: str, entry: dict[str, Any]) -> bool:
    """Tell whether the host would not be silent without one entry of its policy."""
    others = [other for other in host.policy[section] if other is not entry]
    policy = known_good.policy_of(host, **{section: others or host.policy[section]})
    return not others or judge(seen, building.RULES, policy, STRICTEST).verdict != "compliant"


@pytest.mark.parametrize("name", HOSTS)
def test_a_known_good_host_needs_every_entry_of_its_policy(name: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host))
    idle = {
        entry["name"]
        for section in ("allow", "inbound")
        for entry in host.policy.get(section) or ()
        if not _needed(host, seen, section, entry)
    }
    assert idle == set(host.unseen)
