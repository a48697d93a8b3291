from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest

from airgap_check.kernel import proc_net
from airgap_check.kernel.sock_diag import ESTABLISHED, LISTEN, TIME_WAIT, Row

TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 22711 1 0000000000000000 100
   1: 0200000A:C350 08080808:01BB 01 00000000:00000000 02:000A7D2E 00000000   101        0 33333 2 0000000000000000 20 4
   2: 0200000A:C351 08080808:01BB 06 00000000:00000000 03:00000F21 00000000     0        0 0 3 0000000000000000
   2: 0200000A:C351 08080808:01BB 06 00000000:00000000 03:00000F21 00000000     0        0 0 3 0000000000000000
"""
TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000001000000:1F90 0000000000000000FFFF00000100007F:0000 0A 00000000:00000000 00:00000000 \
00000000     0        0 4242 1 0000000000000000 100 0 0 10 0
"""
PACKET = b"""\
sk               RefCnt Type Proto  Iface R Rmem   User   Inode
0000000000000000 3      3    0003   2     1 0      0      25411
0000000000000000 3      2    88cc   0     1 0      101    25412
"""


def test_a_table_of_ipv4_is_read_as_netlink_would_tell_it() -> None:
    rows = proc_net.parse(TCP.splitlines(keepends=True), socket.AF_INET)
    here, there = ip_address("10.0.0.2").packed, ip_address("8.8.8.8").packed
    assert rows == [
        Row(socket.AF_INET, LISTEN, ip_address("127.0.0.1").packed, 8080, bytes(4), 0, 1000, 22711),
        Row(socket.AF_INET, ESTABLISHED, here, 50000, there, 443, 101, 33333),
        Row(socket.AF_INET, TIME_WAIT, here, 50001, there, 443, 0, 0),
    ]


def test_a_table_of_ipv6_is_read_by_words() -> None:
    (row,) = proc_net.parse(TCP6.splitlines(keepends=True), socket.AF_INET6)
    assert str(ip_address(row.local)) == "::1"
    assert ip_address(row.remote) == ip_address("::ffff:127.0.0.1")
    assert (row.local_port, row.inode) == (8080, 4242)


def test_packet_sockets_have_an_ethertype_and_an_interface() -> None:
    rows = proc_net.parse_packet(PACKET.splitlines(keepends=True))
    assert [(row.local_port, row.remote_port, row.uid, row.inode) for row in rows] == [
        (0x0003, 2, 0, 25411),
        (0x88CC, 0, 101, 25412),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"0: 0100007F:1F90",
        b"0: 0100007:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
        b"0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 x 0 1",
        b"0: \xff100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
        b"0: 0100007F00000000:1F90 00000000:0000 0A 0:0 0:0 0 0 0 1",
    ],
)
def test_a_row_that_makes_no_sense_is_an_error_not_a_gap(line: bytes) -> None:
    with pytest.raises(OSError, match="makes no sense"):
        proc_net.parse([b"heading", line], socket.AF_INET)


def test_a_packet_row_that_makes_no_sense_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        proc_net.parse_packet([b"heading", b"1 2 3"])


def test_an_empty_table_has_no_sockets() -> None:
    assert proc_net.parse([], socket.AF_INET) == []
    assert proc_net.parse([b"heading\n"], socket.AF_INET) == []


def test_the_sockets_of_each_protocol_are_counted() -> None:
    table = [b"protocol  size sockets memory\n", b"SCTPv6    1472      2      0   no\n", b"PACKET odd\n"]
    assert proc_net.parse_protocols(table) == {"SCTPv6": 2}


def test_this_kernel_lists_a_socket_of_ours() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        (row,) = [row for row in proc_net.read("tcp") if row.local_port == port]
    assert (row.state, str(ip_address(row.local))) == (LISTEN, "::1")


def test_a_protocol_without_a_table_is_told_from_one_without_sockets() -> None:
    with pytest.raises(FileNotFoundError):
        proc_net.read("nonsense")


def test_the_range_of_local_ports_is_inclusive() -> None:
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low, high = map(int, file.read().split())
    ports = proc_net.local_port_range()
    assert low in ports
    assert high in ports
    assert high + 1 not in ports
