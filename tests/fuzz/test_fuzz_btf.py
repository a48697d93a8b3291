from __future__ import annotations

import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.kernel.btf import STRUCT, Types
from airgap_check.kernel.programs import held

STRINGS = b"\0a\0ab\0b\0"
WORD = st.one_of(st.integers(0, 8), st.integers(0, (1 << 32) - 1))
INFO = st.builds(
    lambda kind, length, flag: flag << 31 | kind << 24 | length,
    st.integers(0, 20), st.integers(0, 3), st.integers(0, 1),
)  # fmt: skip
TYPES = st.lists(st.one_of(WORD, INFO), max_size=40).map(lambda words: struct.pack(f"={len(words)}I", *words))


def ask(data: bytes) -> None:
    with suppress(ValueError, LookupError):
        types = Types(data)
        for name in ("a", "ab", "b"):
            with suppress(LookupError):
                assert types.offset(name, "a", "b") >= 0
            with suppress(LookupError):
                assert types.number(STRUCT, name) > 0
                assert types.size(name) >= 0


@given(TYPES)
def test_any_types_yield_offsets_or_an_error(types: bytes) -> None:
    ask(struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(STRINGS)) + types + STRINGS)


@given(st.binary(max_size=80), st.lists(WORD, min_size=5, max_size=5))
def test_any_bytes_yield_offsets_or_an_error(rest: bytes, header: list[int]) -> None:
    ask(rest)
    ask(struct.pack("=HBBIIIII", 0xEB9F, 1, 0, *header) + rest)


@given(st.binary(max_size=300))
def test_any_rows_of_the_walk_are_read_or_refused(data: bytes) -> None:
    with suppress(struct.error):
        for row in held.parse(data):
            assert 0 <= row.remote_port < 1 << 16
            assert len(row.local) == len(row.remote) == 16
