"""No text makes the readers of resolv.conf and nsswitch.conf fail, or invent what is not there."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.address import parse
from airgap_check.names import nsswitch, resolv_conf

WORDS = st.sampled_from([
    "nameserver", "search", "domain", "options", "ndots:5", "ndots:", "# ExtServers:", "[host(10.0.0.1)",
    "8.8.8.8]", "[", "8.8.8.8", "fd00::1%eth0", "0x08080808", "\t", " ", "\n", "\r\n", "\0", "hosts:", "files",
    "[NOTFOUND=return]", "dns",
])  # fmt: skip
TEXT = st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map("".join))


@given(TEXT)
def test_any_text_names_at_least_one_server(text: str) -> None:
    conf = resolv_conf.parse(text)
    assert conf.nameservers
    assert len(set(conf.nameservers)) == len(conf.nameservers)
    assert 0 <= conf.ndots <= 15
    assert len(conf.search) <= 32


@given(st.text(alphabet="0123456789abcdefxX.", max_size=20))
def test_a_server_is_taken_exactly_when_libc_takes_it(text: str) -> None:
    try:
        expected = socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        expected = "127.0.0.1"
    (server,) = resolv_conf.parse(f"nameserver {text}").nameservers
    if parse(text) is None:
        assert str(server.address) == expected


@given(TEXT)
def test_any_text_has_sources(text: str) -> None:
    sources = nsswitch.parse(text)
    assert set(sources.unjudged) <= set(sources.names)
    assert not sources.hosts_first or sources.reads_hosts
