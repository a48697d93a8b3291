"""The policy file: read from YAML, and every fault in it found in one go."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, TypeVar

from airgap_check.address import may_be_short, scope_of
from airgap_check.address import parse as parse_address
from airgap_check.domain import normal
from airgap_check.policy import (
    OneOrMany,
    Policy,
    PolicyFile,
    Release,
    Selector,
    Waiver,
    WaiverFile,
    is_digest,
    is_host_name,
    looks_like_address,
    many,
    port_range,
)
from airgap_check.rule.condition import Condition, compile_condition
from airgap_check.view import KINDS
from airgap_check.yamlfile import Document, Path, decode, parse, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_P = TypeVar("_P")


def load(path: str, content: bytes, rule_kinds: Mapping[str, str]) -> Policy:
    """Check the bytes of a policy file. ``rule_kinds`` maps each rule's id to its kind of evidence, for waivers.

    Raises `InvalidFileError` with every fault.
    """
    document = parse(path, content)
    file = decode(document, PolicyFile)
    _check(document, file)
    waivers = tuple(
        _waiver(document, ("waivers", index), waiver, index, rule_kinds) for index, waiver in _whole(file.waivers)
    )
    document.refuse()
    lines = {
        (section, index): document.places[section, index][0]
        for section, items in (("allow", file.allow), ("waivers", file.waivers))
        for index in range(len(items))
    }
    return Policy(file, waivers, path=path, text=content, lines=lines)


def _waiver(document: Document, path: Path, waiver: WaiverFile, index: int, rule_kinds: Mapping[str, str]) -> Waiver:
    for key in ("reason", "owner"):
        if (text := getattr(waiver, key)) is not None and not text.strip():
            document.fault((*path, key), f"{key} is empty")
    kind = rule_kinds.get(waiver.rule)
    if kind is None and waiver.rule is not None:
        document.fault((*path, "rule"), f"no rule {waiver.rule}{suggest(waiver.rule, rule_kinds)}")
    if kind == "policy-waiver":
        document.fault((*path, "rule"), f"{waiver.rule} is about waivers, and none waives what it finds")
    if waiver.match == {}:
        document.fault((*path, "match"), "a waiver for everything is no waiver: name what it is for")
    if kind is None or not waiver.match:
        return Waiver(waiver, Condition(), index)
    return Waiver(waiver, compile_condition(document, (*path, "match"), waiver.match, KINDS[kind][0]), index)


def _check(document: Document, file: PolicyFile) -> None:
    """Note every fault that the types alone do not show, in a file that may have holes."""
    if file.allow == ():
        document.fault(("allow",), "an empty allowlist approves nothing: list what this deployment may reach")
    names: set[str] = set()
    for index, entry in _whole(file.allow):
        path: Path = ("allow", index)
        if entry.name in names and entry.name is not None:
            document.fault((*path, "name"), f"name {entry.name} is used twice")
        names.add(entry.name)
        if not any((*path, key) in document.keys for key in ("host", "cidr")):
            document.fault(path, f"entry {entry.name or index + 1} needs host or cidr", at_key=True)
        _check_names(document, (*path, "host"), entry.host)
        _check_networks(document, (*path, "cidr"), entry.cidr)
        _check_ports(document, (*path, "ports"), entry.ports)
        _check_selector(document, (*path, "for"), entry.for_)
    for index, inbound in _whole(file.inbound):
        _check_networks(document, ("inbound", index, "cidr"), inbound.cidr)
        _check_ports(document, ("inbound", index, "ports"), inbound.ports)
    _check_networks(document, ("networks", "internal"), file.networks.internal)
    _check_names(document, ("networks", "domains"), file.networks.domains, wildcard=False)
    _check_names(document, ("canaries", "names"), file.canaries.names, wildcard=False)
    for index, address in enumerate(many(file.canaries.addresses)):
        if (parsed := parse_address(address)) is None:
            document.fault(("canaries", "addresses", index), f"not an address: {address}")
        elif (scope := scope_of(parsed)) != "public":
            reason = f"{address} is {scope}: name a host of the internet that would answer if the gap were open"
            document.fault(("canaries", "addresses", index), reason)
    _check_release(document, file.release)
    _check_selector(document, ("scope", "subject"), file.scope.subject)
    if file.scope.others == "public-only" and file.scope.subject is None:
        document.fault(("scope", "others"), "public-only needs scope.subject: without it everything is an other")


def _whole(items: tuple[_P, ...] | None) -> Iterator[tuple[int, _P]]:
    """Count the parts of a list, leaving out the holes that faults left."""
    return ((index, item) for index, item in enumerate(items or ()) if item is not None)


def _each(path: Path, value: OneOrMany | None) -> Iterator[tuple[Path, str]]:
    """Give every text of a scalar or a list its place, leaving out the holes that faults left."""
    if isinstance(value, str):
        yield path, value
    else:
        yield from (((*path, index), text) for index, text in _whole(value))


def _check_release(document: Document, release: Release) -> None:
    listed: list[tuple[Path, OneOrMany | None]] = [
        (("release", key), getattr(release, key)) for key in ("images", "artifacts")
    ]
    listed += [(("release", "packages", name), digests) for name, digests in (release.packages or {}).items()]
    for path, digests in listed:
        for where, text in _each(path, digests):
            if not is_digest(text):
                document.fault(where, f"not a digest: {text} (write sha256: and 64 hexadecimal digits)")


def _check_selector(document: Document, path: Path, selector: Selector | None) -> None:
    if selector is None:
        return
    given = {name: many(getattr(selector, name)) for name in selector.__struct_fields__}
    if not any(given.values()):
        document.fault(path, "selects nobody: name a unit, container, image, pod, user or exe")


def _check_names(document: Document, path: Path, value: OneOrMany | None, *, wildcard: bool = True) -> None:
    if value == () and path[-1] == "host":
        document.fault(path, "an empty list matches nothing")
    for where, name in _each(path, value):
        bare = normal(name).removeprefix("*.") if wildcard else normal(name)
        if "*" in bare:
            document.fault(where, f"{name}: one leading '*.' is the only wildcard")
        elif looks_like_address(bare):
            document.fault(where, f"{name} is an address: write it under cidr")
        elif not is_host_name(bare):
            document.fault(where, f"not a host name: {name}")


_SHORTEST = {4: 8, 6: 16}


def _check_networks(document: Document, path: Path, value: OneOrMany | None) -> None:
    if value == () and path[-1] == "cidr":
        document.fault(path, "an empty list matches nothing")
    for where, text in _each(path, value):
        try:
            network = ip_network(text)
        except ValueError as error:
            host_bits = "host bits" in str(error)
            hint = f" (did you mean {ip_network(text, strict=False)}?)" if host_bits else ""
            document.fault(where, f"{text} has host bits set{hint}" if host_bits else f"not a network: {text}")
            continue
        shortest = _SHORTEST[network.version]
        if network.prefixlen < shortest and not may_be_short(network):
            document.fault(where, f"{text} is shorter than /{shortest}: that is no approval, it is the internet")


def _check_ports(document: Document, path: Path, ports: tuple[int | str, ...]) -> None:
    for index, port in enumerate(ports):
        if port is not None and port_range(port) is None:
            document.fault((*path, index), f"not a port or range of ports from 1 to 65535: {port}")
