"""HTTP, discovery documents and SAML metadata of anybody: bounded, never followed, every destination named."""

from __future__ import annotations

import gzip
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.probes.account import ConversationError
from airgap_check.probes.conversation import Target, Told
from airgap_check.probes.openid import parse_object
from airgap_check.probes.saml import _Metadata
from tests.unit.probes.other_side import Script, detail, outcomes, talk

if TYPE_CHECKING:
    import socket

    from airgap_check.probes.account import Protocol

HOST = "sso.bank.example"


def web(protocol: Protocol, detail: str = "", tls: Literal["none", "required"] = "none") -> Target:
    return Target(protocol, HOST, 8443 if tls == "required" else 8080, tls, detail)


def answered(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *(headers or (f"Content-Length: {len(body)}",)), "", ""]
    return "\r\n".join(lines).encode() + body


DOCUMENT = {
    "issuer": f"http://{HOST}:8080/realms/bank",
    "authorization_endpoint": f"http://{HOST}:8080/auth",
    "token_endpoint": "https://login.vendor.com/token",
    "jwks_uri": "https://10.20.0.9/keys",
    "end_session_endpoint": "https://out.bank.example/",
    "service_documentation": "https://docs.vendor.com/",
    "claims_supported": ["https://vendor.com/claims/department"],
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.bank.example:8444/t"},
    "backchannel_token_delivery_modes_supported": ["poll"],
    "request_parameter_supported": True,
    "revocation_endpoint": "/relative",
}


def discovery(document: object, path: str = "/realms/bank") -> Told:
    return talk(Script(answered(json.dumps(document).encode())), web("oidc", path))


def test_every_destination_of_a_discovery_document_is_named_with_who_dials_it() -> None:
    told = discovery(DOCUMENT)
    assert told.outcome == "reached"
    found = {
        named.pointer: (named.dialer, named.endpoint and (named.endpoint.name or named.endpoint.address))
        for named in told.named
    }
    assert found == {
        "$.issuer": ("server-event", HOST),
        "$.authorization_endpoint": ("browser", HOST),
        "$.token_endpoint": ("server-event", "login.vendor.com"),
        "$.jwks_uri": ("server-event", "10.20.0.9"),
        "$.end_session_endpoint": ("browser", "out.bank.example"),
        "$.service_documentation": ("nobody", "docs.vendor.com"),
        "$.mtls_endpoint_aliases.token_endpoint": ("server-event", "mtls.bank.example"),
        "$.revocation_endpoint": ("server-event", None),
    }
    assert {named.role for named in told.named} == {"idp"}
    assert outcomes(told) == {"idp-discovery": "passed", "idp-issuer": "passed"}


def test_the_document_is_asked_for_below_the_issuer_and_nothing_else() -> None:
    script = Script(answered(json.dumps(DOCUMENT).encode()))
    talk(script, web("oidc", "/realms/bank/"))
    assert script.heard.decode().splitlines()[0] == "GET /realms/bank/.well-known/openid-configuration HTTP/1.1"
    assert script.heard.count(b"HTTP/1.1") == 1
    assert b"Accept-Encoding: identity" in script.heard


@pytest.mark.parametrize(
    "issuer", ["http://sso.bank.example:8080/realms/other", "https://sso.bank.example:8080/realms/bank", "x", None, 7]
)
def test_a_provider_that_says_it_is_another_one(issuer: object) -> None:
    told = discovery({**DOCUMENT, "issuer": issuer})
    assert outcomes(told)["idp-issuer"] == "failed"


@pytest.mark.parametrize(
    "issuer", ["http://SSO.bank.example:8080/realms/bank/", "http://sso.bank.example:8080/realms/bank"]
)
def test_the_same_issuer_written_otherwise(issuer: str) -> None:
    assert outcomes(discovery({**DOCUMENT, "issuer": issuer}))["idp-issuer"] == "passed"


@pytest.mark.parametrize("document", [[], "x", {}, {"a": 1}, None])
def test_what_is_no_discovery_document_is_no_identity_provider(document: object) -> None:
    assert discovery(document).outcome == "failed"


