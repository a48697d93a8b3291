from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address

import pytest

from airgap_check.kernel import destroy_events, sock_diag
from airgap_check.kernel.destroy_events import DestroyEvents, Ended


def event(local: str, remote: str, *, protocol: int = 6, before: bytes = b"", kind: int = 20) -> bytes:
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    ends = ip_address(local).packed.ljust(16, b"\0") + ip_address(remote).packed.ljust(16, b"\0")
    body = struct.pack("=BBBB", family, 7, 0, 0) + struct.pack(">HH", 40000, 443) + ends
    body += struct.pack("=IQ5I", 0, 77, 0, 0, 0, 0, 0) + before + struct.pack("=HHB3x", 5, 10, protocol)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_an_event_has_both_ends() -> None:
    assert destroy_events.parse(event("10.0.0.1", "10.0.0.2")) == Ended(
        protocol=6, local=b"\x0a\0\0\x01", local_port=40000, remote=b"\x0a\0\0\x02", remote_port=443, cookie=77
    )


def test_ipv6_keeps_all_of_its_address() -> None:
    ended = destroy_events.parse(event("::ffff:10.0.0.1", "::ffff:10.0.0.2", protocol=17))
    assert (ended.protocol, ended.remote) == (17, ip_address("::ffff:10.0.0.2").packed)


def test_the_protocol_is_found_wherever_it_stands() -> None:
    other = struct.pack("=HHI", 8, 2, 0)
    assert destroy_events.parse(event("10.0.0.1", "10.0.0.2", protocol=17, before=other)).protocol == 17


@pytest.mark.parametrize("size", [0, 15, 16, 87, 88, 92])
def test_half_an_event_is_an_error(size: int) -> None:
    with pytest.raises(OSError, match="makes no sense"):
        destroy_events.parse(event("10.0.0.1", "10.0.0.2")[:size])


def test_another_message_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        destroy_events.parse(event("10.0.0.1", "10.0.0.2", kind=18))


class Channel:
    """A netlink socket that yields what it is given: a datagram with its sender, or the number of an error."""

    def __init__(self, *waiting: tuple[bytes, int] | int, may_force: bool = True) -> None:
        self.waiting = list(waiting)
        self.may_force, self.asked, self.granted, self.groups, self.closed = may_force, 0, 0, [0][:0], False

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if level == socket.SOL_SOCKET:
            if option == 33 and not self.may_force:
                raise PermissionError(errno.EPERM, "no")
            self.granted = value if option == 33 else min(value, 1000)
        else:
            self.groups.append(value)

    def getsockopt(self, _level: int, _option: int) -> int:
        return 2 * self.granted

    def bind(self, _address: tuple[int, int]) -> None:
        pass

    def recvfrom_into(self, buffer: memoryview, _size: int, flags: int) -> tuple[int, tuple[int, int]]:
        assert flags & socket.MSG_DONTWAIT
        if not self.waiting:
            raise BlockingIOError
        first = self.waiting.pop(0)
        if isinstance(first, int):
            raise OSError(first, "no")
        data, sender = first
        buffer[: len(data)] = data
        return len(data), (sender, 1)

    def close(self) -> None:
        self.closed = True


def listen(monkeypatch: pytest.MonkeyPatch, channel: Channel, buffer: int = 5000) -> DestroyEvents:
    monkeypatch.setattr(sock_diag, "connect", lambda: channel)
    return DestroyEvents(buffer)


def test_every_kind_of_socket_is_listened_for(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel()
    events = listen(monkeypatch, channel)
    assert channel.groups == [1, 2, 3, 4]
    assert events.buffer == 5000
    assert events.read(10) == ([], 0)


def test_without_the_right_the_buffer_is_what_one_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listen(monkeypatch, Channel(may_force=False)).buffer == 1000


def test_an_overrun_is_counted_and_reading_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    good = event("10.0.0.1", "10.0.0.2"), 0
    events = listen(monkeypatch, Channel(good, errno.ENOBUFS, good, good))
    found, overruns = events.read(10)
    assert (len(found), overruns) == (3, 1)


def test_only_so_many_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    good = event("10.0.0.1", "10.0.0.2"), 0
    events = listen(monkeypatch, Channel(good, good, good))
    assert [len(events.read(2)[0]), len(events.read(2)[0])] == [2, 1]


def test_who_is_not_the_kernel_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    events = listen(monkeypatch, Channel((event("10.0.0.1", "10.0.0.2"), 4711)))
    assert events.read(10) == ([], 0)


def test_nonsense_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    events = listen(monkeypatch, Channel((b"nonsense", 0), (event("10.0.0.1", "10.0.0.2"), 0)))
    assert len(events.read(10)[0]) == 1
    assert events.nonsense == 1


def test_another_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PermissionError):
        listen(monkeypatch, Channel(errno.EPERM)).read(10)


def test_a_channel_that_cannot_join_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    channel = Channel()

    def refuse(_: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(channel, "bind", refuse)
    with pytest.raises(PermissionError):
        listen(monkeypatch, channel)
    assert channel.closed
