"""Tells what a deployment needs to reach: what the policy names, in the protocol that settings and roles tell.

Only what the allowlist approves is on the list. What nobody can try without guessing (ranges, wildcards, whole
networks) is tried where a setting, an artifact or a row of the database names an endpoint in it, and left out with the
reason where none does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from airgap_check.domain import normal
from airgap_check.evidence import Setting
from airgap_check.evidence.asset import Reference
from airgap_check.policy import many, networks_of, port_range
from airgap_check.policy.allowlist import Allowlist
from airgap_check.policy.selector import selects
from airgap_check.probes.errand import Need, Omission

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date

    from airgap_check.evidence import Evidence
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.policy import Entry, Policy
    from airgap_check.probes.account import Protocol
    from airgap_check.probes.errand import Tls
    from airgap_check.probes.vantage_point import Owner, VantagePoint

_BY_SCHEME: dict[str, tuple[Protocol, Tls]] = {
    "postgres": ("postgresql", "opportunistic"), "postgresql": ("postgresql", "opportunistic"),
    "pg": ("postgresql", "opportunistic"), "mysql": ("mysql", "opportunistic"), "mariadb": ("mysql", "opportunistic"),
    "mongodb": ("mongodb", "opportunistic"), "redis": ("redis", "none"), "rediss": ("redis", "required"),
    "valkey": ("redis", "none"), "smtp": ("smtp", "opportunistic"), "smtps": ("smtp", "required"),
    "submission": ("smtp", "opportunistic"), "http": ("tcp", "none"), "https": ("tls", "required"),
}  # fmt: skip
_BY_PORT: dict[str, dict[int, Protocol]] = {
    "database": {5432: "postgresql", 3306: "mysql", 27017: "mongodb", 6379: "redis"},
    "cluster": {6379: "redis", 6380: "redis"},
}
_WEB: dict[int, Tls] = {80: "none", 8080: "none", 443: "required", 8443: "required", 9443: "required"}
_WEB_ROLES: dict[str, Protocol] = {"idp": "oidc", "object-storage": "s3"}
_SOURCES = frozenset({"environment", "artifact", "state", "database"})
_DATAGRAM_ROLES = frozenset({"ntp", "dhcp", "syslog"})
_DATAGRAMS = "is not TCP, where no answer proves nothing"
_TLS_BY_PARAMETER = frozenset({"postgresql", "mysql", "mongodb"})
_INSISTING = ("sslmode=require", "sslmode=verify", "ssl-mode=required", "ssl-mode=verify", "tls=true", "ssl=true")
_DIALERS = frozenset({"server-boot", "server-event"})


class Needs(NamedTuple):
    """What to try from one point of view and for whom, in the order of the policy; and what is left out."""

    needs: tuple[tuple[Need, Owner | None], ...]
    omissions: tuple[Omission, ...]


class _Wanted(NamedTuple):
    """An endpoint that something configured names, and how it is spoken to."""

    end: Endpoint
    role: str
    scheme: str
    detail: str
    secure: bool
    saml: bool


def of(policy: Policy, evidence: Iterable[Evidence], point: VantagePoint, today: date) -> Needs:
    """List what is needed at a point of view."""
    allowlist = Allowlist(policy, (), today)
    configured = list(_configured(evidence, allowlist))
    needs: dict[tuple[str, int], tuple[Need, Owner | None]] = {}
    omissions: dict[Omission, None] = {}
    expired = allowlist.expired()
    for entry in policy.file.allow:
        if entry.name in expired:
            continue
        chosen, owner = _chosen(entry, point)
        if not chosen:
            omissions[Omission(f'entry "{entry.name}"', f"is not for {point.who}")] = None
            continue
        if reason := _untriable(entry):
            omissions[Omission(f'entry "{entry.name}"', reason)] = None
            continue
        named = [wanted for by, wanted in configured if by == entry.name]
        for need in (*_of_configured(entry, named), *_of_entry(entry)):
            needs.setdefault((need.host, need.port), (need, owner))
        covered = {(normal(one.end.name or one.end.address or ""), one.end.port) for one in named}
        omissions.update(dict.fromkeys(_left_out(entry, covered)))
    return Needs(tuple(needs.values()), tuple(omissions))


def _chosen(entry: Entry, point: VantagePoint) -> tuple[bool, Owner | None]:
    """Tell whether an entry is for somebody at a point of view, and for whom; where nobody lives it is tried too."""
    if not point.owners:
        return True, None
    for owner in point.owners:
        user = owner.process.user
        if entry.for_ is None or selects(entry.for_, owner.process, owner.workload, user) != "no":
            return True, owner
    return False, None


def _untriable(entry: Entry) -> str:
    """Say why nothing of an entry is tried; empty where something is."""
    if entry.role == "dns":
        return "is asked for names, which is what the resolution evidence shows"
    spoken_in_datagrams = entry.protocol == "any" and entry.role in _DATAGRAM_ROLES
    return _DATAGRAMS if entry.protocol in {"udp", "icmp"} or spoken_in_datagrams else ""


def _configured(evidence: Iterable[Evidence], allowlist: Allowlist) -> Iterator[tuple[str, _Wanted]]:
    """Yield what settings and assets name and an entry approves, with the entry's name."""
    for item in evidence:
        if item.kind not in _SOURCES:
            continue
        settings = [setting for setting in item.of(Setting) if setting.seen == "environment"]
        buckets = {setting.place.pid: setting.value for setting in settings if setting.name.endswith("_S3_BUCKET")}
        for setting in settings:
            for end in setting.endpoints:
                decision = allowlist.endpoint(setting, end)
                if decision.allowed == "yes" and decision.by:
                    wanted = _wanted(end, setting.role, setting.value)
                    bucket = buckets.get(setting.place.pid, "") if setting.role == "object-storage" else ""
                    yield decision.by, wanted._replace(detail=wanted.detail or bucket)
        for reference in item.of(Reference):
            end_named = reference.endpoint
            if end_named is None or reference.dialer not in _DIALERS:
                continue
            decision = allowlist.endpoint(reference, end_named)
            if decision.allowed == "yes" and decision.by:
                yield decision.by, _wanted(end_named, reference.role, reference.text, reference.pointer)


