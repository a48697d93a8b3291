from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import destroy_events, drop_counter, legacy_tables, nft_rule, nftables, snmp
from airgap_check.kernel.nftables import Ruleset
from tests.unit.kernel import nft_bytes as nft

if TYPE_CHECKING:
    from airgap_check.kernel.nft_rule import Verdict

NAMES = st.sampled_from(["out", "in", "a", "b", "filter", "", "x\x1b[2J\u202e"])
NUMBERS = st.integers(-(1 << 31), (1 << 31) - 1)
EXPRESSIONS = st.one_of(
    st.sampled_from([nft.DROP, nft.ACCEPT, nft.REJECT, nft.MATCH, nft.target("REJECT"), nft.target("x")]),
    st.builds(nft.counter, st.integers(0, 1 << 32)),
    st.builds(nft.immediate, NUMBERS, NAMES),
    st.builds(nft.shared, NAMES),
    st.builds(nft.by_map, NAMES),
    st.binary(max_size=20),
)
RULES = st.builds(
    lambda chain, handle, expressions, note: nft.rule(chain, handle, *expressions, note=note),
    NAMES,
    st.integers(0, 9),
    st.lists(EXPRESSIONS, max_size=5),
    st.one_of(
        st.just(b""), st.builds(nft.comment, st.text(max_size=20)), st.builds(nft.attribute, st.just(7), st.binary())
    ),
)
CHAINS = st.builds(
    nft.chain, NAMES, st.one_of(st.none(), st.integers(0, 5)), st.integers(-1, 2), st.none() | st.just(4)
)
MESSAGES = st.one_of(
    RULES,
    CHAINS,
    st.builds(nft.counter_object, NAMES, st.integers(0, 9)),
    st.builds(nft.table, NAMES),
    st.builds(nft.message, st.integers(0, 30), st.binary(max_size=60)),
    st.builds(lambda code, chain: nft.elements(nft.verdict(code, chain)), NUMBERS, NAMES),
)


@given(st.lists(MESSAGES, max_size=12), st.sampled_from([0, 0, 0, 1, 7]))
def test_any_ruleset_is_judged_or_refused(messages: list[bytes], cut: int) -> None:
    found = Ruleset(1, {}, {}, [], {}, {})
    for message in messages:
        with suppress(OSError):
            nftables.parse(memoryview(message)[: len(message) - cut], found)
    verdicts: list[Verdict] = []
    for message in messages:
        with suppress(OSError):
            nftables.parse_elements(message, verdicts)
    for rule in found.rules:
        for name in rule.action.maps:
            found.maps[rule.chain._replace(name=name)] = verdicts
    firewall = drop_counter.of_ruleset(found)
    assert firewall.uncounted >= 0
    for name, packets in firewall.counters.values():
        assert name.isprintable()
        assert packets >= 0


@given(st.binary(max_size=200))
def test_any_bytes_are_expressions_or_an_error(data: bytes) -> None:
    with suppress(OSError):
        action = nft_rule.action(data, 0, len(data))
        assert action.refusal in {"", "drop", "reject"}
    nft_rule.comment(data, (0, len(data)))


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_an_error(data: bytes) -> None:
    try:
        ended = destroy_events.parse(memoryview(data))
    except OSError:
        return
    assert len(ended.local) == len(ended.remote)
    assert 0 <= ended.remote_port <= 0xFFFF


WORDS = st.sampled_from(
    ["*filter", ":OUTPUT", "DROP", "[1:2]", "-A", "OUTPUT", "-j", "-g", "COMMIT", "\n", '"', "\\", "\x1b", "a", ":a"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(WORDS, max_size=40).map(" ".join), st.lists(WORDS, max_size=40).map("".join)))
def test_any_text_is_a_table_of_printable_counters(text: str) -> None:
    firewall = legacy_tables.parse("iptables", text)
    assert all(counter.name.isprintable() and counter.packets >= 0 for counter in firewall.counters.values())


@given(st.one_of(st.binary(), st.lists(st.sampled_from([b"Ip: ", b"OutNoRoutes ", b"7 ", b"\n"])).map(b"".join)))
def test_any_text_has_a_counter_or_is_an_error(text: bytes) -> None:
    with suppress(OSError):
        assert snmp.parse(text) >= 0
    six = snmp.parse_six(text)
    assert six is None or six >= 0
