"""Whatever stands in the files and command lines of forwarders, and in the tables of the kernel, is survived."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.names import dnsmasq, resolved, responder, unbound
from tests.unit.names.tree import DENIED, Tree

RESOLVED = st.sampled_from([
    "[Resolve]", "[Other]", "DNS=", "FallbackDNS=", "#FallbackDNS=", "8.8.8.8", "10.0.0.1:53%eth0#sni",
    "[fd00::1]:99999", "[", "]", "%", "\\", "\n", "\n", " ", "SERVERS=", "nameserver", "\0",
])  # fmt: skip
DNSMASQ = st.sampled_from([
    "server=", "/corp/", "/#/", "8.8.8.8", "#53", "#99999999999", "@eth0", "conf-file=", "/a",
    "conf-dir=/d,*.x", "\n", "\n", "no-resolv", "resolv-file=", "servers-file=/b", "rev-server=10.0.0.0/8,",
    "enable-dbus", " # ", '"', "[", "fe80::1%e",
])  # fmt: skip
UNBOUND = st.sampled_from([
    "forward-zone:", "stub-zone:", "server:", "view:", "name:", '"."', "'", '"', "forward-addr:",
    "10.0.0.1@53#x", "::1", "include:", "include-toplevel:", "/a", "/d/*", "*", "[", "local-zone:", ".",
    "static", "transparent", "#", "\n", ":", "root-hints:", "/b", "forward-first:", "yes",
    "do-not-query-address:", "0.0.0.0/0", "stub-host:", "\u2028", "\ud800",
])  # fmt: skip
ANY = st.text(alphabet=st.characters(), max_size=60)


def files(words: st.SearchStrategy[str], *names: str) -> st.SearchStrategy[dict[str, str | OSError]]:
    joined = st.one_of(st.lists(words).map(" ".join), st.lists(words).map("".join), ANY)
    return st.dictionaries(st.sampled_from(names), st.one_of(joined, st.just(DENIED)))


def check(upstreams: list[object]) -> None:
    assert len(set(upstreams)) == len(upstreams)
    for found in upstreams:
        assert found.source.isprintable()  # type: ignore[attr-defined]
        assert 0 <= found.port <= 65535  # type: ignore[attr-defined]


@given(
    files(
        RESOLVED,
        "/etc/systemd/resolved.conf",
        "/usr/lib/systemd/resolved.conf",
        "/etc/systemd/resolved.conf.d/a.conf",
        "/run/systemd/resolve/resolv.conf",
        "/run/systemd/netif/links/2",
        "/run/systemd/resolve/netif/x",
    )
)
def test_any_files_of_systemd_resolved(tree: dict[str, str | OSError]) -> None:
    check([*resolved.upstreams(Tree(tree))])


@given(
    files(DNSMASQ, "/etc/dnsmasq.conf", "/etc/resolv.conf", "/a", "/b", "/d/1.x", "/d/2"),
    st.lists(st.one_of(DNSMASQ, st.sampled_from(["-S", "-C", "--server", "-RS", "--", "-", "-7/d", "--s"]), ANY)),
)
def test_any_files_and_command_line_of_dnsmasq(tree: dict[str, str | OSError], argv: list[str]) -> None:
    check([*dnsmasq.upstreams(argv, Tree(tree))])


@settings(max_examples=300)
@given(
    files(UNBOUND, "/etc/unbound/unbound.conf", "/a", "/b", "/d/1", "/d/2"),
    st.lists(st.sampled_from(["unbound", "-c", "-c/a", "-d", ""])),
)
def test_any_files_and_command_line_of_unbound(tree: dict[str, str | OSError], argv: list[str]) -> None:
    check([*unbound.upstreams(argv, Tree(tree))])


@given(st.binary())
def test_any_bytes_in_place_of_a_table_of_addresses(table: bytes) -> None:
    assert isinstance(responder.trie_addresses(table), set)
    assert isinstance(responder.interface_addresses(table), set)
