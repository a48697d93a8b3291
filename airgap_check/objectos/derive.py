"""A policy derived from what this host's ObjectOS is configured to use: a proposal, which nobody has approved.

It never holds a public address, a proxy or a control plane, and it may be empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from msgspec.structs import replace

from airgap_check.evidence.asset import Check
from airgap_check.objectos.settings import variable
from airgap_check.policy import Entry, Policy, PolicyFile, Role, is_host_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.evidence import Evidence, Resolver, Setting
    from airgap_check.evidence.fact import Endpoint

# What a runtime needs by its purpose; a proxy, a control plane or an AI service is for a person to approve.
_DERIVED: frozenset[str] = frozenset(
    {"database", "smtp", "object-storage", "webhook", "idp", "cluster", "monitoring"}
) & frozenset(get_args(Role))
_APPROVABLE = frozenset({"private", "shared", "link-local"})


def derive(settings: Iterable[Setting], resolvers: Iterable[Resolver] = ()) -> Policy:
    """Propose an entry for each internal endpoint that a setting names, and for each internal name server."""
    entries: dict[str, Entry] = {}
    sources: dict[str, str] = {}
    for setting in settings:
        role = next((known for known in get_args(Role) if known == setting.role), None)
        if role is None or role not in _DERIVED or _is_word(setting.name):
            continue
        for end in setting.endpoints:
            entry = _entry(role, end)
            if entry and entry.name not in entries:
                entries[entry.name] = entry
                sources[entry.name] = setting.name
    for resolver in resolvers:
        if resolver.address and resolver.scope in _APPROVABLE:
            entry = Entry(
                name=f"dns {resolver.address}",
                role="dns",
                cidr=_single(resolver.address),
                ports=(53,),
                protocol="any",
            )
            entries.setdefault(entry.name, entry)
            sources.setdefault(entry.name, resolver.source)
    return Policy(PolicyFile(version=1, allow=tuple(entries.values())), sources=sources)


def _is_word(name: str) -> bool:
    """Tell whether a setting only implies where it leads: to somebody's public service."""
    known = variable(name)
    return known is not None and known.form == "word"


def for_bundle(examined: Evidence) -> Policy:
    """Return the policy that a bundle is judged by when its owner gave none: nothing is approved.

    Nobody said whether `OS_CLOUD_URL` has to be unset or off, so it is what the runtime in the bundle needs.
    """
    policy = derive([])
    outcomes = {one.aspect: one.outcome for one in examined.of(Check)}
    offline = outcomes.get("unset-is-offline")
    word = offline == "unknown" and outcomes.get("template-cloud-url-off") == "unknown"
    if offline == "failed" or word:
        terms = replace(policy.file.runtime, cloud_url="must-be-off")
        return Policy(replace(policy.file, runtime=terms))
    return policy


def _entry(role: Role, end: Endpoint) -> Entry | None:
    ports = (end.port,) if end.port else ()
    if end.address:
        if end.scope not in _APPROVABLE:
            return None
        name = f"{role} {_joined(end.address, end.port)}"
        return Entry(name=name, role=role, cidr=_single(end.address), ports=ports)
    if end.name and is_host_name(end.name) and end.scope != "loopback":
        return Entry(name=f"{role} {_joined(end.name, end.port)}", role=role, host=end.name, ports=ports)
    return None


def _single(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _joined(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown
