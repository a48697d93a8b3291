"""Network policies add up as the Kubernetes API says, and nothing that they let pass is missed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.deployment.file import Files
from airgap_check.deployment.kubernetes import Cluster
from airgap_check.deployment.network_policy import judged
from airgap_check.manifest import parse
from tests.unit.deployment.written import reading

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.deployment.service import Isolation
    from airgap_check.evidence.asset import Opening

POD = """
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: crm, labels: {app: objectos, tier: back}}
spec: {containers: [{name: c, image: x}]}
"""


def policy(spec: str, namespace: str = "crm", name: str = "n") -> str:
    where = f", namespace: {namespace}" if namespace else ""
    return f"\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}{where}}}\nspec: {spec}\n"


def judge(*documents: str) -> tuple[Isolation, list[Opening], Files]:
    files = Files()
    cluster = Cluster(files)
    for document in parse("k8s.yaml", "---".join(documents).encode()).documents:
        assert cluster.add(document)
    held, openings = judged(cluster, files)
    return held[0], openings, files


LABELLED = "{podSelector: {matchExpressions: [%s]}, policyTypes: [Egress]}"


@pytest.mark.parametrize(
    ("spec", "held"),
    [
        ("{podSelector: {}, policyTypes: [Egress]}", True),
        ("{podSelector: {}, policyTypes: [Ingress, Egress]}", True),
        ("{podSelector: {}, policyTypes: [Ingress]}", False),
        ("{podSelector: {}}", False),
        ("{podSelector: {}, egress: [{}]}", True),
        ("{podSelector: {}, egress: []}", False),
        ("{podSelector: {}, policyTypes: [Ingress], egress: [{}]}", False),
        ("{podSelector: {matchLabels: {app: objectos}}, policyTypes: [Egress]}", True),
        ("{podSelector: {matchLabels: {app: objectos, tier: front}}, policyTypes: [Egress]}", False),
        (
            LABELLED % "{key: app, operator: In, values: [a, objectos]}",
            True,
        ),
        (
            LABELLED % "{key: app, operator: NotIn, values: [objectos]}",
            False,
        ),
        (LABELLED % "{key: none, operator: NotIn, values: [x]}", True),
        (LABELLED % "{key: tier, operator: Exists}", True),
        (LABELLED % "{key: tier, operator: DoesNotExist}", False),
        (LABELLED % "{key: tier, operator: Like}", False),
    ],
)
def test_which_policies_hold_a_pod_back(spec: str, *, held: bool) -> None:
    assert judge(POD, policy(spec))[0].outcome == ("passed" if held else "failed")


def test_a_policy_holds_its_own_namespace_only_and_an_unwritten_one_is_not_known() -> None:
    spec = "{podSelector: {}, policyTypes: [Egress]}"
    assert judge(POD, policy(spec, "other"))[0].outcome == "failed"
    assert judge(POD, policy(spec, ""))[0].outcome == "unknown"
    assert judge(POD)[0].outcome == "failed"


@pytest.mark.parametrize("kind", ["CiliumNetworkPolicy", "AdminNetworkPolicy", "GlobalNetworkPolicy"])
def test_policies_of_others_are_not_understood_and_said_so(kind: str) -> None:
    other = f"\napiVersion: example.io/v2\nkind: {kind}\nmetadata: {{name: n}}\nspec: {{}}\n"
    isolation = judge(POD, other)[0]
    assert (isolation.outcome, kind in isolation.detail) == ("unknown", True)
    assert judge(POD, other, policy("{podSelector: {}, policyTypes: [Egress]}"))[0].outcome == "passed"


def test_in_the_network_of_its_node_no_policy_holds_a_pod() -> None:
    pod = POD.replace("spec: {", "spec: {hostNetwork: true, ")
    assert judge(pod, policy("{podSelector: {}, policyTypes: [Egress]}"))[0].outcome == "failed"


def shown(openings: list[Opening]) -> set[tuple[str | None, tuple[str, ...], str]]:
    return {(one.network or one.peer, one.ports, one.protocol) for one in openings}


def test_what_passes_is_the_union_of_all_policies_that_select_the_pod() -> None:
    _, openings, _ = judge(
        POD,
        policy("{podSelector: {}, policyTypes: [Egress]}"),
        policy(
            "{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.1.0.0/24}}],"
            " ports: [{port: 5432}, {port: 6432, endPort: 6440}]}]}"
        ),
        policy("{podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.2.0.0/24}}]}]}"),
        policy("{podSelector: {matchLabels: {app: other}}, egress: [{}]}"),
    )
    of_pod = [one for one in openings if one.subject == "Pod/p"]
    assert shown(of_pod) == {("10.1.0.0/24", ("5432", "6432-6440"), "tcp"), ("10.2.0.0/24", (), "any")}
    others = {(one.subject, one.network) for one in openings} - {("Pod/p", one.network) for one in of_pod}
    assert others == {("every pod that NetworkPolicy/n selects", network) for network in ("0.0.0.0/0", "::/0")}


@pytest.mark.parametrize(
    ("rule", "passes"),
    [
        ("{}", {("0.0.0.0/0", (), "any"), ("::/0", (), "any")}),
        ("{to: []}", {("0.0.0.0/0", (), "any"), ("::/0", (), "any")}),
        ("{ports: [{port: 53, protocol: UDP}]}", {("0.0.0.0/0", ("53",), "udp"), ("::/0", ("53",), "udp")}),
        ("{to: [{ipBlock: {cidr: 10.0.0.0/30}}], ports: [{protocol: TCP}]}", {("10.0.0.0/30", (), "tcp")}),
        ("{to: [{ipBlock: {cidr: 10.0.0.0/30}}], ports: [{protocol: TCP}, {port: 1}]}", {("10.0.0.0/30", (), "tcp")}),
        ("{to: [{ipBlock: {cidr: 10.0.0.0/30}}], ports: [{port: db}]}", {("10.0.0.0/30", ("db",), "tcp")}),
        (
            "{to: [{ipBlock: {cidr: 10.0.0.0/30}}], ports: [{port: 1, protocol: SCTP}]}",
            {("10.0.0.0/30", ("1",), "any")},
        ),
        ("{to: [{ipBlock: {cidr: 'fd00::/64'}}]}", {("fd00::/64", (), "any")}),
        ("{to: [{podSelector: {matchLabels: {app: db}}}]}", {("pods with app=db of its namespace", (), "any")}),
        ("{to: [{namespaceSelector: {}}]}", {("every pod of every namespace", (), "any")}),
        (
            ("{to: [{namespaceSelector: {matchLabels: {a: b}}, "
            "podSelector: {matchExpressions: [{key: k, operator: In, values: [x]}]}}]}"),
            {("pods with k in (x) of namespaces with a=b", (), "any")},
        ),
    ],
)  # fmt: skip
def test_what_a_rule_lets_pass(rule: str, passes: set[tuple[str, tuple[str, ...], str]]) -> None:
    assert shown(judge(POD, policy(f"{{podSelector: {{}}, egress: [{rule}]}}"))[1]) == passes


def test_exceptions_are_taken_out_and_ones_that_are_none_are_faults() -> None:
    block = "{cidr: 10.0.0.0/24, except: [10.0.0.0/25, 10.0.0.192/26, 10.9.0.0/24, nonsense]}"
    _, openings, files = judge(POD, policy(f"{{podSelector: {{}}, egress: [{{to: [{{ipBlock: {block}}}]}}]}}"))
    assert [one.network for one in openings] == ["10.0.0.128/26"]
    assert len(files.checks) == 2


@given(
    st.integers(8, 28),
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(9, 32)), max_size=6),
    st.integers(0, 2**24 - 1),
)
def test_an_address_passes_if_and_only_if_no_exception_holds_it(
    length: int, holes: list[tuple[int, int, int]], host: int
) -> None:
    block = IPv4Network(f"10.0.0.0/{length}")
    excepted = [IPv4Network(f"10.{a}.{b}.0/{size}", strict=False) for a, b, size in holes]
    inside = [hole for hole in excepted if hole.subnet_of(block)]
    text = f"{{cidr: {block}, except: [{', '.join(map(str, inside))}]}}"
    openings = judge(POD, policy(f"{{podSelector: {{}}, egress: [{{to: [{{ipBlock: {text}}}]}}]}}"))[1]
    address = IPv4Address(0x0A000000 + host)
    passes = any(address in IPv4Network(one.network or "") for one in openings)
    assert passes == (address in block and not any(address in hole for hole in inside))


def test_an_opening_points_to_its_line(tmp_path: Path) -> None:
    text = (
        POD
        + "---\n"
        + policy("\n  podSelector: {}\n  egress:\n    - to:\n        - ipBlock: {cidr: 10.0.0.0/8}").lstrip()
    )
    (opening,) = reading(tmp_path, k8s__yaml=text).openings
    assert text.splitlines()[(opening.line or 0) - 1].strip() == "- ipBlock: {cidr: 10.0.0.0/8}"
    assert opening.subject == "Pod/p"


DENY = "{podSelector: {}, policyTypes: [Egress]}"
OPEN = "{podSelector: {}, egress: [{}]}"


def test_a_policy_that_may_lie_in_the_same_namespace_and_lets_out_more_leaves_it_open() -> None:
    assert judge(POD, policy(DENY), policy(OPEN, ""))[0].outcome == "unknown"
    assert judge(POD, policy(DENY), policy(DENY, ""))[0].outcome == "passed"


def test_a_policy_of_another_api_may_let_out_what_the_others_hold_back() -> None:
    other = "\napiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: n%s}\nspec: {egress: [{}]}\n"
    assert judge(POD, policy(DENY), other % "")[0].outcome == "unknown"
    assert judge(POD, policy(DENY), other % ", namespace: crm")[0].outcome == "unknown"
    assert judge(POD, policy(DENY), other % ", namespace: other")[0].outcome == "passed"
    assert judge(POD, policy(DENY), (other % "").replace("egress", "ingress"))[0].outcome == "passed"


def test_two_workloads_of_one_name_are_judged_apart(tmp_path: Path) -> None:
    bare = POD.replace("app: objectos", "app: other")
    held = policy("{podSelector: {matchLabels: {app: objectos}}, policyTypes: [Egress]}")
    found = reading(tmp_path, k8s__yaml=f"{bare}---{POD}---{held}")
    outcomes = {one.outcome for one in found.checks if one.aspect == "network-isolation"}
    assert outcomes == {"failed", "passed"}


def test_policies_without_the_workloads_that_they_hold_are_judged(tmp_path: Path) -> None:
    found = reading(tmp_path, k8s__yaml=policy(OPEN, name="wide"))
    assert {one.network for one in found.openings} == {"0.0.0.0/0", "::/0"}
    assert {one.subject for one in found.openings} == {"every pod that NetworkPolicy/wide selects"}


def test_only_a_selector_without_a_word_chooses_everybody() -> None:
    def everybody(rule: str) -> set[bool]:
        return {one.everybody for one in judge(POD, policy(f"{{podSelector: {{}}, egress: [{rule}]}}"))[1]}

    assert everybody("{to: [{namespaceSelector: {}}]}") == {True}
    assert everybody("{to: [{namespaceSelector: {}, podSelector: {}}]}") == {True}
    assert everybody("{to: [{podSelector: {}}]}") == {False}
    assert everybody("{to: [{namespaceSelector: {matchLabels: {a: b}}}]}") == {False}
    assert everybody("{to: [{namespaceSelector: {}, podSelector: {matchLabels: {a: b}}}]}") == {False}


def test_rules_that_are_no_list_and_exceptions_without_end_are_said() -> None:
    files = judge(POD, policy("{podSelector: {}, policyTypes: [Egress], egress: {to: []}}"))[2]
    assert ["spec.egress is no list of rules" in one.detail for one in files.checks] == [True]
    holes = ", ".join(["10.0.0.1/32"] * 2000)
    _, openings, files = judge(
        POD, policy(f"{{podSelector: {{}}, egress: [{{to: [{{ipBlock: {{cidr: 10.0.0.0/8, except: [{holes}]}}}}]}}]}}")
    )
    assert [one.network for one in openings] == ["10.0.0.0/8"]
    assert files.failures
