"""One run as a whole: which tool looked at which host, as whom, when, under which policy, and what it saw."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

from airgap_check.evidence import Evidence
from airgap_check.evidence.fact import Fact, Instant, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

_R = TypeVar("_R", bound=Record)
Source = Literal["host", "capture", "bundle", "rehearsal"]  # what was looked at
OBSERVERS = frozenset({"attempts", "sockdiag", "traffic", "counters"})  # the collectors that need time to pass


class Tool(Fact, frozen=True, kw_only=True):
    """This program: ``sha256`` is over its own files and rules."""

    name: str
    version: str
    sha256: str


class Subject(Fact, frozen=True, kw_only=True):
    """The host that was looked at; ``scope`` is *namespace* when we could see only a container's share of it."""

    hostname: str
    machine_id_hash: str | None
    boot_id: str | None
    kernel: str
    scope: Literal["host", "namespace"]


class Run(Fact, frozen=True, kw_only=True):
    """Who ran it, with which rights."""

    uid: int
    login_uid: int | None
    sudo_user: str | None
    capabilities: tuple[str, ...]
    argv: tuple[str, ...]


class Clock(Fact, frozen=True, kw_only=True):
    """Whether the kernel considers its clock synchronised (None: it would not say), and who was asked."""

    synchronized: bool | None
    source: str


class PolicyReference(Fact, frozen=True, kw_only=True):
    """Which policy was in force: ``sha256`` is of the file's bytes, or of the derived policy's text."""

    path: str | None
    sha256: str
    derived: bool


class Trial(Fact, frozen=True, kw_only=True):
    """One marked attempt of our own: which failure it stood for, and whether an observer saw it, of the right process.

    ``seen`` is *skipped* where the kernel could not be made to fail in that way; ``note`` says why, or what went wrong.
    """

    mode: str
    observer: str
    seen: Literal["yes", "no", "skipped"]
    process: Literal["right", "wrong", "unknown", "not promised"] = "not promised"
    note: str = ""


class Inspection(Fact, frozen=True, kw_only=True):
    """Everything one run saw: the whole input of the engine, and the content of a recorded evidence file.

    ``filtered_by`` is the digest of the policy that the kernel filtered by; ``gaps`` are times inside the run in which
    nothing was observed; ``relaxed`` names the options that made the collection milder.
    """

    tool: Tool
    subject: Subject
    run: Run
    clock: Clock
    started: Instant
    finished: Instant
    policy: PolicyReference
    filtered_by: str | None = None
    claim: Literal["snapshot", "observed", "replayed"] = "snapshot"
    source: Source = "host"
    gaps: tuple[tuple[Instant, Instant], ...] = ()
    self_test: tuple[Trial, ...] = ()
    relaxed: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def observed(self) -> bool:
        """Tell whether anybody watched while time passed, be it in this run or in the one that is judged again."""
        return any(evidence.kind in OBSERVERS for evidence in self.evidence)

    def of(self, kind: str) -> Evidence:
        """Return the evidence of one collector; one that never ran is *unavailable*, not empty."""
        for evidence in self.evidence:
            if evidence.kind == kind:
                return evidence
        return Evidence(kind=kind, status="unavailable", reason="was not collected")

    def records(self, record_type: type[_R]) -> Iterator[_R]:
        """Iterate over the records of one type, from whichever collector."""
        return (record for evidence in self.evidence for record in evidence.of(record_type))
