"""Where bytes come from: standard input, gzip of hostile kinds, lines without end."""

from __future__ import annotations

import gzip
import os
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from airgap_check.captures.reading import Reading
from airgap_check.errors import UsageError
from tests.unit.captures import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airgap_check.evidence import Evidence

SCENE = wire.pcap(wire.scene())


def judge(*paths: Path | str) -> Evidence:
    return Reading(lambda _: None, None).evidence([str(path) for path in paths])


def written(folder: Path, *content: bytes) -> Path:
    path = folder / "capture"
    with path.open("wb") as file:
        file.writelines(content)
    return path


@contextmanager
def standard_input(content: bytes) -> Iterator[None]:
    """Let a pipe with some bytes in it be descriptor 0."""
    before = os.dup(0)
    reader, writer = os.pipe()
    os.write(writer, content)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


@pytest.mark.parametrize("content", [SCENE, gzip.compress(SCENE[:700]) + gzip.compress(SCENE[700:])])
def test_a_dash_is_standard_input(tmp_path: Path, content: bytes) -> None:
    with standard_input(content):
        found = judge("-")
    assert found.scope == "standard input"
    assert found.records == judge(written(tmp_path, SCENE)).records


def test_a_fault_of_standard_input_says_so() -> None:
    with standard_input(b"text\n"), pytest.raises(UsageError, match=r"^standard input:1:1: not a file"):
        judge("-")


def test_nobody_types_a_capture() -> None:
    main, terminal = os.openpty()
    before = os.dup(0)
    os.dup2(terminal, 0)
    try:
        with pytest.raises(UsageError, match="is a terminal"):
            judge("-")
    finally:
        os.dup2(before, 0)
        for descriptor in (before, main, terminal):
            os.close(descriptor)


def test_what_unpacks_to_far_too_much_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.captures.source._PLENTY", 1 << 20)
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(SCENE) + packer.compress(bytes(3 << 20)) + packer.flush()
    found = judge(written(tmp_path, packed))
    assert found.status == "partial"
    assert "unpacks to more than 300 times its size" in found.reason
    assert len(found.records) == 27  # of the scene, which came before


def test_many_empty_members_are_stepped_over(tmp_path: Path) -> None:
    empty = gzip.compress(b"", mtime=0)
    found = judge(written(tmp_path, gzip.compress(SCENE[:300]), empty * 20_000, gzip.compress(SCENE[300:])))
    assert found.status == "complete"
    assert len(found.records) == 27


def test_a_line_without_end_is_one_that_cannot_be_read(tmp_path: Path) -> None:
    endless = b'{"event_type":"dns","x":"' + b"a" * (3 << 20) + b'"}\n'
    found = judge(written(tmp_path, b'{"event_type":"stats"}\n', endless, b'{"event_type":"stats"}\n'))
    assert (found.counts["lines"], found.counts["malformed"], found.counts["skipped"]) == (3, 1, 2)
    assert "1 of 3 lines could not be read, the first is line 2" in found.reason


def test_deeply_nested_json_cannot_be_read(tmp_path: Path) -> None:
    nested = b'{"event_type":"dns","dns":' + b"[" * (sys.getrecursionlimit() * 50) + b"\n"
    found = judge(written(tmp_path, b'{"event_type":"stats"}\n', nested))
    assert found.counts["malformed"] == 1


@pytest.mark.parametrize("piece", [wire.interface("<", "ethernet"), wire.section("<"), wire.block("<", 0xBAD, b"")])
def test_blocks_that_only_describe_are_bounded(tmp_path: Path, piece: bytes) -> None:
    described = wire.section("<") + wire.interface("<", "ethernet")
    found = judge(written(tmp_path, described, piece * 70_000))
    assert found.status == "partial"
    assert not found.records
    if piece == wire.interface("<", "ethernet"):
        assert "more interfaces than anybody has at byte 1,310,748" in found.reason


def test_packets_of_no_bytes_are_counted_and_say_nothing(tmp_path: Path) -> None:
    found = judge(written(tmp_path, wire.pcap([]), bytes(16) * 300_000))
    assert (found.counts["packets"], found.counts["other"]) == (300_000, 300_000)
    assert found.reason == "nothing in it says who talks to whom"
