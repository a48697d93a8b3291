"""Says what Kubernetes' network policies let out of a workload: whether anything is held back at all, and what passes.

Source: the Kubernetes API reference, NetworkPolicy (networking.k8s.io/v1). Policies add up: a pod that one of them
selects for egress may reach what any of them allows, and nothing else; one that none selects may reach everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from airgap_check.deployment import egress_rule
from airgap_check.deployment.label_selector import matches
from airgap_check.deployment.service import Isolation
from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.deployment.file import Files
    from airgap_check.deployment.kubernetes import Cluster, Pod
    from airgap_check.evidence.asset import Opening
    from airgap_check.manifest import Node

_OPENINGS = 20_000


def judged(cluster: Cluster, files: Files) -> tuple[list[Isolation], list[Opening]]:
    """Return whether each workload is held back, in their order, and all that may pass.

    A policy that selects none of them is judged as well: it holds pods that are not among the files.
    """
    held: list[Isolation] = []
    openings: dict[Opening, None] = {}
    policies = [policy for policy in cluster.policies if _holds_egress(policy)]
    passing = [list(egress_rule.openings(policy, files)) for policy in policies]
    idle = set(range(len(policies)))
    for pod in cluster.pods:
        if files.is_late() or len(openings) > _OPENINGS:
            break
        places = [_place(policy, pod) for policy in policies]
        idle -= {index for index, place in enumerate(places) if place != "other"}
        selecting = [policy for policy, place in zip(policies, places, strict=True) if place == "same"]
        loose = [policy for policy, place in zip(policies, places, strict=True) if place == "unknown"]
        held.append(_isolation(pod, selecting, loose, cluster))
        subject = printable(pod.title)[:256]
        for index, place in enumerate(places):
            if place == "same":
                openings |= dict.fromkeys(msgspec.structs.replace(one, subject=subject) for one in passing[index])
    openings |= dict.fromkeys(one for index in sorted(idle) for one in passing[index])
    if len(openings) > _OPENINGS:
        files.fail(f"more than {_OPENINGS} openings in network policies")
    return held, list(openings)[:_OPENINGS]


def _isolation(pod: Pod, selecting: list[Node], loose: list[Node], cluster: Cluster) -> Isolation:
    """Say whether a pod is held back by what selects it; ``loose`` would too, if that is in its namespace."""
    node = pod.node
    if pod.spec.is_true("hostNetwork"):
        return Isolation("failed", "is in the network of its node, where no policy holds it", node.path, node.line)
    foreign = [one for one in cluster.foreign if _shares_namespace(one, pod)]
    if selecting:
        held = f"is held back by {_names(selecting)}"
        if wider := [policy for policy in loose if policy.each("spec", "egress")]:
            detail = f"{held}, and {_names(wider)} lets out more if that is in its namespace"
            return Isolation("unknown", detail, node.path, node.line)
        if wider := [one for one in foreign if _lets_out(one)]:
            detail = f"{held}, and may be let out by {_kinds(wider)}, which is not understood"
            return Isolation("unknown", detail, node.path, node.line)
        return Isolation("passed", held, node.path, node.line)
    if foreign:
        detail = f"may be held back by {_kinds(foreign)}, which is not understood"
        return Isolation("unknown", detail, node.path, node.line)
    if loose:
        detail = f"is held back by {_names(loose)} if that is in its namespace"
        return Isolation("unknown", detail, node.path, node.line)
    return Isolation("failed", "may send anywhere: no network policy for egress selects it", node.path, node.line)


def _name(policy: Node) -> str:
    return policy.word("metadata", "name") or "?"


def _names(policies: list[Node]) -> str:
    return ", ".join(dict.fromkeys(map(_name, policies)))


def _kinds(policies: list[Node]) -> str:
    return ", ".join(dict.fromkeys(one.word("kind") or "?" for one in policies))


def _shares_namespace(policy: Node, pod: Pod) -> bool:
    """Tell whether a policy of another API may concern a pod: in its namespace, in none, or in one not written."""
    namespace = policy.word("metadata", "namespace")
    return namespace is None or pod.namespace is None or namespace == pod.namespace


def _lets_out(policy: Node) -> bool:
    """Tell whether a policy of another API says anything of egress: it may then add to what the others allow."""
    specs = [policy.get("spec"), *policy.each("specs")]
    return any(spec is not None and spec.get("egress") is not None for spec in specs)


def _holds_egress(policy: Node) -> bool:
    """Tell whether a policy is about egress; without policyTypes, only where it has a rule for it."""
    types = {item.text for item in policy.each("spec", "policyTypes")}
    return "Egress" in types if types else bool(policy.each("spec", "egress"))


def _place(policy: Node, pod: Pod) -> Literal["same", "unknown", "other"]:
    """Tell whether a policy selects a pod; *unknown* where one of them has no namespace written and the other has."""
    if not matches(policy.get("spec", "podSelector"), pod.labels):
        return "other"
    namespace = policy.word("metadata", "namespace")
    if (namespace or "default") == (pod.namespace or "default"):
        return "same"
    return "unknown" if namespace is None or pod.namespace is None else "other"
