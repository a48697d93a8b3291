from __future__ import annotations

import pytest

from airgap_check.kernel import nft_rule
from airgap_check.kernel.nft_rule import Action, Verdict
from tests.unit.kernel.nft_bytes import (
    ACCEPT,
    DROP,
    MATCH,
    REJECT,
    be32,
    by_map,
    comment,
    counter,
    expression,
    immediate,
    jump,
    nested,
    shared,
    target,
    verdict,
)


def action(*expressions: bytes) -> Action:
    data = b"".join(expressions)
    return nft_rule.action(data, 0, len(data))


@pytest.mark.parametrize(
    ("end", "refusal"),
    [(DROP, "drop"), (REJECT, "reject"), (target("REJECT"), "reject"), (target("DROP"), "drop")],
)
def test_a_refusal_is_counted_by_the_counter_before_it(end: bytes, refusal: str) -> None:
    assert action(MATCH, counter(7), end) == Action(refusal, packets=7)


def test_a_drop_that_carries_an_error_is_a_drop() -> None:
    assert action(counter(7), immediate(13 << 16)).refusal == "drop"


@pytest.mark.parametrize("end", [ACCEPT, immediate(-5), immediate(3), target("LOG"), b""])
def test_what_lets_packets_pass_refuses_nothing(end: bytes) -> None:
    assert action(MATCH, counter(7), end) == Action()


def test_a_counter_before_a_condition_counts_packets_that_pass() -> None:
    assert action(counter(7), MATCH, DROP) == Action("drop")
    assert action(shared("all"), MATCH, DROP) == Action("drop", shared=("all",))


def test_a_log_between_counter_and_refusal_is_no_condition() -> None:
    assert action(counter(7), expression("log"), target("LOG"), DROP).packets == 7


def test_a_shared_counter_is_named() -> None:
    assert action(MATCH, shared("refused"), DROP) == Action("drop", counter="refused", shared=("refused",))
    assert action(counter(3), shared("refused"), DROP).counter == "refused"


def test_another_kind_of_shared_object_is_a_condition() -> None:
    quota = expression("objref", be32(1, 2))
    assert action(counter(3), quota, DROP) == Action("drop")


def test_a_jump_leads_on() -> None:
    assert action(MATCH, counter(3), jump("other")) == Action(chains=("other",))
    assert action(immediate(-4, "other")).chains == ("other",)


def test_a_verdict_map_is_named_and_a_plain_set_is_not() -> None:
    assert action(by_map("vm")) == Action(maps=("vm",))
    plain = expression("lookup", be32(2, 1))
    assert action(plain, counter(1), DROP) == Action("drop", packets=1)


def test_a_value_is_no_verdict() -> None:
    value = nested(1, b"\0\0\0\0")
    assert nft_rule.verdict(value, (0, len(value))) == Verdict(drops=False, chain="")
    data = verdict(-3, "c")
    assert nft_rule.verdict(data, (0, len(data))) == Verdict(drops=False, chain="c")


def test_the_comment_is_found_among_other_user_data() -> None:
    data = comment("no way out")
    assert nft_rule.comment(data, (4, len(data))) == "no way out"
    assert nft_rule.comment(data, (4, 12)) == ""
    assert nft_rule.comment(data, None) == ""


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_half_an_expression_is_an_error(cut: int) -> None:
    data = counter(7)
    with pytest.raises(OSError, match="makes no sense"):
        nft_rule.action(data, 0, len(data) - cut)
