"""Knows what a kind of view rests on: which collectors state it, and which of them must have seen everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.view import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence import Coverage
    from airgap_check.evidence.inspection import Source


class Basis(NamedTuple):
    """Whether a rule can be judged, and whether it may pass; ``reason`` says why not.

    *blind*: nothing was seen that it could judge. *partial*: what was seen can fail it, but it may not pass.
    """

    sight: Literal["complete", "partial", "blind", "not applicable"]
    reason: str = ""


_CONFIGURED = ("environment", "artifact", "state", "database")  # what leads somewhere before it is seen to
# Beside the collector that KINDS names, these state the kind as well ...
_ALSO: dict[str, tuple[str, ...]] = {
    "connection": ("attempts", "sockdiag", "traffic"),
    "peer": ("attempts", "sockdiag", "traffic"),
    "encrypted-dns": ("attempts", "sockdiag", "traffic"),
    "resolved": ("traffic",),
    "answer": ("traffic",),
    "setting": ("deployment",),
    "endpoint": ("deployment",),
    "contradiction": _CONFIGURED,
}
# ... and of those, what took part in the run must have seen everything before a rule passes.
_STRICT: dict[str, frozenset[str]] = {
    "connection": frozenset({"attempts"}),
    "peer": frozenset({"attempts"}),
    "encrypted-dns": frozenset({"attempts", "traffic"}),
    "setting": frozenset({"deployment"}),
    "endpoint": frozenset({"deployment"}),
    "contradiction": frozenset(_CONFIGURED),
}
# Collectors that not every run has.
_OPTIONAL = {
    "traffic": "names on the wire were not observed; use --observe",
    "counters": "the kernel's counters were not watched; use --observe",
    "database": "rows of the business database were not examined; use --database",
    "deployment": "no deployment files were given; use --deployment PATH",
    "probes": "nothing was probed; that is what airgap-check preflight does",
    "bundle": "no bundle was examined; that is what airgap-check bundle DIR does",
    "artifact": "artifacts were not examined",
    "state": "what the runtimes keep was not examined",
    "upgrade": "nothing was compared with what ran before",
    "continuity": "earlier runs are not remembered; use --state DIR",
    "world": "nothing was rehearsed; that is what airgap-check rehearse does",
    "drive": "nothing was driven; that is what airgap-check rehearse --drive does",
}
# Kinds of view that mean nothing of a command in a sealed world, by what they are about.
_NOT_REHEARSED = {
    "deployment": "a rehearsal runs the command that it was given, whatever that is",
    "upgrade-check": "a rehearsal is no host that was upgraded",
    "interruption": "a rehearsal is one run by itself",
    "probe": "a rehearsal probes nothing: the world that it meets is made up",
    "probe-check": "a rehearsal probes nothing: the world that it meets is made up",
    "probe-endpoint": "a rehearsal probes nothing: the world that it meets is made up",
}
_CAPTURED = frozenset({"connection", "question", "request", "mention", "encrypted-dns", "resolved", "answer"})
_BUNDLED = frozenset({"bundle-check", "bundle-endpoint"})
_NOT_CAPTURED = {
    "environment": "environments, settings and runtimes",
    "sockets": "who connected to this host",
    "listeners": "who listens",
    "resolution": "which name servers a host is told to use",
    "counters": "the counters of a kernel",
    "policy": "how the policy is kept, and whether a host needs all of it",
}


def basis(kind: str, coverage: Sequence[Coverage], source: Source) -> Basis:
    """Say what the views of a kind rest on in this run."""
    base = KINDS[kind][1]
    also = _ALSO.get(kind, ())
    if source == "bundle" and kind not in _BUNDLED:
        return Basis("not applicable", "a bundle is judged as it lies there, not as it runs")
    if source == "capture":
        if kind not in _CAPTURED:
            return Basis("not applicable", f"a capture does not show {_NOT_CAPTURED.get(base, 'what is installed')}")
        base, also = "capture", ()
    if source == "rehearsal" and kind in _NOT_REHEARSED:
        return Basis("not applicable", _NOT_REHEARSED[kind])
    took_part = {item.collector: item for item in coverage}
    owed = source == "rehearsal" and base == "world"
    if base not in took_part and base in _OPTIONAL and not owed:
        return Basis("not applicable", _OPTIONAL[base])
    required = (base, *(name for name in also if name in took_part and name in _STRICT.get(kind, ())))
    reason = next((doubt for name in required if (doubt := _doubt(name, took_part.get(name)))), "")
    if not reason:
        return Basis("complete")
    seeing = [name for name in (base, *also) if name in took_part and took_part[name].status != "unavailable"]
    return Basis("partial" if seeing else "blind", reason)


def _doubt(name: str, item: Coverage | None) -> str:
    """Say why a collector leaves doubts, if it does."""
    if item is None:
        return f"no {name} evidence: was not collected"
    if item.status == "unavailable":
        return f"no {name} evidence: {item.reason}"
    return f"{name} evidence is partial: {item.reason}" if item.status == "partial" else ""
