"""Two reports side by side: what appeared, what is resolved, and whether the newer one saw as much as the older."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.evidence import BLINDNESS
from airgap_check.evidence.fact import Fact
from airgap_check.finding import ExitCode, Known, Severity, Verdict, at_least, in_a_line
from airgap_check.history import standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import Coverage
    from airgap_check.finding import Report

_ABSENT = 3


class Comparison(Fact, frozen=True, kw_only=True):
    """What lies between two reports; findings are without waived ones.

    What has become graver has ``appeared``, too. ``resolved`` was looked for again and not found; what is neither there
    nor could be decided is ``unknown``.
    ``blinded`` and ``sighted`` name collectors that saw less and more than before, ``others`` what else differs.
    """

    before: Verdict
    verdict: Verdict
    appeared: tuple[Known, ...]
    resolved: tuple[Known, ...]
    unknown: tuple[Known, ...]
    still: int
    blinded: tuple[str, ...]
    sighted: tuple[str, ...]
    others: tuple[str, ...]

    def exit_code(self, fail_on: Severity) -> ExitCode:
        """Return 1 for something new and grave enough, 4 where the newer report saw less or could not conclude."""
        if any(at_least(one.severity, fail_on) for one in self.appeared):
            return ExitCode.NOT_COMPLIANT
        if self.blinded or self.verdict == "inconclusive":
            return ExitCode.INCONCLUSIVE
        return ExitCode.COMPLIANT


def compare(old: Report, new: Report) -> Comparison:
    """Compare two reports; they may be of any two hosts, which is said.

    Raises `UsageError` where pseudonyms make the same finding another one.
    """
    if _pseudonyms(old) != _pseudonyms(new):
        raise UsageError(
            "the two cannot be compared: one has pseudonyms that the other has not, or those of another key"
        )
    before, now = dict(_findings(old)), dict(_findings(new))
    waived = {(result.rule, one.fingerprint) for result in new.results for one in result.findings if one.waived_by}
    gone = [(key, one) for key, one in before.items() if key not in now and key not in waived]
    looked = set(_looked_for_again(old, new))
    sights = [
        _sight(name, old, new) for name in dict.fromkeys(item.collector for item in (*old.coverage, *new.coverage))
    ]
    return Comparison(
        before=old.verdict,
        verdict=new.verdict,
        appeared=tuple(one for key, one in now.items() if _is_graver(one, before.get(key))),
        resolved=tuple(one for key, one in gone if key in looked),
        unknown=tuple(one for key, one in gone if key not in looked),
        still=sum(1 for key, one in now.items() if not _is_graver(one, before.get(key))),
        blinded=tuple(text for step, text in sights if step > 0),
        sighted=tuple(text for step, text in sights if step < 0),
        others=tuple(_others(old, new)),
    )


def _pseudonyms(report: Report) -> list[str]:
    """Return what a report says of the pseudonyms in it, and in the evidence that it judges: whose key they are of."""
    notes = (limitation.text for limitation in report.limitations if limitation.id == "pseudonyms")
    return [*notes, *(word for word in report.relaxed_by if word.startswith("pseudonyms "))]


def _is_graver(one: Known, before: Known | None) -> bool:
    return before is None or not at_least(before.severity, one.severity)


def _looked_for_again(old: Report, new: Report) -> Iterator[tuple[str, str]]:
    """Yield which findings of the old report the new one would have, were they still there."""
    decided = {result.rule for result in new.results if standing.is_decided(result)}
    complete = standing.complete_sights(new.coverage)
    if not standing.is_as_wide(standing.scope_of(new), standing.scope_of(old)):
        return
    for result in old.results:
        for finding in result.findings:
            if result.rule in decided and standing.sight(old.coverage, standing.seen_by(finding)) in complete:
                yield result.rule, finding.fingerprint


def _findings(report: Report) -> Iterator[tuple[tuple[str, str], Known]]:
    for result in report.results:
        for finding in result.findings:
            if finding.waived_by is None:
                yield (result.rule, finding.fingerprint), in_a_line(result, finding)


def _sight(collector: str, old: Report, new: Report) -> tuple[int, str]:
    """Return how much less was seen than before, and say it."""
    before, now = (_coverage(report, collector) for report in (old, new))
    step = _rank(now) - _rank(before)
    reason = f" ({now.reason})" if now and now.reason else ""
    words = [item.status if item else "not looked at" for item in (before, now)]
    if not step and now and before and now.lost > before.lost:
        return 1, f"{collector}: lost {now.lost} events, {before.lost} before"
    return step, f"{collector}: {words[0]} -> {words[1]}{reason}"


def _coverage(report: Report, collector: str) -> Coverage | None:
    return next((item for item in report.coverage if item.collector == collector), None)


def _rank(item: Coverage | None) -> int:
    return BLINDNESS[item.status] if item else _ABSENT


def _others(old: Report, new: Report) -> Iterator[str]:
    """Yield why the two may differ though the host does not."""
    machines = old.subject.machine_id_hash, new.subject.machine_id_hash
    names = old.subject.hostname, new.subject.hostname
    if len(set(machines if all(machines) else names)) > 1:
        yield f"another host: {names[0]} -> {names[1]}"
    if new.finished < old.finished:
        yield "the new report is older than the old one"
    for title, before, now in (
        ("another scope", old.subject.scope, new.subject.scope),
        ("another claim", old.claim, new.claim),
        ("relaxed by", ", ".join(old.relaxed_by) or "nothing", ", ".join(new.relaxed_by) or "nothing"),
    ):
        if before != now:
            yield f"{title}: {before} -> {now}"
    for title, before, now in (
        ("another policy", old.policy.sha256, new.policy.sha256),
        ("other rules", old.rules_sha256, new.rules_sha256),
        (f"another airgap-check: {old.tool.version} -> {new.tool.version}", old.tool.sha256, new.tool.sha256),
    ):
        if before != now:
            yield title
