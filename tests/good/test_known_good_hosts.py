"""Known-good hosts must stay silent, and the same hosts with one bad thing more must not."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Connection
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
    found = [(result.rule, finding.subject) for result in report.results for finding in result.findings]
    assert sorted(rule for rule, _ in found) == sorted(sabotage.finds), found
    assert all(subject.startswith(sabotage.finds[rule]) for rule, subject in found), found
    assert (report.verdict, report.exit_code) == ("not_compliant", 1)


@pytest.mark.parametrize("name", HOSTS)
def test_every_socket_of_a_known_good_host_is_accounted_for(name: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host)).of("sockets")
    lines = [line.partition("#")[0].strip() for space in host.namespaces.values() for line in space.sockets.splitlines()]
    connections = sum(record.count for record in seen.records if isinstance(record, Connection))
    quiet = seen.counts["loopback"] + seen.counts["listeners"] + seen.counts["unconnected_udp"]
    assert seen.counts["sockets"] == len([line for line in lines if line]) == connections + quiet


def _without(host: known_good.Host, section: str) -> list[tuple[str, list[dict[str, Any]]]]:
    entries = host.policy.get(section) or []
    return [(entry["name"], [other for other in entries if other is not entry]) for entry in entries]


@pytest.mark.parametrize("section", ["allow", "inbound"])
@pytest.mark.parametrize("name", HOSTS)
def test_a_known_good_host_needs_every_entry_of_its_policy(name: str, section: str) -> None:
    host = known_good.read(name)
    seen = known_good.look(host, known_good.policy_of(host))
    for entry, others in _without(host, section):
        if section == "allow" and not others:
            continue  # a policy without a single entry is refused
        policy = known_good.policy_of(host, **{section: others})
        assert judge(seen, building.RULES, policy, STRICTEST).verdict != "compliant", f"{entry} is of no use"
