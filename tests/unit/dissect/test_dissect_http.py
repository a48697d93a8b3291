from __future__ import annotations

import pytest

from airgap_check.dissect.http import HttpRequest, request

HOST = b"Host: www.Bank.Example\r\n"


def test_the_host_of_a_request_is_read() -> None:
    data = b"GET /secret?token=x HTTP/1.1\r\nAccept: */*\r\n" + HOST + b"Cookie: secret\r\n\r\n"
    assert request(data) == HttpRequest("GET", "www.bank.example")
    assert request(memoryview(data)) == request(data)


def test_nothing_secret_is_kept() -> None:
    data = b"GET http://user:secret@www.example/secret?secret HTTP/1.1\r\nHost: a:secret@b\r\nsecret: secret\r\n\r\n"
    assert request(data) == HttpRequest("GET", "www.example")
    assert request(b"GET /secret HTTP/1.1\r\nHost: user:secret@b.example\r\n\r\n") == HttpRequest("GET", "b.example")


@pytest.mark.parametrize(
    ("field", "host", "port"),
    [
        (b"hOsT:a.example:8080", "a.example", 8080),
        (b"Host:  a.example. ", "a.example", None),
        (b"Host: [2001:db8::1]:443", "2001:db8::1", 443),
        (b"Host: [2001:db8::1]", "2001:db8::1", None),
        (b"Host: 10.0.0.1:0", "10.0.0.1", None),
        (b"Host: 10.0.0.1:65536", "10.0.0.1", None),
        (b"Host: a.example:99999999999", "a.example", None),
        (b"Host: a.example:http", "a.example", None),
        (b"Host: \x1b[31mred", r"\027[31mred", None),
        (b"Host:", None, None),
        (b"X-Host: a.example", None, None),
    ],
)
def test_hosts_are_written_in_many_ways(field: bytes, host: str | None, port: int | None) -> None:
    assert request(b"GET / HTTP/1.1\r\n" + field + b"\r\n\r\n") == HttpRequest("GET", host, port)


def test_bare_line_ends_are_understood() -> None:
    assert request(b"GET / HTTP/1.0\nHost: a.example\n\n") == HttpRequest("GET", "a.example")


def test_the_first_of_two_hosts_counts() -> None:
    assert request(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == HttpRequest("GET", "a")


def test_the_target_counts_more_than_the_host() -> None:
    data = b"GET http://a.example:81/x HTTP/1.1\r\nHost: b.example\r\n\r\n"
    assert request(data) == HttpRequest("GET", "a.example", 81)


def test_a_tunnel_through_a_proxy_names_its_end() -> None:
    assert request(b"CONNECT A.example:443 HTTP/1.1\r\nHost: proxy\r\n\r\n") == HttpRequest(
        "CONNECT", "a.example", 443, connect=True
    )
    assert request(b"CONNECT [2001:db8::1]:853 HTTP/1.1\r\n") == HttpRequest(
        "CONNECT", "2001:db8::1", 853, connect=True
    )


@pytest.mark.parametrize(
    ("target", "asks"),
    [
        (b"/dns-query", True),
        (b"/dns-query?dns=AAAB", True),
        (b"/dns-query/", True),
        (b"http://dns.example/dns-query?dns=AAAB", True),
        (b"/dns-queryx", False),
        (b"/x/dns-query", False),
        (b"/?/dns-query", False),
    ],
)
def test_dns_over_https_has_a_path_of_its_own(target: bytes, asks: bool) -> None:  # noqa: FBT001 -- a parameter
    found = request(b"POST " + target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
    assert found
    assert found.dns_query is asks


def test_a_head_that_is_cut_before_the_host_is_not_complete() -> None:
    data = b"GET / HTTP/1.1\r\nAccept: */*\r\n" + HOST
    for end in range(4, len(data)):
        assert request(data[:end]) == HttpRequest("GET", None, complete=False)
    assert request(data) == HttpRequest("GET", "www.bank.example")


def test_a_host_far_down_is_not_looked_for() -> None:
    assert request(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + HOST) == HttpRequest("GET", None, complete=False)
    assert request(b"GET / HTTP/1.1\r\nA: " + b"b" * 20000 + b"\r\n" + HOST) == HttpRequest("GET", None, complete=False)
    assert request(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n" + HOST) == HttpRequest("GET", None, complete=False)


def test_http_2_with_prior_knowledge_hides_the_host() -> None:
    assert request(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == HttpRequest("PRI", None, complete=False)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"GET", b"get / HTTP/1.1\r\n", b"GET /\r\n", b"GET / SIP/2.0\r\n", b"EHLO mail",
        b"HELO a b\r\n", b"\x16\x03\x01",
        b"HTTP/1.1 200 OK\r\n", b"VERYLONGMETHODTHATISNONE / HTTP/1.1\r\n", b"SSH-2.0-x\r\n",
        b"OPTIONS sip:a SIP/2.0\r\n",
    ],
)  # fmt: skip
def test_what_is_no_request_is_nothing(data: bytes) -> None:
    assert request(data) is None