def test_a_missing_document_fails_where_the_path_is_known_and_is_undiscovered_where_it_is_not() -> None:
    missing = answered(b"no", status="404 Not Found")
    assert talk(Script(missing), web("oidc", "/realms/bank")).outcome == "failed"
    told = talk(Script(missing), web("oidc"))
    assert told.outcome == "reached"
    assert outcomes(told) == {"idp-discovery": "failed"}


def test_a_login_page_elsewhere_is_named_and_not_followed() -> None:
    script = Script(
        answered(b"", "Location: https://login.vendor.com/?client=1", "Content-Length: 0", status="302 Found")
    )
    told = talk(script, web("oidc", "/x"))
    assert told.outcome == "failed"
    assert [(named.pointer, named.role, named.endpoint and named.endpoint.name) for named in told.named] == [
        ("Location", "idp", "login.vendor.com")
    ]
    assert script.heard.count(b"GET") == 1


def test_secrets_in_what_a_provider_names_are_not_repeated() -> None:
    told = discovery({**DOCUMENT, "token_endpoint": "https://admin:hunter2@sso.bank.example/token"})
    assert "hunter2" not in repr(told)


def test_a_document_with_too_many_destinations_is_not_passed_over() -> None:
    told = discovery({**DOCUMENT, **{f"x{index}_endpoint": f"https://a{index}.example/" for index in range(300)}})
    assert len(told.named) == 200
    assert outcomes(told)["idp-discovery"] == "unknown"


@given(st.binary(max_size=200))
def test_json_of_anybody_is_an_object_or_nothing(body: bytes) -> None:
    assert isinstance(parse_object(body), dict | None)


def test_json_of_any_depth_is_an_object_or_nothing() -> None:
    assert parse_object(b'{"a":' * 100_000) is None


# --- HTTP ------------------------------------------------------------------------------------------------------------

BODY = json.dumps(DOCUMENT).encode()


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(f"{len(part):x};x=y\r\n".encode() + part + b"\r\n" for part in parts) + b"0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        answered(BODY),
        answered(chunked(BODY, 7), "Transfer-Encoding: chunked"),
        answered(chunked(BODY, 7), "Transfer-Encoding: chunked", "Content-Length: 3"),
        answered(b"", status="103 Early Hints") + answered(BODY),
        answered(BODY).replace(b"\r\n", b"\n"),
    ],
)
def test_an_answer_is_read_however_it_is_framed(answer: bytes) -> None:
    assert talk(Script(answer), web("oidc", "/realms/bank")).outcome == "reached"


def test_an_answer_that_ends_with_the_line_is_read() -> None:
    def serve(end: socket.socket) -> None:
        end.recv(65536)
        end.sendall(answered(BODY, "Connection: close"))

    assert talk(serve, web("oidc", "/realms/bank")).outcome == "reached"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (answered(gzip.compress(BODY), "Content-Encoding: gzip"), "compresses"),
        (answered(BODY, "Transfer-Encoding: gzip, chunked"), "transfer coding"),
        (answered(b"", f"Content-Length: {2 << 20}"), "more than"),
        (answered(b"", "Content-Length: -1"), "no length"),
        (answered(b"", "Content-Length: 1_0"), "no length"),
        (answered(b"ffffffff\r\n", "Transfer-Encoding: chunked"), "more than"),
        (answered(b"2\r\nabcd\r\n", "Transfer-Encoding: chunked"), "does not end"),
        (b"HTTP/2 200\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 300 + b"\r\n", "headers"),
        (b"HTTP/1.1 200 " + b"x" * 20_000, "line of more than"),
        (answered(b"", status="100 Continue").replace(b"Content-Length: 0\r\n", b"") * 20, "without end"),
    ],
)
def test_an_answer_that_is_none_or_too_much_is_refused(answer: bytes, reason: str) -> None:
    told = talk(Script(answer), web("oidc", "/realms/bank"))
    assert told.outcome == "failed"
    assert reason in told.detail


def test_a_body_without_end_is_ended() -> None:
    def serve(end: socket.socket) -> None:
        end.recv(65536)
        end.sendall(answered(b"", "Connection: close"))
        while True:
            end.sendall(b"x" * 65536)

    assert "more than" in talk(serve, web("oidc", "/x")).detail


