"""A memory on a disk that is full, or read-only: whoever asked for a verdict gets the verdict."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from airgap_check.history import journal
from airgap_check.history.store import Store
from tests.unit.history.judged_reports import at, report, results_of

# In a mount namespace of its own: a small disk, on which a run is remembered before it is filled, or locked.
_SCENE = """
set -e
mount -t tmpfs -o size=1m,mode=700 none "$1"
"$2" -c "from tests.live.test_history_disk import remember; remember('$1/state')"
case "$3" in
full) head -c 2M /dev/zero >"$1/ballast" 2>/dev/null || true ;;
full-anew) rm -r "$1/state"; head -c 2M /dev/zero >"$1/ballast" 2>/dev/null || true ;;
read-only) mount -o remount,ro "$1" ;;
esac
set +e
"$2" -m airgap_check audit --no-resolve --accept-derived --format json --state "$1/state"
code=$?
"$2" -m airgap_check history --json --state "$1/state" >&2
exit $code
"""


def remember(state: str) -> None:
    """Do a run at noon that found something."""
    with Store(state) as store:
        entry = journal.begin(store, at(0))
        journal.finish(store, entry, report(0, results_of(["aaaa"])), at(0))


def audit(tmp_path: Path, scene: str) -> subprocess.CompletedProcess[str]:
    place = tmp_path / "disk"
    place.mkdir()
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _SCENE,
        "sh",
        str(place),
        sys.executable,
        scene,
    ]
    root = Path(__file__).parents[2]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=root)


@pytest.mark.parametrize("scene", ["full", "full-anew"])
def test_on_a_full_disk_the_verdict_comes_out_and_it_is_said_that_it_is_not_remembered(
    tmp_path: Path, scene: str
) -> None:
    done = audit(tmp_path, scene)
    judged = json.loads(done.stdout)
    assert done.returncode == judged["exit_code"] != 2
    assert "this run is not remembered" in done.stderr, done.stderr
    (continuity,) = [item for item in judged["coverage"] if item["collector"] == "continuity"]
    if scene == "full":
        assert continuity["status"] == "complete", "what went before can be read"
        assert continuity["counts"]["runs"] == 1
        assert '"standing_count": 1' in done.stderr
    else:
        assert continuity["status"] == "unavailable"


def test_a_folder_that_cannot_be_written_to_is_refused_before_anybody_looks(tmp_path: Path) -> None:
    done = audit(tmp_path, "read-only")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be written to" in done.stderr
    assert '"standing_count": 1' in done.stderr, "to read it is possible"


def test_with_room_on_the_disk_both_runs_are_remembered(tmp_path: Path) -> None:
    done = audit(tmp_path, "room")
    assert "not remembered" not in done.stderr
    assert json.loads(done.stdout)["exit_code"] == done.returncode
    assert len(json.loads(done.stderr[done.stderr.index("{") :])["runs"]) == 2
