"""An earlier report excuses what it has already: but nothing critical, and never silently."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from airgap_check import baseline, engine, reporters
from airgap_check.engine import Terms
from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import Evidence, Interruption
from airgap_check.evidence.asset import Artifact
from airgap_check.result import fingerprint
from airgap_check.rule import RuleSet
from airgap_check.view import ArtifactView
from tests.building import RULES, connection, inspection, policy, remote

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report, RuleResult

OLD = connection("10.9.9.9")
NEW = connection("10.9.9.8")
PUBLIC = connection("1.1.1.1")


def judged(seen: Inspection, earlier: Path | None = None, **sections: Any) -> Report:
    known = baseline.load(str(earlier)) if earlier else None
    rules = RuleSet((rule for rule in RULES.rules if rule.kind == "connection"), RULES.sha256)
    return engine.judge(seen, rules, policy(**sections), Terms(baseline=known))


def of(report: Report, rule: str) -> RuleResult:
    return next(result for result in report.results if result.rule == rule)


def kept(report: Report, folder: Path, name: str = "earlier.json") -> Path:
    path = folder / name
    path.write_text(reporters.render("json", report))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that only its owner can write, whoever runs the tests."""
    tmp_path.chmod(0o700)
    return tmp_path


def test_what_was_known_does_not_fail_and_what_is_new_does(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)

    again = judged(inspection(OLD), earlier)
    result = of(again, "connection.not-allowlisted")
    assert (result.outcome, [finding.waived_by for finding in result.findings]) == (
        "pass",
        [f"baseline of 2026-11-20T12:00:00Z ({earlier})"],
    )
    assert again.exit_code == 0
    assert again.relaxed_by == ("baseline (1 finding)",)

    report = judged(inspection(OLD, NEW), earlier)
    result = of(report, "connection.not-allowlisted")
    assert (report.exit_code, result.outcome) == (1, "fail")
    assert [finding.waived_by is None for finding in result.findings] == [False, True]


def test_what_vanished_is_listed(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD, NEW)), folder)
    report = judged(inspection(NEW), earlier)
    assert report.baseline is not None
    assert report.baseline.known == 1
    assert [(one.rule, "10.9.9.9" in one.message) for one in report.baseline.vanished] == [
        ("connection.not-allowlisted", True)
    ]


def test_who_looked_at_a_part_of_the_host_alone_has_seen_nothing_vanish(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)
    part = msgspec.structs.replace(inspection(), relaxed=("cgroup /sys/fs/cgroup/a",))
    narrow = judged(part, earlier)
    assert narrow.baseline is not None
    assert narrow.baseline.vanished == ()

    of_part = judged(part, kept(judged(msgspec.structs.replace(part, evidence=inspection(OLD).evidence)), folder))
    assert of_part.baseline is not None
    assert len(of_part.baseline.vanished) == 1


def test_what_could_not_be_judged_this_time_has_not_vanished(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)
    report = judged(inspection(status={"sockets": "unavailable"}), earlier)
    assert report.baseline is not None
    assert (report.exit_code, report.baseline.vanished) == (4, ())


def test_a_critical_finding_cannot_be_baselined(folder: Path) -> None:
    earlier = kept(judged(inspection(PUBLIC)), folder)
    report = judged(inspection(PUBLIC), earlier)
    result = of(report, "connection.public-destination")
    assert (report.exit_code, result.severity, result.findings[0].waived_by) == (1, "critical", None)


def rewritten(report: Report, folder: Path, severity: str) -> Path:
    whole = msgspec.json.decode(reporters.render("json", report))
    for result in whole["results"]:
        result["severity"] = severity
    path = folder / "rewritten.json"
    path.write_bytes(msgspec.json.encode(whole))
    return path


@pytest.mark.parametrize(("then", "code"), [("medium", 1), ("high", 0), ("critical", 1)])
def test_what_was_less_grave_then_or_critical_is_not_excused_now(folder: Path, then: str, code: int) -> None:
    earlier = rewritten(judged(inspection(OLD)), folder, then)
    assert judged(inspection(OLD), earlier).exit_code == code


def test_that_nobody_looked_yesterday_does_not_excuse_that_nobody_looked_today(folder: Path) -> None:
    def late(day: int) -> Report:
        first = datetime(2026, 11, day, tzinfo=UTC)
        gap = Interruption(cause="no-run", first=first, last=first + timedelta(days=1), seconds=86_400, overdue="yes")
        seen = inspection(extra=[Evidence(kind="continuity", status="complete", records=(gap,))])
        rules = RuleSet((rule for rule in RULES.rules if rule.kind == "interruption"), RULES.sha256)
        known = baseline.load(str(earlier)) if earlier.exists() else None
        return engine.judge(seen, rules, policy(), Terms(baseline=known))

    earlier = folder / "earlier.json"
    kept(late(1), folder)
    assert of(late(2), "continuity.missed-run").findings[0].waived_by is None


