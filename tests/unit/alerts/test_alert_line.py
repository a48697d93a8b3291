"""Lines to hostile or odd ends on loopback: bounded in time and bytes, and nothing counts as delivered too soon."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airgap_check import alerts
from tests.unit.alerts.alerting import HERE, NAME, change, load, pump, spooled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest


@contextmanager
def other_side(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept one connection and let it be dealt with."""
    with socket.create_server((HERE, 0)) as listener:

        def accept() -> None:
            end, _ = listener.accept()
            with end:
                behave(end)

        thread = threading.Thread(target=accept)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def syslog(folder: Path, port: int, transport: str = "tcp") -> alerts.AlertFile:
    file = load(folder, {"syslog": {"host": HERE, "port": port, "transport": transport}})
    alerts.post(file, change(), str(folder / "state"))
    return file


def _everything(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 16), b""))


def test_a_frame_is_preceded_by_its_length_in_octets(tmp_path: Path) -> None:
    got: list[bytes] = []
    with other_side(lambda end: got.append(_everything(end))) as port:
        assert pump(syslog(tmp_path, port), tmp_path / "state") == []
    length, _, frame = got[0].partition(b" ")
    assert int(length) == len(frame)
    assert frame.startswith(b"<27>1 2026-11-20T12:00:00.000000Z near airgap-check - alert [alert@32473 id=")
    assert not spooled(tmp_path / "state")


def test_one_who_hangs_up_on_unread_bytes_did_not_take_it(tmp_path: Path) -> None:
    def reset(end: socket.socket) -> None:
        while not end.recv(1, socket.MSG_PEEK):
            pass

    with other_side(reset) as port:
        (line,) = pump(syslog(tmp_path, port), tmp_path / "state")
    assert '"to 0" was not told: ' in line
    assert len(spooled(tmp_path / "state")) == 1


def test_one_who_reads_but_never_hangs_up_has_it(tmp_path: Path) -> None:
    done = threading.Event()

    def keep_open(end: socket.socket) -> None:
        assert _everything(end)
        done.wait(30)

    with other_side(keep_open) as port:
        assert pump(syslog(tmp_path, port), tmp_path / "state") == []
        done.set()
    assert not spooled(tmp_path / "state")


def test_a_datagram_that_nobody_listens_to_is_kept(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind((HERE, 0))
        file = syslog(tmp_path, receiver.getsockname()[1], "udp")
    (line,) = pump(file, tmp_path / "state")
    assert "was not told: Connection refused" in line
    assert len(spooled(tmp_path / "state")) == 1


def test_an_answer_without_end_is_cut(tmp_path: Path) -> None:
    def chatter(end: socket.socket) -> None:
        try:
            while True:
                end.sendall(b"220-welcome\r\n" * 1000)
        except OSError:
            pass

    with other_side(chatter) as port:
        mail = {"host": HERE, "port": port, "from": "a@corp.example", "to": "b@corp.example", "starttls": "none"}
        file = load(tmp_path, {"smtp": mail})
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
    assert "SMTP failed: it says too much" in line


def test_one_who_says_nothing_does_not_stretch_the_time(tmp_path: Path) -> None:
    done = threading.Event()

    def say_nothing(_: socket.socket) -> None:
        done.wait(30)

    with other_side(say_nothing) as port:
        mail = {"host": HERE, "port": port, "from": "a@corp.example", "to": "b@corp.example", "starttls": "none"}
        file = load(tmp_path, {"smtp": mail})
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state", seconds=2)
        assert not done.is_set()
        done.set()
    assert "SMTP failed: it took too long" in line


def test_an_answer_that_drips_does_not_stretch_the_time(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(end: socket.socket) -> None:
        try:
            while not stop.wait(0.02):
                end.sendall(b"2")
        except OSError:
            pass

    with other_side(drip) as port:
        mail = {"host": HERE, "port": port, "from": "a@corp.example", "to": "b@corp.example", "starttls": "none"}
        file = load(tmp_path, {"smtp": mail})
        alerts.post(file, change(), str(tmp_path / "state"))
        began = time.monotonic()
        lines = pump(file, tmp_path / "state", seconds=2)
        took = time.monotonic() - began
        stop.set()
    assert '"to 0" was not told' in lines[0]
    assert took < 15  # without a bound it would never end


def test_a_name_is_looked_up_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("somebody asked for a name")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getfqdn"):
        monkeypatch.setattr(socket, name, refuse)
    destinations = [
        {"syslog": {"host": NAME, "port": 514, "transport": transport}} for transport in ("udp", "tcp", "tls")
    ]
    mail = {"host": NAME, "port": 25, "from": "a@corp.example", "to": "b@corp.example"}
    file = load(tmp_path, *destinations, {"smtp": mail})
    alerts.post(file, change(), str(tmp_path / "state"))
    lines = pump(file, tmp_path / "state")
    assert [f"{NAME} was not resolved by this run" in line for line in lines] == [True] * 4
