from __future__ import annotations

import pytest

from airgap_check.errors import InvalidFileError
from airgap_check.rule.condition import Condition, compile_condition
from airgap_check.view import ConnectionView, PolicyEntryView, SettingView, View
from airgap_check.yamlfile import parse


def compiled(text: str, view_type: type[View] = ConnectionView) -> Condition:
    document = parse("rule.yaml", text.encode())
    condition = compile_condition(document, (), document.value, view_type)
    document.refuse()
    return condition


def faults(text: str, view_type: type[View] = ConnectionView) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        compiled(text, view_type)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("remote.adress: 1.1.1.1", "1:1: no such field remote.adress (did you mean remote.address?)"),
        ("nonsense: 1", "1:1: no such field nonsense"),
        ("record.protocol: tcp", "1:1: no such field record.protocol (did you mean protocol?)"),
        ("remote: 10.0.0.1", "1:1: no such field remote (did you mean remote.port?)"),
        ("protocol: tpc", "1:11: protocol is never tpc (did you mean tcp?)"),
        ("protocol: [tcp, tpc]", "1:17: protocol is never tpc (did you mean tcp?)"),
        ("protocol: {equals: tcp}", "1:12: unknown operator equals"),
        ("process.name: {globb: x}", "1:16: unknown operator globb (did you mean glob?)"),
        ("protocol: {regex: t.*}", "1:12: unknown operator regex"),
        ("protocol: {}", "1:11: no test; one of: is, in, glob, iglob, cidr, domain, min, max"),
        ("protocol: []", "1:11: an empty list matches nothing"),
        ("protocol:", "1:10: protocol is text: is cannot take None"),
        ("protocol: 6", "1:11: protocol is text: is cannot take 6"),
        ("allowed: true", "1:10: allowed is text: is cannot take True"),
        ("remote.port: '443'", "1:14: remote.port is a number: is cannot take '443'"),
        ("remote.port: true", "1:14: remote.port is a number: is cannot take True"),
        ("remote.port: [443, http]", "1:20: remote.port is a number: in cannot take 'http'"),
        ("remote.port: {min: low}", "1:20: remote.port is a number: min cannot take 'low'"),
        ("remote.port: {min: [1, 2]}", "1:20: min takes one value"),
        ("remote.port: {glob: '4*'}", "1:21: remote.port is a number: glob cannot take '4*'"),
        ("remote.port: {cidr: 10.0.0.0/8}", "1:21: remote.port is a number: cidr cannot take '10.0.0.0/8'"),
        ("remote.address: {min: 5}", "1:23: remote.address is text: min cannot take 5"),
        ("ownerless: {max: 1}", "1:18: ownerless is true or false: max cannot take 1"),
        ("ownerless: 'yes'", "1:12: ownerless is true or false: is cannot take 'yes'"),
        ("protocol: {is: [tcp, udp]}", "1:16: is takes one value"),
        ("protocol: {in: [[tcp]]}", "1:17: protocol is text: in cannot take ['tcp']"),
        ("remote.address: {cidr: 10.0.0.1/8}", "1:24: not a network, or host bits are set: 10.0.0.1/8"),
        ("remote.address: {cidr: [10.0.0.0/8, all]}", "1:37: not a network, or host bits are set: all"),
        ("first: 2026-01-01", "1:8: first is datetime: is cannot take '2026-01-01'"),
        ("any: {protocol: tcp}", "1:6: any takes a list of conditions"),
        ("any: []", "1:6: any takes a list of conditions"),
        ("all: tcp", "1:6: all takes a list of conditions"),
        ("any: [tcp]", "1:7: a condition is a mapping of field to test, and not an empty one"),
        ("any: [{}]", "1:7: a condition is a mapping of field to test, and not an empty one"),
        ("not: []", "1:6: a condition is a mapping of field to test, and not an empty one"),
        ("not: {}", "1:6: a condition is a mapping of field to test, and not an empty one"),
        ("{}", "1:1: a condition is a mapping of field to test, and not an empty one"),
        ("[]", "1:1: a condition is a mapping of field to test, and not an empty one"),
    ],
)
def test_each_fault_is_named_with_its_place(text: str, fault: str) -> None:
    assert faults(text) == [f"rule.yaml:{fault}"]


def test_all_faults_of_a_condition_are_found_together() -> None:
    assert faults("""\
protocol: tpc
remote.prt: 1
any:
  - {remote.port: x}
  - not: {allowed: maybe, direction: {is: sideways}}
""") == [
        "rule.yaml:1:11: protocol is never tpc (did you mean tcp?)",
        "rule.yaml:2:1: no such field remote.prt (did you mean remote.port?)",
        "rule.yaml:4:19: remote.port is a number: is cannot take 'x'",
        "rule.yaml:5:20: allowed is never maybe",
        "rule.yaml:5:43: direction is never sideways",
    ]


def test_a_kind_of_evidence_knows_its_own_fields_only() -> None:
    assert faults("remote.scope: public", SettingView) == ["rule.yaml:1:1: no such field remote.scope"]
    assert faults("endpoints: x", SettingView) == ["rule.yaml:1:1: no such field endpoints"]
    assert compiled("posture: blank", SettingView)
    assert compiled("role: proxy", PolicyEntryView)
