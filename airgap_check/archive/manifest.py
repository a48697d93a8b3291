"""What an archive says of itself: its members and their digests, whose run it is, what went before, who signs it."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from airgap_check.archive.form import BadArchiveError
from airgap_check.evidence.fact import Fact, Instant
from airgap_check.evidence.inspection import Tool
from airgap_check.finding import Claim, Report, Severity, Verdict, at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.archive.form import Entry


class Link(NamedTuple):
    """The place in a chain: the SHA-256 of the manifest before, None for the first one, whose ``sequence`` is 1.

    What belongs to no chain, because nothing remembers what went before, has the number 0.
    """

    previous: str | None = None
    sequence: int = 0


class Host(Fact, frozen=True, kw_only=True):
    """Whose archive it is."""

    hostname: str
    machine_id_hash: str | None


class Content(Fact, frozen=True, kw_only=True):
    """The size in bytes and the SHA-256 of a member, or of the body: of all bytes of the file before this manifest."""

    size: int
    sha256: str


class Listed(Content, frozen=True, kw_only=True):
    """A member."""

    name: str


class Signer(Fact, frozen=True, kw_only=True):
    """Who signs: the 32 bytes of the public key in base64, and the fingerprint that people compare."""

    fingerprint: str
    public_key: str

    def raw(self) -> bytes:
        """Return the key. Raises ValueError."""
        return base64.b64decode(self.public_key, validate=True)


class Manifest(Fact, frozen=True, kw_only=True):
    """The manifest. ``tool`` judged; ``passed``, ``warned`` and ``failed`` are rules, as the statement has them."""

    schema: Literal["airgap-check/manifest/1"] = "airgap-check/manifest/1"
    sequence: int
    previous: str | None
    host: Host
    tool: Tool
    started: Instant
    finished: Instant
    claim: Claim
    verdict: Verdict
    policy_sha256: str
    rules_sha256: str
    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]
    body: Content
    members: tuple[Listed, ...]
    signer: Signer | None = None

    def encoded(self) -> bytes:
        """Return the bytes of the member."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def link(self) -> Link:
        """Return the place in the chain."""
        return Link(self.previous, self.sequence)


class Outcomes(NamedTuple):
    """The rules by what in-toto calls their results."""

    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]


def outcomes(report: Report, fail_on: Severity) -> Outcomes:
    """Sort the rules. One that could not be decided has not passed; those that do not apply are not listed."""
    ordered = sorted(report.results, key=lambda result: result.rule)
    bad = [result for result in ordered if result.outcome in {"fail", "unknown"}]
    return Outcomes(
        passed=tuple(result.rule for result in ordered if result.outcome == "pass"),
        warned=tuple(result.rule for result in bad if not at_least(result.severity, fail_on)),
        failed=tuple(result.rule for result in bad if at_least(result.severity, fail_on)),
    )


def of(
    report: Report,
    outcome: Outcomes,
    *,
    tool: Tool,
    body: Content,
    entries: Sequence[Entry],
    link: Link,
    signer: Signer | None,
) -> Manifest:
    """Make the manifest of a report and the members around it."""
    return Manifest(
        sequence=link.sequence,
        previous=link.previous,
        host=host_of(report),
        tool=tool,
        started=report.started,
        finished=report.finished,
        claim=report.claim,
        verdict=report.verdict,
        policy_sha256=report.policy.sha256,
        rules_sha256=report.rules_sha256,
        passed=outcome.passed,
        warned=outcome.warned,
        failed=outcome.failed,
        body=body,
        members=tuple(Listed(name=entry.name, size=entry.size, sha256=entry.sha256) for entry in entries),
        signer=signer,
    )


def host_of(report: Report) -> Host:
    """Say whose report it is."""
    return Host(hostname=report.subject.hostname, machine_id_hash=report.subject.machine_id_hash)


def parse(content: bytes) -> Manifest:
    """Read a manifest. Raises `BadArchiveError` for what is none, or is not written as we write it."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchiveError(f"no manifest: {str(error).replace('`', '')}") from error
    if manifest.encoded() != content:
        raise BadArchiveError("the manifest is not written as we write it")
    return manifest


def digest(content: bytes) -> str:
    """Return the SHA-256 of a manifest, which the next one names."""
    return sha256(content).hexdigest()
