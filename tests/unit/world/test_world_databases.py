from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.world.beyond import Beyond, trusting

if TYPE_CHECKING:
    from airgap_check.world.meeting import Met


def lines(met: Met) -> list[str]:
    return [asked.line for asked in met.requests]


@pytest.mark.parametrize(("mode", "encrypted"), [("require", True), ("disable", False), ("prefer", True)])
def test_postgresql_says_whom_it_wants_to_be(beyond: Beyond, mode: str, encrypted: bool) -> None:  # noqa: FBT001
    place = f"host={beyond.tcp.address} port={beyond.tcp.port} dbname=shop user=bob password=hunter2 sslmode={mode}"
    with pytest.raises(psycopg.OperationalError, match="starting up"):
        psycopg.connect(place, connect_timeout=10)
    met = beyond.met()[0]
    assert (met.spoken, met.encrypted) == ("postgresql", encrypted)
    assert lines(met)[-1] == "database shop as bob"
    assert met.ended == "the world said that the database is starting up"


def test_redis_is_answered_and_only_its_commands_are_kept(beyond: Beyond) -> None:
    with beyond.dial() as end, end.makefile("rb") as file:
        for command, answer in (
            (b"*2\r\n$4\r\nAUTH\r\n$7\r\nhunter2\r\n", b"+OK\r\n"),
            (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
            (b"*2\r\n$3\r\nGET\r\n$8\r\nmy\r\nword\r\n", b"$-1\r\n"),
            (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", b"+OK\r\n"),
            (b"*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n", b":1\r\n"),
            (b"PING\r\n", b"+PONG\r\n"),
        ):
            end.sendall(command)
            assert file.readline() == answer
        end.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nk\r\n")
    met = beyond.only()
    assert met.spoken == "redis"
    assert lines(met) == ["AUTH", "PING", "GET", "SET", "INCR", "PING", "SUBSCRIBE"]
    assert met.opening == "AUTH"


@pytest.mark.skipif(not shutil.which("redis-cli"), reason="no redis-cli here")
def test_its_own_client_is_content(beyond: Beyond) -> None:
    command = ["redis-cli", "-h", beyond.tcp.address, "-p", str(beyond.tcp.port), "info"]
    done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert b"redis_version:" in done.stdout


def test_mysql_is_greeted_secured_and_asked_who_it_is() -> None:
    with Beyond(port=3306) as beyond:
        with beyond.dial() as end:
            greeting = end.recv(200)
            assert greeting[4:5] == b"\x0a"
            capabilities = struct.pack("<IIB23x", 0x8 | 0x200 | 0x800 | 0x8000, 1 << 24, 45)
            end.sendall(len(capabilities).to_bytes(3, "little") + b"\1" + capabilities)
            with trusting().wrap_socket(end, server_hostname="db.bank.example") as secure:
                login = capabilities + b"bob\0" + b"\x07hunter2" + b"shop\0"
                secure.sendall(len(login).to_bytes(3, "little") + b"\2" + login)
                assert b"Server shutdown" in secure.recv(200)
        met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("mysql", True, "db.bank.example")
    assert lines(met) == ["SSLRequest", "database shop as bob"]


def test_who_speaks_http_at_the_port_of_mysql_is_heard() -> None:
    with Beyond(port=3306) as beyond:
        with beyond.dial() as end:
            end.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while b"200 OK" not in end.recv(4096):
                pass
        assert beyond.only().spoken == "http"


def test_mongodb_names_its_command_and_hears_that_it_is_too_late(beyond: Beyond) -> None:
    document = b"\x10hello\0" + struct.pack("<i", 1)
    document = struct.pack("<i", len(document) + 5) + document + b"\0"
    message = bytes(4) + b"\0" + document
    query = bytes(4) + b"admin.$cmd\0" + struct.pack("<ii", 0, -1) + document
    with beyond.dial() as end:
        for operation, body, answered in ((2004, query, 1), (2013, message, 2013)):
            end.sendall(struct.pack("<4i", 16 + len(body), 7, 0, operation) + body)
            answer = end.recv(4096)
            assert struct.unpack_from("<4i", answer) == (len(answer), 1, 7, answered)
            assert b"shutting down" in answer
    met = beyond.only()
    assert met.spoken == "mongodb"
    assert lines(met) == ["hello on admin.$cmd", "hello"]


def test_a_directory_lets_in_finds_nothing_and_turns_to_tls(beyond: Beyond) -> None:
    name = b"cn=app,dc=bank"
    bind = b"\x02\x01\x03\x04" + bytes([len(name)]) + name + b"\x80\x07hunter2"
    bind = b"\x02\x01\x02\x60" + bytes([len(bind)]) + bind
    start = b"\x80\x161.3.6.1.4.1.1466.20037"
    start = b"\x02\x01\x01\x77" + bytes([len(start)]) + start
    with beyond.dial() as end:
        end.sendall(b"\x30" + bytes([len(start)]) + start)
        assert end.recv(100) == b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\0\x04\0\x04\0"
        with trusting().wrap_socket(end, server_hostname="ad.bank.example") as secure:
            secure.sendall(b"\x30" + bytes([len(bind)]) + bind)
            assert secure.recv(100) == b"\x30\x0c\x02\x01\x02\x61\x07\x0a\x01\0\x04\0\x04\0"
            secure.sendall(b"\x30\x05\x02\x01\x03\x42\x00")
    met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("ldap", True, "ad.bank.example")
    assert lines(met) == ["StartTLS", "bind cn=app,dc=bank"]
    assert not any(b"hunter2" in line for line in beyond._lines)


def test_a_directory_answers_operations_that_there_are_none_of(beyond: Beyond) -> None:
    with beyond.dial() as end:
        end.sendall(b"\x30\x05\x02\x01\x01\x60\x00")
        assert end.recv(100)[5:6] == b"\x61"
        end.sendall(b"\x30\x05\x02\x01\x02\xff\x00")
        assert end.recv(100)[4:5] == b"\x02"
    met = beyond.only()
    assert lines(met) == ["bind (no name)", "operation 0xff"]
    assert "failed" not in met.ended


@pytest.mark.parametrize(("port", "first"), [(21, b"220 "), (22, b"SSH-2.0-"), (110, b"+OK"), (143, b"* OK")])
def test_servers_that_speak_first_do(port: int, first: bytes) -> None:
    with Beyond(port=port) as beyond:
        with beyond.dial() as end:
            assert end.recv(100).startswith(first)
            end.sendall(b"SSH-2.0-client\r\n" if port == 22 else b"PASS hunter2\r\n")
            if port != 22:
                assert b"not here" in end.recv(100)
        met = beyond.only()
    assert met.spoken == ("ssh" if port == 22 else "unknown")
    assert "hunter2" not in met.opening


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.sampled_from([
        b"", b"GET ", b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"\x05\x01\x00",
        b"\x04\x01", b"*2\r\n", b"EHLO a\r\n", b"EHLO a\r\nAUTH ", b"\x00\x00\x00\x20\x00\x03\x00\x00",
        b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"\x30\x0c\x02\x01", b"\x30\x84", b"BDAT ", b"SSH-",
        b"\x30\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\xdd\x07\x00\x00", b"\x00\x20\x12\x34\x01\x00\x00\x01",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    ]),
    st.binary(max_size=200),
)  # fmt: skip
def test_whatever_is_said_the_world_stays_and_tells_of_it(beyond: Beyond, beginning: bytes, rest: bytes) -> None:
    with beyond.dial() as end:
        end.sendall(beginning + rest)
        end.shutdown(socket.SHUT_WR)
        while end.recv(65536):
            pass
