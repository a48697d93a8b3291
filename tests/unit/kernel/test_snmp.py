from __future__ import annotations

import pytest

from airgap_check.kernel import snmp

SNMP = b"Ip: Forwarding OutNoRoutes ReasmTimeout\nIp: 2 41 0\nIcmp: InMsgs\nIcmp: 7\n"


def test_both_counters_are_found() -> None:
    assert snmp.parse(SNMP) == 41
    assert snmp.parse_six(b"Ip6InReceives   \t1\nIp6OutNoRoutes                  \t17\n") == 17


@pytest.mark.parametrize("text", [b"", SNMP[:40], b"Ip: OutNoRoutes\nIp: x\n", b"Ip: OutNoRoutes\nIp: -4\n"])
def test_nonsense_is_an_error(text: bytes) -> None:
    with pytest.raises(OSError, match="make no sense"):
        snmp.parse(text)


def test_a_kernel_without_the_second_counter_has_one() -> None:
    assert snmp.parse_six(b"Ip6InReceives 1\n") is None


def test_this_kernel_has_the_first() -> None:
    assert snmp.no_routes()["Ip OutNoRoutes"] >= 0


def test_without_ipv6_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(name: str) -> bytes:
        if name == "snmp6":
            raise FileNotFoundError
        return SNMP

    monkeypatch.setattr(snmp, "_read", read)
    assert snmp.no_routes() == {"Ip OutNoRoutes": 41}
