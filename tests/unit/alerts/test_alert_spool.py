"""The spool: private, bounded, in order, and never without a message that it once took."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from airgap_check import alerts
from airgap_check.alerts import message, spool
from airgap_check.alerts.settings import Destination
from airgap_check.alerts.spool import Spool
from airgap_check.errors import UsageError
from tests.unit.alerts.alerting import NOW, change, known, load, pump, receiver, spooled, webhook

if TYPE_CHECKING:
    from airgap_check.alerts.message import Alert

ROOT = str(Path(__file__).parents[3])


def alert(number: int = 1, **facts: Any) -> Alert:
    made = message.of(
        change(appeared=(known(number),), finished=NOW + timedelta(seconds=number), **facts), Destination(name="siem")
    )
    assert made is not None
    return made


def test_files_are_private_and_their_names_say_nothing(tmp_path: Path) -> None:
    Spool(str(tmp_path / "state")).put("../siem\n", alert())
    folder = tmp_path / "state" / "spool"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert all("siem" not in path.name for path in folder.iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_messages_keep_their_order_and_come_once_an_id(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    for number in (3, 1, 2, 1):
        queue.put("siem", alert(number))
    seen = []
    while head := queue.head("siem"):
        seen.append(head[1].alert.appeared[0].subject)
        queue.remove(head[0])
    assert seen == ["node 3", "node 1", "node 2"]


def test_destinations_do_not_see_each_others_messages(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    queue.put("siem", alert())
    assert queue.head("mail") is None
    assert (queue.count("siem"), queue.count("mail")) == (1, 0)


def test_when_there_are_too_many_the_oldest_go_and_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_EACH", 3)
    monkeypatch.setattr(spool, "MOST", 4)
    queue = Spool(str(tmp_path))
    assert [queue.put("siem", alert(number)) for number in range(1, 6)] == [0, 0, 0, 1, 1]
    assert queue.standing("siem").dropped == 2
    assert [queue.put("mail", alert(number)) for number in range(10, 13)] == [0, 1, 1]
    assert (queue.count("siem"), queue.count("mail"), queue.standing("siem").dropped) == (1, 3, 4)
    head = queue.head("siem")
    assert head is not None
    assert head[1].alert.appeared[0].subject == "node 5"


def test_what_is_too_large_together_or_too_old_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Spool(str(tmp_path))
    queue.put("siem", alert(1))
    queue.put("siem", replace(alert(2), finished=NOW + timedelta(days=20)))
    assert queue.expire(NOW + timedelta(days=31)) == 1
    assert queue.count("siem") == 1
    monkeypatch.setattr(spool, "MOST_BYTES", 100)
    assert queue.expire(NOW) == 1
    assert (queue.count("siem"), queue.standing("siem").dropped) == (0, 2)


def test_a_message_that_cannot_be_read_is_dropped_and_counted(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    for number in (1, 2, 3):
        queue.put("siem", alert(number))
    first, second, _ = sorted((tmp_path / "spool").glob("*.alert"))
    first.write_bytes(first.read_bytes()[:-20])
    second.write_bytes(second.read_bytes().replace(b'"siem"', b'"mail"'))
    head = queue.head("siem")
    assert head is not None
    assert head[1].alert.appeared[0].subject == "node 3"
    assert queue.standing("siem").dropped == 2


def test_a_standing_that_cannot_be_read_holds_nothing_against_anybody(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    queue.keep(replace(queue.standing("siem"), failures=3, again=NOW))
    assert queue.standing("siem").failures == 3
    (standing,) = (tmp_path / "spool").glob("*.standing")
    standing.write_bytes(b"{")
    assert queue.standing("siem") == spool.Standing(destination="siem")


def test_what_was_half_written_is_swept_away(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    (tmp_path / "spool" / "000000000001-x.alert.99.tmp").write_bytes(b"{")
    queue.put("siem", alert())
    assert len(spooled(tmp_path)) == 1
    assert not list((tmp_path / "spool").glob("*.tmp"))


def test_one_run_delivers_at_a_time_while_another_may_still_put(tmp_path: Path) -> None:
    queue = Spool(str(tmp_path))
    with queue.delivering(0) as first, Spool(str(tmp_path)).delivering(0.05) as second:
        assert (first, second) == (True, False)
        Spool(str(tmp_path)).put("siem", alert())
    with queue.delivering(0) as again:
        assert again


def test_a_folder_of_somebody_else_is_refused_and_said(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool").chmod(0o777)
    with pytest.raises(UsageError, match="others can write to it"):
        Spool(str(tmp_path))
    file = load(tmp_path, {"command": {"argv": ["/bin/true"]}})
    (line,) = alerts.post(file, change(), str(tmp_path)).lines
    assert '"to 0" is told at once or never, as this is not kept: state folder' in line
    (line,) = pump(file, tmp_path)
    assert "others can write to it" in line


_PUT = """
import sys
from airgap_check.alerts.message import Alert
from airgap_check.alerts.spool import Spool
import msgspec
from airgap_check.alerts import spool
spool.MOST_EACH = spool.MOST = 10**6  # it may be quick
alert, state = msgspec.json.decode(sys.argv[1], type=Alert), sys.argv[2]
queue = Spool(state)
number = 0
while True:
    number += 1
    queue.put("siem", msgspec.structs.replace(alert, id=f"{sys.argv[3]}x{number}"))
    print(number, flush=True)
"""


def test_being_killed_while_putting_loses_nothing_that_was_taken(tmp_path: Path) -> None:
    import msgspec

    encoded = msgspec.json.encode(alert()).decode()
    taken = 0
    for number in range(8):
        argv = [sys.executable, "-c", _PUT, encoded, str(tmp_path), str(number)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            assert process.stdout
            for _ in range(number + 1):
                said = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read().split()
            taken += int(rest[-1]) if rest else said
        queue = Spool(str(tmp_path))
        assert taken <= queue.count("siem") <= taken + number + 1
        taken = queue.count("siem")
    seen = []
    while head := queue.head("siem"):
        seen.append(head[1].alert.id)
        queue.remove(head[0])
    assert len(seen) == len(set(seen)) == taken
    assert queue.standing("siem").dropped == 0


_PUMP = """
import sys
from datetime import datetime
from tests.building import policy
from airgap_check import alerts
now = datetime.fromisoformat(sys.argv[3])
alerts.pump(alerts.load(sys.argv[1]), sys.argv[2], policy(), (), now)
"""


def test_being_killed_between_sending_and_removing_costs_a_double_and_no_loss(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, server.port))
        alerts.post(file, change(), str(state))
        argv = [sys.executable, "-c", _PUMP, file.document.path, str(state), NOW.isoformat()]
        sender: list[subprocess.Popen[bytes]] = []
        # The receiver has it, and kills the sender before he can know.
        server.before_answer = lambda: sender[0].send_signal(signal.SIGKILL)
        process = subprocess.Popen(argv, cwd=ROOT)
        sender.append(process)
        assert process.wait(30) == -signal.SIGKILL
        server.before_answer = None
        assert len(server.posted) == len(spooled(state)) == 1
        assert pump(file, state) == []
    first, second = server.posted
    assert first.alert["id"] == second.alert["id"]
    assert not spooled(state)
