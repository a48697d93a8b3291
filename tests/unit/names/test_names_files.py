from __future__ import annotations

from ipaddress import ip_address

import pytest

from airgap_check.names import hosts, nsswitch, resolv_conf
from airgap_check.names.resolv_conf import External, Nameserver
from airgap_check.names.upstream import nameservers


def servers(text: str) -> list[str]:
    return [str(nameserver.address) for nameserver in resolv_conf.parse(text).nameservers]


def test_nameservers_keep_their_order_and_are_said_once() -> None:
    text = "# nameserver 9.9.9.9\n;nameserver 9.9.9.8\nnameserver 10.0.0.2\nnameserver\tfd00::53\nnameserver 10.0.0.2\n"
    assert servers(text) == ["10.0.0.2", "fd00::53"]


def test_a_fourth_nameserver_counts_because_not_every_resolver_stops_at_three() -> None:
    assert servers("".join(f"nameserver 10.0.0.{number}\n" for number in range(1, 6)))[-1] == "10.0.0.5"


@pytest.mark.parametrize("text", ["", "# nothing\n", "nameserver\n", "nameserver dns.google\n", "search corp\n"])
def test_without_a_server_libc_asks_the_local_machine(text: str) -> None:
    assert servers(text) == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0x08080808", "8.8.8.8"),
        ("8.8.2056", "8.8.8.8"),
        ("8.526344", "8.8.8.8"),
        ("134744072", "8.8.8.8"),
        ("010.010.010.010", "8.8.8.8"),
        ("::ffff:8.8.8.8", "::ffff:808:808"),
    ],
)
def test_addresses_are_read_as_libc_reads_them(written: str, meant: str) -> None:
    (address,) = servers(f"nameserver {written}\n")
    assert ip_address(address) == ip_address(meant)


@pytest.mark.parametrize("written", ["4294967296", "8.8.8.256", "8.8.8.8.8", "8..8", "-8", "0x", "08", "1_0", "٨"])
def test_what_libc_would_not_take_is_not_a_server(written: str) -> None:
    assert servers(f"nameserver {written}\n") == ["127.0.0.1"]


def test_a_line_ends_for_libc_at_a_nul() -> None:
    assert servers("nameserver 93.184.216.34\0\n") == ["93.184.216.34"]
    assert servers("nameserver 10.0.0.53\0 nameserver x\n\0nameserver 8.8.8.8\n") == ["10.0.0.53"]


def test_a_server_ends_at_a_comment() -> None:
    assert servers("nameserver 10.0.0.53;nameserver 8.8.8.8\nnameserver 10.0.0.54#x\n") == ["10.0.0.53", "10.0.0.54"]


def test_what_is_no_address_to_us_is_kept_as_such() -> None:
    conf = resolv_conf.parse("nameserver dns.google\nnameserver 10.0.0.53\nnameserver ;\n" + "nameserver a\x1bb\n" * 20)
    assert [str(nameserver.address) for nameserver in conf.nameservers] == ["10.0.0.53"]
    assert len(conf.unreadable) == 8
    assert conf.unreadable[0] == "dns.google"
    assert "\x1b" not in conf.unreadable[1]
    assert [found.scope for found in nameservers(conf, "x")] == ["private", *["unknown"] * 8]


def test_the_zone_of_a_link_local_server_is_kept() -> None:
    assert resolv_conf.parse("nameserver fe80::1%eth0\n").nameservers == (Nameserver(ip_address("fe80::1"), "eth0"),)


def test_the_last_search_list_wins_and_ndots_is_capped() -> None:
    conf = resolv_conf.parse("search a.example B.example.\ndomain c.example d.example\noptions rotate ndots:99\n")
    assert (conf.search, conf.ndots) == (("c.example",), 15)
    assert resolv_conf.parse("domain x\nsearch a.example B.example. .\noptions ndots:x\n").search == (
        "a.example",
        "b.example",
    )
    assert resolv_conf.parse("").ndots == 1


def test_the_comment_of_docker_names_what_its_resolver_forwards_to() -> None:
    conf = resolv_conf.parse("nameserver 127.0.0.11\n# ExtServers: [host(127.0.0.53) 10.0.0.2 host(nonsense)]\n")
    assert conf.external == (
        External(ip_address("127.0.0.53"), from_host=True),
        External(ip_address("10.0.0.2"), from_host=False),
        External(None, from_host=True),
    )
    assert resolv_conf.parse("nameserver 127.0.0.11\n").external is None


def test_hosts_binds_only_the_names_that_were_asked_about() -> None:
    text = (
        "127.0.0.1 localhost\n"
        "10.0.0.1\tDB.example. db # the database\n"
        "fd00::1 db.example\n"
        "10.0.0.1 db.example\n"
        "nonsense db.example\n"
        "# 10.0.0.9 db.example\n"
        "10.0.0.2 other.example\n"
    )
    found = hosts.bound(text, ["db.example", "absent.example"])
    assert found == {"db.example": (ip_address("10.0.0.1"), ip_address("fd00::1"))}
    assert hosts.bound(text, []) == {}


@pytest.mark.parametrize(
    ("line", "names", "hosts_first", "unjudged"),
    [
        ("", ("files", "dns"), True, ()),
        (
            "hosts: files mdns4_minimal [NOTFOUND=return] dns # x",
            ("files", "mdns4_minimal", "dns"),
            True,
            ("mdns4_minimal",),
        ),
        ("hosts: mymachines resolve [!UNAVAIL=return] files dns", ("mymachines", "resolve", "files", "dns"), True, ()),
        ("hosts: dns [!UNAVAIL=return] files", ("dns", "files"), False, ()),
        ("hosts:dns", ("dns",), False, ()),
        ("hosts: files sss wins", ("files", "sss", "wins"), True, ("sss", "wins")),
        ("  hosts :  files", ("files",), True, ()),
        ("hosts:", (), False, ()),
    ],
)
def test_the_hosts_line_says_who_is_asked_first(
    line: str, names: tuple[str, ...], hosts_first: object, unjudged: tuple[str, ...]
) -> None:
    sources = nsswitch.parse(f"passwd: files\n{line}\nnetworks: dns\n")
    assert (sources.names, sources.hosts_first, sources.unjudged) == (names, hosts_first, unjudged)


def test_a_hosts_file_counts_only_where_nsswitch_names_it() -> None:
    assert nsswitch.parse("hosts: files dns").reads_hosts
    assert nsswitch.parse("hosts: resolve").reads_hosts
    assert not nsswitch.parse("hosts: dns").reads_hosts
