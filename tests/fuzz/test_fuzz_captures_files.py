"""Whatever a file holds, it becomes evidence or is refused; nothing crashes, and what comes out is printable."""

from __future__ import annotations

import struct
import tempfile
from contextlib import suppress

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.captures.reading import Reading
from airgap_check.errors import UsageError
from tests.unit.captures import wire
from tests.unit.captures.test_captures_logs import CONN, DNS, DNS_EVENTS, LINES, as_json

SCENE = wire.scene()[:20]
CAPTURES = [
    wire.pcap(SCENE), wire.pcap(SCENE, "qinq", ">", nano=True), wire.pcapng(SCENE), wire.pcapng(SCENE, "cooked2", ">"),
]  # fmt: skip
LOGS = [
    text.encode()
    for text in (CONN, DNS, as_json(CONN), as_json(DNS), "".join(DNS_EVENTS.values()), "\n".join(LINES.values()))
]
EDITS = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), max_size=6)
WORDS = st.sampled_from([
    b"", b"-", b"(empty)", b"null", b"[]", b"{}", b"1e999", b"-1", b"NaN", b"true", b"\xff", b"\0", b"[" * 600,
    b"9" * 400, b"src=", b"T", b"10.0.0.1", b"::1%eth0", b"#fields\t",
    b"#separator \\x\n", b"#separator \n", b"\n", b"\t", b",",
])  # fmt: skip


def judged(content: bytes) -> None:
    """Read a file in both ways; they must agree, also in refusing it."""
    found = []
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        for columns in (False, True):
            with suppress(UsageError):
                found.append(Reading(lambda _: None, None, columns=columns).evidence([file.name]))
    assert found[:1] == found[1:]
    for evidence in found:
        assert all(character.isprintable() for character in evidence.reason)
        for record in evidence.records:
            assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record
            for text in _texts(record):
                assert text.isprintable()


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, msgspec.Struct):
        return [text for name in value.__struct_fields__ for text in _texts(getattr(value, name))]
    return []


@given(st.sampled_from(CAPTURES), EDITS, st.integers(0, 60))
def test_a_damaged_capture_is_judged(data: bytes, edits: list[tuple[int, bytes]], cut: int) -> None:
    changed = bytearray(data)
    for place, value in edits:
        begin = place % len(changed)
        changed[begin : begin + len(value)] = value
    judged(bytes(changed[: len(changed) - cut]))


@given(st.sampled_from([1, 0, 12, 101, 113, 276, 9, 147]), st.lists(st.binary(max_size=90), max_size=8))
def test_any_frames_are_judged(link: int, frames: list[bytes]) -> None:
    data = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)
    judged(data + b"".join(struct.pack("<IIII", 1, 2, len(item), len(item)) + item for item in frames))


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 5, 6, 0x0A0D0D0A, 77]), st.binary(max_size=60)), max_size=8))
def test_any_blocks_are_judged(blocks: list[tuple[int, bytes]]) -> None:
    described = wire.section("<") + wire.interface("<", "ethernet")
    judged(described + b"".join(wire.block("<", kind, body) for kind, body in blocks))


@given(st.sampled_from(LOGS), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 12), WORDS), max_size=6))
def test_a_damaged_log_is_judged(data: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    for place, size, word in edits:
        begin = place % (len(data) + 1)
        data = data[:begin] + word + data[begin + size :]
    judged(data)


@given(
    st.sampled_from([b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"{", b"#fields\t", b"\x1f\x8b\x08"]),
    st.binary(max_size=200),
)
def test_any_file_is_judged_or_refused(magic: bytes, rest: bytes) -> None:
    judged(magic + rest)
