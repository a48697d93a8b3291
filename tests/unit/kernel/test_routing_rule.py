"""Whether the rules of routing leave the local routes the first word."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from airgap_check.kernel import netlink, netns, routing_rule
from airgap_check.kernel.routing_rule import Rule

DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
V4, V6 = socket.AF_INET, socket.AF_INET6
PRIORITY, MARK, SUPPRESS, TABLE, PROTOCOL = 6, 10, 14, 15, 21


def rule(family: int = V4, attributes: dict[int, int] | None = None, **changes: int) -> bytes:
    facts = {"to": 0, "source": 0, "tos": 0, "table": 255, "action": 1, "flags": 0, **changes}
    body = struct.pack(
        "=BBBBBBBBI", family, facts["to"], facts["source"], facts["tos"], facts["table"], 0, 0, facts["action"],
        facts["flags"],
    )  # fmt: skip
    for kind, value in (attributes or {}).items():
        body += struct.pack("=HHI", 8, kind, value)
    return struct.pack("=IHHII", 16 + len(body), 32, 2, 1, 0) + body


def parsed(*messages: bytes) -> list[Rule]:
    found: list[Rule] = []
    assert routing_rule.parse(b"".join(messages) + DONE, found)
    return found


USUAL = {TABLE: 255, SUPPRESS: 0xFFFFFFFF, PROTOCOL: 2}


def test_the_kernel_s_first_rule_looks_up_the_local_routes_of_every_packet() -> None:
    assert parsed(rule(attributes=USUAL), rule(V6, {**USUAL, PRIORITY: 5})) == [
        Rule(V4, local=True),
        Rule(V6, local=True),
    ]


@pytest.mark.parametrize(
    "changes",
    [{"to": 8}, {"source": 8}, {"tos": 16}, {"flags": 2}, {"table": 254}, {"action": 6}],
    ids=str,
)
def test_a_rule_for_some_packets_or_another_table_does_not(changes: dict[str, int]) -> None:
    assert parsed(rule(attributes=USUAL, **changes)) == [Rule(V4, local=False)]


@pytest.mark.parametrize("attributes", [{MARK: 7}, {SUPPRESS: 0}, {3: 0}, {23: 9}], ids=str)
def test_a_rule_with_a_condition_does_not(attributes: dict[int, int]) -> None:
    assert parsed(rule(attributes={**USUAL, **attributes})) == [Rule(V4, local=False)]


def test_a_cut_message_is_an_error() -> None:
    with pytest.raises(OSError, match="makes no sense"):
        routing_rule.parse(struct.pack("=IHHII", 20, 32, 2, 1, 0) + bytes(4), [])


@pytest.fixture
def _in_a_namespace_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "own_inode", lambda: 1)


def test_in_the_initial_namespace_the_rules_are_the_administrator_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink, "dump", lambda *_: pytest.fail("asked"))
    monkeypatch.setattr(os, "stat", lambda _: os.stat_result((0, 7, *bytes(8))))
    monkeypatch.setattr(netns, "own_inode", lambda: 7)
    assert routing_rule.local_first(V4)


@pytest.mark.usefixtures("_in_a_namespace_of_his_own")
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], True),
        ([rule(), rule(table=254)], True),
        ([rule(table=254), rule()], False),
        ([rule(V6, table=254), rule()], True),
    ],
)
def test_it_is_the_first_rule_of_the_family_that_counts(
    monkeypatch: pytest.MonkeyPatch, rules: list[bytes], *, expected: bool
) -> None:
    monkeypatch.setattr(netlink, "dump", lambda _channel, _request, take: take(b"".join(rules) + DONE))
    assert routing_rule.local_first(V4) is expected


@pytest.mark.usefixtures("_in_a_namespace_of_his_own")
def test_a_kernel_without_rules_looks_there_first_and_one_that_fails_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number = errno.EOPNOTSUPP

    def fail(*_: object) -> None:
        raise OSError(number, "so the test says")

    monkeypatch.setattr(netlink, "dump", fail)
    assert routing_rule.local_first(V4)
    number = errno.EPERM
    with pytest.raises(OSError, match="so the test says"):
        routing_rule.local_first(V4)
