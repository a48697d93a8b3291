"""How evidence, rules and a policy become a verdict: above all, what forbids a clean one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Answer, Evidence, PolicyTrust, Setting
from airgap_check.evidence.fact import Place, Process, Workload
from airgap_check.rule import compile_all
from tests.building import connection, inspection, policy, remote

if TYPE_CHECKING:
    from airgap_check.finding import Report, RuleResult

_CONTROLS = "controls: {nist-800-53: [SC-7]}\n"


def rule(name: str, when: str, *, severity: str = "high", evidence: str = "connection", more: str = "") -> Any:
    text = (
        f"id: test.{name}\ntitle: A test\nseverity: {severity}\nevidence: {evidence}\nwhen: {when}\n"
        f'message: "m"\nrationale: r\nremediation: f\n{_CONTROLS}{more}'
    )
    return (f"test/{name}.yaml", text.encode())


PEER = rule("peer", "{remote.scope: private, allowed: 'no'}")
LOW = rule("low", "{remote.scope: private, allowed: 'no'}", severity="low")
PEERS = ("10.0.0.7", "93.184.216.34")
DATABASE = {"cidr": "10.0.0.9/32", "ports": [443]}


def verdict(*files: Any, terms: Terms | None = None, allow: Any = None, seen: Any = None, **sections: Any) -> Report:
    found = seen if seen is not None else inspection()
    return judge(found, compile_all(files or [PEER]), policy(*(allow or [DATABASE]), **sections), terms or Terms())


def result(report: Report, rule_id: str = "test.peer") -> RuleResult:
    return next(item for item in report.results if item.rule == rule_id)


def test_a_host_that_was_seen_whole_and_does_nothing_unlisted_is_compliant() -> None:
    report = verdict(seen=inspection(connection("10.0.0.9")))
    assert (report.verdict, report.exit_code, report.relaxed_by) == ("compliant", 0, ())
    assert result(report).outcome == "pass"


def test_a_finding_at_the_threshold_fails_and_one_below_does_not() -> None:
    assert verdict(seen=inspection(connection("10.0.0.8"))).exit_code == 1
    report = verdict(LOW, seen=inspection(connection("10.0.0.8")))
    assert report.exit_code == 0
    assert result(report, "test.low").outcome == "fail"
    assert verdict(LOW, seen=inspection(connection("10.0.0.8")), terms=Terms(fail_on="low")).exit_code == 1


def test_raising_the_threshold_is_said() -> None:
    report = verdict(seen=inspection(connection("10.0.0.8")), terms=Terms(fail_on="critical"))
    assert report.exit_code == 0
    assert report.relaxed_by == ("fail-on critical",)


@pytest.mark.parametrize("collector", ["environment", "sockets", "resolution"])
@pytest.mark.parametrize("status", ["partial", "unavailable"])
def test_required_evidence_that_is_not_complete_is_inconclusive(collector: str, status: Any) -> None:
    report = verdict(seen=inspection(connection("10.0.0.9"), status={collector: status}))
    assert (report.verdict, report.exit_code) == ("inconclusive", 4)
    assert any(collector in reason for reason in report.reasons)


def test_a_collector_that_never_ran_is_not_an_empty_list() -> None:
    seen = inspection()
    seen = seen.__class__(**{**_fields(seen), "evidence": tuple(e for e in seen.evidence if e.kind != "sockets")})
    report = verdict(seen=seen)
    assert report.exit_code == 4
    assert result(report).outcome == "unknown"


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


def test_listeners_are_required_when_the_policy_judges_who_connects() -> None:
    partial = inspection(status={"listeners": "partial"})
    assert verdict(seen=partial).exit_code == 0
    assert verdict(seen=partial, inbound=[]).exit_code == 4


def test_that_nobody_judged_who_connects_is_said_with_its_extent() -> None:
    peers = [connection(address, None, direction="inbound", local=remote("10.0.0.2", 443)) for address in PEERS]
    said = {item.id: item.text for item in verdict(seen=inspection(*peers)).limitations}
    assert "(2 groups of such connections, 1 of them with public addresses)" in said["inbound"]
    assert "inbound" not in {item.id for item in verdict(seen=inspection(*peers), inbound=[]).limitations}


def test_a_violation_wins_over_blindness() -> None:
    report = verdict(seen=inspection(connection("10.0.0.8"), status={"resolution": "unavailable"}))
    assert report.exit_code == 1
    assert any("resolution" in reason for reason in report.reasons)


def test_partial_evidence_without_a_finding_does_not_pass_its_rules() -> None:
    report = verdict(seen=inspection(status={"sockets": "partial"}))
    assert result(report).outcome == "unknown"
    assert "as the test says" in result(report).reason


def test_a_connection_that_may_be_allowed_leaves_the_rule_undecided() -> None:
    report = verdict(seen=inspection(connection("10.0.0.8"), _answer("timeout")), allow=[{"host": "db.example"}])
    assert result(report).outcome == "unknown"
    assert report.exit_code == 4
    assert [item.allowed for item in report.connections] == ["unknown"]


def _answer(status: Any) -> Answer:
    return Answer(name="db.example", netns=1, source="dns", status=status)


def test_an_undecided_connection_does_not_hide_a_violation() -> None:
    seen = inspection(connection("10.0.0.8", 443), connection("10.0.0.8", 80), _answer("timeout"))
    report = verdict(seen=seen, allow=[{"host": "db.example", "ports": [443]}])
    assert result(report).outcome == "fail"
    assert "could not decide 1" in result(report).reason
    assert report.exit_code == 1


def test_a_name_of_the_policy_that_nobody_asked_for_makes_resolution_partial() -> None:
    report = verdict(seen=inspection(), allow=[{"host": "db.example"}])
    coverage = next(item for item in report.coverage if item.collector == "resolution")
    assert (coverage.status, coverage.reason) == ("partial", "not asked: db.example")
    assert report.exit_code == 4
    assert verdict(seen=inspection(_answer("nxdomain")), allow=[{"host": "db.example"}]).exit_code == 0


def test_a_host_without_the_runtime_is_inconclusive_unless_none_is_expected() -> None:
    assert verdict(seen=inspection(runtime=False)).exit_code == 4
    report = verdict(seen=inspection(runtime=False), runtime={"expected": False})
    assert report.exit_code == 0
    assert report.relaxed_by == ("policy runtime.expected false",)


def test_when_no_rule_can_be_decided_nothing_is_proved() -> None:
    inbound = rule(
        "peer", "{allowed: 'no'}", evidence="listener", more="applies: {policy.inbound: 'yes'}\notherwise: x\n"
    )
    report = verdict(inbound)
    assert result(report).outcome == "not_applicable"
    assert report.exit_code == 4


def test_a_weaker_requirement_is_said() -> None:
    report = verdict(seen=inspection(status={"sockets": "partial"}), require=["environment", "resolution"])
    assert report.relaxed_by == ("policy require (without sockets)",)


def test_a_waiver_waives_what_it_matches_until_it_expires_and_is_shown() -> None:
    waiver = {"rule": "test.peer", "match": {"remote.address": "10.0.0.8"}, "reason": "r", "owner": "o"}
    seen = inspection(connection("10.0.0.8"))
    report = _waived(seen, {**waiver, "expires": "2026-11-20"})
    assert report.exit_code == 0
    assert result(report).outcome == "pass"
    assert [finding.waived_by for finding in result(report).findings] == ["waiver 1: r (owner o, until 2026-11-20)"]
    assert report.relaxed_by == ("waivers (1 finding)",)
    assert _waived(seen, {**waiver, "expires": "2026-11-19"}).exit_code == 1
    assert _waived(inspection(connection("10.0.0.7")), {**waiver, "expires": "2026-11-20"}).exit_code == 1


def _waived(seen: Any, waiver: dict[str, Any]) -> Report:
    from airgap_check.policy import file as policyfile

    text = {"version": 1, "allow": [{"name": "db", "role": "database", **DATABASE}], "waivers": [waiver]}
    import msgspec

    rules = compile_all([PEER])
    checked = policyfile.load("p.yaml", msgspec.json.encode(text), {"test.peer": "connection"})
    return judge(seen, rules, checked, Terms())


def test_findings_that_differ_only_in_pid_port_or_time_are_one_with_a_count() -> None:
    first = connection("10.0.0.8", process=Process(pid=1, name="curl"), count=2)
    second = connection("10.0.0.8", process=Process(pid=2, name="curl"))
    findings = result(verdict(seen=inspection(first, second))).findings
    assert [finding.count for finding in findings] == [3]
    other = connection("10.0.0.8", process=Process(pid=1, name="node"))
    assert len(result(verdict(seen=inspection(first, other))).findings) == 2


def test_a_fingerprint_is_the_same_tomorrow() -> None:
    def fingerprint(**changes: Any) -> str:
        return result(verdict(seen=inspection(connection("10.0.0.8", **changes)))).findings[0].fingerprint

    unit = Workload(kind="unit", id="a.service", name="a.service")
    today = fingerprint(process=Process(pid=1, name="node"), workload=unit, netns=1)
    assert fingerprint(process=Process(pid=99, name="node"), workload=unit, netns=2) == today
    assert fingerprint(process=Process(pid=1, name="node"), netns=1) != today


def test_a_finding_says_which_values_met_which_tests() -> None:
    finding = result(verdict(seen=inspection(connection("10.0.0.8")))).findings[0]
    assert [(reason.field, reason.value, reason.test) for reason in finding.because] == [
        ("remote.scope", "private", "is private"),
        ("allowed", "no", "is no"),
    ]
    assert finding.record["remote"]["address"] == "10.0.0.8"
    assert finding.record["allowed"] == "no"
    assert "policy" not in finding.record


def test_others_are_judged_for_public_egress_only_when_the_policy_says_so() -> None:
    public = rule("public", "{remote.scope: public, allowed: 'no'}")
    subject = {"subject": {"unit": "objectos.service"}, "others": "public-only"}
    unit = Workload(kind="unit", id="objectos.service", name="objectos.service")
    other = connection("10.0.0.8", process=Process(pid=1, name="backup"))
    ours = connection("10.0.0.8", workload=unit)
    assert verdict(seen=inspection(other), scope=subject).exit_code == 0
    assert verdict(seen=inspection(ours), scope=subject).exit_code == 1
    assert verdict(PEER, public, seen=inspection(connection("8.8.8.8")), scope=subject).exit_code == 1
    assert "policy scope.others public-only" in verdict(seen=inspection(other), scope=subject).relaxed_by


def test_evidence_filtered_by_another_policy_is_inconclusive() -> None:
    seen = inspection()
    seen = seen.__class__(**{**_fields(seen), "filtered_by": "f" * 64})
    assert verdict(seen=seen).exit_code == 4


def test_policy_entries_are_facts_that_rules_can_judge() -> None:
    entries = rule("peer", "{used: 'no'}", evidence="policy-entry")
    report = verdict(entries, seen=inspection(connection("10.0.0.9")), allow=[DATABASE, {"cidr": "10.0.0.7/32"}])
    assert [finding.subject for finding in result(report).findings] == ["entry 1"]
    blind = verdict(entries, seen=inspection(status={"sockets": "partial"}))
    assert result(blind).outcome == "unknown"


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"cidr": "10.0.0.0/8", "ports": [1]}, "16,777,216 addresses"),
        ({"cidr": "10.0.0.0/23"}, "every port"),
        ({"cidr": "fd00::/47", "ports": [1]}, "addresses"),
        ({"cidr": "10.0.0.1/32", "ports": ["1-65535"]}, "65,535 ports"),
        ({"host": "*.example", "ports": [1]}, "top-level domain"),
        ({"cidr": "10.0.0.0/16", "ports": [1]}, None),
        ({"cidr": "10.0.0.0/24"}, None),
        ({"host": "*.bank.example", "ports": [1]}, None),
    ],
)
def test_an_entry_that_approves_more_than_a_destination_is_broad(entry: dict[str, Any], why: str | None) -> None:
    broad = rule("peer", "{broad: {glob: '*'}}", evidence="policy-entry")
    findings = result(verdict(broad, allow=[entry])).findings
    assert bool(findings) == bool(why)
    if why:
        assert why in findings[0].record["broad"]


def test_a_configured_name_has_the_worst_scope_that_it_was_seen_to_have() -> None:
    from airgap_check.evidence.fact import Endpoint

    setting = Setting(
        name="OS_DATABASE_URL", posture="url", role="database", place=Place(kind="own"),
        endpoints=(Endpoint(name="db.example", port=5432),),
    )  # fmt: skip
    public = rule("peer", "{remote.scope: public}", evidence="endpoint")
    answer = Answer(
        name="db.example", netns=1, source="dns", status="ok", addresses=(remote("10.0.0.1"), remote("8.8.8.8"))
    )
    assert result(verdict(public, seen=inspection(setting, answer))).outcome == "fail"
    assert result(verdict(public, seen=inspection(setting))).outcome == "unknown"


def test_a_rule_may_only_cast_doubt() -> None:
    doubt = rule("peer", "{runtimes: {max: 0}}", evidence="deployment", more="outcome: unknown\n")
    report = verdict(doubt, seen=inspection(runtime=False), runtime={"expected": False})
    assert (result(report).outcome, result(report).findings) == ("unknown", ())
    assert report.exit_code == 4


def test_the_trust_in_the_policy_file_is_judged_like_any_other_fact() -> None:
    trust = rule("peer", "{trusted: 'no'}", evidence="policy-file")
    record = PolicyTrust(path="/p.yaml", trusted="no", reason="others can write to it")
    seen = inspection(extra=(Evidence(kind="policy", status="complete", records=(record,)),))
    seen = seen.__class__(
        **{**_fields(seen), "evidence": tuple(e for e in seen.evidence if e.kind != "policy" or e.records)}
    )
    assert result(verdict(trust, seen=seen)).findings[0].subject == "/p.yaml"


def test_judging_the_same_evidence_twice_gives_the_same_report() -> None:
    seen = inspection(connection("10.0.0.8"), connection("8.8.8.8"))
    assert verdict(seen=seen) == verdict(seen=seen)
