from __future__ import annotations

import struct

import pytest

from airgap_check.kernel import drop_counter, nftables
from airgap_check.kernel.nftables import Key, Ruleset
from tests.unit.kernel import nft_bytes as nft
from tests.unit.kernel.nft_bytes import ACCEPT, DROP, MATCH, counter, jump, rule, shared

INPUT, FORWARD, OUTPUT, POSTROUTING = 1, 2, 3, 4


def ruleset(*messages: bytes, generation: int = 5) -> Ruleset:
    found = Ruleset(generation, {}, {}, [], {}, {})
    assert not nftables.parse(b"".join(messages), found)
    return found


def named(*messages: bytes) -> dict[str, int]:
    return dict(drop_counter.of_ruleset(ruleset(nft.table(), *messages)).counters.values())


def uncounted(*messages: bytes) -> int:
    return drop_counter.of_ruleset(ruleset(nft.table(), *messages)).uncounted


@pytest.mark.parametrize("hook", [FORWARD, OUTPUT, POSTROUTING])
def test_a_rule_is_named_as_nft_names_it(hook: int) -> None:
    note = nft.comment("no way out")
    assert named(nft.chain("out", hook), rule("out", 7, MATCH, counter(3), DROP, note=note)) == {
        "nft inet filter out handle 7 drop (no way out)": 3
    }


def test_what_comes_in_is_not_looked_at() -> None:
    assert named(nft.chain("in", INPUT), rule("in", 7, counter(3), DROP)) == {}
    assert uncounted(nft.chain("in", INPUT, policy=0), rule("in", 7, DROP)) == 0


def test_a_chain_that_is_jumped_to_is_looked_at_through_any_pattern_of_jumps() -> None:
    messages = [
        nft.chain("out", OUTPUT),
        nft.chain("a"),
        nft.chain("b"),
        nft.chain("alone"),
        rule("out", 1, jump("a")),
        rule("a", 2, jump("b")),
        rule("a", 3, jump("nowhere")),
        rule("b", 4, jump("a")),
        rule("b", 5, counter(9), DROP),
        rule("alone", 6, counter(9), DROP),
    ]
    assert named(*messages) == {"nft inet filter b handle 5 drop": 9}


@pytest.mark.parametrize("hook", [0, INPUT])
def test_a_chain_that_incoming_packets_come_through_as_well_tells_nothing(hook: int) -> None:
    messages = [
        nft.chain("out", OUTPUT),
        nft.chain("in", hook),
        nft.chain("bad"),
        nft.counter_object("refused", 8),
        rule("out", 1, jump("bad")),
        rule("in", 2, jump("bad")),
        rule("bad", 3, MATCH, counter(9), DROP),
        rule("bad", 4, shared("refused"), DROP),
        rule("out", 5, counter(2), DROP),
    ]
    assert named(*messages) == {"nft inet filter out handle 5 drop": 2}
    assert uncounted(*messages) == 2


def test_a_verdict_map_leads_on_and_its_drops_have_no_counter() -> None:
    found = ruleset(
        nft.table(),
        nft.chain("out", OUTPUT),
        nft.chain("a"),
        rule("out", 1, nft.by_map("map")),
        rule("a", 2, counter(4), DROP),
    )
    said = found.maps[Key(nft.INET, "filter", "map")] = []
    assert not nftables.parse_elements(nft.elements(nft.verdict(-3, "a"), nft.verdict(0), nft.verdict(1)), said)
    firewall = drop_counter.of_ruleset(found)
    assert dict(firewall.counters.values()) == {"nft inet filter a handle 2 drop": 4}
    assert firewall.uncounted == 1


def test_a_policy_counts_only_where_it_has_a_counter() -> None:
    assert named(nft.chain("out", OUTPUT, policy=0, packets=5)) == {"nft inet filter out policy drop": 5}
    assert named(nft.chain("out", OUTPUT, policy=1, packets=5)) == {}
    assert uncounted(nft.chain("out", OUTPUT, policy=0)) == 1


def test_refusals_without_a_counter_are_counted() -> None:
    assert uncounted(nft.chain("out", OUTPUT), rule("out", 1, DROP), rule("out", 2, counter(1), MATCH, DROP)) == 2


def test_a_shared_counter_is_listed_once() -> None:
    messages = [
        nft.chain("out", OUTPUT),
        nft.counter_object("refused", 8),
        rule("out", 1, MATCH, shared("refused"), DROP),
        rule("out", 2, shared("refused"), DROP),
    ]
    assert named(*messages) == {"nft inet filter counter refused": 8}
    assert uncounted(*messages) == 0


@pytest.mark.parametrize(
    "other",
    [
        rule("out", 2, shared("refused"), ACCEPT),
        rule("out", 2, shared("refused"), MATCH, DROP),
        rule("in", 2, shared("refused"), DROP),
    ],
)
def test_a_shared_counter_that_something_else_moves_tells_nothing(other: bytes) -> None:
    messages = [
        nft.chain("out", OUTPUT),
        nft.chain("in", INPUT),
        nft.counter_object("refused", 8),
        rule("out", 1, MATCH, shared("refused"), DROP),
        other,
    ]
    assert named(*messages) == {}
    assert uncounted(*messages) >= 1


def test_a_table_made_anew_is_another() -> None:
    def identity(handle: int, generation: int) -> set[object]:
        messages = (nft.table(handle=handle), nft.chain("out", OUTPUT), rule("out", 1, counter(1), DROP))
        return set(drop_counter.of_ruleset(ruleset(*messages, generation=generation)).counters)

    assert identity(3, generation=5) == identity(3, generation=6)
    assert identity(3, generation=5) != identity(4, generation=5)
    assert identity(0, generation=5) != identity(0, generation=6)  # a kernel that has no handles of tables


def test_names_are_printable() -> None:
    note = nft.comment("\x1b[31mred\u202e password=hunter2")
    (name,) = named(nft.chain("o\nut", OUTPUT), rule("o\nut", 1, counter(1), DROP, note=note))
    assert name.isprintable()


def test_another_family_counts_hooks_otherwise() -> None:
    data = bytearray(nft.chain("egress", 1) + rule("egress", 1, counter(2), DROP))
    position = 0
    while position < len(data):
        data[position + 16] = 5  # NFPROTO_NETDEV
        position += struct.unpack_from("=I", data, position)[0]
    assert named(bytes(data)) == {"nft netdev filter egress handle 1 drop": 2}
