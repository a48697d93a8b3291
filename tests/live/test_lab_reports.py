"""Reports of real runs, in every machine format: read as strictly as those of the tests' own making."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check import reporters
from tests import formats
from tests.live import bundles
from tests.live.lab import SILENT
from tests.live.site import policy, start_objectos
from tests.live.vigil import Vigil
from tests.unit.captures import wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.live.lab import Lab

FOLDER = "/run/lab/reports"
KEY = "/run/lab/key"
Read = dict[str, Any]


def wanted(folder: object = FOLDER) -> Iterator[str]:
    """Yield the options that ask for a report in every format."""
    for name in reporters.FORMATS:
        yield from ("--report", f"{name}={folder}/{name}")


def read(folder: Path) -> Read:
    """Read each report as strictly as its format allows; what they say of the verdict is the same."""
    found = {name: check((folder / name).read_bytes().decode()) for name, check in formats.READERS.items()}
    report = found["json"]
    verdict, number = report["verdict"], sum(len(result["findings"]) for result in report["results"])
    assert found["sarif"]["invocations"][0]["exitCode"] == report["exit_code"]
    assert found["prometheus"]["verdict", frozenset({("verdict", verdict)})] == 1
    assert found["cef"][0][2]["outcome"] == verdict
    assert [row["outcome"] for row in found["csv"] if row["row"] == "verdict"] == [verdict]
    assert sum(row["row"] == "finding" for row in found["csv"]) == number
    assert sum(event[2]["outcome"] == "fail" for event in found["cef"]) == number
    assert bool(found["tap"]["good"]) is (verdict == "compliant")
    assert (found["nagios"][0] < 2) is (verdict == "compliant")
    assert (found["junit"].failures + found["junit"].errors == 0) is (verdict == "compliant")
    assert found["ocsf"][0]["compliance"]["status"] == {
        "compliant": "Pass", "not_compliant": "Fail", "inconclusive": "Warning"
    }[verdict]  # fmt: skip
    assert found["oscal"]["results"][0]["title"].startswith(verdict.replace("_", " ").upper())
    if report["policy"]["path"]:
        places = [place for result in found["sarif"]["results"] for place in result["locations"]]
        assert all("physicalLocation" in place for place in places)
    return found


@pytest.fixture
def site(lab: Lab) -> Lab:
    lab.near.check(["install", "-d", "-m", "0700", FOLDER])
    start_objectos(lab)
    return lab


def clean(_lab: Lab) -> None:
    return


def violating(lab: Lab) -> None:
    lab.near.plant("pending", SILENT, 443, name="curl|x=#\\", cgroup="job.service")


@pytest.mark.live
@pytest.mark.parametrize("shared", [(), ("--pseudonymize", KEY)], ids=["plain", "pseudonymized"])
@pytest.mark.parametrize(
    ("scene", "options", "verdict"),
    [
        (clean, ("audit",), "compliant"),
        (violating, ("audit",), "not_compliant"),
        (clean, ("audit", "--max-time", "1s", "--policy", "/run/lab/strict.yaml"), "inconclusive"),
        (violating, ("audit", "--observe", "2s", "--cgroup", "CGROUP"), "not_compliant"),
        (violating, ("preflight", "--cgroup", "CGROUP"), "not_compliant"),
    ],
    ids=["compliant", "violating", "inconclusive", "observed", "preflight"],
)  # fmt: skip
def test_every_format_of_an_audit_is_valid(
    site: Lab, scene: Callable[[Lab], None], options: tuple[str, ...], verdict: str, shared: tuple[str, ...]
) -> None:
    scene(site)
    site.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy()))
    required = ["environment", "sockets", "resolution", "listeners", "attempts"]
    site.near.write("/run/lab/strict.yaml", json.dumps(policy(require=required)))
    site.near.write(KEY, "ab" * 32)
    site.near.check(["chmod", "600", KEY])
    argv = [str(site.cgroup) if option == "CGROUP" else option for option in options]
    done = site.check(*argv, *shared, *wanted(), cgroup="auditor")
    found = read(site.near.path(FOLDER))
    assert found["json"]["verdict"] == verdict, done.stderr


def test_every_format_of_a_capture_is_valid(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    capture, law = tmp_path / "scene.pcap", tmp_path / "policy.yaml"
    capture.write_bytes(wire.pcap(wire.scene()))
    law.write_text(json.dumps(policy()))
    code, _ = bundles.run("inspect", str(capture), "--policy", str(law), *wanted(tmp_path))
    assert read(tmp_path)["json"]["exit_code"] == code == 1


def test_every_format_of_a_bundle_is_valid(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    pair = bundles.keys(tmp_path)
    bundle = bundles.make(tmp_path / "bundle", bundles.image(tmp_path), pair)
    bundle.seal()
    bundle.write("CHECKLIST.md", "changed")
    code, _ = bundles.run("bundle", str(bundle.folder), "--key", str(bundle.public), *wanted(tmp_path))
    assert read(tmp_path)["json"]["exit_code"] == code == 1


@pytest.mark.live
def test_a_watch_ends_with_the_line_and_the_code_of_its_worst_round(site: Lab) -> None:
    """Standard output has one line, of the round that a monitoring system must hear of, which is not the last one."""
    rest = {"runtime": {"expected": False}}
    with Vigil(site, "--every", "2s", "--format", "nagios", policy=policy(**rest)) as vigil:
        site.near.plant("attempt", SILENT, 443, name="curl", cgroup="job.service")
        vigil.hear("report: not compliant")
        vigil.hear("report: compliant")
        audit = vigil.end()
    code, text, _ = formats.nagios(audit.stdout)
    assert (audit.exit_code, code) == (2, 2), audit.stderr
    assert "connection.public-destination" in text
