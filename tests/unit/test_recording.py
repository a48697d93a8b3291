"""Evidence files: what goes in comes out, and what was cut short is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from airgap_check import recording
from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import Answer, Counter, EntryUse, Evidence, Listener, Question, Request, Resolver, Setting
from airgap_check.evidence.fact import Place, Process
from airgap_check.evidence.inspection import Trial
from airgap_check.evidence.rehearsed import Visit
from tests.building import connection, encounter, inspection, rehearsal, remote

if TYPE_CHECKING:
    from pathlib import Path

SEEN = inspection(
    connection("10.0.0.9", process=Process(pid=1, name="node")),
    Setting(name="OS_CLOUD_URL", value="off", posture="disabled", place=Place(kind="process", pid=1)),
    Resolver(netns=1, address="10.0.0.53", scope="private", source="/etc/resolv.conf"),
    Answer(name="db.example", netns=1, source="dns", status="ok", addresses=(remote("10.0.0.1"),)),
    Listener(netns=1, protocol="tcp", local=remote("0.0.0.0", 443)),
)
LINES = list(recording.write(SEEN))


def test_what_was_recorded_is_read_back_whole() -> None:
    again = recording.parse("e", LINES)
    assert again.claim == "replayed"
    kept = tuple(evidence for evidence in SEEN.evidence if evidence.kind != "policy")
    assert again.evidence == kept
    assert (again.subject, again.started, again.policy) == (SEEN.subject, SEEN.started, SEEN.policy)


def test_the_header_is_first_and_the_coverage_last() -> None:
    kinds = [msgspec.json.decode(line).get("kind") for line in LINES]
    assert msgspec.json.decode(LINES[0])["schema"] == "airgap-check/evidence/1"
    assert kinds[-4:] == ["coverage"] * 4
    assert "coverage" not in kinds[:-4]


@pytest.mark.parametrize("kept", range(len(LINES)))
def test_a_file_that_was_cut_short_is_refused(kept: int) -> None:
    with pytest.raises(InvalidFileError):
        recording.parse("e", LINES[:kept])


def test_a_line_cut_in_the_middle_is_refused_with_its_number() -> None:
    with pytest.raises(InvalidFileError, match=r"^e:3:1: "):
        recording.parse("e", [*LINES[:2], LINES[2][:20]])


@pytest.mark.parametrize(
    "line", [b"{}\n", b"[]\n", b"\xff\xfe\n", b'{"kind":"connection"}\n', b"[" * 100_000, b'{"kind":"nothing"}\n']
)
def test_a_line_that_is_not_evidence_is_refused(line: bytes) -> None:
    with pytest.raises(InvalidFileError):
        recording.parse("e", [LINES[0], line, *LINES[1:]])


def test_records_without_coverage_and_records_after_it_are_refused() -> None:
    stray = next(line for line in LINES if b'"kind":"connection"' in line)
    with pytest.raises(InvalidFileError, match="after the coverage"):
        recording.parse("e", [*LINES, stray])
    header = msgspec.json.encode({**msgspec.json.decode(LINES[0]), "collectors": []})
    with pytest.raises(InvalidFileError, match="without coverage"):
        recording.parse("e", [header, stray])


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        recording.read(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="directory"):
        recording.read(str(tmp_path))
    (tmp_path / "e").write_bytes(b"".join(LINES))
    assert recording.read(str(tmp_path / "e")).evidence


def test_what_was_observed_is_read_back_whole() -> None:
    moment = SEEN.started
    attempts = Evidence(
        kind="attempts",
        status="partial",
        records=(
            connection("10.0.0.9", state="attempt", seen="attempts", first=moment, last=moment, count=3),
            EntryUse(entry="database", count=7),
        ),
        lost=2,
    )
    traffic = Evidence(
        kind="traffic",
        status="complete",
        records=(
            Question(netns=1, name="db.example", type="A", protocol="dns", server=remote("10.0.0.53", 53)),
            Request(netns=1, source="tls", name="db.example", protocol="tcp", remote=remote("10.0.0.9", 443)),
            Answer(name="db.example", netns=1, source="observed", status="ok", first=moment, seen="traffic"),
            connection("10.0.0.9", state="packet", seen="traffic"),
        ),
    )
    counters = Evidence(kind="counters", status="complete", records=(Counter(netns=1, name="OutNoRoutes", increase=1),))
    trial = Trial(mode="refused", observer="attempts", seen="yes", process="right")
    seen = replace(
        SEEN,
        claim="observed",
        source="host",
        filtered_by="f" * 64,
        self_test=(trial,),
        relaxed=("no-traffic",),
        gaps=((moment, moment),),
        evidence=(*SEEN.evidence, attempts, traffic, counters),
    )
    again = recording.parse("e", recording.write(seen))
    assert again == replace(
        seen, claim="replayed", evidence=tuple(evidence for evidence in seen.evidence if evidence.kind != "policy")
    )
    assert again.observed


def test_a_rehearsal_is_read_as_it_was_written(tmp_path: Path) -> None:
    visit = Visit(label="GET /api/v1/health", outcome="done", detail="200")
    seen = rehearsal(encounter("cloud.objectos.ai", trigger="GET /x", request="GET /y"), visit)
    file = tmp_path / "evidence.jsonl"
    file.write_bytes(b"".join(recording.write(seen)))
    again = recording.read(str(file))
    assert (again.source, again.claim) == ("rehearsal", "replayed")
    assert {one.kind: one.records for one in again.evidence if one.kind in {"world", "drive", "attempts"}} == {
        one.kind: one.records for one in seen.evidence if one.kind in {"world", "drive", "attempts"}
    }


@pytest.mark.parametrize("field", ["started", "finished"])
def test_a_time_without_a_zone_is_refused(field: str) -> None:
    header = {**msgspec.json.decode(LINES[0]), field: "0001-01-01T00:00:00"}
    with pytest.raises(InvalidFileError, match=field):
        recording.parse("e", [msgspec.json.encode(header), *LINES[1:]])
