"""The report as OSCAL assessment-results (NIST, 1.2), for an auditor's tools.

A control is supported by this evidence, never satisfied by it: no finding has the state *satisfied*. A rule that
passed is an observation and no finding. A rule that failed is a finding *not-satisfied* for its own objective; one that
could not be decided, too, but with the reason *other*, since OSCAL knows no third state. What somebody accepted is a
risk with the status *deviation-approved*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.redact import printable
from airgap_check.reporters import wording
from airgap_check.reporters.json_text import document, identity, long
from airgap_check.reporters.oscal_object import (
    VERSION,
    controls_of,
    heading,
    line,
    moment,
    other_controls,
    prop,
    prose,
    token,
)
from airgap_check.reporters.oscal_observation import Observations, collector_id
from airgap_check.reporters.oscal_risk import findings, risks
from airgap_check.reporters.place import uri_of
from airgap_check.reporters.undecided import open_question

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.finding import Report, RuleResult

_SPARE_CONTROL = "sc-7"  # boundary protection: what every rule here is about in the end


def render(report: Report) -> str:
    """Render the report as one assessment-results document with one result."""
    run = identity("run", report.subject.hostname, report.finished, report.policy.sha256, report.rules_sha256)
    observations = Observations(report, run)
    at_risk = any(result.findings for result in report.results)
    found = at_risk or any(map(open_question, report.results))
    observed = found or bool(report.coverage) or any(result.outcome == "pass" for result in report.results)
    frame = {
        "assessment-results": {
            "uuid": identity(run, "assessment-results"),
            "metadata": _metadata(report, run),
            "import-ap": {
                "href": f"#{identity(run, 'plan')}",
                "remarks": "The plan is the policy in force: what may be reached, and what has to be looked at.",
            },
            **_local_definitions(report),
            "results": [_result(report, run, observed=observed, found=found, at_risk=at_risk)],
            "back-matter": {"resources": [_plan(report, run)]},
        }
    }
    arrays: dict[str, Iterable[Any]] = {"observations": observations.all()} if observed else {}
    if at_risk:
        arrays["risks"] = risks(report, observations)
    if found:
        arrays["findings"] = findings(report, observations)
    return document(frame, arrays)


def _metadata(report: Report, run: str) -> dict[str, Any]:
    party = {"uuid": _party(run), "type": "organization", "name": line(report.subject.hostname)}
    return {
        "title": heading(f"{report.tool.name}: {report.subject.hostname}"),
        "last-modified": moment(report.finished),
        "version": moment(report.finished),
        "oscal-version": VERSION,
        "props": [
            prop("tool", f"{report.tool.name} {report.tool.version}"),
            prop("tool-sha256", report.tool.sha256),
            prop("rules-sha256", report.rules_sha256),
        ],
        "parties": [{**party, "remarks": "This host speaks for itself: it is no organization, and no assessor."}],
    }


def _local_definitions(report: Report) -> dict[str, Any]:
    """Define each rule as an objective of the first control that it supports; its other controls are properties."""
    objectives = [_objective(result, controls) for result in report.results if (controls := controls_of(result))]
    return {"local-definitions": {"objectives-and-methods": objectives}} if objectives else {}


def _objective(result: RuleResult, controls: list[str]) -> dict[str, Any]:
    others = [prop("supports-control", control) for control in controls[1:]] + other_controls(result)
    return {
        "control-id": controls[0],
        "description": prose(result.title),
        **({"props": others} if others else {}),
        "parts": [
            {"id": token(result.rule), "name": "assessment-objective", "prose": prose(result.rationale or result.title)}
        ],
    }


def _result(report: Report, run: str, *, observed: bool, found: bool, at_risk: bool) -> dict[str, Any]:
    limits = [item.text for item in report.limitations] + [f"Relaxed by {text}." for text in report.relaxed_by]
    return {
        "uuid": identity(run, "result"),
        "title": f"{wording.VERDICTS[report.verdict]} ({wording.claim(report)})",
        "description": prose("\n\n".join(report.reasons)),
        "start": moment(report.window.start),
        "end": moment(report.window.end),
        "props": [
            prop("verdict", report.verdict),
            prop("exit-code", report.exit_code),
            prop("claim", report.claim),
            *(prop("relaxed-by", text) for text in report.relaxed_by),
        ],
        "local-definitions": {"components": _components(report, run)},
        "reviewed-controls": _reviewed(report),
        "attestations": [_attestation(report, run, limits)],
        "assessment-log": {"entries": _log(report, run)},
        **({"observations": long("observations")} if observed else {}),
        **({"risks": long("risks")} if at_risk else {}),
        **({"findings": long("findings")} if found else {}),
        "remarks": prose("\n\n".join(limits)),
    }


def _components(report: Report, run: str) -> list[dict[str, Any]]:
    """Describe what looked and what was looked at: the host, and each collector as software."""
    host = {
        "uuid": identity(run, "host"),
        "type": "this-system",
        "title": heading(report.subject.hostname),
        "description": prose(f"{report.subject.kernel}, looked at as {report.subject.scope}"),
        "props": [prop("runtime", text) for text in wording.runtimes(report)]
        + ([prop("machine-id-hash", report.subject.machine_id_hash)] if report.subject.machine_id_hash else []),
        "status": {"state": "operational"},
    }
    if not host["props"]:
        del host["props"]
    return [host] + [
        {
            "uuid": collector_id(run, item.collector),
            "type": "software",
            "title": f"collector {item.collector}",
            "description": prose(f"{item.status}: {item.reason or item.scope}"),
            "props": [prop("coverage", item.status), prop("lost", item.lost)]
            + [prop("blind", text) for text in item.blind],
            "status": {"state": "operational" if item.status == "complete" else "other"},
        }
        for item in report.coverage
    ]


def _reviewed(report: Report) -> dict[str, Any]:
    """Name the controls for which evidence was looked at: those of rules that applied."""
    judged = [result for result in report.results if result.outcome != "not_applicable"] or report.results
    controls = {control for result in judged for control in controls_of(result)} or {_SPARE_CONTROL}
    return {
        "description": "Controls that this evidence supports. None of them is satisfied by it alone.",
        "control-selections": [{"include-controls": [{"control-id": control} for control in sorted(controls)]}],
    }


def _attestation(report: Report, run: str, limits: list[str]) -> dict[str, Any]:
    """Say who asserts it: this host does, and that is all that a reader has until somebody signs."""
    approved = report.policy.approved
    by = f"approved by {approved['by']} on {approved['on']}" if approved else "approved by nobody that the policy names"
    texts = {
        "self-assertion": "Self-asserted by this host; its root can forge it.",
        "policy": f"Judged under {wording.origin(report)} (sha256 {report.policy.sha256}), {by}.",
        "limits": "\n\n".join(limits),
    }
    return {
        "responsible-parties": [{"role-id": "asserting-host", "party-uuids": [_party(run)]}],
        "parts": [{"name": name, "prose": prose(text)} for name, text in texts.items() if text],
    }


def _log(report: Report, run: str) -> list[dict[str, Any]]:
    """Tell what happened when: the run, and every time in it in which nobody looked."""
    entries = [("run", " ".join(report.run.argv) or report.claim, report.started, report.finished)]
    entries += [("unobserved", "nobody looked", start, end) for start, end in report.window.gaps]
    return [
        {
            "uuid": identity(run, "log", title, start, end),
            "title": title,
            "description": prose(text),
            "start": moment(start),
            "end": moment(end),
        }
        for title, text, start, end in entries
    ]


def _plan(report: Report, run: str) -> dict[str, Any]:
    policy = report.policy
    made: dict[str, Any] = {
        "uuid": identity(run, "plan"),
        "title": heading(f"policy {wording.origin(report)}"),
        "description": prose("; ".join(f"{entry.name} ({entry.role})" for entry in policy.entries) or "no entries"),
        "props": [prop("sha256", policy.sha256), prop("derived", str(policy.derived).lower())],
    }
    if policy.path:
        digest = {"algorithm": "SHA-256", "value": policy.sha256}
        made["rlinks"] = [{"href": uri_of(printable(policy.path)), "hashes": [digest]}]
    return made


def _party(run: str) -> str:
    return identity(run, "party")
