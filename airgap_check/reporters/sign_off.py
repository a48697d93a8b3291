"""The last page: who looked at what, when, on which terms, and the lines on which somebody takes responsibility."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.reporters import unobserved, wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report

STATEMENT = (
    "This report is self-asserted by the host it is about; whoever is root there can forge it. Controls are supported "
    "by it, never satisfied. A signature says that somebody has read it, not that it is true."
)
LINES = ("Reviewed by", "Role", "Decision and remarks", "Date", "Signature")


class Item(NamedTuple):
    """A fact to sign for: ``exact`` marks digests, paths and commands, which are read letter by letter."""

    label: str
    text: str
    exact: bool = False


def items(report: Report) -> Iterator[Item]:
    """Yield the facts in order; a label occurs once for each of several facts of its kind."""
    yield Item("Verdict", f"{wording.VERDICTS[report.verdict]} (exit code {report.exit_code})")
    yield Item("Claim", wording.claim(report))
    yield from _subject(report)
    yield from _run(report)
    yield from _terms(report)
    for limitation in report.limitations:
        yield Item("Limitation", limitation.text)
    for item in report.coverage:
        if item.status != "complete":
            yield Item("Not fully seen", f"{item.collector}: {item.status}" + (f", {item.reason}" * bool(item.reason)))


def _subject(report: Report) -> Iterator[Item]:
    subject = report.subject
    yield Item("Host", subject.hostname, exact=True)
    if subject.machine_id_hash:
        yield Item("Machine", f"hash of its id {subject.machine_id_hash}", exact=True)
    if subject.boot_id:
        yield Item("Boot", subject.boot_id, exact=True)
    yield Item("Kernel", subject.kernel, exact=True)
    seen = {"host": "the whole host", "namespace": "a container's share of the host"}[subject.scope]
    yield Item("Scope", seen)
    yield Item("Runtimes", "; ".join(wording.runtimes(report)) or "none found")


def _run(report: Report) -> Iterator[Item]:
    run, clock = report.run, report.clock
    who = [f"uid {run.uid}"]
    who += [f"logged in as uid {run.login_uid}"] if run.login_uid is not None else ["no login session"]
    who += [f"through sudo by {run.sudo_user}"] if run.sudo_user else []
    yield Item("Run by", ", ".join(who))
    yield Item("Command", " ".join(("airgap-check", *run.argv)), exact=True)
    yield Item("Started", wording.moment(report.started))
    yield Item("Finished", f"{wording.moment(report.finished)} ({wording.span(report.started, report.finished)})")
    kept = {True: "synchronised", False: "not synchronised", None: "unknown whether synchronised"}[clock.synchronized]
    yield Item("Clock", f"{kept}, says {clock.source}")
    for absence in unobserved.absences(report):
        yield Item("Unobserved", str(absence))


def _terms(report: Report) -> Iterator[Item]:
    policy = report.policy
    yield Item("Policy", wording.origin(report), exact=policy.path is not None)
    yield Item("Policy approved by", wording.approval(report) or "nobody")
    yield Item("Policy digest", f"sha256 {policy.sha256}", exact=True)
    yield Item("Rules digest", f"sha256 {report.rules_sha256}", exact=True)
    tool = report.tool
    yield Item("Tool", f"{tool.name} {tool.version}")
    yield Item("Tool digest", f"sha256 {tool.sha256}", exact=True)
    if baseline := wording.known_again(report):
        yield Item("Baseline", baseline)
    yield Item("Relaxed by", "; ".join(report.relaxed_by) or "nothing")
