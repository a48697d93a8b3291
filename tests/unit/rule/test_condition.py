from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.errors import InvalidFileError
from airgap_check.evidence import Answer, Connection, Direction
from airgap_check.evidence.fact import Endpoint, Process, Workload
from airgap_check.finding import Reason
from airgap_check.rule.condition import Condition, compile_condition
from airgap_check.rule.field import fields
from airgap_check.view import KINDS, AnswerView, ConnectionView, View
from airgap_check.yamlfile import parse

if TYPE_CHECKING:
    from airgap_check.evidence import Allowed
    from airgap_check.rule.condition import Truth


def compiled(text: str, view_type: type[View] = ConnectionView) -> Condition:
    document = parse("rule.yaml", text.encode())
    condition = compile_condition(document, (), document.value, view_type)
    document.refuse()
    return condition


def view(
    *,
    address: str = "10.9.9.9",
    port: int | None = 5432,
    allowed: Allowed = "no",
    direction: Direction = "outbound",
    name: str | None = None,
    process: str | None = "node",
    command: str | None = None,
    unit: str | None = None,
    ownerless: bool = False,
) -> ConnectionView:
    remote = Endpoint(address=address, scope="private", port=port, name=name)
    return ConnectionView(
        record=Connection(
            netns=1,
            protocol="tcp",
            state="ESTAB",
            direction=direction,
            local=Endpoint(address="10.0.0.5", scope="own"),
            remote=Endpoint(address=address, scope="public", port=port),
            process=Process(pid=1, name=process, command=command) if process else None,
            workload=Workload(kind="unit", id="/u", name=unit) if unit else None,
            ownerless=ownerless,
        ),
        remote=remote,
        allowed=allowed,
    )


def decide(text: str, seen: View | None = None) -> Truth:
    seen = seen or view()
    return compiled(text, type(seen)).decide(seen)


# --- operators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("protocol: tcp", True),
        ("protocol: udp", False),
        ("protocol: [udp, tcp]", True),
        ("protocol: {is: tcp}", True),
        ("protocol: {in: [tcp]}", True),
        ("remote.port: 5432", True),
        ("remote.port: [80, 443]", False),
        ("remote.port: {min: 5432}", True),
        ("remote.port: {min: 5433}", False),
        ("remote.port: {max: 5432}", True),
        ("remote.port: {max: 5431}", False),
        ("remote.port: {min: 5000, max: 6000}", True),
        ("remote.port: {min: 5000, max: 5400}", False),
        ("process.name: {glob: 'n?d*'}", True),
        ("process.name: {glob: 'N*'}", False),
        ("process.name: {iglob: 'N*'}", True),
        ("process.name: {glob: [x*, n*]}", True),
        ("process.name: {glob: '[a-n]ode'}", True),
        ("remote.address: {cidr: 10.0.0.0/8}", True),
        ("remote.address: {cidr: [192.168.0.0/16, 10.9.9.9/32]}", True),
        ("remote.address: {cidr: 'fd00::/8'}", False),
        ("remote.address: {cidr: 10.8.0.0/16}", False),
        ("process.name: {cidr: 10.0.0.0/8}", False),
        ("ownerless: false", True),
        ("ownerless: true", False),
        ("{protocol: tcp, remote.port: 5432}", True),
        ("{protocol: tcp, remote.port: 1}", False),
        ("any: [{protocol: udp}, {remote.port: 5432}]", True),
        ("any: [{protocol: udp}, {remote.port: 1}]", False),
        ("all: [{protocol: tcp}, {remote.port: 5432}]", True),
        ("all: [{protocol: tcp}, {remote.port: 1}]", False),
        ("not: {protocol: udp}", True),
        ("not: {protocol: tcp}", False),
        ("{protocol: tcp, not: {any: [{remote.port: 80}, {remote.port: 443}]}}", True),
        ("policy.cloud_url: must-be-unset", True),
    ],
)
def test_what_each_operator_means(text: str, truth: bool) -> None:  # noqa: FBT001  # a table of cases
    assert decide(text) is truth


@pytest.mark.parametrize(
    ("name", "truth"),
    [
        ("bank.example", True), ("BANK.Example.", True), ("a.bank.example", True), ("a.b.bank.example", True),
        ("xbank.example", False), ("bank.example.evil", False), ("example", False), ("", False),
    ],
)  # fmt: skip
def test_a_domain_covers_itself_and_what_is_below_it(name: str, truth: bool) -> None:  # noqa: FBT001
    assert decide("remote.name: {domain: [other.example, Bank.example]}", view(name=name)) is truth


def test_an_own_field_of_the_view_hides_the_one_of_the_record() -> None:
    assert decide("remote.scope: private") is True
    assert decide("remote.scope: public") is False


def test_a_list_of_words_meets_a_test_when_one_of_them_does() -> None:
    seen = AnswerView(record=Answer(name="a", netns=1, source="dns", status="ok", chain=("b.cdn.example", "c")))
    assert decide("chain: {domain: cdn.example}", seen) is True
    assert decide("chain: {domain: cdn.test}", seen) is False


