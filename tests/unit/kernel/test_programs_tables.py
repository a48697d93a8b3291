"""The tables hold an allowlist as the programs look it up, and tell what the programs left in them."""

from __future__ import annotations

import os
import struct
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import bpf
from airgap_check.kernel.bpf import Entry
from airgap_check.kernel.programs import event, tables
from airgap_check.kernel.programs.tables import Tables
from airgap_check.kernel.sieve import NOTHING, Sieve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.address import Network


class Table:
    """A map in a dictionary; the counters are an array."""

    alive = 0
    refused = ""

    def __init__(
        self, kind: int, key_size: int, value_size: int, entries: int, *, flags: int = 0, name: str = ""
    ) -> None:
        if name == Table.refused:
            raise bpf.BpfError(1, "create map")
        assert key_size >= 0
        assert entries > 0
        assert flags in {0, bpf.NO_PREALLOC}
        self.fd = 3
        self.content = {struct.pack("=I", n): bytes(value_size) for n in range(entries)} if kind == bpf.ARRAY else {}
        self.written: list[bytes] = []
        Table.alive += 1

    def update(self, key: bytes, value: bytes) -> None:
        self.content[key] = value
        self.written.append(key)

    def lookup(self, key: bytes) -> bytes | None:
        return self.content.get(key)

    def delete(self, key: bytes) -> bool:
        return self.content.pop(key, None) is not None

    def drain(self, *, delete: bool) -> list[Entry]:
        assert not delete
        return [Entry(*item) for item in self.content.items()]

    def close(self) -> None:
        Table.alive -= 1


class Events:
    def __init__(self, size: int, name: str = "") -> None:
        assert (size, name) == (tables.RING, "airgap_events")

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def maps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(bpf, "Map", Table)
    monkeypatch.setattr(tables, "Ring", Events)
    yield
    assert Table.alive == 0


@pytest.fixture
def made() -> Iterator[Tables]:
    made = Tables()
    yield made
    made.close()


def sieve(networks: dict[str, int], ports: dict[tuple[int, int], int] | None = None) -> Sieve:
    parsed: dict[Network, int] = {ip_network(text): bits for text, bits in networks.items()}
    return Sieve(parsed, ports or {}, (), "")


def fake(table: bpf.Map) -> Table:
    return cast("Table", table)


def longest(table: Tables, text: str) -> int:
    """Return what the kernel would: the classes of the longest prefix."""
    address = ip_address(text)
    number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
    best = (-1, 0)
    for key, value in fake(table.networks).content.items():
        length = struct.unpack_from("=I", key)[0]
        if int.from_bytes(key[4:], "big") >> 128 - length == number >> 128 - length:
            best = max(best, (length, struct.unpack("=Q", value)[0]))
    return best[1]


def test_what_stays_on_the_host_passes_whatever_the_allowlist_says(made: Tables) -> None:
    for applied in (NOTHING, sieve({"10.0.0.0/8": 2}), sieve({"127.0.0.0/16": 2, "::/0": 4})):
        made.apply(applied)
        for inside in ("127.0.0.1", "127.255.255.255", "127.0.3.4", "::1", "0.0.0.0", "::"):
            assert longest(made, inside) & 1, inside
        for outside in ("126.255.255.255", "128.0.0.0", "0.0.0.1", "::2", "::ffff:128.0.0.1"):
            assert not longest(made, outside) & 1, outside


def test_a_prefix_has_the_classes_of_those_that_cover_it(made: Tables) -> None:
    made.apply(sieve({"10.1.2.0/24": 8, "10.0.0.0/8": 2, "10.1.0.0/16": 4, "10.2.0.0/16": 16, "0.0.0.0/0": 32}))
    assert longest(made, "10.1.2.3") == 2 | 4 | 8 | 32
    assert longest(made, "10.1.3.3") == 2 | 4 | 32
    assert longest(made, "10.2.0.1") == 2 | 16 | 32
    assert longest(made, "10.3.0.1") == 2 | 32
    assert longest(made, "11.0.0.1") == 32
    assert longest(made, "2001:db8::1") == 0


