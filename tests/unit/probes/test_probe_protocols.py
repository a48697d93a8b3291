"""Each protocol's conversation, word for word: what is sent, what counts as an answer, what does not."""

from __future__ import annotations

import json
from contextlib import suppress
from struct import pack
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.probes import mongodb
from airgap_check.probes.account import ConversationError
from airgap_check.probes.conversation import Target
from tests.unit.probes.other_side import Script, talk

if TYPE_CHECKING:
    import socket

    from airgap_check.probes.account import Protocol

TLS = Literal["required", "opportunistic", "none"]


def target(protocol: Protocol, tls: TLS = "opportunistic", detail: str = "") -> Target:
    return Target(protocol, "db.bank.example", 9999, tls, detail)


# --- PostgreSQL: 55.7 of its documentation ---------------------------------------------------------------------------

SSL_REQUEST = bytes.fromhex("0000000804d2162f")
_FIELDS = b"SFATAL\0C28000\0Mrole does not exist\0\0"
NO_ROLE = b"E" + pack("!I", len(_FIELDS) + 4) + _FIELDS


def test_postgresql_is_asked_for_tls_and_then_greeted_as_nobody() -> None:
    script = Script(b"N", b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0")
    told = talk(script, target("postgresql", detail="crm"))
    assert (told.outcome, told.detail) == ("reached", "it asks for credentials")
    assert script.heard.startswith(SSL_REQUEST)
    assert b"\0\x03\0\0user\0airgap-check\0database\0crm\0" in script.heard
    assert script.heard.endswith(b"\0\0"), "nothing follows the startup packet: whoever hangs up then is not logged"


def test_an_error_of_postgresql_is_an_answer() -> None:
    told = talk(Script(NO_ROLE), target("postgresql", "none"))
    assert (told.outcome, told.detail) == ("reached", "it answers: role does not exist (28000)")


def test_a_postgresql_that_lets_anybody_in_is_left_by_its_own_farewell() -> None:
    script = Script(
        b"R\0\0\0\x08\0\0\0\0" + b"S\0\0\0\x08a\0b\0" + b"K\0\0\0\x0c\0\0\0\x01\0\0\0\x02" + b"Z\0\0\0\x05I"
    )
    assert talk(script, target("postgresql", "none")).outcome == "reached"
    assert script.heard.endswith(b"X\0\0\0\x04")


@pytest.mark.parametrize("answer", [b"N", b"E"])
def test_a_postgresql_without_tls_fails_where_it_is_required(answer: bytes) -> None:
    script = Script(answer)
    told = talk(script, target("postgresql", "required"))
    assert (told.outcome, told.detail) == ("failed", "it offers no TLS")
    assert script.heard == SSL_REQUEST, "nothing is said in clear"


def test_words_that_were_slipped_in_before_tls_are_refused() -> None:
    told = talk(Script(b"S" + NO_ROLE), target("postgresql"))
    assert (told.outcome, told.detail) == ("failed", "it spoke on in clear where TLS was to begin")


# --- MySQL: the Connection Phase of its documentation ----------------------------------------------------------------

CAPABILITIES = 0x200 | 0x8000 | 0x80000


def greeting(capabilities: int = CAPABILITIES, plugin: bytes = b"caching_sha2_password") -> bytes:
    low, high = capabilities & 0xFFFF, capabilities >> 16
    body = b"\x0a8.0.36\0" + pack("<I", 7) + b"saltsalt\0" + pack("<HBHHB10x", low, 33, 2, high, 21)
    return framed(0, body + b"morsaltmorsa\0" + plugin + b"\0")


def framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


DENIED = b"\xff\x15\x04#28000Access denied"


def test_mysql_is_greeted_to_the_end_as_nobody() -> None:
    script = Script(greeting(), framed(2, DENIED), first=True)
    told = talk(script, target("mysql"))
    assert (told.outcome, told.detail) == ("reached", "version 8.0.36; it answers: Access denied (1045)")
    assert script.heard[3] == 1
    assert script.heard[4 + 32 :] == b"airgap-check\0\0caching_sha2_password\0"


def test_every_question_of_mysql_is_answered_with_nothing() -> None:
    switch = b"\xfemysql_native_password\0saltsaltsaltsaltsalt\0"
    script = Script(greeting(), framed(2, switch), framed(4, b"\x01\x04"), framed(6, DENIED), first=True)
    assert talk(script, target("mysql")).outcome == "reached"
    assert script.heard.endswith(framed(3, b"") + framed(5, b"\0"))


def test_a_mysql_that_lets_anybody_in_is_left_by_its_own_farewell() -> None:
    script = Script(greeting(), framed(2, b"\0\0\0\2\0\0\0"), first=True)
    assert talk(script, target("mysql")).outcome == "reached"
    assert script.heard.endswith(framed(0, b"\x01"))


def test_a_mysql_that_has_locked_this_host_out_is_not_reached() -> None:
    told = talk(Script(framed(0, b"\xff\x69\x04Host '10.0.0.1' is blocked"), first=True), target("mysql"))
    assert told.outcome == "failed"
    assert told.detail == "it lets nobody in from here: Host '10.0.0.1' is blocked (1129)"


def test_even_a_mysql_without_tls_that_is_required_gets_its_handshake_completed() -> None:
    script = Script(greeting(), framed(2, DENIED), first=True)
    told = talk(script, target("mysql", "required"))
    assert (told.outcome, told.detail) == ("failed", "it offers no TLS")
    assert b"airgap-check" in script.heard


# --- MongoDB: the wire protocol's OP_MSG, the hello command; no server of it can be installed here --------------------


def bson(**fields: object) -> bytes:
    body = b""
    for name, value in fields.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes([value])
        elif isinstance(value, float):
            body += b"\x01" + key + pack("<d", value)
        elif isinstance(value, int):
            body += b"\x10" + key + pack("<i", value)
        elif isinstance(value, list):
            body += b"\x04" + key + bson(**{str(index): item for index, item in enumerate(value)})
        else:
            text = str(value).encode() + b"\0"
            body += b"\x02" + key + pack("<i", len(text)) + text
    return pack("<i", len(body) + 5) + body + b"\0"


def op_msg(document: bytes, *, answers: int = 1) -> bytes:
    return pack("<iiii", 21 + len(document), 99, answers, 2013) + b"\0\0\0\0\0" + document


HELLO = bytes.fromhex(
    "34000000 01000000 00000000 dd070000"  # length, request, answers none, OP_MSG
    "00000000 00"  # flags, a body
    "1f000000 10 68656c6c6f00 01000000"  # {hello: 1,
    "02 24646200 06000000 61646d696e00 00"  # $db: "admin"}
)


def test_mongodb_is_asked_who_it_is_and_its_members_are_named() -> None:
    hosts = ["10.20.0.5:27017", "mongo2.bank.example:27018"]
    answer = bson(isWritablePrimary=True, setName="rs0", hosts=hosts, arbiters=["10.20.0.8"], maxWireVersion=21, ok=1.0)
    script = Script(op_msg(answer))
    told = talk(script, target("mongodb", "none"))
    assert (told.outcome, told.detail) == ("reached", "replica set rs0, wire version 21")
    assert script.heard == HELLO
    assert [(named.pointer, named.text, named.role) for named in told.named] == [
        ("$.hosts[0]", "10.20.0.5:27017", "database"),
        ("$.hosts[1]", "mongo2.bank.example:27018", "database"),
        ("$.arbiters[0]", "10.20.0.8", "database"),
    ]
    assert [named.endpoint and named.endpoint.port for named in told.named] == [27017, 27018, 27017]


def test_a_mongodb_that_wants_something_else_first_has_answered() -> None:
    told = talk(Script(op_msg(bson(ok=0.0, errmsg="no such command", code=59))), target("mongodb", "none"))
    assert (told.outcome, told.detail) == ("reached", "it answers: no such command")


@pytest.mark.parametrize(
    "answer",
    [
        op_msg(bson(ok=1.0), answers=2),
        op_msg(bson(ok=1.0)[:-1]),
        op_msg(b"\xff\xff\xff\x7f\0"),
    ],
)
def test_what_is_no_answer_of_mongodb_fails(answer: bytes) -> None:
    assert talk(Script(answer), target("mongodb", "none")).outcome == "failed"


@given(st.binary(max_size=300))
def test_bson_of_anybody_is_a_document_or_refused(data: bytes) -> None:
    with suppress(ConversationError):
        assert isinstance(mongodb.decode(pack("<i", len(data) + 5) + data + b"\0"), dict)


def test_bson_is_read_by_its_types_and_refused_beyond_its_depth() -> None:
    inner = bson(a=1)
    fields = (  # of many types
        b"\x05b\0" + pack("<i", 3) + b"\0abc" + b"\x09d\0" + b"\0" * 8 + b"\x0bre\0x\0i\0"
        + b"\x12l\0" + pack("<q", 1 << 40)
        + b"\x03n\0" + inner + b"\x0az\0"
    )  # fmt: skip
    document = pack("<i", len(fields) + 5) + fields + b"\0"
    assert mongodb.decode(document) == {"b": None, "d": None, "re": None, "l": 1 << 40, "n": {"a": 1}, "z": None}
    for _ in range(20):
        body = b"\x03n\0" + inner
        inner = pack("<i", len(body) + 5) + body + b"\0"
    with pytest.raises(ConversationError):
        mongodb.decode(inner)


# --- Redis -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"+PONG\r\n", "reached"),
        (b"-NOAUTH Authentication required.\r\n", "reached"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "reached"),
        (b"-DENIED Redis is running in protected mode\r\n", "failed"),
        (b"-ERR max number of clients reached\r\n", "failed"),
        (b"HTTP/1.1 400 Bad Request\r\n", "failed"),
    ],
)
def test_redis_is_sent_ping_and_nothing_else(answer: bytes, outcome: str) -> None:
    script = Script(answer)
    assert talk(script, target("redis", "none")).outcome == outcome
    assert script.heard == b"*1\r\n$4\r\nPING\r\n"


