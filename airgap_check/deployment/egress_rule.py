"""Says what the egress rules of a Kubernetes network policy let pass: networks, ports, and pods of the cluster.

Source: the Kubernetes API reference, NetworkPolicyEgressRule, NetworkPolicyPeer and IPBlock (networking.k8s.io/v1).
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.deployment.label_selector import words
from airgap_check.evidence.asset import Opening
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.address import Network
    from airgap_check.deployment.file import Files
    from airgap_check.manifest import Node

_EVERYWHERE = ("0.0.0.0/0", "::/0")
_EVERY_POD = "every pod of every namespace"
_EXCEPTIONS = 1024
_PIECES = 1024  # networks that are left of one block after its exceptions
_PROTOCOLS: dict[str, Literal["tcp", "udp"]] = {"TCP": "tcp", "UDP": "udp"}


class _Ports(NamedTuple):
    protocol: Literal["tcp", "udp", "icmp", "any"]
    ports: tuple[str, ...]


_EVERY_PORT = _Ports("any", ())


def openings(policy: Node, files: Files) -> Iterator[Opening]:
    """Yield all that the rules of one policy let pass; ``subject`` is whom it selects, in its own words."""
    egress = policy.get("spec", "egress")
    if egress is not None and egress.items is None:
        files.note(egress.path, egress.line, "spec.egress is no list of rules", column=egress.column)
    subject = f"every pod that NetworkPolicy/{policy.word('metadata', 'name') or '?'} selects"
    for rule in policy.each("spec", "egress"):
        ports = _ports(rule)
        peers = rule.each("to")
        for network, peer, node in _peers(peers, rule, files):
            for one in ports:
                yield Opening(
                    subject=printable(subject)[:256],
                    network=network,
                    peer=printable(peer)[:256],
                    everybody=peer == _EVERY_POD,
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
    return f"{who} of namespaces with {words(spaces)}" if words(spaces) else f"{who} of every namespace"


def _networks(block: Node, files: Files) -> Iterator[str]:
    """Yield what is left of a block without its exceptions."""
    cidr = _network(block.word("cidr"))
    if cidr is None:
        node = block.get("cidr") or block
        files.note(node.path, node.line, f"{block.word('cidr') or 'nothing'} is no network", column=node.column)
        return
    left: list[Network] = [cidr]
    holes = block.each("except")
    if len(holes) > _EXCEPTIONS:
        files.fail(f"{block.path}: more than {_EXCEPTIONS} exceptions from {cidr}")
        holes = []
    for item in holes:
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
