from __future__ import annotations

import errno
import socket
import struct
import sys
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from airgap_check.kernel import sock_diag
from airgap_check.kernel.sock_diag import CLOSE, ESTABLISHED, LISTEN, TIME_WAIT, Row

SO_COOKIE = 57

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


CGROUP = attribute(21, struct.pack("=Q", 77))


def message(
    local: str = "10.0.0.1",
    remote: str = "10.0.0.2",
    *,
    state: int = ESTABLISHED,
    cookie: int = 1,
    inode: int = 9,
    attributes: bytes = attribute(8, b"\x00") + CGROUP,
    kind: int = 20,
) -> bytes:
    family = socket.AF_INET if "." in local and ":" not in local else socket.AF_INET6
    ends = ip_address(local).packed.ljust(16, b"\0") + ip_address(remote).packed.ljust(16, b"\0")
    body = struct.pack("=BBBB", family, state, 0, 0) + struct.pack(">HH", 40000, 443) + ends
    body += struct.pack("=IQ5I", 0, cookie, 0, 0, 0, 1000, inode) + attributes
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, 2, 1, 0) + body + bytes(-length % 4)


def parsed(*messages: bytes) -> list[Row]:
    rows: dict[int, Row] = {}
    assert not sock_diag.parse(b"".join(messages), rows)
    return list(rows.values())


def test_a_row_has_what_the_kernel_says() -> None:
    assert parsed(message()) == [
        Row(
            family=socket.AF_INET,
            state=ESTABLISHED,
            local=b"\x0a\0\0\x01",
            local_port=40000,
            remote=b"\x0a\0\0\x02",
            remote_port=443,
            uid=1000,
            inode=9,
            cookie=1,
            cgroup=77,
            v6only=False,
        )
    ]


def test_the_old_kind_of_answer_is_understood_too() -> None:
    assert parsed(message(kind=18)) == parsed(message())


def test_a_mapped_address_stays_as_the_kernel_has_it() -> None:
    (row,) = parsed(message("::ffff:10.0.0.1", "::ffff:8.8.8.8"))
    assert row.remote == ip_address("::ffff:8.8.8.8").packed
    assert row.family == socket.AF_INET6


def test_a_socket_listed_twice_is_one_row_the_later() -> None:
    rows = parsed(message(cookie=5), message(cookie=5, state=TIME_WAIT, inode=0, attributes=b""))
    assert [(row.state, row.inode, row.cgroup) for row in rows] == [(TIME_WAIT, 0, 0)]


def test_sockets_without_a_cookie_are_all_kept() -> None:
    assert len(parsed(*(message(cookie=0, inode=inode) for inode in range(1, 5)))) == 4


def test_the_cgroup_is_found_wherever_it_stands() -> None:
    mark = attribute(15, struct.pack("=I", 3))
    rows = parsed(
        message(cookie=1, attributes=attribute(8, b"\0") + CGROUP),
        message(cookie=2, attributes=CGROUP + attribute(8, b"\0")),  # as long, but laid out otherwise
        message(cookie=3, attributes=mark + CGROUP),
        message(cookie=4, attributes=mark + attribute(17, struct.pack("=Q", 99))),  # as long, but no cgroup
        message(cookie=5, attributes=b""),
        message(cookie=6, attributes=attribute(8, b"\0") + CGROUP),
    )
    assert [row.cgroup for row in rows] == [77, 77, 77, 0, 0, 77]


@pytest.mark.parametrize("state", [LISTEN, CLOSE])
def test_a_waiting_ipv6_socket_says_whether_it_takes_ipv4(state: int) -> None:
    only, both = attribute(11, b"\1") + CGROUP, attribute(11, b"\0") + CGROUP
    assert [row.v6only for row in parsed(message("::", "::", state=state, cookie=1, attributes=only))] == [True]
    assert [row.v6only for row in parsed(message("::", "::", state=state, cookie=1, attributes=both))] == [False]
    assert [row.v6only for row in parsed(message("::", "::", state=state, cookie=1))] == [False]


def test_the_end_of_the_dump_is_told() -> None:
    rows: dict[int, Row] = {}
    assert sock_diag.parse(message() + DONE + b"rest", rows)
    assert len(rows) == 1


def test_a_failure_hidden_in_the_end_of_the_dump_is_raised() -> None:
    with pytest.raises(OSError, match="No such file") as caught:
        sock_diag.parse(message() + struct.pack("=IHHIIi", 20, 3, 2, 1, 0, -errno.ENOENT), {})
    assert caught.value.errno == errno.ENOENT


def test_a_table_that_changed_under_the_walk_is_an_error() -> None:
    data = bytearray(message())
    struct.pack_into("=H", data, 6, 0x12)
    with pytest.raises(InterruptedError):
        sock_diag.parse(bytes(data), {})


@pytest.mark.parametrize("size", [1, 15, 16, 50, 87, 88, 100, 107])
def test_half_a_message_is_an_error(size: int) -> None:
    assert len(message()) == 108
    with pytest.raises(OSError, match="makes no sense"):
        sock_diag.parse(message()[:size], {})


@pytest.mark.parametrize("length", [0, 16, 87, 109, 1 << 31])
def test_a_wrong_length_is_an_error(length: int) -> None:
    data = bytearray(message())
    struct.pack_into("=I", data, 0, length)
    with pytest.raises(OSError, match="makes no sense"):
        sock_diag.parse(bytes(data), {})


def test_a_message_of_another_kind_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        sock_diag.parse(message(kind=21), {})


def test_this_kernel_lists_a_socket_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, sock_diag.connect() as channel:
        port = server.getsockname()[1]
        rows = [row for row in sock_diag.read(channel, socket.IPPROTO_TCP) if row.local_port == port]
        assert [(row.state, row.local) for row in rows] == [(LISTEN, b"\x7f\0\0\x01")]
        assert rows[0].cookie


@pytest.mark.parametrize("here", ["127.0.0.1", "::1"])
def test_this_kernel_finds_a_socket_by_its_ends(here: str) -> None:
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    with ExitStack() as stack:
        made = (socket.socket(family, kind) for kind in (socket.SOCK_STREAM, *[socket.SOCK_DGRAM] * 3))
        server, names, joined, loose = (stack.enter_context(each) for each in made)
        for each in (server, names):
            each.bind((here, 0))
        server.listen()
        client = stack.enter_context(socket.create_connection(server.getsockname()[:2]))
        joined.connect(names.getsockname())
        loose.sendto(b"?", names.getsockname())
        channel = stack.enter_context(sock_diag.connect())
        for asker, place, protocol in (
            (client, server, socket.IPPROTO_TCP),
            (joined, names, socket.IPPROTO_UDP),
            (loose, names, socket.IPPROTO_UDP),
        ):
            end = here, asker.getsockname()[1]
            cookie = int.from_bytes(asker.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8), sys.byteorder)
            assert cookie
            assert sock_diag.find(channel, protocol, end, place.getsockname()[:2]) == cookie
            asker.close()
        if family == socket.AF_INET:
            assert sock_diag.find(channel, socket.IPPROTO_UDP, end, names.getsockname()[:2]) == 0


def test_a_protocol_that_this_kernel_cannot_list_is_an_error() -> None:
    with sock_diag.connect() as channel, pytest.raises(FileNotFoundError):
        sock_diag.read(channel, 254)