# --- SMTP ------------------------------------------------------------------------------------------------------------


def test_a_mail_server_is_greeted_and_left() -> None:
    script = Script(b"220 mail ESMTP\r\n", b"250-mail\r\n250 SIZE 1\r\n", b"221 bye\r\n", first=True)
    told = talk(script, target("smtp"))
    assert (told.outcome, told.detail) == ("reached", "it answers: mail ESMTP")
    assert script.heard == b"EHLO airgap-check.invalid\r\nQUIT\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        (b"554 no\r\n",),
        (b"220 a\r\n", b"500 what\r\n"),
        (b"220 a\r\n", b"250 a\r\n", b"221 bye\r\n"),
        (b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"454 not now\r\n"),
        (b"220 a\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go\r\n250 slipped in\r\n"),
    ],
)
def test_a_mail_server_that_refuses_or_has_no_tls_fails_where_it_is_required(lines: tuple[bytes, ...]) -> None:
    told = talk(Script(*lines, first=True), target("smtp", "required"))
    assert told.outcome == "failed"


# --- S3 --------------------------------------------------------------------------------------------------------------


def store(status: str, *headers: str) -> Script:
    return Script("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode())


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("200 OK", "reached"), ("403 Forbidden", "reached"), ("404 Not Found", "reached"), ("503 x", "failed")],
)
def test_a_bucket_is_asked_for_its_headers_without_credentials(status: str, outcome: str) -> None:
    script = store(status)
    assert talk(script, target("s3", "none", "back up")).outcome == outcome
    request = script.heard.decode()
    assert request.startswith("HEAD /back%20up HTTP/1.1\r\nHost: db.bank.example:9999\r\n")
    assert "authorization" not in request.lower()


