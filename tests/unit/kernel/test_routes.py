"""Which way a packet would go: as this kernel says, and as any bytes could."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import routes
from airgap_check.kernel.routes import Route

ROUTE = 24  # RTM_NEWROUTE
UNICAST, LOCAL, BLACKHOLE, UNREACHABLE = 1, 2, 6, 7


def _message(kind: int, *attributes: tuple[int, bytes], type_: int = UNICAST) -> bytes:
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, type_, 0)
    for name, value in attributes:
        body += struct.pack("=HH", 4 + len(value), name) + value + bytes(-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


def _error(number: int) -> bytes:
    return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -number)


def _parsed(data: bytes) -> list[Route]:
    found: list[Route] = []
    assert routes.parse(data, found)
    return found


def test_the_way_to_this_very_host_is_local() -> None:
    found = routes.find(ip_address("127.0.0.1"), port=443)
    assert found is not None
    assert (found.local, found.interface) == (True, "lo")


def test_a_route_is_told_with_its_gateway() -> None:
    (found,) = _parsed(_message(ROUTE, (4, struct.pack("=I", 1)), (5, bytes([10, 0, 0, 1])), (7, bytes([10, 0, 0, 2]))))
    assert (found.local, routes.shown(found.gateway), routes.shown(found.source)) == (False, "10.0.0.1", "10.0.0.2")
    assert found.interface == "lo"


@pytest.mark.parametrize("type_", [BLACKHOLE, UNREACHABLE, 8, 9])
def test_a_route_that_refuses_is_none(type_: int) -> None:
    assert _parsed(_message(ROUTE, type_=type_)) == []


def test_no_route_is_said_by_an_error() -> None:
    with pytest.raises(OSError, match="unreachable") as caught:
        _parsed(_error(errno.ENETUNREACH))
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EAFNOSUPPORT])
def test_what_the_kernel_refuses_is_no_route(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(routes, "_ask", refuse)
    assert routes.find(ip_address("1.1.1.1")) is None


def test_a_question_that_the_kernel_does_not_understand_is_no_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "what?")

    monkeypatch.setattr(routes, "_ask", refuse)
    with pytest.raises(OSError, match="what"):
        routes.find(ip_address("1.1.1.1"))


def test_a_blackhole_is_no_route_where_other_questions_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(address: object, *_: object) -> Route:
        if str(address) == "1.1.1.1":
            raise OSError(errno.EINVAL, "blackhole")
        return Route(local=True, interface="lo")

    monkeypatch.setattr(routes, "_ask", answer)
    assert routes.find(ip_address("1.1.1.1")) is None


@given(st.binary(max_size=256))
def test_any_bytes_are_a_route_or_an_error(data: bytes) -> None:
    with suppress(OSError):
        assert _parsed(data) == []


@given(st.binary(max_size=120))
def test_any_attributes_are_a_route_or_an_error(data: bytes) -> None:
    body = struct.pack("=BBBBBBBBI", 2, 32, 0, 0, 254, 0, 0, UNICAST, 0) + data
    with suppress(OSError):
        (found,) = _parsed(struct.pack("=IHHII", 16 + len(body), ROUTE, 0, 1, 0) + body)
        assert routes.shown(found.gateway)
