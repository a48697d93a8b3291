from __future__ import annotations

import pytest

from airgap_check.dissect.encrypted_dns import Kind, is_resolver, kind
from airgap_check.dissect.hello import Hello
from airgap_check.dissect.http import HttpRequest

TCP, UDP = 6, 17


@pytest.mark.parametrize(
    ("port", "protocol", "expected"),
    [(853, TCP, "dot"), (853, UDP, "doq"), (784, UDP, "doq"), (784, TCP, None), (443, TCP, None), (53, UDP, None)],
)
def test_a_port_says_enough(port: int, protocol: int, expected: Kind | None) -> None:
    assert kind(port, protocol) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Hello("a.example", alpn=("dot",)), "dot"),
        (Hello("a.example", alpn=("h3", "doq")), "doq"),
        (Hello("a.example", alpn=("doq-i03",)), "doq"),
        (Hello("dns.google", alpn=("h2",)), "doh"),
        (Hello("abc123.dns.nextdns.io"), "doh"),
        (Hello("mozilla.cloudflare-dns.com", ech=True), "doh"),
        (Hello("a.example", alpn=("h2",)), None),
        (Hello(None), None),
        (HttpRequest("GET", "a.example", dns_query=True), "doh"),
        (HttpRequest("CONNECT", "dns.quad9.net", 443, connect=True), "doh"),
        (HttpRequest("GET", "a.example"), None),
        (HttpRequest("PRI", None, complete=False), None),
    ],
)
def test_on_any_port_the_client_says_it(said: Hello | HttpRequest, expected: Kind | None) -> None:
    assert kind(443, TCP, said) == expected
    assert kind(853, TCP, said) == "dot"


@pytest.mark.parametrize("name", ["google", "xdns.google", "dns.google.example", "", ".", "www.opendns.com"])
def test_a_name_beside_a_resolver_is_none(name: str) -> None:
    assert not is_resolver(name)
