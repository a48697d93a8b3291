"""Routes and rules from the kernel: whatever the bytes, there are facts or an OSError."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel import local_table, routing_rule
from airgap_check.kernel.local_table import LocalTable, Route

if TYPE_CHECKING:
    from airgap_check.kernel.routing_rule import Rule

ATTRIBUTE = st.builds(
    lambda kind, value: struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4),
    st.integers(0, 30),
    st.sampled_from((b"", bytes(4), b"\x0a\x01\x02\x03", bytes(16), bytes(5))),
)
BODY = st.builds(
    lambda family, lengths, rest, attributes: bytes((family, *lengths)) + rest + b"".join(attributes),
    st.sampled_from((2, 10, 7)),
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.sampled_from((0, 16)), st.sampled_from((255, 254))),
    st.binary(min_size=7, max_size=7),
    st.lists(ATTRIBUTE, max_size=4),
)
MESSAGE = st.builds(
    lambda kind, body: struct.pack("=IHHII", 16 + len(body), kind, 2, 1, 0) + body, st.sampled_from((24, 32, 3)), BODY
)
DATAGRAM = st.one_of(st.binary(max_size=300), st.lists(MESSAGE, max_size=5).map(b"".join))


@given(DATAGRAM)
def test_any_datagram_of_routes_makes_a_table_or_an_error(data: bytes) -> None:
    found: list[Route] = []
    with suppress(OSError):
        local_table.parse(memoryview(data), found)
    table = LocalTable(found)
    for packed in (bytes(4), bytes(16), b"\x0a\x01\x02\x03"):
        assert not (table.delivers(packed) and table.broadcasts(packed))


@given(DATAGRAM)
def test_any_datagram_of_rules_makes_rules_or_an_error(data: bytes) -> None:
    found: list[Rule] = []
    with suppress(OSError):
        routing_rule.parse(memoryview(data), found)
    assert all(isinstance(rule.local, bool) for rule in found)