def _wanted(end: Endpoint, role: str | None, text: str, pointer: str = "") -> _Wanted:
    scheme, path = _url(text, end)
    secure = any(word in text.lower() for word in _INSISTING)
    return _Wanted(end, role or "", scheme, path, secure, "saml" in pointer.lower())


def _url(text: str, end: Endpoint) -> tuple[str, str]:
    """Return the scheme of a setting, and the path where it is the URL of this very endpoint."""
    scheme, found, _ = text.strip().strip("\"'").partition("://")
    if not found:
        return "", ""
    scheme = scheme.lower().rpartition(":")[2].partition("+")[0]  # jdbc:postgresql, mongodb+srv
    try:
        parts = urlsplit(text.strip().strip("\"'"))
        ours = normal(parts.hostname or "") == normal(end.name or end.address or "")
    except ValueError:
        return scheme, ""
    return scheme, parts.path.rstrip("/") if ours else ""


def _of_configured(entry: Entry, named: Iterable[_Wanted]) -> Iterator[Need]:
    single = [low for low, high in map(_span, entry.ports) if low == high]
    for one in named:
        port = one.end.port or (single[0] if len(single) == 1 else None)
        host = one.end.name or one.end.address
        if port is None or host is None:
            continue
        protocol, tls = _spoken(one.role if one.role == entry.role or not one.role else entry.role, port, one.scheme)
        if one.secure and protocol in _TLS_BY_PARAMETER:
            tls = "required"
        if one.saml and protocol == "oidc":  # a login page is not to be asked: only its metadata, where that is named
            protocol = "saml" if "metadata" in one.detail.lower() else "tls" if tls == "required" else "tcp"
        yield _need(entry, host, port, (protocol, tls), _detail(protocol, one.detail))


def _detail(protocol: Protocol, path: str) -> str:
    """Return what the conversation needs besides host and port: a path, or the bucket, its first part."""
    if protocol in {"oidc", "saml"}:
        return path
    return path.lstrip("/").partition("/")[0] if protocol == "s3" else ""


def _of_entry(entry: Entry) -> Iterator[Need]:
    """Yield what an entry names without leaving anything open: each host and address at each single port."""
    hosts = [normal(host) for host in many(entry.host) if not host.startswith("*.")]
    hosts += [str(network.network_address) for network in networks_of(entry) if network.num_addresses == 1]
    for host in hosts:
        for low, high in map(_span, entry.ports):
            if low == high:
                yield _need(entry, host, low, _spoken(entry.role, low, ""))


def _need(entry: Entry, host: str, port: int, spoken: tuple[Protocol, Tls], detail: str = "") -> Need:
    return Need(normal(host), port, *spoken, detail, entry.role, entry.name, public=entry.public)


def _span(port: int | str) -> tuple[int, int]:
    return port_range(port) or (0, 1)


def _spoken(role: str, port: int, scheme: str) -> tuple[Protocol, Tls]:
    """Choose protocol and TLS: by the role where HTTP can mean several things, by scheme, by port; else plain TCP."""
    known = _BY_SCHEME.get(scheme)
    tls = known[1] if scheme in {"http", "https"} and known else None if scheme else _WEB.get(port)
    if tls and role in _WEB_ROLES:
        return _WEB_ROLES[role], tls
    if known:
        return known
    if role == "smtp":
        return "smtp", "opportunistic"
    return _BY_PORT.get(role, {}).get(port, "tcp"), "opportunistic"


def _left_out(entry: Entry, covered: set[tuple[str, int | None]]) -> Iterator[Omission]:
    """Say what of an entry cannot be tried without guessing, where nothing configured names an endpoint in it."""
    if covered:
        return
    spans = [_span(port) for port in entry.ports]
    if not spans:
        yield Omission(f'entry "{entry.name}"', "names no port, and no setting names an endpoint in it")
        return
    for low, high in spans:
        if low != high:
            yield Omission(f'entry "{entry.name}" ports {low}-{high}', "is a range, and no setting names a port in it")
    wide = [host for host in many(entry.host) if host.startswith("*.")]
    wide += [str(network) for network in networks_of(entry) if network.num_addresses > 1]
    for text in wide:
        yield Omission(f'entry "{entry.name}" {text}', "holds many, and no setting names one of them")