def test_what_nobody_saw_this_time_has_not_vanished_though_its_rule_fails(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)
    report = judged(inspection(NEW, status={"sockets": "partial"}), earlier)
    assert of(report, "connection.not-allowlisted").outcome == "fail"
    assert report.baseline is not None
    assert report.baseline.vanished == ()


def test_an_artifact_that_was_known_excuses_no_other_one_at_its_place() -> None:
    def print_of(digest: str) -> str:
        record = Artifact(path="/srv/a.json", state="intact", sha256=digest, seen="artifact")
        return fingerprint("artifact.not-approved", ArtifactView(record=record, where="/srv/a.json", approved="no"))

    assert print_of("a" * 64) == print_of("a" * 64) != print_of("b" * 64)


def test_a_finding_that_was_waived_then_is_not_excused_now(folder: Path) -> None:
    waiver = {
        "rule": "connection.not-allowlisted", "match": {"remote.address": "10.9.9.9"}, "reason": "r", "owner": "o",
        "expires": "2026-11-30",
    }  # fmt: skip
    earlier = kept(judged(inspection(OLD), waivers=[waiver]), folder)
    assert judged(inspection(OLD), earlier).exit_code == 1


def test_a_baseline_of_a_baselined_run_still_knows_it(folder: Path) -> None:
    first = kept(judged(inspection(OLD)), folder)
    second = kept(judged(inspection(OLD), first), folder, "second.json")
    assert judged(inspection(OLD), second).exit_code == 0


def test_a_waiver_comes_before_the_baseline(folder: Path) -> None:
    waiver = {
        "rule": "connection.not-allowlisted", "match": {"remote.address": "10.9.9.9"}, "reason": "r", "owner": "o",
        "expires": "2026-11-30",
    }  # fmt: skip
    earlier = kept(judged(inspection(OLD)), folder)
    report = judged(inspection(OLD), earlier, waivers=[waiver])
    assert of(report, "connection.not-allowlisted").findings[0].waived_by == "waiver 1: r (owner o, until 2026-11-30)"
    assert report.relaxed_by == ("waivers (1 finding)", "baseline (0 findings)")


def test_the_baseline_of_another_host_is_said_to_be_one(folder: Path) -> None:
    other = msgspec.structs.replace(inspection(OLD).subject, hostname="elsewhere")
    earlier = kept(judged(msgspec.structs.replace(inspection(OLD), subject=other)), folder)
    assert judged(inspection(OLD), earlier).relaxed_by == ("baseline of another host (1 finding)",)


def test_hosts_are_told_apart_by_machine_id_before_their_name(folder: Path) -> None:
    mine = msgspec.structs.replace(inspection().subject, machine_id_hash="a")
    twin = msgspec.structs.replace(inspection().subject, machine_id_hash="b")
    earlier = kept(judged(msgspec.structs.replace(inspection(OLD), subject=twin)), folder)
    report = judged(msgspec.structs.replace(inspection(OLD), subject=mine), earlier)
    assert report.relaxed_by == ("baseline of another host (1 finding)",)


def test_the_finding_is_the_same_one_whichever_process_id_or_port_it_had(folder: Path) -> None:
    earlier = kept(judged(inspection(connection("10.9.9.9", local=remote("10.0.0.2", 40001)))), folder)
    assert judged(inspection(connection("10.9.9.9", local=remote("10.0.0.2", 50002))), earlier).exit_code == 0


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"schema": "airgap-check/report/2"}', b"\xff\xfe", b"[" * 100_000]
)
def test_what_is_no_report_is_refused(folder: Path, content: bytes) -> None:
    path = folder / "earlier.json"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"earlier\.json:1:1: not a JSON report of airgap-check"):
        baseline.load(str(path))


def test_a_missing_file_and_a_folder_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        baseline.load(str(folder / "none.json"))
    with pytest.raises(UsageError, match="is a directory"):
        baseline.load(str(folder))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root relies on who could have written it")
def test_root_takes_no_excuse_that_others_could_have_written(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)
    earlier.chmod(0o666)
    with pytest.raises(UsageError, match="others can write to"):
        baseline.load(str(earlier))


def test_a_report_whose_times_have_no_zone_is_no_report(folder: Path) -> None:
    earlier = kept(judged(inspection(OLD)), folder)
    text = earlier.read_text()
    finished = msgspec.json.decode(text)["finished"]
    earlier.write_text(text.replace(f'"finished": "{finished}"', f'"finished": "{finished.rstrip("Z")}"'))
    assert earlier.read_text() != text
    with pytest.raises(InvalidFileError, match="timezone"):
        baseline.read_report(str(earlier))