def test_a_bucket_elsewhere_is_named_and_not_followed() -> None:
    told = talk(store("301 x", "Location: https://s3.eu.vendor.com/b?sig=1"), target("s3", "none", "b"))
    assert told.outcome == "reached"
    assert [(named.pointer, named.role, named.endpoint and named.endpoint.name) for named in told.named] == [
        ("Location", "object-storage", "s3.eu.vendor.com")
    ]


def test_a_redirection_to_itself_is_none() -> None:
    assert talk(store("301 x", "Location: /b/"), target("s3", "none", "b")).named == ()


# --- the runtime -----------------------------------------------------------------------------------------------------


def page(document: object, status: str = "200 OK") -> bytes:
    body = json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


MARKET, NO_MARKET = {"features": {"marketplace": True}}, {"features": {"marketplace": False}}
SIGN_IN = {"data": {"emailPassword": {"enabled": True}, "socialProviders": [], "features": {"sso": False}}}


def posture(*pages: bytes) -> tuple[dict[str, str], str]:
    script = Script(*pages)
    told = talk(script, target("runtime", "none"))
    assert told.outcome == "reached", told
    return {check.aspect: check.outcome for check in told.checks}, script.heard.decode()


def test_a_runtime_is_asked_three_things_and_never_for_its_marketplace() -> None:
    checks, heard = posture(page(NO_MARKET), page({}, "404 Not Found"), page(SIGN_IN))
    assert checks == {"control-plane-mounted": "passed", "login-path": "passed"}
    asked = [line.split()[1] for line in heard.splitlines() if line.startswith(("GET", "POST", "HEAD"))]
    assert asked == ["/api/v1/runtime/config", "/api/v1/cloud-connection/status", "/api/v1/auth/config"]
    assert "marketplace" not in heard


