"""From the server that is asked to the servers behind it."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, cast

import pytest

from airgap_check.kernel import netns, procfs
from airgap_check.names import resolv_conf, responder
from airgap_check.names.forwarding import FORWARDERS, Forwarding, Way
from airgap_check.names.responder import Responder, Responders
from airgap_check.names.root import FolderRoot, ProcessRoot, names_or_none, read_or_empty
from airgap_check.names.vantage import Vantage
from tests.unit.names.tree import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.address import Address

HOST, POD = 1, 2
STATE: dict[str, str | OSError] = {"/run/systemd/resolve/resolv.conf": ""}


class Known:
    """Responders that a test lays down: (namespace, address, port) -> who."""

    def __init__(self, *found: tuple[int, str, int, Responder]) -> None:
        self._found = {(netns, address, port): who for netns, address, port, who in found}

    def find(self, netns: int, address: Address, port: int) -> Responder | None:
        return self._found.get((netns, str(address), port))


def vantage(text: str = "", netns: int = HOST, files: dict[str, str | OSError] | None = None) -> Vantage:
    return Vantage(netns, Tree(files), resolv_conf.parse(text))


def dnsmasq(pid: int, *options: str, netns: int = HOST) -> Responder:
    return Responder(netns, pid, "dnsmasq", ("dnsmasq", "-R", *options))


def follow(address: str, *known: tuple[int, str, int, Responder], start: Vantage | None = None) -> Way:
    forwarding = Forwarding(cast("Responders", Known(*known)), vantage(), lambda _pid: Tree(STATE))
    return forwarding.follow(start or vantage(), ip_address(address))


def shown(way: Way) -> list[tuple[str | None, str, str | None]]:
    return [(found.address, found.scope, found.via) for found in way.resolvers]


@pytest.mark.parametrize("address", ["10.0.0.53", "100.64.0.1", "fd00::53", "169.254.20.10", "fe80::1"])
def test_an_internal_server_on_another_machine_may_be_asked(address: str) -> None:
    assert follow(address) == Way()


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
        ("169.254.169.254", "metadata"),
        ("168.63.129.16", "metadata"),
        ("64:ff9b::808:808", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("2002:808:808::1", "public"),
        ("2606:4700::5efe:a14:35", "public"),  # as an ISATAP address of 10.20.0.53: the network goes by the prefix
        ("2606:4700::200:5efe:a14:35", "public"),
        ("2001:0:808:808::f5eb:ffca", "public"),  # a Teredo client 10.20.0.53 behind a public server
        ("224.0.0.251", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("198.51.100.1", "documentation"),
        ("198.18.0.1", "benchmarking"),
        ("240.0.0.1", "reserved"),
    ],
)
def test_every_other_server_is_never_asked(address: str, scope: str) -> None:
    assert follow(address).obstacle == f"{ip_address(address)} is {scope}"


def test_a_loop_of_forwarders_ends_and_is_no_obstacle() -> None:
    way = follow(
        "127.0.0.1",
        (HOST, "127.0.0.1", 53, dnsmasq(10, "-S127.0.0.2", "-S127.0.0.1", "-S10.0.0.53")),
        (HOST, "127.0.0.2", 53, dnsmasq(11, "-S127.0.0.1")),
    )
    assert shown(way) == [("127.0.0.2", "loopback", "127.0.0.1"), ("10.0.0.53", "private", "127.0.0.1")]
    assert way.obstacle == ""


def test_a_chain_of_forwarders_is_not_followed_for_ever() -> None:
    chain = [(HOST, f"127.0.0.{n}", 53, dnsmasq(n, f"-S127.0.0.{n + 1}")) for n in range(1, 9)]
    assert "more than 4 servers" in follow("127.0.0.1", *chain).obstacle


def test_a_server_that_a_forwarder_names_but_nobody_runs_is_no_obstacle() -> None:
    way = follow("127.0.0.1", (HOST, "127.0.0.1", 53, dnsmasq(10, "-S127.0.0.9", "-S10.0.0.53")))
    assert way.obstacle == ""


def test_one_public_server_among_many_is_an_obstacle_and_all_are_reported() -> None:
    way = follow("127.0.0.1", (HOST, "127.0.0.1", 53, dnsmasq(10, "-S10.0.0.53", "-S/x/9.9.9.9", "-S10.0.0.54")))
    assert [address for address, _, _ in shown(way)] == ["10.0.0.53", "9.9.9.9", "10.0.0.54"]
    assert way.obstacle == "127.0.0.1 forwards to 9.9.9.9: 9.9.9.9 is public"


def test_a_port_tells_forwarders_at_one_address_apart() -> None:
    way = follow(
        "127.0.0.1",
        (HOST, "127.0.0.1", 53, dnsmasq(10, "-S127.0.0.1#5335")),
        (HOST, "127.0.0.1", 5335, dnsmasq(11, "-S8.8.8.8")),
    )
    assert shown(way) == [("127.0.0.1", "loopback", "127.0.0.1"), ("8.8.8.8", "public", "127.0.0.1")]


def test_docker_forwards_from_the_container_or_from_the_host() -> None:
    pod = vantage("nameserver 127.0.0.11\n# ExtServers: [10.0.0.53 host(127.0.0.53)]\n", POD)
    stub = Responder(HOST, 5, "systemd-resolved", ("systemd-resolved",))
    way = follow("127.0.0.11", (HOST, "127.0.0.53", 53, stub), start=pod)
    assert shown(way) == [
        ("10.0.0.53", "private", "127.0.0.11"),
        ("127.0.0.53", "loopback", "127.0.0.11"),
        (None, "unknown", "127.0.0.53"),  # the compiled-in FallbackDNS
    ]
    assert {found.netns for found in way.resolvers} == {POD}
    only_containers = vantage("nameserver 127.0.0.11\n# ExtServers: []\n", POD)
    assert follow("127.0.0.11", start=only_containers) == Way()
    broken = vantage("nameserver 127.0.0.11\n# ExtServers: [what]\n", POD)
    assert shown(follow("127.0.0.11", start=broken)) == [(None, "unknown", "127.0.0.11")]


def test_docker_without_its_comment_forwards_to_nobody_knows_whom() -> None:
    way = follow("127.0.0.11", start=vantage("nameserver 127.0.0.11\n", POD))
    assert shown(way) == [(None, "unknown", "127.0.0.11")]
    assert way.obstacle


def test_somebody_who_may_not_be_seen_is_unknown_unless_the_address_gives_him_away() -> None:
    way = follow("127.0.0.1", (HOST, "127.0.0.1", 53, Responder(HOST)))
    assert shown(way) == [(None, "unknown", "127.0.0.1")]
    assert "a process that could not be seen" in way.obstacle
    files = STATE | {"/etc/systemd/resolved.conf": "[Resolve]\nDNS=10.0.0.53\nFallbackDNS=\n"}
    way = follow("127.0.0.53", (HOST, "127.0.0.53", 53, Responder(HOST)), start=vantage(files=files))
    assert (shown(way), way.obstacle) == ([("10.0.0.53", "private", "127.0.0.53")], "")


def test_nss_resolve_reaches_systemd_resolved_past_resolv_conf_where_that_runs() -> None:
    files: dict[str, str | OSError] = {"/etc/systemd/resolved.conf": "[Resolve]\nFallbackDNS=8.8.8.8\n"}
    forwarding = Forwarding(cast("Responders", Known()), vantage(), lambda _pid: Tree())
    assert forwarding.through_resolved(vantage(files=files)) == Way()
    way = forwarding.through_resolved(vantage(files=files | STATE))
    assert shown(way) == [("8.8.8.8", "public", "127.0.0.53")]
    assert way.obstacle


class Here:
    """UDP sockets of this very process, and the `Responders` that look for them."""

    def __init__(self) -> None:
        self.netns = netns.own_inode()

    def find(self, address: str, port: int, *, forwarders: frozenset[str] = FORWARDERS) -> Responder | None:
        processes = {self.netns: [os.getpid()]}
        return Responders(processes, forwarders).find(self.netns, ip_address(address), port)


def bound(address: str) -> socket.socket:
    held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    held.bind((address, 0))
    return held


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.7", "0.0.0.0"])
def test_the_process_behind_a_loopback_socket_is_found(address: str) -> None:
    with closing(bound(address)) as held:
        port = held.getsockname()[1]
        found = Here().find("127.0.0.1" if address == "0.0.0.0" else address, port)
        assert found is not None
        assert (found.pid, found.netns) == (os.getpid(), netns.own_inode())
        assert found.program == os.path.basename(os.readlink("/proc/self/exe"))
        assert found.argv
        assert Here().find("127.0.0.1", 1) is None
        if address != "127.0.0.7":
            assert Here().find("::ffff:127.0.0.1", port) == found


def test_a_wildcard_socket_answers_at_the_addresses_of_its_namespace_only() -> None:
    with closing(bound("0.0.0.0")) as held:
        port = held.getsockname()[1]
        assert Here().find("10.200.200.200", port) is None
        assert Here().find("fd00::dead", port) is None
        assert Here().find("0.0.0.0", port) is not None


def test_a_socket_at_another_address_is_somebody_elses() -> None:
    with closing(bound("127.0.0.7")) as held:
        port = held.getsockname()[1]
        assert Here().find("127.0.0.8", port) is None
        assert Here().find("0.0.0.0", port) is not None  # a loopback address is one of this machine's


def test_a_forwarder_that_hides_its_sockets_is_guessed_when_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(responder, "_holds", lambda _pid, _links: False)
    program = os.path.basename(os.readlink("/proc/self/exe"))
    with closing(bound("127.0.0.1")) as held:
        port = held.getsockname()[1]
        guessed = Here().find("127.0.0.1", port, forwarders=frozenset({program}))
        assert guessed is not None
        assert guessed.pid == os.getpid()
        assert Here().find("127.0.0.1", port) == Responder(netns.own_inode())


def test_in_a_namespace_that_may_not_be_looked_into_a_loopback_server_is_somebody() -> None:
    responders = Responders({7: [2**22 + 1]}, FORWARDERS)
    assert responders.find(7, ip_address("127.0.0.1"), 53) == Responder(7)
    assert responders.find(7, ip_address("10.0.0.1"), 53) is None


def test_a_namespace_of_ones_own_comes_before_others_with_the_same_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Responders, "_owns", lambda _self, _netns, _address: True)
    with closing(bound("0.0.0.0")) as held:
        responders = Responders({1: [os.getpid()], 2: [os.getpid()]}, FORWARDERS)
        for inode in (1, 2):
            found = responders.find(inode, ip_address("10.0.0.1"), held.getsockname()[1])
            assert found is not None
            assert found.netns == inode


def test_addresses_are_read_from_the_tables_of_the_kernel() -> None:
    trie = (
        b"Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.5\n"
        b"        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- nonsense\n /32 host LOCAL\n"
    )
    assert responder.trie_addresses(trie) == {IPv4Address("10.0.0.5")}
    table = b"00000000000000000000000000000001 01 80 10 80       lo\nnonsense\n\n"
    assert responder.interface_addresses(table) == {IPv6Address("::1")}
    assert IPv4Address("127.0.0.1") in responder.trie_addresses(procfs.read(os.getpid(), "net/fib_trie"))


def test_what_is_only_wrapped_like_an_address_of_this_host_is_another_machine() -> None:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        here = Responders({netns.own_inode(): [os.getpid()]}, FORWARDERS)
        assert here.find(netns.own_inode(), ip_address("::ffff:127.0.0.1"), port)
        assert here.find(netns.own_inode(), ip_address("fd00::5efe:7f00:1"), port) is None


def test_a_process_root_reads_what_the_process_sees_and_a_mask_as_empty(tmp_path: Path) -> None:
    (tmp_path / "conf").write_text("text")
    (tmp_path / "masked").symlink_to("/dev/null")
    for root in (ProcessRoot(os.getpid()), FolderRoot("/")):
        assert root.read(f"{tmp_path}/conf") == "text"
        assert root.read(f"{tmp_path}/masked") == ""
        assert root.names(str(tmp_path)) == ["conf", "masked"]
        assert read_or_empty(root, f"{tmp_path}/absent") == ""
        assert names_or_none(root, f"{tmp_path}/conf/x") == []
        with pytest.raises(OSError, match="more than 3 bytes"):
            root.read(f"{tmp_path}/conf", 3)


def test_a_folder_with_very_many_files_is_an_error(tmp_path: Path) -> None:
    for number in range(1025):
        (tmp_path / str(number)).touch()
    with pytest.raises(OSError, match="more than 1024 files"):
        ProcessRoot(os.getpid()).names(str(tmp_path))
