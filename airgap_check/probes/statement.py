"""States what came of errands as records: the probe, what the other side named, and what had to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.evidence.asset import Check, Probe, Reference
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.evidence import AnyRecord
    from airgap_check.probes.account import Told
    from airgap_check.probes.dial import Dialled
    from airgap_check.probes.errand import Errand

# What a runtime that does not answer leaves open.
_POSTURE = ("control-plane-mounted", "login-path")
_DIRECTORIES = frozenset({88, 389, 636, 3268, 3269})  # Kerberos and LDAP: these send nobody anywhere by a document


class Done(NamedTuple):
    """What became of one errand; ``milliseconds`` is None where nothing was reached."""

    errand: Errand
    dialled: Dialled
    told: Told | None = None
    milliseconds: float | None = None


def unreached(errand: Errand) -> Probe:
    """State an errand that was not done."""
    unresolved = errand.verdict == "unresolved"
    return _probe(errand, outcome="unresolved" if unresolved else "skipped", stage="name", detail=errand.note)


def records(done: Done) -> Iterator[AnyRecord]:
    """Yield all that an errand has shown."""
    errand, told = done.errand, done.told
    if told is None:
        if done.dialled.fate == "connected":
            yield _probe(errand, outcome="reached", stage="connect", detail="the connection was accepted")
        else:
            yield _probe(errand, outcome=done.dialled.fate, stage="connect", detail=_said(errand, done.dialled.detail))
    else:
        yield _probe(
            errand, outcome=told.outcome, stage=told.stage, detail=_said(errand, told.detail), tls=told.tls,
            expires=told.expires, latency_ms=done.milliseconds if told.outcome == "reached" else None,
        )  # fmt: skip
        yield from _named(errand, told)
    yield from _checks(errand, told)


def shared(errand: Errand, first: Errand, result: Done | None) -> Probe:
    """State an errand to a place that was tried under another name: what holds for one holds for both."""
    if result is None:
        return unreached(errand._replace(verdict="skipped", note=f"{first.need.place}, the same place, was not tried"))
    told, fate = result.told, result.dialled.fate
    outcome = told.outcome if told else "reached" if fate == "connected" else fate
    note = f"tried as {first.need.place}, which has the same address"
    said = told.detail if told else result.dialled.detail
    return _probe(
        errand, outcome=outcome, stage=told.stage if told else "connect", detail="; ".join(filter(None, (note, said)))
    )  # fmt: skip


def _named(errand: Errand, told: Told) -> Iterator[AnyRecord]:
    for named in told.named:
        yield Reference(
            path=errand.need.place, pointer=named.pointer, text=named.text, role=named.role, dialer=named.dialer,
            endpoint=named.endpoint, seen="probes", **_who(errand),
        )  # fmt: skip


def _checks(errand: Errand, told: Told | None) -> Iterator[AnyRecord]:
    for check in told.checks if told else ():
        yield Check(
            aspect=check.aspect, subject=errand.need.place, outcome=check.outcome, detail=check.detail,
            pointer=check.pointer, seen="probes", **_who(errand),
        )  # fmt: skip
    if told and told.outcome == "reached" and _is_undiscovered(errand, told):
        yield Check(
            aspect="idp-discovery", subject=errand.need.place, outcome="failed",
            detail=f"it was reached by {errand.need.protocol} alone: nothing tells how its document is asked for",
            seen="probes", **_who(errand),
        )  # fmt: skip
    if errand.need.purpose == "posture" and (told is None or told.outcome != "reached"):
        for aspect in _POSTURE:
            yield Check(
                aspect=aspect, subject=errand.need.place, outcome="unknown", detail="the runtime did not answer",
                seen="probes", **_who(errand),
            )  # fmt: skip


def _is_undiscovered(errand: Errand, told: Told) -> bool:
    """Tell whether an identity provider was reached, and nobody looked at what it names."""
    need = errand.need
    looked = any(check.aspect == "idp-discovery" for check in told.checks)
    return need.purpose == "needed" and need.role == "idp" and need.port not in _DIRECTORIES and not looked


def unjudged(done: Done) -> Iterator[str]:
    """Yield what was said and not judged: destinations beyond the limit."""
    for check in done.told.checks if done.told else ():
        if check.aspect == "idp-discovery" and check.outcome == "unknown":
            yield f"{done.errand.need.place}: {check.detail}"


def settled(stated: Iterable[AnyRecord]) -> Iterator[AnyRecord]:
    """Yield the records; where one door of a runtime told how it stands, another that did not leaves nothing open."""
    everything = tuple(stated)
    told = {(one.aspect, one.process) for one in everything if isinstance(one, Check) and one.outcome != "unknown"}
    for one in everything:
        open_ = isinstance(one, Check) and one.aspect in _POSTURE and one.outcome == "unknown"
        if not (open_ and isinstance(one, Check) and (one.aspect, one.process) in told):
            yield one


def _said(errand: Errand, detail: str) -> str:
    return "; ".join(filter(None, (errand.note, detail)))


def _who(errand: Errand) -> dict[str, Any]:
    owner = errand.owner
    return {"process": owner.process, "workload": owner.workload} if owner else {}


def _probe(errand: Errand, **facts: Any) -> Probe:
    need = errand.need
    return Probe(
        purpose=need.purpose, protocol=need.protocol, role=need.role, entry=need.entry, remote=_remote(errand),
        netns=errand.point.inode, **_who(errand), **facts,
    )  # fmt: skip


def _remote(errand: Errand) -> Endpoint:
    need = errand.need
    name = None if errand.address is not None and str(errand.address) == need.host else printable(need.host)
    if errand.address is None:
        return Endpoint(name=printable(need.host), port=need.port)
    return endpoint(errand.address, need.port, name=name)
