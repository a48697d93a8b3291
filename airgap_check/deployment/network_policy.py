"""Says what Kubernetes' network policies let out of a workload: whether anything is held back at all, and what passes.

Source: the Kubernetes API reference, NetworkPolicy (networking.k8s.io/v1). Policies add up: a pod that one of them
selects for egress may reach what any of them allows, and nothing else; one that none selects may reach everything.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.asset import Opening
from airgap_check.deployment.label_selector import matches, words
from airgap_check.deployment.service import Isolation
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.address import Network
    from airgap_check.deployment.file import Files
    from airgap_check.deployment.kubernetes import Cluster, Pod
    from airgap_check.manifest import Node

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_PIECES = 1024  # networks that are left of one block after its exceptions
_OPENINGS = 20_000
_PROTOCOLS: dict[str, Literal["tcp", "udp"]] = {"TCP": "tcp", "UDP": "udp"}


class _Ports(NamedTuple):
    protocol: Literal["tcp", "udp", "icmp", "any"]
    ports: tuple[str, ...]


_EVERY_PORT = _Ports("any", ())


def judged(cluster: Cluster, files: Files) -> tuple[dict[str, Isolation], list[Opening]]:
    """Return for each workload, by its title and namespace, whether it is held back, and all that may pass."""
    held: dict[str, Isolation] = {}
    openings: list[Opening] = []
    for pod in cluster.pods:
        key = f"{pod.namespace or ''}/{pod.title}"
        selecting = [policy for policy in cluster.policies if _selects(policy, pod, loosely=False)]
        held[key] = _isolation(pod, selecting, cluster)
        for policy in selecting:
            openings += _openings(policy, pod, files)
        if len(openings) > _OPENINGS:
            files.fail(f"more than {_OPENINGS} openings in network policies")
            return held, openings[:_OPENINGS]
    return held, list(dict.fromkeys(openings))


def _isolation(pod: Pod, selecting: list[Node], cluster: Cluster) -> Isolation:
    node = pod.node
    if pod.spec.is_true("hostNetwork"):
        return Isolation("failed", "is in the network of its node, where no policy holds it", node.path, node.line)
    if selecting:
        names = ", ".join(policy.word("metadata", "name") or "?" for policy in selecting)
        return Isolation("passed", f"is held back by {names}", node.path, node.line)
    if cluster.foreign:
        names = ", ".join(dict.fromkeys(one.word("kind") or "?" for one in cluster.foreign))
        return Isolation("unknown", f"may be held back by {names}, which is not understood", node.path, node.line)
    loose = [policy for policy in cluster.policies if _selects(policy, pod, loosely=True)]
    if loose:
        names = ", ".join(policy.word("metadata", "name") or "?" for policy in loose)
        return Isolation("unknown", f"is held back by {names} if that is in its namespace", node.path, node.line)
    return Isolation("failed", "may send anywhere: no network policy for egress selects it", node.path, node.line)


def _selects(policy: Node, pod: Pod, *, loosely: bool) -> bool:
    """Tell whether a policy holds the egress of a pod; ``loosely``: also where one of them has no namespace written."""
    types = {item.text for item in policy.each("spec", "policyTypes")}
    egress = "Egress" in types if types else policy.get("spec", "egress") is not None
    namespace = policy.word("metadata", "namespace")
    same = (namespace or "default") == (pod.namespace or "default")
    if loosely:
        same = same or namespace is None or pod.namespace is None
    return egress and same and matches(policy.get("spec", "podSelector"), pod.labels)


def _openings(policy: Node, pod: Pod, files: Files) -> Iterator[Opening]:
    for rule in policy.each("spec", "egress"):
        ports = _ports(rule)
        peers = rule.each("to")
        for network, peer, node in _peers(peers, rule, files):
            for one in ports:
                yield Opening(
                    subject=printable(pod.title)[:256],
                    network=network,
                    peer=printable(peer)[:256],
                    ports=one.ports,
                    protocol=one.protocol,
                    path=printable(node.path),
                    line=node.line,
                )


def _peers(peers: list[Node], rule: Node, files: Files) -> Iterator[tuple[str | None, str, Node]]:
    """Yield each peer as a network or as words; none at all means everybody."""
    if not peers:
        for network in _EVERYWHERE:
            yield network, "", rule
    for peer in peers:
        block = peer.get("ipBlock")
        if block is not None:
            for network in _networks(block, files):
                yield network, "", peer
        else:
            yield None, _inside(peer), peer


def _inside(peer: Node) -> str:
    """Describe who is chosen inside the cluster."""
    pods, spaces = peer.get("podSelector"), peer.get("namespaceSelector")
    who = f"pods with {words(pods)}" if words(pods) else "every pod"
    if spaces is None:
        return f"{who} of its namespace"
    return f"{who} of " + (f"namespaces with {words(spaces)}" if words(spaces) else "every namespace")


def _networks(block: Node, files: Files) -> Iterator[str]:
    """Yield what is left of a block without its exceptions."""
    cidr = _network(block.word("cidr"))
    if cidr is None:
        node = block.get("cidr") or block
        files.note(node.path, node.line, f"{block.word('cidr') or 'nothing'} is no network", column=node.column)
        return
    left: list[Network] = [cidr]
    for item in block.each("except"):
        hole = _network(item.text)
        if hole is None or hole.version != cidr.version or not hole.subnet_of(cidr):  # type: ignore[arg-type]
            files.note(item.path, item.line, f"{item.text} is no network inside of {cidr}", column=item.column)
            continue
        left = [piece for network in left for piece in _without(network, hole)]
        if len(left) > _PIECES:
            files.fail(f"{block.path}: more than {_PIECES} networks are left of {cidr}")
            left = [cidr]
            break
    yield from (str(network) for network in left)


def _without(network: Network, hole: Network) -> list[Network]:
    if hole.subnet_of(network):  # type: ignore[arg-type]
        return sorted(network.address_exclude(hole))  # type: ignore[arg-type]
    return [] if network.subnet_of(hole) else [network]  # type: ignore[arg-type]


def _network(text: str | None) -> Network | None:
    try:
        return ip_network(text, strict=False) if text and "/" in text else None
    except ValueError:
        return None


def _ports(rule: Node) -> list[_Ports]:
    """Return the ports of a rule by protocol; a named port stands by itself, since a network has no names for it."""
    listed = rule.each("ports")
    if not listed:
        return [_EVERY_PORT]
    numbered: dict[Literal["tcp", "udp", "any"], list[str] | None] = {}
    named: list[_Ports] = []
    for entry in listed:
        protocol: Literal["tcp", "udp", "any"] = _PROTOCOLS.get(entry.word("protocol") or "TCP", "any")
        first, last = entry.word("port"), entry.word("endPort")
        if first is None:
            numbered[protocol] = None
        elif not first.isdecimal():
            named.append(_Ports(protocol, (printable(first)[:64],)))
        elif numbered.setdefault(protocol, []) is not None:
            numbered[protocol] = [*(numbered[protocol] or ()), f"{first}-{last}" if last and last != first else first]
    return [*(_Ports(protocol, tuple(ports or ())) for protocol, ports in numbered.items()), *named]
