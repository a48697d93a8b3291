from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import netlink, rtnetlink, sock_diag

if TYPE_CHECKING:
    from airgap_check.kernel.rtnetlink import InterfaceAddress
    from airgap_check.kernel.sock_diag import Row


def attribute(kind: int, value: bytes, lie: int) -> bytes:
    return struct.pack("=HH", (4 + len(value) + lie) & 0xFFFF, kind) + value + bytes(-len(value) % 4)


ATTRIBUTES = st.lists(
    st.builds(attribute, st.sampled_from([1, 2, 4, 8, 11, 15, 21, 0x8015]), st.binary(max_size=12), st.integers(-5, 5))
).map(b"".join)


def message(kind: int, flags: int, fixed: bytes, attributes: bytes, lie: int) -> bytes:
    body = fixed + attributes
    return struct.pack("=IHHII", max(0, 16 + len(body) + lie), kind, flags, 1, 0) + body


SOCKETS = st.builds(
    message,
    st.sampled_from([2, 3, 18, 20, 21]),
    st.sampled_from([0, 2, 0x12]),
    st.one_of(st.binary(min_size=72, max_size=72), st.binary(max_size=90)),
    ATTRIBUTES,
    st.sampled_from([0, 0, 0, 0, -1, 1, 4, -70]),
)
ADDRESSES = st.builds(
    message,
    st.sampled_from([2, 3, 16, 20]),
    st.sampled_from([0, 2, 0x12]),
    st.one_of(st.binary(min_size=8, max_size=8), st.binary(max_size=8)),
    ATTRIBUTES,
    st.sampled_from([0, 0, 0, -1, 4]),
)
DATAGRAM = st.one_of(st.binary(max_size=300), st.lists(SOCKETS, max_size=5).map(b"".join))


@given(DATAGRAM)
def test_any_datagram_of_sockets_yields_rows_or_an_error(data: bytes) -> None:
    rows: dict[int, Row] = {}
    with suppress(OSError):
        sock_diag.parse(memoryview(data), rows)
    for row in rows.values():
        assert len(row.local) == len(row.remote) == (4 if row.family == 2 else 16)
        assert 0 <= row.local_port <= 0xFFFF
        assert 0 <= row.remote_port <= 0xFFFF


@given(st.one_of(st.binary(max_size=300), st.lists(ADDRESSES, max_size=5).map(b"".join)))
def test_any_datagram_of_addresses_yields_addresses_or_an_error(data: bytes) -> None:
    found: list[InterfaceAddress] = []
    with suppress(OSError):
        rtnetlink.parse(memoryview(data), found)
    for address in found:
        assert len(address.address) in {4, 16}
        assert all(isinstance(packed, bytes) for packed in address.broadcasts())


@given(st.lists(SOCKETS, min_size=1, max_size=3), st.integers(0, 200))
def test_a_parser_never_reads_past_the_end(messages: list[bytes], cut: int) -> None:
    """Bytes after the end must not change what comes out: the buffer is used again and again."""
    data = b"".join(messages)
    data = data[: max(0, len(data) - cut)]
    outcomes: list[tuple[int | None, dict[int, Row]]] = []
    for beyond in (b"", b"\xff" * 64, b"\0" * 64):
        rows: dict[int, Row] = {}
        buffer = memoryview(bytearray(data + beyond))[: len(data)]
        try:
            outcomes.append((sock_diag.parse(buffer, rows), rows))
        except OSError as error:
            outcomes.append((error.errno, rows))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@given(st.binary(max_size=100), st.integers(0, 120))
def test_an_end_is_told_or_an_error_is_raised(data: bytes, position: int) -> None:
    try:
        assert netlink.ends(data, position) in {True, False}
    except OSError:
        return
    assert position + netlink.HEADER <= len(data)


def test_the_generator_makes_sound_messages_too() -> None:
    sound = message(20, 2, bytes(72), attribute(21, bytes(8), 0), 0)
    rows: dict[int, Row] = {}
    assert not sock_diag.parse(sound, rows)
    assert len(rows) == 1
    with pytest.raises(OSError, match="makes no sense"):
        sock_diag.parse(message(20, 2, bytes(72), b"", 1), rows)
