"""A socket file leads out of a network namespace when nobody there has bound it."""

from __future__ import annotations

import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from airgap_check.kernel.socket_call import Sent
from airgap_check.observers.way_out import foreign_family, foreign_file

if TYPE_CHECKING:
    from pathlib import Path


def to(path: str | bytes) -> Sent:
    name = socket.AF_UNIX.to_bytes(2, "little") + os.fsencode(path) + b"\0"
    return Sent(descriptor=3, name=name, connects=True)


def test_what_somebody_here_has_bound_leads_nowhere_else(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(path)
        assert foreign_file(to(path), threading.get_native_id()) == ""
    assert foreign_file(to(path), threading.get_native_id()) == path


def test_a_name_is_read_where_the_caller_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    assert foreign_file(to("socket"), threading.get_native_id()) == "socket"


def test_a_folder_that_the_caller_holds_is_his(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        folder = os.open(tmp_path, os.O_PATH)
        try:
            paths = [
                f"/proc/self/fd/{folder}/socket",
                "/proc/thread-self/cwd/socket",
                f"/proc/self/root{tmp_path}/socket",
            ]
            for path in paths:
                assert foreign_file(to(path), threading.get_native_id()) == ""
            made.close()
            for path in paths:
                assert foreign_file(to(path), threading.get_native_id()) == path
        finally:
            os.close(folder)


def test_a_link_that_leads_elsewhere_for_us_than_for_the_caller_leads_out(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
        link = tmp_path / "link"
        link.symlink_to(f"/proc/self/root{tmp_path}")
        path = str(link / "socket")
        assert foreign_file(to(path), threading.get_native_id()) == path


def test_what_is_no_socket_file_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "nothing", tmp_path):
        assert foreign_file(to(str(path)), threading.get_native_id()) == ""
    assert foreign_file(to(b"\0abstract"), threading.get_native_id()) == ""
    assert foreign_file(Sent(3, b"\2\0\0\x35\x7f\0\0\1", connects=True), threading.get_native_id()) == ""


@pytest.mark.parametrize(("family", "name"), [(2, ""), (17, ""), (44, ""), (40, "VSOCK"), (99, "family 99")])
def test_families_that_may_lead_out_have_a_name(family: int, name: str) -> None:
    assert foreign_family(family) == name
