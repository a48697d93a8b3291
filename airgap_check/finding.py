"""What an audit concludes: severities, outcomes, findings, results and the report, as they stand in the JSON.

The field names are a contract (``schema: airgap-check/report/1``); the JSON Schema is generated from these types.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, Literal

from airgap_check.evidence import Allowed, AnyRecord, Coverage, Runtime
from airgap_check.evidence.fact import Endpoint, Fact, Instant
from airgap_check.evidence.inspection import Clock, Run, Subject, Tool, Trial
from airgap_check.evidence.rehearsed import Spoken

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
Outcome = Literal["pass", "fail", "unknown", "not_applicable"]
Verdict = Literal["compliant", "not_compliant", "inconclusive"]
Claim = Literal["snapshot", "observed", "replayed"]

DEFAULT_FAIL_ON: Severity = "high"
SCHEMA: Final = "airgap-check/report/1"
BASELINE: Final = "baseline of "  # how `Finding.waived_by` begins where an earlier report excuses it


class ExitCode(IntEnum):
    """The process's exit codes, the same for every command."""

    COMPLIANT = 0
    NOT_COMPLIANT = 1
    USAGE = 2
    INTERNAL = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130


def at_least(severity: Severity, threshold: Severity) -> bool:
    """Tell whether a severity reaches a threshold."""
    return SEVERITIES.index(severity) >= SEVERITIES.index(threshold)


class Reason(Fact, frozen=True, kw_only=True):
    """One leaf of a rule that held: the field, the value it had, the test it met."""

    field: str
    value: Any
    test: str


class Finding(Fact, frozen=True, kw_only=True):
    """One violation. ``count`` says how often; ``fingerprint`` is the same tomorrow; ``waived_by`` names the waiver."""

    subject: str
    message: str
    because: tuple[Reason, ...]
    record: dict[str, Any]
    count: int
    fingerprint: str
    waived_by: str | None = None

    @property
    def is_baselined(self) -> bool:
        """Tell whether an earlier report excuses it, and not a waiver of the policy."""
        return (self.waived_by or "").startswith(BASELINE)


class RuleResult(Fact, frozen=True, kw_only=True):
    """Exactly one a rule. ``reason`` says why it is unknown or not applicable, or what remained undecided."""

    rule: str
    title: str
    severity: Severity
    outcome: Outcome
    reason: str
    controls: dict[str, tuple[str, ...]]
    rationale: str
    remediation: str
    findings: tuple[Finding, ...]


class JudgedConnection(Fact, frozen=True, kw_only=True):
    """A connection and what the allowlist says of it: ``by`` names the entry, or says why nothing can."""

    record: AnyRecord
    allowed: Allowed
    by: str | None


class Occasion(Fact, frozen=True, kw_only=True):
    """What was under way when a destination was reached for, None for nothing, and how often it was reached then."""

    trigger: str | None
    count: int


class Reached(Fact, frozen=True, kw_only=True):
    """A destination that a rehearsed command reached for: a name, or an address without one, with protocol and port.

    A name that was only asked for has the protocol *dns* and no port. ``addresses`` of a name are those that the
    rehearsal made up for it. ``who`` are names of processes; ``spoken``, ``requests``, ``openings`` and ``ended`` are
    what differs, the first few of each. ``predicted`` says which settings and files lead there, ``role`` what for.
    ``first`` and ``last`` are when. What a page wants a *browser* to fetch was seen by that one.
    """

    remote: Endpoint
    protocol: Literal["tcp", "udp", "icmp", "raw", "dns"]
    addresses: tuple[str, ...] = ()
    allowed: Allowed
    by: str | None = None
    who: tuple[str, ...] = ()
    occasions: tuple[Occasion, ...] = ()
    count: int = 1
    spoken: tuple[Spoken, ...] = ()
    encrypted: bool = False
    requests: tuple[str, ...] = ()
    openings: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    sent: int = 0
    received: int = 0
    predicted: tuple[str, ...] = ()
    role: str | None = None
    first: Instant | None = None
    last: Instant | None = None
    seen: Literal["world", "browser"] = "world"


class Unseen(Fact, frozen=True, kw_only=True):
    """A destination that settings or files lead to, which a rehearsed command never reached for."""

    remote: Endpoint
    predicted: tuple[str, ...]


class ReportSubject(Subject, frozen=True, kw_only=True):
    """The host, with the runtimes found on it."""

    runtimes: tuple[Runtime, ...]


class Window(Fact, frozen=True, kw_only=True):
    """The time that the evidence covers; ``gaps`` are intervals inside it in which nothing was seen."""

    start: Instant
    end: Instant
    gaps: tuple[tuple[Instant, Instant], ...] = ()


class ReportedEntry(Fact, frozen=True, kw_only=True, rename={"from_": "from"}):
    """An entry of the policy in force and where it comes from: the policy file, or the variable it was derived from."""

    name: str
    role: str
    from_: str


class ReportedPolicy(Fact, frozen=True, kw_only=True):
    """The policy in force."""

    path: str | None
    sha256: str
    derived: bool
    entries: tuple[ReportedEntry, ...]
    approved: dict[str, str] | None = None


class Limitation(Fact, frozen=True, kw_only=True):
    """Something this kind of run can never show."""

    id: str
    text: str


class Known(Fact, frozen=True, kw_only=True):
    """A finding in a line, as earlier runs are remembered: ``fingerprint`` tells it from others of its rule."""

    rule: str
    severity: Severity
    subject: str
    message: str
    fingerprint: str


def in_a_line(result: RuleResult, finding: Finding) -> Known:
    """Keep of a finding what tells it from others, and what a person wants to read."""
    return Known(
        rule=result.rule,
        severity=result.severity,
        subject=finding.subject,
        message=finding.message,
        fingerprint=finding.fingerprint,
    )


class ReportedBaseline(Fact, frozen=True, kw_only=True):
    """The earlier report whose findings do not fail this run, how many of them were met again, and what vanished.

    What vanished was judged again and not found; what could not be judged this time is not among it.
    """

    path: str
    sha256: str
    hostname: str
    finished: Instant
    known: int
    vanished: tuple[Known, ...]


class Report(Fact, frozen=True, kw_only=True):
    """The whole conclusion of one run."""

    schema: Literal["airgap-check/report/1"] = SCHEMA
    tool: Tool
    subject: ReportSubject
    run: Run
    clock: Clock
    started: Instant
    finished: Instant
    claim: Claim
    window: Window
    policy: ReportedPolicy
    rules_sha256: str
    relaxed_by: tuple[str, ...]
    limitations: tuple[Limitation, ...]
    verdict: Verdict
    exit_code: int
    reasons: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    self_test: tuple[Trial, ...]
    results: tuple[RuleResult, ...]
    connections: tuple[JudgedConnection, ...]
    baseline: ReportedBaseline | None = None
    reached: tuple[Reached, ...] | None = None  # None where nothing was rehearsed
    predicted_unseen: tuple[Unseen, ...] | None = None  # None also where not all could be seen