@pytest.mark.parametrize(
    ("config", "status", "outcome"),
    [
        (page(MARKET), page({}), "failed"),
        (page(MARKET), page({}, "404 x"), "failed"),
        (page(NO_MARKET), page({}), "failed"),
        (page(NO_MARKET), page({}, "500 x"), "unknown"),
        (page({}, "404 x"), page({}, "404 x"), "unknown"),
        (page({"features": {"marketplace": "no"}}), page({}, "404 x"), "unknown"),
    ],
)
def test_the_control_plane_is_off_only_when_both_answers_say_so(config: bytes, status: bytes, outcome: str) -> None:
    assert posture(config, status, page(SIGN_IN))[0]["control-plane-mounted"] == outcome


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        ({"emailPassword": {"enabled": False}, "socialProviders": []}, "failed"),
        ({"emailPassword": {"enabled": False}, "socialProviders": [{"id": "keycloak"}]}, "passed"),
        ({"emailPassword": {"enabled": False}, "socialProviders": [], "features": {"sso": True}}, "passed"),
        ({"emailPassword": {"enabled": True}, "socialProviders": []}, "passed"),
        ({"emailPassword": {}}, "unknown"),
        ([], "unknown"),
    ],
)
def test_somebody_must_be_able_to_sign_in(data: object, outcome: str) -> None:
    assert posture(page(NO_MARKET), page({}, "404 x"), page({"data": data}))[0]["login-path"] == outcome


def test_a_runtime_that_hangs_up_after_one_answer_leaves_the_rest_undecided() -> None:
    def once(end: socket.socket) -> None:
        end.recv(65536)
        end.sendall(page(NO_MARKET))

    told = talk(once, target("runtime", "none"))
    assert {check.outcome for check in told.checks} == {"unknown"}
    assert told.outcome == "reached"