# --- what is missing, and what is not known --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "process.name: node",
        "process.name: {glob: '*'}",
        "process.command: {glob: '*'}",
        "workload.name: objectos.service",
        "remote.port: {min: 0}",
        "remote.name: {domain: bank.example}",
    ],
)
def test_a_missing_optional_field_makes_a_test_false(text: str) -> None:
    nobody = view(process=None, port=None)
    assert decide(text, nobody) is False
    assert decide(f"not: {{{text}}}", nobody) is True


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("allowed: 'no'", None),
        ("allowed: ['yes', 'no']", None),
        ("allowed: {glob: n*}", None),
        ("allowed: unknown", True),
        ("allowed: ['no', unknown]", True),
        ("not: {allowed: 'no'}", None),
        ("{allowed: 'no', protocol: udp}", False),
        ("{protocol: udp, allowed: 'no'}", False),
        ("{protocol: tcp, allowed: 'no'}", None),
        ("any: [{allowed: 'no'}, {protocol: tcp}]", True),
        ("any: [{allowed: 'no'}, {protocol: udp}]", None),
        ("all: [{any: [{allowed: 'no'}, {protocol: udp}]}, {protocol: tcp}]", None),
        ("not: {any: [{allowed: 'no'}, {protocol: tcp}]}", False),
    ],
)
def test_what_is_unknown_stays_undecided_unless_the_rest_decides(text: str, truth: Truth) -> None:
    assert decide(text, view(allowed="unknown")) is truth


TRUTHS = st.sampled_from([True, False, None])
LEAVES = {True: "{protocol: tcp}", False: "{protocol: udp}", None: "{allowed: 'no'}"}


def kleene_and(parts: list[Truth]) -> Truth:
    return False if False in parts else None if None in parts else True


@given(st.lists(TRUTHS, min_size=1, max_size=5))
def test_all_any_and_not_follow_kleene(parts: list[Truth]) -> None:
    listed = ", ".join(LEAVES[part] for part in parts)
    seen = view(allowed="unknown")
    conjunction = kleene_and(parts)
    negated: list[Truth] = [None if part is None else not part for part in parts]
    de_morgan = kleene_and(negated)
    assert decide(f"all: [{listed}]", seen) is conjunction
    assert decide(f"any: [{listed}]", seen) is (None if de_morgan is None else not de_morgan)
    assert decide(f"not: {{all: [{listed}]}}", seen) is (None if conjunction is None else not conjunction)


# --- why -------------------------------------------------------------------------------------------------------------


def test_because_lists_the_leaves_that_held_with_their_values_and_tests() -> None:
    condition = compiled("""
direction: [outbound, unknown]
any:
  - {remote.port: {min: 6000}}
  - {remote.address: {cidr: 10.0.0.0/8}, remote.port: {min: 5000, max: 6000}}
not: {protocol: udp}
all: [{process.name: {glob: no*}}]
""")
    assert condition.because(view()) == [
        Reason(field="direction", value="outbound", test="in outbound, unknown"),
        Reason(field="remote.address", value="10.9.9.9", test="cidr 10.0.0.0/8"),
        Reason(field="remote.port", value=5432, test="min 5000"),
        Reason(field="remote.port", value=5432, test="max 6000"),
        Reason(field="process.name", value="node", test="glob no*"),
    ]


# --- whatever is written ----------------------------------------------------------------------------------------------


def test_the_fields_of_a_rule_follow_the_types_of_the_evidence() -> None:
    for view_type, _ in KINDS.values():
        for path, field in fields(view_type).items():
            assert field.path == path
            assert field.type.__name__ in {"str", "int", "bool", "datetime"}


WORDS = [
    "any", "all", "not", "is", "in", "glob", "iglob", "cidr", "domain", "min", "max", "x",
    "protocol", "remote.port", "remote.address", "allowed", "process.name", "ownerless", "first",
]  # fmt: skip


def condition_of(anything: Any) -> Any:
    return st.recursive(
        anything,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(WORDS),
                inner,
                max_size=3,
            ),
        ),
        max_leaves=8,
    )


LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 70000), st.text("abc*[]!?-./:019\n", max_size=8),
    st.sampled_from(["tcp", "no", "unknown", "10.0.0.0/8", "fe80::/10", "[a", "*"]),
)  # fmt: skip


@given(condition_of(LEAF), st.sampled_from(["yes", "no", "unknown"]))
def test_any_condition_is_refused_or_decides_and_explains_itself(written: Any, allowed: Allowed) -> None:
    try:
        condition = compiled(yaml.safe_dump(written, allow_unicode=True))
    except InvalidFileError:
        return
    seen = view(allowed=allowed, name="a.bank.example", command="node x")
    assert condition.decide(seen) in {True, False, None}
    assert all(isinstance(reason, Reason) for reason in condition.because(seen))
