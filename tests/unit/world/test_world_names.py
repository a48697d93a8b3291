from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.world import names
from airgap_check.world.names import Pool

if TYPE_CHECKING:
    import pytest

RESERVED = ip_network("198.19.255.0/24"), ip_network("2001:2:0:ffff::/64")


def test_the_same_name_has_the_same_addresses_in_every_run() -> None:
    first, second = Pool(), Pool()
    second.pair("other.example")
    assert first.pair("cloud.example") == second.pair("Cloud.Example.")
    assert first.pair("cloud.example") == first.pair("cloud.example")


def test_two_names_never_share_an_address_and_none_is_reserved() -> None:
    pool = Pool()
    pairs = [pool.pair(f"n{number}.example") for number in range(20000)]  # of 131,072: hashes collide
    fours = {pair.four for pair in pairs if pair}
    sixes = {pair.six for pair in pairs if pair}
    assert len(fours) == len(sixes) == 20000
    assert all(four in ip_network("198.18.0.0/15") and four not in RESERVED[0] for four in fours)
    assert all(six in ip_network("2001:2::/48") and six not in RESERVED[1] for six in sixes)
    assert ip_address("198.18.0.0") not in fours


def test_an_address_leads_back_to_its_name() -> None:
    pool = Pool()
    pair = pool.pair("db.bank.example")
    assert pair is not None
    assert pool.owner(pair.four) == pool.owner(pair.six) == "db.bank.example"
    assert pool.owner(ip_address("198.19.255.254")) is None


def test_localhost_and_what_is_below_it_stay_here() -> None:
    pool = Pool()
    pair = pool.pair("app.localhost")
    assert pair is not None
    assert pair.texts == ("127.0.0.1", "::1")


def test_more_names_than_anybody_remembers_get_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MOST", 2)
    pool = Pool()
    assert pool.pair("a.example")
    assert pool.pair("b.example")
    assert pool.pair("c.example") is None
    assert pool.pair("a.example")


@given(st.text(max_size=300))
def test_any_text_is_a_name(text: str) -> None:
    pair = Pool().pair(text)
    assert pair is not None
    assert pair.four.version == 4
