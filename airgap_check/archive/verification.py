"""Verifies an archive step by step: each step says what it has shown, and the first one that fails is the last."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from airgap_check import host
from airgap_check.archive import form, judgement, manifest, memory
from airgap_check.archive.form import BadArchiveError
from airgap_check.archive.opening import Archive
from airgap_check.archive.writing import Tools
from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import Coverage
from airgap_check.evidence.inspection import Trial
from airgap_check.finding import Report
from airgap_check.recording import Header
from airgap_check.redact import printable
from airgap_check.release import seal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.archive.manifest import Manifest
    from airgap_check.archive.opening import Held
    from airgap_check.evidence.inspection import Tool
    from airgap_check.release.seal import PublicKey

_T = TypeVar("_T")
Status = Literal["shown", "failed", "open"]


class Step(NamedTuple):
    """One step of a proof; *open* is what was not shown, and not disproved either."""

    name: str
    status: Status
    text: str


class Verified(NamedTuple):
    """What the verification of one archive has shown; manifest and digest are None where there is no manifest."""

    path: str
    steps: tuple[Step, ...]
    manifest: Manifest | None = None
    digest: str | None = None
    authentic: bool = False

    @property
    def failed(self) -> bool:
        """Tell whether it does not verify."""
        return any(step.status == "failed" for step in self.steps)

    @property
    def reproduced(self) -> bool:
        """Tell whether the report follows from the evidence, as far as this version can tell."""
        return all(step.status == "shown" for step in self.steps if step.name == "judgement")


def verify(path: str, key: PublicKey | None) -> Verified:
    """Verify one archive. Raises `UsageError` for a file that cannot be read, or is none."""
    with form.opened(path) as file:
        try:
            proof = _Proof(Archive(path, file), key)
            with memory.bounded() as limit:
                steps = tuple(proof.steps())
        except MemoryError as error:
            raise UsageError(f"{path}: needs more than {limit >> 20:,} MiB of memory: not verified") from error
        except BadArchiveError as error:
            return Verified(path, (Step("structure", "failed", str(error)),))
    return Verified(path, steps, proof.manifest, proof.digest, proof.authentic)


class _Proof:
    """The proof of one archive on its way."""

    def __init__(self, archive: Archive, key: PublicKey | None) -> None:
        self._archive, self._key = archive, key
        self.manifest: Manifest | None = None
        self.digest: str | None = None
        self.authentic = False

    def steps(self) -> Iterator[Step]:
        """Yield the steps until one fails."""
        name = "structure"
        try:
            held = self._archive.read()
            yield Step(name, "shown", f"{len(held.entries)} members, manifest and statement, and nothing beside them")
            name = "digests"
            listed = self._archive.listed(held)
            self.manifest, self.digest = listed, manifest.digest(held.manifest)
            yield Step(name, "shown", f"every member is what the manifest says, which is {self.digest}")
            name = "signature"
            yield self._signature(self._archive.stated(held, listed))
            name = "agreement"
            report = self._report(held, listed)
            yield Step(name, "shown", f"report, manifest and statement say {listed.verdict.replace('_', ' ')}")
            name = "judgement"
            yield self._judged(held, listed, report)
        except BadArchiveError as error:
            self.authentic = False
            yield Step(name, "failed", printable(str(error)))
        except _NewerError as error:
            yield Step("judgement", "open", printable(str(error)))
        except UsageError as error:  # faults of what was archived: policy, rules, evidence
            self.authentic = False
            yield Step(name, "failed", printable(str(error).partition("\n")[0]))

    def _signature(self, signer: str) -> Step:
        name = "signature"
        if self._key is None:
            text = f"signed by {signer}: give its public key with --key" if signer else "nobody has signed it"
            return Step(name, "open", f"{text}; without a key anybody could have written all of this")
        if not signer:
            raise BadArchiveError("nobody has signed it, and a key was given")
        wanted = seal.fingerprint(self._key)
        if signer != wanted:
            raise BadArchiveError(f"signed by {signer}, which is not the key that was given ({wanted})")
        self.authentic = True
        return Step(name, "shown", f"signed by {signer}, the key that was given")

    def _report(self, held: Held, listed: Manifest) -> Report:
        """Read the report, and see that everything says the same."""
        tools = _decoded(held, form.TOOL, Tools, listed.tool)
        report = _decoded(held, form.REPORT, Report, listed.tool)
        terms = _parsed(held, listed).terms
        coverage = _decoded(held, form.COVERAGE, tuple[Coverage, ...], listed.tool)
        trials = _decoded(held, form.SELF_TEST, tuple[Trial, ...], listed.tool)
        header = _header(self._archive.header(listed), listed.tool)
        outcome = manifest.outcomes(report, terms.fail_on)
        facts = {
            "verdict": report.verdict == listed.verdict,
            "host": manifest.host_of(report) == listed.host,
            "time": (report.started, report.finished) == (listed.started, listed.finished),
            "claim": report.claim == listed.claim and report.claim in {header.claim, "replayed"},
            "policy": report.policy.sha256 == listed.policy_sha256,
            "rules": report.rules_sha256 == listed.rules_sha256,
            "rules that passed and failed": outcome == (listed.passed, listed.warned, listed.failed),
            "coverage": coverage == report.coverage,
            "self-test": trials == report.self_test,
            "tool": (tools.collected, tools.judged) == (report.tool, listed.tool),
        }
        if wrong := [name for name, agrees in facts.items() if not agrees]:
            raise BadArchiveError(f"the members do not agree on: {', '.join(wrong)}")
        return report

    def _judged(self, held: Held, listed: Manifest, report: Report) -> Step:
        """Judge the evidence again by the archived policy and rules."""
        stated = _parsed(held, listed)
        ours = host.tool() == listed.tool
        try:
            rules = judgement.rules_of(stated, held.contents)
            policy = judgement.policy_of(stated, held.contents[form.POLICY], rules)
            recorded = self._archive.evidence(listed)
        except InvalidFileError as error:  # the digests are right: another version may know words that we do not
            if ours:
                raise
            raise _NewerError(f"{error.faults[0]}; it was written by {_called(listed.tool)}") from error
        again = replace(judgement.again(stated, recorded, policy, rules), claim=report.claim)
        again = msgspec.json.decode(msgspec.json.encode(again), type=Report)  # as the archived one: JSON has no tuples
        by = "" if ours else f" (by version {host.tool().version}; it was judged by {_called(listed.tool)})"
        if again == report:
            return Step("judgement", "shown", f"judged again, the same report to the last field{by}")
        differs = [name for name in Report.__struct_fields__ if getattr(again, name) != getattr(report, name)]
        text = (
            f"judged again, the evidence says otherwise: {', '.join(differs)} ({again.verdict.replace('_', ' ')}){by}"
        )
        if ours:
            raise BadArchiveError(text)
        return Step("judgement", "open", text)


class _NewerError(Exception):
    """Another version of this tool wrote something that this one does not understand."""


def _called(tool: Tool) -> str:
    return f"version {tool.version}, digest {tool.sha256[:12]}"


@contextmanager
def _reading(name: str, tool: Tool) -> Iterator[None]:
    """Say what cannot be read, and whether that may be because another version wrote it."""
    try:
        yield
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadArchiveError) as error:
        reason = f"{name}: {str(error).replace('`', '')}"
        if tool != host.tool():
            raise _NewerError(f"{reason}; it was written by {_called(tool)}") from error
        raise BadArchiveError(reason) from error


def _decoded(held: Held, name: str, type_: type[_T], tool: Tool) -> _T:
    with _reading(name, tool):
        return msgspec.json.decode(held.contents[name], type=type_)


def _parsed(held: Held, listed: Manifest) -> judgement.Judgement:
    with _reading(form.JUDGEMENT, listed.tool):
        return judgement.parse(held.contents[form.JUDGEMENT])


def _header(line: bytes, tool: Tool) -> Header:
    with _reading(form.EVIDENCE, tool):
        return msgspec.json.decode(line, type=Header)
