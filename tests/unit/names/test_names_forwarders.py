"""Where each kind of forwarder forwards to, read from its files."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from airgap_check.names import dnsmasq, resolved, unbound
from tests.unit.names.tree import DENIED, Tree

if TYPE_CHECKING:
    from airgap_check.names.upstream import Upstream

STATE = "/run/systemd/resolve/resolv.conf"
MAIN = "/etc/systemd/resolved.conf"
RUNNING: dict[str, str | OSError] = {STATE: "# no servers known\n"}


def plain(upstreams: list[Upstream]) -> list[tuple[str | None, int, str]]:
    return [(str(found.address) if found.address else None, found.port, found.scope) for found in upstreams]


def addresses(upstreams: list[Upstream]) -> list[str]:
    return [str(found.address) if found.address else found.scope for found in upstreams]


def of_resolved(**files: str | OSError) -> list[Upstream]:
    named = {"main": MAIN, "state": STATE}
    return resolved.upstreams(Tree(RUNNING | {named.get(name, name): text for name, text in files.items()}))


def test_resolved_reads_every_way_to_write_a_server() -> None:
    servers = "10.0.0.1 10.0.0.2:5353%eth0#sni.example fd00::1#sni [fd00::2]:54%2#sni fd00::3%eth0"
    assert plain(of_resolved(main=f"[Resolve]\nDNS={servers}\nFallbackDNS=\n")) == [
        ("10.0.0.1", 53, "private"),
        ("10.0.0.2", 5353, "private"),
        ("fd00::1", 53, "private"),
        ("fd00::2", 54, "private"),
        ("fd00::3", 53, "private"),
    ]


def test_the_fallback_of_resolved_is_an_upstream_whether_set_or_compiled_in() -> None:
    (explicit,) = of_resolved(main="[Resolve]\nFallbackDNS=1.1.1.1#cloudflare-dns.com\n")
    assert (explicit.scope, explicit.source) == ("public", f"FallbackDNS in {MAIN}")
    shipped = "[Resolve]\n# Cloudflare: 1.0.0.1#x\n#DNS=\n#FallbackDNS=9.9.9.9#dns.quad9.net\n"
    (documented,) = of_resolved(main=shipped)
    assert (documented.scope, documented.source) == ("public", f"FallbackDNS, compiled in as {MAIN} says")
    assert of_resolved(main="[Resolve]\n#FallbackDNS=\n") == []


def test_an_empty_fallback_clears_the_compiled_in_one_and_one_in_an_earlier_file() -> None:
    usr: dict[str, str | OSError] = {"/usr/lib/systemd/resolved.conf": "[Resolve]\n#FallbackDNS=9.9.9.9\n"}
    assert addresses(resolved.upstreams(Tree(RUNNING | usr))) == ["9.9.9.9"]
    drop_in: dict[str, str | OSError] = {"/etc/systemd/resolved.conf.d/10-none.conf": "[Resolve]\nFallbackDNS=\n"}
    assert resolved.upstreams(Tree(RUNNING | usr | drop_in)) == []
    earlier: dict[str, str | OSError] = {"/run/systemd/resolved.conf.d/05-x.conf": "[Resolve]\nFallbackDNS=8.8.8.8\n"}
    assert resolved.upstreams(Tree(RUNNING | usr | earlier | drop_in)) == []


def test_a_fallback_that_nobody_documents_is_unknown_unless_it_can_never_be_used() -> None:
    (unknown,) = of_resolved(main="[Resolve]\nLLMNR=no\n")
    assert (unknown.address, unknown.scope) == (None, "unknown")
    assert addresses(of_resolved(main="[Resolve]\nDNS=10.0.0.53\n")) == ["10.0.0.53"]


def test_a_drop_in_hides_another_of_its_name_in_a_folder_with_less_priority() -> None:
    files: dict[str, str | OSError] = {
        "/usr/lib/systemd/resolved.conf.d/a.conf": "[Resolve]\nDNS=8.8.8.8\nFallbackDNS=\n",
        "/etc/systemd/resolved.conf.d/a.conf": "",  # a link to /dev/null
        "/run/systemd/resolved.conf.d/b.conf": "[Resolve]\nDNS=10.0.0.2\n",
        "/usr/local/lib/systemd/resolved.conf.d/c.conf": "[Resolve]\nDNS=10.0.0.3\nFallbackDNS=\n",
        "/etc/systemd/resolved.conf.d/notes.txt": "[Resolve]\nDNS=8.8.4.4\n",
        MAIN: "[Resolve]\nDNS=10.0.0.1\n[Other]\nDNS=9.9.9.9\n",
        "/run/systemd/resolved.conf": "[Resolve]\nDNS=9.9.9.10\n",
    }
    assert addresses(resolved.upstreams(Tree(RUNNING | files))) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_resolved_lists_collect_until_an_empty_assignment_and_lines_may_go_on() -> None:
    text = "[Resolve]\nDNS=8.8.8.8\nDNS=\nDNS=10.0.0.1 \\\n# a comment in between\n 10.0.0.2\nFallbackDNS=\n"
    assert addresses(of_resolved(main=text)) == ["10.0.0.1", "10.0.0.2"]


def test_what_resolved_uses_now_counts_too() -> None:
    files: dict[str, str | OSError] = {
        STATE: "nameserver 10.0.0.1\nnameserver 8.8.8.8\n",
        "/run/systemd/netif/links/2": "# private\nADMIN_STATE=configured\nDNS=10.0.0.1 192.168.1.1\nNTP=10.9.9.9\n",
        "/run/systemd/resolve/netif/3": "LLMNR=no\nSERVERS=10.7.0.1 9.9.9.9\nDOMAINS=vpn.example\n",
        MAIN: "[Resolve]\n#FallbackDNS=\n",
    }
    found = resolved.upstreams(Tree(files))
    assert addresses(found) == ["10.0.0.1", "8.8.8.8", "192.168.1.1", "10.7.0.1", "9.9.9.9"]
    assert found[3].source == "SERVERS in /run/systemd/resolve/netif/3"


@pytest.mark.parametrize("path", [MAIN, STATE, "/etc/systemd/resolved.conf.d/x.conf", "/run/systemd/netif/links/2"])
def test_a_file_of_resolved_that_cannot_be_read_is_an_unknown_upstream(path: str) -> None:
    files: dict[str, str | OSError] = {MAIN: "[Resolve]\nDNS=10.0.0.1\nFallbackDNS=\n", **RUNNING}
    assert "unknown" not in addresses(resolved.upstreams(Tree(files)))
    assert "unknown" in addresses(resolved.upstreams(Tree(files | {path: DENIED})))


def test_a_written_server_that_is_no_address_is_unknown() -> None:
    (found,) = of_resolved(main="[Resolve]\nDNS=dns.example\nFallbackDNS=\n")
    assert (found.scope, found.source) == ("unknown", f"DNS in {MAIN}: dns.example")


def of_dnsmasq(*options: str, **files: str | OSError) -> list[Upstream]:
    named = {"conf": "/etc/dnsmasq.conf", "resolv": "/etc/resolv.conf"}
    tree = Tree({named.get(name, name): text for name, text in files.items()})
    return dnsmasq.upstreams(["/usr/sbin/dnsmasq", *options], tree)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-R", "-S", "10.0.0.1"], [("10.0.0.1", 53, "private")]),
        (["-RS10.0.0.1"], [("10.0.0.1", 53, "private")]),
        (["-kR", "--server=10.0.0.1#5353@eth0"], [("10.0.0.1", 5353, "private")]),
        (["--no-resolv", "--server", "10.0.0.1@10.9.9.9#5000"], [("10.0.0.1", 53, "private")]),
        (["--no-res", "--server=/a.example/b.example/8.8.8.8#54"], [("8.8.8.8", 54, "public")]),
        (["-R", "--server=/a.example/", "--local=/b.example/", "-S/c.example/#"], []),
        (["-R", "--server=/#/fd00::1#54"], [("fd00::1", 54, "private")]),
        (["-R", "--server=fe80::1%eth0"], [("fe80::1", 53, "link-local")]),
        (["-R", "--rev-server=10.0.0.0/8,10.0.0.3#5353"], [("10.0.0.3", 5353, "private")]),
        (["-R", "--server=/corp/dns.example"], [(None, 53, "unknown")]),
        (["-R", "--interface", "-S", "8.8.8.8"], [("8.8.8.8", 53, "public")]),
        (["-R", "-i", "-S8.8.8.8"], []),
        (["-R", "--enable-dbus"], [(None, 53, "unknown")]),
        (["-R1"], [(None, 53, "unknown")]),
        (["-R", "--conf-script=/x"], [(None, 53, "unknown")]),
        (["-R", "--local-service", "--listen-address=8.8.8.8", "-a8.8.8.8"], []),
        (["-R", "-S"], []),
    ],
)
def test_dnsmasq_reads_its_command_line_as_getopt_does(
    options: list[str], expected: list[tuple[str | None, int, str]]
) -> None:
    assert plain(of_dnsmasq(*options)) == expected


def test_dnsmasq_asks_the_servers_of_resolv_conf_unless_told_otherwise() -> None:
    assert addresses(of_dnsmasq(resolv="nameserver 8.8.8.8\n")) == ["8.8.8.8"]
    assert addresses(of_dnsmasq("-R", resolv="nameserver 8.8.8.8\n")) == []
    assert addresses(of_dnsmasq(conf="no-resolv\n", resolv="nameserver 8.8.8.8\n")) == []
    assert addresses(of_dnsmasq(conf="#no-resolv\n", resolv="nameserver 8.8.8.8\n")) == ["8.8.8.8"]
    files = {"/a": "nameserver 10.0.0.1\n", "/b": "nameserver 10.0.0.2\n"}
    assert addresses(of_dnsmasq("-r", "/a", "--resolv-file=/b", resolv="nameserver 8.8.8.8\n", **files)) == [
        "10.0.0.1",
        "10.0.0.2",
    ]


def test_an_absent_or_empty_resolv_file_of_dnsmasq_names_nobody() -> None:
    assert of_dnsmasq("-r/absent") == []
    assert of_dnsmasq(resolv="search corp.example\n") == []
    assert addresses(of_dnsmasq(resolv=DENIED)) == ["unknown"]


def test_dnsmasq_reads_its_configuration_with_all_it_includes_once() -> None:
    files = {
        "conf": 'no-resolv\nconf-dir=/d/,.bak\nconf-file="/loop"\nservers-file=/servers\n server = 10.0.0.1 # here\n',
        "/d/a.conf": "server=/corp/10.0.0.2#53\n",
        "/d/a.conf.bak": "server=8.8.8.8\n",
        "/d/.hidden": "server=8.8.8.8\n",
        "/d/old~": "server=8.8.8.8\n",
        "/d/#edited#": "server=8.8.8.8\n",
        "/loop": "conf-file=/loop\nconf-file=/etc/dnsmasq.conf\nserver=10.0.0.3\n",
        "/servers": "server=10.0.0.4\nrev-server=10.0.0.0/8,10.0.0.5\n",
    }
    assert set(addresses(of_dnsmasq(**files))) == {f"10.0.0.{number}" for number in range(1, 6)}


def test_dnsmasq_takes_only_the_suffixes_that_are_starred() -> None:
    files = {"/d/a.conf": "server=10.0.0.1\n", "/d/b.txt": "server=8.8.8.8\n"}
    assert addresses(of_dnsmasq("-R", "-7/d,*.conf", **files)) == ["10.0.0.1"]
    assert addresses(of_dnsmasq("-R", "-7/absent")) == []


def test_a_conf_file_on_the_command_line_replaces_the_default_one() -> None:
    assert addresses(of_dnsmasq("-R", "-C/x", conf="server=8.8.8.8\n", **{"/x": "server=10.0.0.1\n"})) == ["10.0.0.1"]
    assert addresses(of_dnsmasq("-R", "--conf-file=", conf="server=8.8.8.8\n")) == []
    assert addresses(of_dnsmasq("-R", "-C", "/gone")) == ["unknown"]


@pytest.mark.parametrize("name", ["conf", "/d/a.conf"])
def test_a_file_of_dnsmasq_that_cannot_be_read_is_an_unknown_upstream(name: str) -> None:
    assert addresses(of_dnsmasq("-R", "-7/d", **{name: DENIED})) == ["unknown"]


def test_networkmanager_writes_down_what_it_tells_dnsmasq_over_d_bus() -> None:
    option = "--enable-dbus=org.freedesktop.NetworkManager.dnsmasq"
    files: dict[str, str | OSError] = {"/run/NetworkManager/no-stub-resolv.conf": "nameserver 8.8.8.8\n"}
    assert addresses(of_dnsmasq("-R", option, **files)) == ["8.8.8.8"]
    assert addresses(of_dnsmasq("-R", option)) == ["unknown"]


def test_too_many_files_of_dnsmasq_are_said_to_be_too_many() -> None:
    files = {f"/d/{number}": "" for number in range(300)}
    assert addresses(of_dnsmasq("-R", "-7/d", **files)) == ["unknown"]


def of_unbound(text: str | OSError, *options: str, **files: str | OSError) -> list[Upstream]:
    return unbound.upstreams(["unbound", *options], Tree({"/etc/unbound/unbound.conf": text, **files}))


def test_unbound_without_a_zone_for_the_root_asks_the_internet() -> None:
    assert plain(of_unbound("server:\n  interface: 127.0.0.1\n")) == [(None, 53, "public")]
    forward = 'forward-zone:\n  name: "corp.example"\n  forward-addr: 10.0.0.1@5353\n'
    stub = "stub-zone:\n name: x\n stub-addr: 10.0.0.2#sni\n"
    assert plain(of_unbound(forward + stub)) == [
        ("10.0.0.1", 5353, "private"),
        ("10.0.0.2", 53, "private"),
        (None, 53, "public"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'forward-zone:\n\tname: "."\n\tforward-addr: 10.0.0.1\n',
        "forward-zone: name: . forward-addr: 10.0.0.1",
        'forward-zone:\n name:"."\n forward-addr:10.0.0.1 # not 8.8.8.8\n',
        "stub-zone: name: '.' stub-addr: 10.0.0.1",
        'server: local-zone: "." refuse\nforward-zone: name: corp forward-addr: 10.0.0.1',
        "server: local-zone: . static local-zone: a.x. transparent\nforward-zone: name: x forward-addr: 10.0.0.1",
        "server: do-not-query-address: 0.0.0.0/0 do-ip6: no\nforward-zone: name: corp forward-addr: 10.0.0.1",
        "server: do-not-query-address: 0.0.0.0/0 do-not-query-address: ::/0\nstub-zone: name: corp stub-addr: 10.0.0.1",
    ],
)
def test_unbound_that_cannot_leave_the_site_has_only_its_zones(text: str) -> None:
    assert addresses(of_unbound(text)) == ["10.0.0.1"]


@pytest.mark.parametrize(
    "text",
    [
        'forward-zone: name: "." forward-addr: 10.0.0.1 forward-first: yes',
        'forward-zone: name: "." forward-addr: 10.0.0.1\nstub-zone: name: x stub-addr: 10.0.0.1 stub-first: yes',
        'server: local-zone: "." transparent\nforward-zone: name: corp forward-addr: 10.0.0.1',
        "server: local-zone: . static local-zone: x. transparent\nforward-zone: name: a.x forward-addr: 10.0.0.1",
        'forward-zone: name: corp forward-addr: 10.0.0.1\nview: name: v local-zone: "." static',
        "server: do-not-query-address: 0.0.0.0/0\nforward-zone: name: corp forward-addr: 10.0.0.1",
        '# forward-zone: name: "."\nforward-zone: name: corp forward-addr: 10.0.0.1',
        'forward-zone: name: "."\nstub-zone: name: corp stub-addr: 10.0.0.1',
    ],
)
def test_unbound_that_may_still_recurse_is_public(text: str) -> None:
    assert addresses(of_unbound(text)) == ["10.0.0.1", "public"]


def test_a_forward_host_of_unbound_is_an_unknown_upstream() -> None:
    (found,) = of_unbound('forward-zone: name: "." forward-host: dns.example@853')
    assert (found.scope, found.source) == ("unknown", "forward-host in /etc/unbound/unbound.conf: dns.example@853")


def test_unbound_includes_files_where_they_are_named() -> None:
    files = {
        "/etc/unbound/unbound.conf.d/a.conf": 'name: "."\nforward-addr: 10.0.0.1\n',
        "/etc/unbound/unbound.conf.d/b.txt": "forward-addr: 8.8.8.8\n",
        "/etc/unbound/more": "forward-zone: name: x forward-addr: 10.0.0.2\n",
        "/top/x": "forward-addr: 8.8.4.4\n",
    }
    text = 'forward-zone:\n include: "/etc/unbound/unbound.conf.d/*.conf"\ninclude: more\ninclude-toplevel: /top/*\n'
    assert addresses(of_unbound(text, **files)) == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("include", ["/absent", "/a/*/b.conf", "relative/*.conf", "/etc/unbound/unbound.conf"])
def test_an_include_that_cannot_be_followed_is_an_unknown_upstream(include: str) -> None:
    text = f'forward-zone: name: "." forward-addr: 10.0.0.1\ninclude: {include}\n'
    assert set(addresses(of_unbound(text))) == {"10.0.0.1", "unknown"}


def test_unbound_reads_the_file_that_its_command_line_names() -> None:
    files = {"/x": 'forward-zone: name: "." forward-addr: 10.0.0.1'}
    for options in (["-d", "-c", "/x"], ["-dp", "-c/x"]):
        assert addresses(of_unbound("", *options, **files)) == ["10.0.0.1"]
    assert "unknown" in addresses(of_unbound("", "-c"))
    assert "unknown" in addresses(of_unbound(DENIED))


def test_root_servers_of_the_site_are_no_recursion_to_the_internet() -> None:
    text = 'server:\n root-hints: "/hints"\n'
    own = ".  3600 IN NS a.root.example.\na.root.example. 3600 IN A 10.0.0.1\na.root.example. 3600 AAAA fd00::1 ; x\n"
    assert addresses(of_unbound(text, **{"/hints": own})) == ["10.0.0.1", "fd00::1"]
    assert addresses(of_unbound(text, **{"/hints": own + "A.ROOT-SERVERS.NET. 3600000 A 198.41.0.4\n"})) == ["public"]
    assert addresses(of_unbound(text, **{"/hints": ""})) == ["public"]
    assert addresses(of_unbound(text)) == ["unknown"]


def test_a_source_is_made_printable_and_an_error_without_words_is_named() -> None:
    (found,) = of_dnsmasq("-R", "-S", "\x1b[31mevil")
    assert "\x1b" not in found.source
    (failed,) = of_dnsmasq("-R", conf=OSError())
    assert failed.source == "/etc/dnsmasq.conf: OSError"
    (refused,) = of_dnsmasq("-R", conf=OSError(errno.EREMOTE, "on a nfs file system, which is not read"))
    assert refused.source == "/etc/dnsmasq.conf: on a nfs file system, which is not read"
