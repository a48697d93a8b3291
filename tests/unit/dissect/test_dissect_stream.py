from __future__ import annotations

import pytest

from airgap_check.dissect.stream import Stream, distance


def test_pieces_come_out_in_order() -> None:
    stream = Stream(100)
    for offset, piece in ((4, b"ef"), (0, b"ab"), (2, b"cd")):
        assert stream.add(offset, piece)
    assert stream.data == b"abcdef"
    assert stream.take(4) == b"abcd"
    assert (bytes(stream.data), stream.end, stream.unfinished) == (b"ef", 6, True)


def test_what_was_taken_does_not_come_again() -> None:
    stream = Stream(100)
    stream.add(0, b"abcd")
    assert stream.take(9) == b"abcd"
    assert stream.add(-2, b"xxabcdef")
    assert stream.data == b"ef"


def test_where_pieces_overlap_the_first_stays() -> None:
    stream = Stream(100)
    stream.add(0, b"ab")
    stream.add(3, b"DE")
    stream.add(1, b"xcx")
    assert stream.data == b"abcxE"


def test_the_longer_of_two_early_pieces_stays() -> None:
    stream = Stream(100)
    stream.add(2, b"cde")
    stream.add(2, b"c")
    stream.add(0, b"ab")
    assert (bytes(stream.data), stream.unfinished) == (b"abcde", True)


@pytest.mark.parametrize(
    ("offset", "size", "fits"), [(0, 10, True), (0, 11, False), (3, 7, True), (3, 8, False), (11, 1, False)]
)
def test_the_room_is_bounded(offset: int, size: int, fits: bool) -> None:  # noqa: FBT001 -- a parameter
    assert Stream(10).add(offset, bytes(size)) is fits


def test_early_pieces_share_the_room() -> None:
    stream = Stream(10)
    assert stream.add(1, bytes(6))
    assert not stream.add(2, bytes(6))


def test_early_pieces_are_few() -> None:
    stream = Stream(10000)
    assert [stream.add(2 * place + 1, b"x") for place in range(65)] == [True] * 64 + [False]
    assert stream.add(1, b"x")  # known


def test_room_is_free_again_when_bytes_are_taken() -> None:
    stream = Stream(10)
    for start in range(0, 1000, 10):
        assert stream.add(start + 5, bytes(5))
        assert stream.add(start, bytes(5))
        assert len(stream.take(10)) == 10
    assert not stream.unfinished


@pytest.mark.parametrize(
    ("start", "sequence", "expected"),
    [(5, 9, 4), (9, 5, -4), (0xFFFFFFFF, 1, 2), (1, 0xFFFFFFFF, -2), (0, 0x7FFFFFFF, 0x7FFFFFFF)],
)
def test_sequence_numbers_wrap(start: int, sequence: int, expected: int) -> None:
    assert distance(start, sequence) == expected
