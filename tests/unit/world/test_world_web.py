from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import dns.message
import pytest

from airgap_check.world.line import ROOM
from tests.unit.world.beyond import Beyond, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator


def curl(beyond: Beyond, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Let curl believe that every name is here."""
    place = [] if "--proxy" in arguments else ["--connect-to", f"::{beyond.tcp.address}:{beyond.tcp.port}"]
    command = ["curl", "--silent", "--noproxy", "", *place, *arguments]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


@pytest.fixture
def client(beyond: Beyond) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(*beyond.tcp, timeout=10)
    yield connection
    connection.close()


def test_a_post_in_clear_is_answered_and_noted_without_its_secrets(
    beyond: Beyond, client: http.client.HTTPConnection
) -> None:
    body = json.dumps({"password": "hunter2"})
    headers = {"Host": "telemetry.example", "Authorization": "Bearer hunter2", "Accept": "application/json"}
    client.request("POST", "/v1/events?token=hunter2", body, headers)
    response = client.getresponse()
    assert (response.status, response.read()) == (200, b"{}")
    client.close()
    met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("http", False, "telemetry.example")
    assert [(asked.line, asked.name) for asked in met.requests] == [("POST /v1/events?token=…", "telemetry.example")]
    assert met.opening == "POST /v1/events?token=…"
    assert met.ended == "closed by the client"
    assert (met.address, met.port) == beyond.tcp
    assert met.at < met.until
    assert not any(b"hunter2" in line for line in beyond._lines)


def test_connections_are_kept_and_all_their_requests_noted(beyond: Beyond, client: http.client.HTTPConnection) -> None:
    for number in range(1002):
        client.request("GET", f"/{number}", headers={"Host": "a.example"})
        client.getresponse().read()
    client.close()
    (met,) = beyond.met()
    assert [asked.line for asked in met.requests] == [f"GET /{number}" for number in range(1000)]
    assert beyond.troubles() == [f"of {beyond.tcp.address}:{beyond.tcp.port}, not all requests are listed"]


@pytest.mark.parametrize(
    ("path", "accept", "kind", "body"),
    [
        ("/a", "*/*", "application/json", b"{}"),
        ("/a", "text/html,application/xhtml+xml", "text/html; charset=utf-8", None),
        ("/app.js?v=1", "*/*", "text/javascript", b""),
        ("/font.css", "text/css", "text/css", b""),
        ("/0/0/0.png", "image/avif,image/webp,*/*", "image/gif", None),
        ("/pixel", "image/avif,*/*", "image/gif", None),
    ],
)
def test_what_is_answered_is_of_the_kind_that_was_asked_for(
    client: http.client.HTTPConnection, path: str, accept: str, kind: str, body: bytes | None
) -> None:
    client.request("GET", path, headers={"Accept": accept})
    response = client.getresponse()
    assert response.headers["content-type"] == kind
    answered = response.read()
    assert answered == body if body is not None else answered


def test_a_script_of_another_origin_may_ask(client: http.client.HTTPConnection) -> None:
    headers = {"Origin": "https://app.bank.example", "Access-Control-Request-Headers": "x-key"}
    client.request("OPTIONS", "/a", headers=headers)
    response = client.getresponse()
    response.read()
    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "https://app.bank.example"
    assert response.headers["access-control-allow-headers"] == "x-key"
    client.request("HEAD", "/a.html")
    response = client.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert int(response.headers["content-length"]) > 0


def test_who_waits_for_a_word_before_the_body_gets_it(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert end.recv(100).startswith(b"HTTP/1.1 100")
        end.sendall(b"hello")
        assert end.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_websocket_is_agreed_to_and_listened_to(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(
            b"GET /live HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = end.recv(4096).lower()
        assert b" 101 " in answer
        assert b"s3pplmbitxaq9kygzzhzrbk+xoo=" in answer  # RFC 6455 1.3
        end.sendall(bytes(1000))
    met = beyond.only()
    assert met.sent > 1000
    assert met.requests[0].line == "GET /live"


def test_what_is_no_proper_http_is_turned_down_and_noted(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert end.recv(4096).startswith(b"HTTP/1.1 400")
    met = beyond.only()
    assert met.spoken == "http"
    assert met.ended.startswith("no proper HTTP")


def test_a_head_without_end_takes_no_more_memory_than_there_is_room(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"Broken pipe|reset"):  # noqa: PT012 -- sooner or later
            for _ in range(40 * ROOM):
                end.sendall(b"x: y\r\n" * 100)
    assert beyond.only().ended.startswith("no proper HTTP")


def test_https_is_opened_with_a_certificate_for_the_name(beyond: Beyond) -> None:
    with beyond.dial_secure("Cloud.example", "http/1.1") as end:
        assert end.getpeercert()["subjectAltName"] == (("DNS", "cloud.example"),)  # type: ignore[index]
        end.sendall(b"GET /api HTTP/1.1\r\nHost: cloud.example\r\n\r\n")
        assert end.recv(4096).startswith(b"HTTP/1.1 200")
    met = beyond.only()
    assert (met.spoken, met.encrypted, met.name, met.opening) == ("http", True, "cloud.example", "GET /api")


def test_an_address_is_named_by_its_certificate_where_the_client_names_nobody(beyond: Beyond) -> None:
    with trusting().wrap_socket(beyond.dial(), server_hostname=beyond.tcp.address) as end:
        end.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200" in end.recv(4096)
        assert end.recv(4096) in {b"", b"{}"}
    met = beyond.only()
    assert met.name == "x"
    assert met.ended == "answered, and closed"


def test_a_client_that_does_not_trust_the_world_says_so(beyond: Beyond) -> None:
    with beyond.dial() as end, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(end, server_hostname="cloud.example")
    met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("tls", False, "cloud.example")
    assert met.ended == "TLS refused by the client: unknown ca"


def test_http2_with_and_without_tls(beyond: Beyond, certificate: str) -> None:
    options = "--cacert", certificate, "--data", "x=1", "--write-out", "%{http_version} %{http_code}"
    assert curl(beyond, *options, "https://otel.example/v1/metrics?token=abc").stdout == b"{}2 200"
    assert curl(beyond, *options, "--http2-prior-knowledge", "http://h2c.example/a").stdout == b"{}2 200"
    secure, clear = beyond.met()
    assert (secure.spoken, secure.encrypted, secure.name) == ("http2", True, "otel.example")
    assert [asked.line for asked in secure.requests] == ["POST /v1/metrics?token=…"]
    assert (clear.spoken, clear.encrypted, clear.name) == ("http2", False, "h2c.example")


def test_grpc_hears_that_all_is_well(beyond: Beyond, certificate: str) -> None:
    done = curl(
        beyond, "--cacert", certificate, "-v", "--data", "x", "-H", "content-type: application/grpc",
        "https://otel.example/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    )  # fmt: skip
    assert done.stdout == bytes(5)
    assert b"grpc-status: 0" in done.stderr


@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
def test_within_the_tunnel_of_a_proxy_the_world_goes_on(beyond: Beyond, certificate: str, scheme: str) -> None:
    user = "" if scheme == "socks4a" else "bob:hunter2@"
    proxy = f"{scheme}://{user}{beyond.tcp.address}:{beyond.tcp.port}"
    assert curl(beyond, "--cacert", certificate, "--proxy", proxy, "https://deep.example/in").stdout == b"{}"
    met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("http2", True, "deep.example")
    tunnel, request = met.requests
    assert tunnel.name == "deep.example:443"
    assert tunnel.line.endswith("CONNECT deep.example:443")
    assert request.line == "GET /in"
    assert not any(b"hunter2" in line or b"Ym9i" in line for line in beyond._lines)


def test_a_request_to_a_proxy_says_whom_it_is_for(beyond: Beyond) -> None:
    proxy = f"http://{beyond.tcp.address}:{beyond.tcp.port}"
    assert curl(beyond, "--proxy", proxy, "http://deep.example:8080/in?a=b").stdout == b"{}"
    met = beyond.only()
    assert (met.name, met.requests[0].name) == ("deep.example", "deep.example:8080")
    assert met.requests[0].line == "GET /in?a=… (to a proxy, for deep.example:8080)"


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_dns_over_https_is_answered_and_told_for_what_it_asks(beyond: Beyond, certificate: str, version: str) -> None:
    wire = dns.message.make_query("hidden.example", "AAAA", id=0).to_wire()
    encoded = base64.urlsafe_b64encode(wire).rstrip(b"=").decode()
    options = "--cacert", certificate, version
    answer = curl(beyond, *options, f"https://dns.example/dns-query?dns={encoded}").stdout
    (address,) = dns.message.from_wire(answer).answer[0]
    (met,) = beyond.met()
    assert (met.spoken, met.encrypted) == ("dns", True)
    assert [asked.line for asked in met.requests] == ["GET /dns-query?dns=…", "DNS AAAA hidden.example"]
    assert str(address) in beyond.named()["hidden.example"]


def test_dns_over_https_may_be_posted(beyond: Beyond, client: http.client.HTTPConnection) -> None:
    wire = dns.message.make_query("hidden.example", "A").to_wire()
    client.request("POST", "/dns-query", wire, {"Content-Type": "application/dns-message"})
    assert dns.message.from_wire(client.getresponse().read()).answer
    client.close()
    assert beyond.only().requests[1].line == "DNS A hidden.example"


@pytest.mark.skipif(not shutil.which("node"), reason="no node here")
def test_node_fetches_where_it_is_told_to_trust(beyond: Beyond, certificate: str) -> None:
    script = f"fetch('https://{beyond.tcp.address}:{beyond.tcp.port}/n?k=v').then(r=>r.json()).then(j=>console.log(j))"
    done = subprocess.run(
        ["node", "-e", script], env={"NODE_EXTRA_CA_CERTS": certificate, "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stdout == b"{}\n", done.stderr
    assert beyond.only().requests[0].line == "GET /n?k=…"


def test_hostile_http2_ends_its_own_connection_alone(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200)
        while end.recv(4096):
            pass
    with beyond.dial() as end:
        end.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert end.recv(4096).startswith(b"HTTP/1.1 200")
    hostile, other = beyond.met()
    assert hostile.ended.startswith("no proper HTTP/2")
    assert other.spoken == "http"


def test_a_reset_is_called_one(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"hello\n")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with beyond.dial() as end:
        end.sendall(b"GET / HTTP/1.0\r\n\r\n")
        end.recv(4096)
    resets = [met for met in beyond.met() if met.spoken == "unknown"]
    assert [met.ended for met in resets] == ["reset by the client"]
    assert resets[0].opening == "hello"


@pytest.mark.parametrize(
    ("said", "line", "ended"),
    [
        (
            b"GET /a?k=hunter2 HTTP/1.1\r\nHost: a.example\r\nAuthorization : hunter2\r\n\r\n",
            "GET /a?k=…",
            "header line",
        ),
        (b"GET /a b?k=hunter2 HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET /a", "request line"),
        (b"GET /a?k=hunter2\r\nHost: a.example\r\n\r\n", "GET /a?k=…", "request line"),
        (b"POST /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: hunter2\r\n\r\n", "POST /a", "Content-Length"),
        (b"POST /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nZhunter2\r\n", "POST /a", "chunk"),
        (b"GET /a?k=hunter2 HTTP/1.1\r\nHost: a.example\r\nCookie: hunt", "GET /a?k=…", "unexpectedly closed"),
    ],
)
def test_of_what_is_no_proper_http_the_request_is_told_and_no_secret(
    beyond: Beyond, said: bytes, line: str, ended: str
) -> None:
    with socket.create_connection(beyond.tcp, timeout=10) as end:
        end.sendall(said)
        end.shutdown(socket.SHUT_WR)
        while end.recv(4096):
            pass
    met = beyond.only()
    assert [(asked.line, asked.name) for asked in met.requests] == [(line, "a.example")]
    assert met.ended.startswith("no proper HTTP: ")
    assert ended in met.ended
    assert not any(b"hunt" in told for told in beyond._lines)


def test_a_request_that_is_broken_off_is_told_as_the_next_one_on_its_connection(beyond: Beyond) -> None:
    with socket.create_connection(beyond.tcp, timeout=10) as end:
        end.sendall(b"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\nX: ")
        end.shutdown(socket.SHUT_WR)
        while end.recv(4096):
            pass
    assert [(asked.line, asked.name) for asked in beyond.only().requests] == [
        ("GET /1", "a.example"),
        ("GET /2", "b.example"),
    ]


def test_a_long_path_is_no_request_to_a_proxy(beyond: Beyond, client: http.client.HTTPConnection) -> None:
    client.request("GET", "/" + "a/" * 4000, headers={"Host": "a.example"})
    assert client.getresponse().status == 200
    client.close()
    (asked,) = beyond.only().requests
    assert asked.line.startswith("GET /a/a/")
    assert "proxy" not in asked.line


def test_a_query_of_many_fields_that_looks_like_dns_is_answered(
    beyond: Beyond, client: http.client.HTTPConnection
) -> None:
    client.request("GET", "/q?dns=a&" + "&".join(f"p{number}=1" for number in range(40)), headers={"Host": "a.example"})
    assert client.getresponse().status == 200
    client.close()
    assert beyond.only().spoken == "http"
