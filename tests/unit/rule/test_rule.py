from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import yaml

from airgap_check import rulebook
from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import Answer, Connection, Interruption
from airgap_check.evidence.fact import Endpoint, Process
from airgap_check.rule import Rule, compile_all, compile_rule
from airgap_check.rule.field import fields
from airgap_check.view import KINDS, AnswerView, ConnectionView, View
from airgap_check.view.continuity import InterruptionView

CATALOGUES_TEXT = "nist-800-53, pci-dss-4, iec-62443-3-3, cis-8, iso-27001"
PATH = "rules/connection/odd.yaml"
RULE = {
    "id": "connection.odd",
    "title": "An odd port",
    "severity": "medium",
    "evidence": "connection",
    "when": {"remote.port": [4444], "allowed": "no"},
    "message": "{process.name} -> {remote.address}:{remote.port}",
    "rationale": "Odd ports are odd.",
    "remediation": "Use an even one.",
    "controls": {"nist-800-53": ["SC-7"], "pci-dss-4": ["1.3.2"]},
}


def text_of(**changes: object) -> bytes:
    fragment = {key: value for key, value in {**RULE, **changes}.items() if value is not ...}
    return yaml.safe_dump(fragment, sort_keys=False).encode()


def rule_of(path: str = PATH, **changes: object) -> Rule:
    return compile_rule(path, text_of(**changes))


def faults(path: str = PATH, **changes: Any) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        rule_of(path, **changes)
    return caught.value.faults


def messages(path: str = PATH, **changes: Any) -> list[str]:
    return [fault.split(": ", 1)[1] for fault in faults(path, **changes)]


def connection(process: Process | None = None) -> ConnectionView:
    far = Endpoint(address="10.9.9.9", scope="private", port=4444)
    record = Connection(
        netns=1, protocol="tcp", state="ESTAB", direction="outbound", local=Endpoint(), remote=far, process=process
    )
    return ConnectionView(record=record, remote=far, allowed="no")


def test_a_rule_knows_its_kind_and_the_collector_that_it_needs() -> None:
    rule = rule_of()
    assert (rule.id, rule.severity, rule.kind, rule.collector) == ("connection.odd", "medium", "connection", "sockets")
    assert rule.when.decide(connection()) is True


def test_a_message_is_filled_and_says_what_is_not_known() -> None:
    rule = rule_of()
    assert rule.message(connection(Process(pid=1, name="nc"))) == "nc -> 10.9.9.9:4444"
    assert rule.message(connection()) == "? -> 10.9.9.9:4444"


def test_a_message_lists_many_values_and_keeps_braces() -> None:
    rule = rule_of(
        path="x/chain.yaml", id="x.chain", evidence="answer", when={"status": "ok"}, message="{{name}} {name}: {chain}"
    )
    answer = Answer(name="a", netns=1, source="dns", status="ok", chain=("b", "c"))
    assert rule.message(AnswerView(record=answer)) == "{name} a: b, c"


def test_a_message_tells_times_in_utc_and_to_the_second() -> None:
    rule = rule_of(
        path="x/late.yaml", id="x.late", evidence="interruption", when={"cause": "no-run"}, message="since {first}"
    )
    first = datetime(2026, 11, 23, 23, 39, 41, 2824, timezone(timedelta(hours=2)))
    late = Interruption(cause="no-run", first=first, last=first, seconds=346)
    assert rule.message(InterruptionView(record=late)) == "since 2026-11-23 21:39:41 UTC"


def test_braces_in_a_value_are_text() -> None:
    assert rule_of().message(connection(Process(pid=1, name="{remote.port}"))) == "{remote.port} -> 10.9.9.9:4444"


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_a_kind_can_be_a_placeholder(kind: str) -> None:
    known = fields(KINDS[kind][0])
    rule = rule_of(
        evidence=kind,
        when={"policy.cloud_url": "must-be-off"},
        message=" ".join(f"{{{path}}}" for path in known),
    )
    assert rule.kind == kind