def test_an_ipv4_address_is_the_same_when_it_is_mapped(made: Tables) -> None:
    made.apply(sieve({"10.0.0.0/8": 2, "::ffff:10.0.0.0/104": 4, "::/0": 8}))
    assert longest(made, "10.1.1.1") == longest(made, "::ffff:10.1.1.1") == 2 | 4 | 8


def test_a_port_has_the_classes_of_its_protocol_too(made: Tables) -> None:
    made.apply(sieve({}, {(6, 443): 2, (6, 0): 4, (17, 53): 8}))
    content = fake(made.ports).content
    assert content == {
        b"\x01\xbb\x06\x00": struct.pack("=Q", 2 | 4),
        b"\x00\x00\x06\x00": struct.pack("=Q", 4),
        b"\x00\x35\x11\x00": struct.pack("=Q", 8),
    }


def test_another_allowlist_takes_the_place_of_the_first(made: Tables) -> None:
    made.apply(sieve({"10.0.0.0/8": 2, "10.1.0.0/16": 4}, {(6, 1): 2}))
    fake(made.networks).written.clear()
    made.apply(sieve({"10.0.0.0/8": 2, "10.2.0.0/16": 4}, {(6, 2): 2}))
    assert (longest(made, "10.1.0.1"), longest(made, "10.2.0.1")) == (2, 2 | 4)
    assert list(fake(made.ports).content) == [b"\x00\x02\x06\x00"]
    assert len(fake(made.networks).written) == 1, "what stays is not written again"


def test_counters_begin_at_nothing_and_are_told(made: Tables) -> None:
    assert (made.lost(), made.uncounted()) == (0, 0)
    fake(made.counters).content[struct.pack("=I", tables.LOST)] = struct.pack("=Q", 7)
    fake(made.counters).content[struct.pack("=I", tables.UNCOUNTED)] = struct.pack("=Q", 9)
    assert (made.lost(), made.uncounted()) == (7, 9)


def test_repeats_and_uses_are_read_as_the_programs_write_them(made: Tables) -> None:
    address = bytes(10) + b"\xff\xff\x0a\x01\x02\x03"
    key = struct.pack(
        "=QQQ16s2sBBBBHQQI4x", 11, 22, 33, address, b"\1\xbb", 6, 10, 2, 1, event.REPLY, 44, 77, 8 << 20 | 1
    )
    assert len(key) == tables.SEEN_SIZE
    fake(made.seen).content[key] = struct.pack("=QQQ", 5, 100, 200)
    assert list(made.counts()) == [(11, 22, 33, address, 443, 6, 10, 2, 1, 1, 44, 5, 100, 200, 77, os.makedev(8, 1))]
    fake(made.uses_made).content[struct.pack("=QQ", 6, 11)] = struct.pack("=Q", 3)
    assert made.uses() == [(6, 11, 3)]


@pytest.mark.parametrize("name", ["airgap_seen", "airgap_peers"])
def test_maps_that_were_made_are_let_go_when_the_next_cannot_be(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(Table, "refused", name)
    with pytest.raises(bpf.BpfError):
        Tables()
    assert Table.alive == 0


addresses = st.one_of(
    st.integers(0, 3).flatmap(lambda top: st.integers(0, 255).map(lambda low: f"10.0.{top}.{low}")),
    st.integers(0, 0xFFFF).map(lambda low: f"2001:db8::{low:x}"),
)


@st.composite
def prefixes(draw: st.DrawFn) -> Network:
    text = draw(addresses)
    return ip_network((text, draw(st.integers(20, 32) if "." in text else st.integers(110, 128))), strict=False)


@given(st.dictionaries(prefixes(), st.integers(0, 62).map(lambda bit: 1 << bit), max_size=12), st.lists(addresses))
def test_the_longest_prefix_says_what_all_that_cover_an_address_say(
    networks: dict[Network, int], tried: list[str]
) -> None:
    made = Tables()
    made.apply(Sieve(networks, {}, (), ""))
    found = [longest(made, text) for text in tried]
    made.close()
    covering = [[bits for network, bits in networks.items() if ip_address(text) in network] for text in tried]
    assert found == [sum(set(bits)) for bits in covering]
