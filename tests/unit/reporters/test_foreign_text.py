"""What a host calls itself reaches no reader of SARIF, OCSF or OSCAL as anything but text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check import reporters
from tests import formats, reports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.finding import Report


def strings(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict):
        for key, value in item.items():
            yield key
            yield from strings(value)
    elif isinstance(item, list):
        for one in item:
            yield from strings(one)


def spoilt(item: Any, key: str = "") -> Any:
    """Replace every text of a record by a hostile one, but for those whose words are ours."""
    if isinstance(item, dict):
        return {name: spoilt(value, name) for name, value in item.items()}
    if isinstance(item, list | tuple):
        return [spoilt(one, key) for one in item]
    return reports.HOSTILE if isinstance(item, str) and key not in {"kind", "first", "last"} else item


def hostile() -> Report:
    """Return a report of a host that calls everything by a hostile name."""
    report, foreign = reports.sample(), {"message": reports.HOSTILE, "subject": reports.HOSTILE}
    results = [
        replace(
            one,
            findings=tuple(
                replace(each, record=spoilt(each.record), waived_by=each.waived_by and reports.HOSTILE, **foreign)
                for each in one.findings
            ),
            reason=one.reason and reports.HOSTILE,
            title=reports.HOSTILE,
            rationale=reports.HOSTILE,
            remediation=reports.HOSTILE,
        )
        for one in report.results
    ]
    assert report.baseline
    return replace(
        report,
        results=tuple(results),
        reasons=(reports.HOSTILE,),
        relaxed_by=(reports.HOSTILE,),
        subject=replace(report.subject, hostname=reports.HOSTILE, kernel=reports.HOSTILE),
        run=replace(report.run, argv=(reports.HOSTILE,), sudo_user=reports.HOSTILE),
        policy=replace(report.policy, path=reports.HOSTILE),
        coverage=tuple(replace(one, reason=reports.HOSTILE, blind=(reports.HOSTILE,)) for one in report.coverage),
        self_test=tuple(replace(one, note=reports.HOSTILE, mode=reports.HOSTILE) for one in report.self_test),
        connections=tuple(replace(one, by=reports.HOSTILE) for one in report.connections),
        baseline=replace(report.baseline, vanished=tuple(replace(one, **foreign) for one in report.baseline.vanished)),
    )


def read(name: str) -> list[str]:
    text = reporters.render(name, hostile())
    assert text.isascii()
    assert text.endswith("\n")
    documents = text.splitlines() if name == "ocsf" else [text]
    return [one for document in documents for one in strings(json.loads(document))]


@pytest.mark.parametrize("name", ["sarif", "ocsf", "oscal"])
def test_no_text_holds_what_a_terminal_would_obey(name: str) -> None:
    told = read(name)
    assert any("\U0001f480" in one for one in told)
    assert [one for one in told if not one.replace("\n", "").isprintable()] == []


@pytest.mark.parametrize("name", ["sarif", "ocsf", "oscal"])
def test_no_address_of_the_network_is_named_that_the_host_did_not_name(name: str) -> None:
    schema = ["https://json.schemastore.org/sarif-2.1.0.json"] if name == "sarif" else []
    assert [one for one in read(name) if one.startswith("http")] == schema


def test_a_hostile_host_still_makes_valid_oscal() -> None:
    assert formats.oscal(reporters.render("oscal", hostile()))