def test_a_rule_may_apply_only_under_some_policies() -> None:
    rule = rule_of(applies={"policy.inbound": "yes"}, otherwise="no inbound section")
    assert rule.applies is not None
    assert rule.applies.decide(View()) is False
    assert rule.file.otherwise == "no inbound section"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"severity": "severe"}, "unknown value severe; one of: low, medium, high, critical"),
        ({"severity": ...}, "missing key severity"),
        ({"evidence": "conection"}, "unknown evidence conection (did you mean connection?)"),
        ({"evidence": ...}, "missing key evidence"),
        ({"evidence": 5}, "Expected str, got int"),
        ({"titel": "x"}, "unknown key titel (did you mean title?)"),
        ({"title": " "}, "title is empty"),
        ({"rationale": ""}, "rationale is empty"),
        ({"remediation": ...}, "missing key remediation"),
        ({"outcome": "pass"}, "unknown value pass; one of: fail, unknown"),
        ({"when": ...}, "missing key when"),
        ({"when": "always"}, "Expected mapping, got str"),
        ({"when": {}}, "a condition is a mapping of field to test, and not an empty one"),
        ({"when": {"remote.prot": 1}}, "no such field remote.prot (did you mean remote.port?)"),
        ({"when": {"remote.port": {"above": 1}}}, "unknown operator above"),
        ({"when": {"remote.port": "443"}}, "remote.port is a number: is cannot take '443'"),
        ({"message": "{process.nam}"}, "no such field process.nam (did you mean process.name?)"),
        ({"message": "{remote}"}, "no such field remote (did you mean remote.port?)"),
        ({"message": "{}"}, "no such field {}"),
        ({"message": "{remote.port[0]}"}, "no such field remote.port[0] (did you mean remote.port?)"),
        ({"message": "{remote.port.__class__}"}, "no such field remote.port.__class__ (did you mean remote.port?)"),
        ({"message": "{remote.port:>9}"}, "{remote.port} takes no format"),
        ({"message": "{remote.port!r}"}, "{remote.port} takes no format"),
        ({"message": "{remote.port"}, "expected '}' before end of string"),
        ({"message": "a } b"}, "Single '}' encountered in format string"),
        (
            {"controls": {"nist-800": ["SC-7"]}},
            f"unknown catalogue nist-800 (did you mean nist-800-53?); one of: {CATALOGUES_TEXT}",
        ),
        ({"controls": {"pci-dss-4": [1]}}, "Expected str, got int"),
        ({"controls": {"pci-dss-4": "1.3.2"}}, "Expected list, got str"),
        ({"applies": {"policy.inbound": "yes"}}, "applies and otherwise go together"),
        ({"applies": {}, "otherwise": "x"}, "a condition is a mapping of field to test, and not an empty one"),
        ({"otherwise": "x"}, "applies and otherwise go together"),
        ({"applies": {"allowed": "no"}, "otherwise": "x"}, "no such field allowed"),
        ({"applies": None}, "has no value: give it one, or leave the key out"),
        (
            {"id": "connection.other"},
            "id connection.other does not match its folder and file name, which say connection.odd",
        ),
        ({"id": ...}, "missing key id"),
    ],
)
def test_each_fault_of_a_rule_is_named_once(changes: dict[str, Any], fault: str) -> None:
    assert messages(**changes) == [fault]


