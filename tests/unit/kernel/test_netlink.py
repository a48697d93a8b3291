from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from airgap_check.kernel import netlink

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


class Channel(socket.socket):
    """Answers with canned datagrams, each from a sender (0 is the kernel)."""

    def __init__(self, answers: list[tuple[bytes, int]]) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.answers = answers
        self.sent: list[bytes] = []

    def send(self, data: bytes, *_: object) -> int:  # type: ignore[override]
        self.sent.append(data)
        return len(data)

    def recvfrom_into(self, buffer: memoryview, *_: object) -> tuple[int, tuple[int, int]]:  # type: ignore[override]
        data, sender = self.answers.pop(0)
        buffer[: min(len(data), len(buffer))] = data[: len(buffer)]
        return len(data), (sender, 0)


def heard(answers: list[tuple[bytes, int]]) -> list[bytes]:
    found: list[bytes] = []

    def consume(data: memoryview) -> bool:
        found.append(bytes(data))
        return netlink.ends(data, 0)

    with Channel(answers) as channel:
        netlink.dump(channel, b"request", consume)
        assert channel.sent == [b"request"]
    return found


def test_a_dump_ends_where_the_kernel_says_so() -> None:
    data = struct.pack("=IHHII", 16, 20, 2, 1, 0)
    assert heard([(data, 0), (DONE, 0), (b"never read", 0)]) == [data, DONE]


def test_what_another_process_writes_to_the_channel_is_not_heard() -> None:
    forged = struct.pack("=IHHII", 16, 20, 2, 1, 0)
    assert heard([(forged, 4711), (DONE, 0)]) == [DONE]


def test_a_cut_datagram_is_an_error() -> None:
    with pytest.raises(OSError, match="cut") as caught:
        heard([(bytes((1 << 16) + 1), 0)])
    assert caught.value.errno == errno.EMSGSIZE


def test_an_error_inside_the_end_of_a_dump_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        netlink.ends(struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -errno.ENOENT), 0)


def test_an_error_message_is_an_error() -> None:
    with pytest.raises(PermissionError):
        netlink.ends(struct.pack("=IHHIIi16x", 36, 2, 0, 1, 0, -errno.EPERM), 0)


def test_an_acknowledgement_ends_the_answer() -> None:
    assert netlink.ends(struct.pack("=IHHIIi16x", 36, 2, 0, 1, 0, 0), 0)


def test_a_dump_during_which_the_table_changed_is_an_error() -> None:
    with pytest.raises(InterruptedError):
        netlink.ends(struct.pack("=IHHII", 16, 20, 0x12, 1, 0), 0)


@pytest.mark.parametrize("data", [b"", bytes(15), bytes(16), struct.pack("=IHHII", 17, 20, 2, 1, 0)])
def test_bytes_that_are_no_message_are_an_error(data: bytes) -> None:
    with pytest.raises(OSError, match="makes no sense"):
        netlink.ends(data, 0)


def test_attributes_are_told_apart_by_kind_whatever_their_flags() -> None:
    data = struct.pack("=HHBxxxHHI", 5, 8, 7, 8, 0x8000 | 15, 9)
    assert [(kind, data[start:end]) for kind, start, end in netlink.attributes(data, 0, len(data))] == [
        (8, b"\x07"),
        (15, struct.pack("=I", 9)),
    ]


@pytest.mark.parametrize("data", [b"\x04", struct.pack("=HH", 3, 1), struct.pack("=HHI", 12, 1, 0)])
def test_a_malformed_attribute_is_an_error(data: bytes) -> None:
    with pytest.raises(OSError, match="makes no sense"):
        list(netlink.attributes(data, 0, len(data)))


def test_a_channel_is_not_inherited_by_children() -> None:
    with netlink.connect(0) as channel:
        assert not os.get_inheritable(channel.fileno())
