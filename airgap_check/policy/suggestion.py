"""Drafts a policy of what a rehearsed command reached for, each entry with what motivates it, for a person to cut down.

What is public is not approved by it: the word that would approve it stands there as a comment.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple, get_args

from airgap_check.address import PUBLIC, parse
from airgap_check.policy import Role, is_host_name, looks_like_address
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence.fact import Endpoint
    from airgap_check.evidence.rehearsed import Spoken
    from airgap_check.finding import Reached, Report
    from airgap_check.policy import Policy

_ROLES: Final[dict[Spoken, Role]] = {
    "postgresql": "database", "mysql": "database", "mongodb": "database", "redis": "cluster", "smtp": "smtp",
    "ldap": "directory", "ntp": "ntp", "syslog": "syslog", "dns": "dns", "ssh": "management",
}  # fmt: skip
_PORTS: Final[dict[int, Role]] = {
    25: "smtp", 53: "dns", 88: "directory", 123: "ntp", 389: "directory", 465: "smtp", 514: "syslog", 587: "smtp",
    636: "directory", 853: "dns", 1433: "database", 1521: "database", 3306: "database", 5432: "database",
    6379: "cluster", 6514: "syslog", 27017: "database",
}  # fmt: skip
_FEW = 4  # of each thing that a comment lists
_WIDTH = 160  # characters of a comment
_SPARE = """\
  # Nothing was reached for that an entry could be for. The runtime needs none of this one, which leads nowhere:
  - name: nothing
    role: other
    cidr: 192.0.2.0/32
    ports: [9]"""


class _Group(NamedTuple):
    """What one entry is for: a host, and the protocol that was spoken with it."""

    host: str
    protocol: str
    members: list[Reached]

    @property
    def public(self) -> bool:
        return any(one.remote.scope in PUBLIC for one in self.members)

    @property
    def is_draft(self) -> bool:
        """Tell whether a person has to complete it, or an entry would approve more than what was seen."""
        return self.protocol in {"dns", "raw"} or all(one.seen == "browser" for one in self.members)


def suggest(report: Report, policy: Policy) -> str:
    """Write a policy as YAML that `policy.file.load` accepts.

    Which networks are the owner's, and whether there is to be a runtime, is taken over from ``policy``.
    """
    groups = _groups(report.reached or ())
    ready = [group for group in groups if not group.is_draft]
    lines = [
        "# Drafted by airgap-check rehearse from what one command reached for in a sealed world. It approves nothing",
        "# that is public. Take out what is not needed, name an owner for what stays, and have it approved.",
        "version: 1",
        "# approved: {by: your name, on: 2026-01-31}",
        "allow:",
    ]
    names: set[str] = set()
    for group in ready:
        lines += _entry(group, report.started, names)
    if not ready:
        lines += _SPARE.splitlines()
    for group in groups:
        if group.is_draft:
            lines += _draft(group, report.started, names)
    lines += _networks(policy)
    lines += ["# inbound: []   # who may connect to what listens here; absent means not judged"]
    expected = json.dumps(policy.file.runtime.expected)
    return "\n".join([*lines, f"runtime: {{cloud_url: {_cloud_url(report)}, expected: {expected}}}", ""])


def _groups(reached: Sequence[Reached]) -> list[_Group]:
    """Group destinations by host and protocol; one that no entry can be for has none."""
    groups: dict[tuple[str, str, bool], _Group] = {}
    for one in reached:
        host = one.remote.name or one.remote.address
        if not host or not _can_be_named(one.remote):
            continue
        key = (host, one.protocol, one.seen == "browser")
        groups.setdefault(key, _Group(host, one.protocol, [])).members.append(one)
    served = {group.host for group in groups.values() if not group.is_draft}
    return [group for group in groups.values() if not (group.is_draft and group.host in served)]


def _can_be_named(remote: Endpoint) -> bool:
    """Tell whether an entry can be for it: a name that a policy takes, or an address."""
    if remote.name:
        return is_host_name(remote.name) and not looks_like_address(remote.name)
    return parse(remote.address or "") is not None


def _entry(group: _Group, started: datetime, names: set[str]) -> Iterator[str]:
    ports = sorted({one.remote.port for one in group.members if one.remote.port})
    yield from _motives(group, started)
    role = _role(group)
    yield f"  - name: {_quoted(_unique(f'{role} {group.host}', names))}"
    yield f"    role: {role}"
    is_name = bool(group.members[0].remote.name)
    yield f"    host: {_quoted(group.host)}" if is_name else f"    cidr: {_quoted(_single(group.host))}"
    if ports:
        yield f"    ports: [{', '.join(map(str, ports))}]"
    if group.protocol in {"udp", "icmp"}:
        yield f"    protocol: {group.protocol}"
    if group.public:
        yield "    # public: true   # WARNING: this leaves the site; without this line the entry approves nothing there"
    yield "    # owner: ..."


def _draft(group: _Group, started: datetime, names: set[str]) -> Iterator[str]:
    """Write an entry that stands as a comment, with why."""
    if group.protocol == "dns":
        yield "  # Asked for by name and never dialled: nobody knows the port. Complete it, or leave it out."
    elif group.protocol == "raw":
        yield "  # By a raw socket, which only an entry approves that says for whom. Complete it, or leave it out."
    else:
        yield "  # Only a browser fetches from here; an entry would approve it for the server too."
    yield from _motives(group, started)
    for line in _entry(group, started, names):
        if not line.startswith("  #"):
            yield f"  # {line[2:]}"
    if group.protocol == "dns":
        yield "  #   ports: [443]"
    elif group.protocol == "raw":
        yield "  #   protocol: any"
        yield "  #   for: {unit: ...}"


def _motives(group: _Group, started: datetime) -> Iterator[str]:
    """Say as comments what was seen: who, how often, since when, during what, and what had led there."""
    members = group.members
    count = sum(one.count for one in members)
    who = _listed([name for one in members for name in one.who]) or "unknown process"
    spoken = _listed([word for one in members for word in one.spoken])
    firsts = [one.first for one in members if one.first]
    since = f", first {max(0.0, (min(firsts) - started).total_seconds()):.1f} s after the start" if firsts else ""
    yield _comment(f"{who}: {count:,} {'time' if count == 1 else 'times'}{since}; spoken: {spoken}")
    triggers = [occasion.trigger or "no request" for one in members for occasion in one.occasions]
    if triggers:
        yield _comment(f"on {_listed(triggers)}")
    yield _comment(f"predicted by {_listed([by for one in members for by in one.predicted]) or 'nothing'}")


def _role(group: _Group) -> Role:
    """Guess what a destination is for: by what was spoken, by what leads there, or by its port."""
    for one in group.members:
        for spoken in one.spoken:
            if spoken in _ROLES and one.protocol != "dns":  # that a name was asked for says nothing of its purpose
                return _ROLES[spoken]
    for one in group.members:
        known: Role | None = next((role for role in get_args(Role) if role == one.role), None)
        if known or one.remote.port in _PORTS:
            return known or _PORTS[one.remote.port or 0]
    return "other"


def _networks(policy: Policy) -> Iterator[str]:
    """Take over which networks and names are the site's own: whether a name is public hangs on it."""
    own = policy.file.networks
    if not own.internal and not own.domains:
        yield "# networks: {internal: [], domains: []}   # your own prefixes and name suffixes, which are not public"
        return
    internal, domains = (", ".join(map(_quoted, part)) for part in (own.internal, own.domains))
    yield f"networks: {{internal: [{internal}], domains: [{domains}]}}"


def _cloud_url(report: Report) -> str:
    """Demand the word where absence means the public control plane, or somebody switched it off by word."""
    runtimes = report.subject.runtimes
    by_word = any(one.unset_means == "public" or one.cloud_url == "disabled" for one in runtimes)
    return "must-be-off" if by_word else "must-be-unset"


def _single(address: str) -> str:
    bare = address.partition("%")[0]  # a zone is of one host alone
    return f"{bare}/{ip_address(bare).max_prefixlen}"


def _unique(name: str, names: set[str]) -> str:
    """Tell entries of one name apart, which a policy may not have twice."""
    number, tried = 1, name
    while tried in names:
        number += 1
        tried = f"{name} {number}"
    names.add(tried)
    return tried


def _listed(items: Sequence[str]) -> str:
    found = list(dict.fromkeys(items))
    more = f" and {len(found) - _FEW} more" if len(found) > _FEW else ""
    return ", ".join(found[:_FEW]) + more


def _comment(text: str) -> str:
    shown = printable(text)
    return f"  # {shown if len(shown) <= _WIDTH else shown[: _WIDTH - 1] + '…'}"


def _quoted(text: str) -> str:
    """Quote text as a YAML double-quoted scalar, which JSON's strings are."""
    return json.dumps(text)