def test_all_faults_of_a_rule_are_found_together_with_their_places() -> None:
    content = b"""\
id: connection.even
title: ""
severity: grave
evidence: connection
when:
  remote.prot: 443
  protocol: [tcp, upd]
  process.name: {like: node}
message: "{proces.name}"
rationale: r
remediation: r
controls: {nist: [SC-7]}
colour: red
"""
    with pytest.raises(InvalidFileError) as caught:
        compile_rule(PATH, content)
    assert caught.value.faults == [
        f"{PATH}:1:5: id connection.even does not match its folder and file name, which say connection.odd",
        f"{PATH}:2:8: title is empty",
        f"{PATH}:3:11: unknown value grave; one of: low, medium, high, critical",
        f"{PATH}:6:3: no such field remote.prot (did you mean remote.port?)",
        f"{PATH}:7:19: protocol is never upd (did you mean udp?)",
        f"{PATH}:8:18: unknown operator like",
        f"{PATH}:9:10: no such field proces.name (did you mean process.name?)",
        f"{PATH}:12:12: unknown catalogue nist; one of: {CATALOGUES_TEXT}",
        f"{PATH}:13:1: unknown key colour",
    ]


def test_an_unknown_kind_of_evidence_hides_no_other_fault() -> None:
    assert messages(evidence="conection", title="", colour="red", controls={"x": ["y"]}) == [
        "title is empty",
        "unknown evidence conection (did you mean connection?)",
        f"unknown catalogue x; one of: {CATALOGUES_TEXT}",
        "unknown key colour",
    ]


@pytest.mark.parametrize("path", ["a/b/connection/odd.yaml", "connection/odd.yml", r"C:\rules\connection\odd.yaml"])
def test_the_id_is_the_folder_and_the_name(path: str) -> None:
    assert rule_of(path).id == "connection.odd"


@pytest.mark.parametrize("path", ["odd.yaml", "rules/odd.yaml", "rules/connection/even.yaml", "connection/odd.txt"])
def test_another_place_needs_another_id(path: str) -> None:
    (message,) = messages(path)
    assert message.startswith("id connection.odd does not match its folder and file name")


def test_rules_are_ordered_by_severity_then_id_and_digested() -> None:
    files = [
        ("r/a/low.yaml", text_of(id="a.low", severity="low")),
        ("r/a/z.yaml", text_of(id="a.z", severity="critical")),
        ("r/a/b.yaml", text_of(id="a.b", severity="critical")),
    ]
    rules = compile_all(files)
    assert [rule.id for rule in rules.rules] == ["a.b", "a.z", "a.low"]
    changed = [*files[:2], ("r/a/b.yaml", text_of(id="a.b", severity="critical", title="Another"))]
    assert compile_all(changed).sha256 != rules.sha256
    assert compile_all(files).sha256 == rules.sha256


def test_repeating_an_id_in_another_folder_is_an_error() -> None:
    with pytest.raises(InvalidFileError) as caught:
        compile_all([("shipped/a/b.yaml", text_of(id="a.b")), ("mine/a/b.yaml", text_of(id="a.b", severity="low"))])
    assert caught.value.faults == ["mine/a/b.yaml:1:1: rule a.b exists already: shipped/a/b.yaml"]


def test_the_faults_of_all_files_are_found_together() -> None:
    with pytest.raises(InvalidFileError) as caught:
        compile_all(
            [
                ("r/a/b.yaml", text_of(id="a.b", severity="x")),
                ("r/a/c.yaml", b"\xff"),
                ("r/a/d.yaml", b""),
                ("r/a/e.yaml", text_of(id="a.e")),
            ]
        )
    assert [fault.split(": ")[0] for fault in caught.value.faults] == [
        "r/a/b.yaml:3:11",
        "r/a/c.yaml:1:1",
        "r/a/d.yaml:1:1",
    ]


def test_a_rule_is_found_by_its_id_or_the_nearest_is_named() -> None:
    rules = compile_all([("r/a/b.yaml", text_of(id="a.b"))])
    assert rules.get("a.b").id == "a.b"
    with pytest.raises(UsageError, match=r"no rule a\.c \(did you mean a\.b\?\)"):
        rules.get("a.c")


def test_the_shipped_rules_have_no_fault() -> None:
    assert len(rulebook.load().rules) >= 28