@pytest.mark.parametrize("path", ["/a b\r\nX-Injected: 1", "/é", "//evil.example/x", "/%2e%2e/"])
def test_no_path_can_say_more_than_a_path(path: str) -> None:
    script = Script(answered(b""))
    talk(script, web("http", path))
    lines = script.heard.decode("ascii").splitlines()
    assert lines[0].startswith("HEAD /")
    assert not lines[0].startswith("HEAD //")
    assert not any(line.startswith("X-Injected") for line in lines)


@pytest.mark.parametrize("host", ["a\r\nb", "a b", "", "a" * 70 + ".example\u00e9", "x/y"])
def test_no_host_can_say_more_than_a_host(host: str) -> None:
    script = Script(answered(b""))
    assert talk(script, web("http")._replace(host=host)).outcome == "failed"
    assert script.heard == b""


def test_the_host_header_names_the_port_unless_it_is_the_schemes_own() -> None:
    for port, wanted in ((80, "Host: fd00::1]"), (8080, "Host: [fd00::1]:8080")):
        script = Script(answered(b""))
        talk(script, Target("http", "fd00::1", port, "none"))
        assert wanted.replace("Host: fd", "Host: [fd") in script.heard.decode()


# --- SAML ------------------------------------------------------------------------------------------------------------

METADATA = """<?xml version="1.0"?>
<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:o="urn:other">
 <md:EntityDescriptor entityID="https://sso.bank.example/metadata">
  <md:IDPSSODescriptor>
   <md:ArtifactResolutionService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://back.bank.example/ars"/>
   <md:SingleLogoutService Binding="x" Location="https://sso.bank.example/slo" ResponseLocation="https://out.vendor.com/r"/>
   <md:SingleSignOnService Binding="x" Location="https://sso.bank.example/sso"/>
   <o:Thing Location="https://not.saml.example/"/>
  </md:IDPSSODescriptor>
 </md:EntityDescriptor>
</md:EntitiesDescriptor>"""


def test_every_location_of_saml_metadata_is_named_with_who_dials_it() -> None:
    told = talk(Script(answered(METADATA.encode())), web("saml", "/metadata"))
    assert (told.outcome, told.detail) == ("reached", "metadata of https://sso.bank.example/metadata")
    assert [(named.pointer, named.dialer, named.endpoint and named.endpoint.name) for named in told.named] == [
        ("EntitiesDescriptor/EntityDescriptor/@entityID", "nobody", "sso.bank.example"),
        ("IDPSSODescriptor/ArtifactResolutionService/@Location", "server-event", "back.bank.example"),
        ("IDPSSODescriptor/SingleLogoutService/@Location", "browser", "sso.bank.example"),
        ("IDPSSODescriptor/SingleLogoutService/@ResponseLocation", "browser", "out.vendor.com"),
        ("IDPSSODescriptor/SingleSignOnService/@Location", "browser", "sso.bank.example"),
    ]
    assert detail(told, "idp-discovery") == "5 destinations"


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>'
FILE = '<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a>&f;</a>'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "DTD"),
        (FILE, "DTD"),
        ('<!DOCTYPE a SYSTEM "http://vendor.com/a.dtd"><a/>', "DTD"),
        ("<a><b></a>", "malformed at line 1, column"),
        ("<a/>", "no SAML metadata"),
        ('<EntityDescriptor entityID="x"/>', "no SAML metadata"),
        ("<a>" * 100 + "</a>" * 100, "too many elements, or too deep"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', ""),
        ("<html><body>Sign in<br></body></html>", "malformed"),
        ("", "malformed"),
    ],
)
def test_xml_that_is_hostile_or_something_else_is_refused(body: str, reason: str) -> None:
    told = talk(Script(answered(body.encode())), web("saml", "/metadata"))
    assert told.outcome == "failed"
    assert reason in told.detail


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="<>/ab=\"'&;![]-? ", max_size=100).map(str.encode)))
def test_xml_of_anybody_is_read_or_refused(body: bytes) -> None:
    with suppress(ConversationError):
        assert _Metadata(body).named == []


def test_a_discovery_document_that_hides_a_destination_in_its_depths_is_refused() -> None:
    hidden: object = "https://login.vendor.com/token"
    for _ in range(20):
        hidden = {"more": hidden}
    told = discovery(DOCUMENT | {"extension": hidden})
    assert (told.outcome, "nested too deep" in told.detail) == ("failed", True)
