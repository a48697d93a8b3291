"""A command for alerts, run as root runs it: as nobody, with nothing, and not for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from airgap_check import alerts
from airgap_check.alerts.message import Alert
from tests.live.servers import folder_of
from tests.unit.alerts.alerting import NOW, change, load, pump, spooled

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.live
NOBODY = "65534"


class Scene(NamedTuple):
    """A folder that nobody may write to, and the state folder that only we may."""

    place: Path
    state: Path

    def told(self, script: str, **how: Any) -> list[str]:
        """Tell a shell script, whose $1 is the folder; the shell is the program, not how it is started."""
        file = load(self.state.parent, {"command": {"argv": ["/bin/sh", "-c", script, "alert", str(self.place)]}})
        alerts.post(file, change(hostname="near; $(id)"), str(self.state))
        return pump(file, self.state, **how)

    def read(self, name: str) -> str:
        return (self.place / name).read_text()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with folder_of("nobody") as folder:
        yield Scene(folder, tmp_path / "state")


def test_it_runs_as_nobody_with_no_rights_and_can_gain_none(scene: Scene) -> None:
    groups = os.getgroups()
    os.setgroups([4, 24])
    try:
        assert scene.told('cat /proc/self/status > "$1/status"; pwd > "$1/folder"') == []
    finally:
        os.setgroups(groups)
    lines = (line.partition(":") for line in scene.read("status").splitlines())
    status = {name: value.split() for name, _, value in lines}
    assert status["Uid"] == status["Gid"] == [NOBODY] * 4
    assert status["Groups"] == []
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind][0], 16) == 0, kind
    assert status["NoNewPrivs"] == ["1"]
    assert int(status["NSsid"][0]) != os.getsid(0)
    assert scene.read("folder") == "/\n"


def test_we_keep_our_own_rights(scene: Scene) -> None:
    before = _rights()
    assert scene.told("exit 0") == []
    assert _rights() == before


def _rights() -> list[str]:
    lines = Path("/proc/self/status").read_text().splitlines()
    return [line for line in lines if line.startswith(("Cap", "NoNewPrivs", "Uid", "Groups"))]


def test_it_is_given_the_json_and_hardly_an_environment(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "secret")
    script = 'cat > "$1/input"; tr "\\0" "\\n" < /proc/self/environ > "$1/environ"; ls /proc/self/fd > "$1/fds"'
    with Path("/etc/passwd").open() as held:
        os.set_inheritable(held.fileno(), True)  # noqa: FBT003  (its own signature)
        assert scene.told(script) == []
    alert = msgspec.json.decode(scene.read("input"), type=Alert)
    environment = dict(line.split("=", 1) for line in scene.read("environ").splitlines())
    assert environment.pop("PATH").endswith("/bin")
    assert {name for name in environment if name not in {"PWD", "_"}} == {
        "AIRGAP_ID", "AIRGAP_HOST", "AIRGAP_SUBJECT", "AIRGAP_VERDICT", "AIRGAP_BEFORE",
    }  # fmt: skip
    assert environment["AIRGAP_ID"] == alert.id
    assert environment["AIRGAP_HOST"] == alert.host == "near; $(id)"
    assert scene.read("fds").split() == ["0", "1", "2", "3"], "the third is the folder that ls reads"


def test_one_that_fails_is_run_again_later(scene: Scene) -> None:
    (line,) = scene.told("exit 7")
    assert '"to 0" was not told: the command exited with 7; 1 kept' in line
    (line,) = scene.told("kill -9 $$", now=NOW.replace(hour=14))
    assert "the command was ended by signal 9" in line
    assert scene.told("cat > /dev/null", now=NOW.replace(hour=18)) == []


def test_one_that_takes_too_long_is_killed_with_what_it_started(scene: Scene) -> None:
    (line,) = scene.told('sleep 1000 & echo $! > "$1/pid"; wait', seconds=3)
    assert "the command took too long, and was killed" in line
    pid = int(scene.read("pid"))
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return "sleep" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_one_that_neither_reads_nor_keeps_quiet_is_no_trouble(scene: Scene) -> None:
    assert scene.told("exec <&-; head -c 10000000 /dev/zero; head -c 10000000 /dev/zero >&2") == []


def test_one_that_cannot_be_started_is_said(scene: Scene) -> None:
    program = scene.place / "program"
    program.write_text("#!/none\n")
    program.chmod(0o755)
    file = load(scene.state.parent, {"command": {"argv": [str(program)]}})
    alerts.post(file, change(), str(scene.state))
    (line,) = pump(file, scene.state)
    assert "the command could not be started: No such file or directory" in line
    assert len(spooled(scene.state)) == 1
