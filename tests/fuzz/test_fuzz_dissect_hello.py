from __future__ import annotations

import itertools
import ssl
import struct
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.dissect import encrypted_dns, http, quic_packet
from airgap_check.dissect.hello import Hello, Hellos, parse, peek
from airgap_check.dissect.quic import Initials
from airgap_check.dissect.stream import Stream


def said() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "dot"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="www.bank.example").do_handshake()
    return outgoing.read()


REAL = said()
BANK = parse(REAL[5:])


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        changed[draw(st.integers(0, min(len(changed) - 1, 160)))] = draw(st.integers(0, 255))
    return bytes(changed[: draw(st.integers(0, len(changed)))])


def sane(hello: Hello) -> None:
    shown = [hello.name or "", *hello.alpn]
    assert all(text.isprintable() and " " not in text and len(text) <= 4 * 255 for text in shown)
    assert len(hello.alpn) <= 64
    assert len(hello.versions) <= 64
    encrypted_dns.kind(443, 6, hello)


@given(st.one_of(st.binary(max_size=200), mutated(REAL[5:])))
def test_any_bytes_are_a_hello_or_nothing(data: bytes) -> None:
    hello = parse(data)
    if hello:
        sane(hello)
        assert hello == parse(memoryview(data))
    elif data[:1] == b"\x01":
        assert len(data) < 4


@given(st.one_of(st.binary(max_size=200), mutated(REAL)))
def test_any_segment_is_a_hello_or_nothing(data: bytes) -> None:
    for hello in (peek(data), Hellos().feed("flow", 0, data)):
        if hello:
            sane(hello)


@given(st.integers(0, 0xFFFFFFFF), st.integers(1, 600), st.booleans(), st.data())
def test_a_hello_is_found_however_it_is_split(start: int, size: int, begun: bool, draw: st.DataObject) -> None:  # noqa: FBT001
    pieces = [REAL[5:][begin : begin + size] for begin in range(0, len(REAL) - 5, size)]
    data = b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)
    cuts = sorted({0, len(data), *draw.draw(st.lists(st.integers(0, len(data)), max_size=5))})
    segments = [(begin, data[begin:end]) for begin, end in itertools.pairwise(cuts)]
    if not begun and size < 6:
        segments = [(0, data)]  # what looks like the beginning of a record stands inside, too
    hellos = Hellos()
    if begun:
        hellos.begin("flow", start)
    order = draw.draw(st.permutations(segments + segments[:1])) if begun else segments + segments[:1]
    found = [hellos.feed("flow", start + begin & 0xFFFFFFFF, piece) for begin, piece in order]
    assert [hello for hello in found if hello] == [BANK]
    assert hellos.lost == 0


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 900),
            st.one_of(st.binary(max_size=40), mutated(REAL), st.sampled_from([b"\x16\x03\x01\0\x01\x01", REAL[:99]])),
        ),
        max_size=40,
    )
)
def test_streams_of_anything_are_bounded(segments: list[tuple[int, int, bytes]]) -> None:
    hellos = Hellos(flows=3, room=1000)
    for key, sequence, payload in segments:
        hello = hellos.feed(key, sequence, payload)
        if hello:
            sane(hello)
    assert len(hellos._flows) <= 3
    assert len(hellos._done) <= 3


REQUEST = b"GET http://a.example/dns-query?x HTTP/1.1\r\nHost: b.example:80\r\nA: b\r\n\r\n"
CONNECT = b"CONNECT b.example:80 HTTP/1.1\r\nHost: b.example:80\r\n\r\n"


@given(st.one_of(st.binary(max_size=200), mutated(REQUEST), mutated(CONNECT)))
def test_any_bytes_are_a_request_or_nothing(data: bytes) -> None:
    request = http.request(data)
    if request:
        assert request.method.isascii()
        assert request.host is None or (request.host.isprintable() and " " not in request.host and request.host)
        assert request.port is None or 0 < request.port <= 0xFFFF
        encrypted_dns.kind(80, 6, request)


@given(
    st.lists(st.one_of(st.binary(max_size=80), st.binary(min_size=1200, max_size=1300)), max_size=4), st.integers(0, 4)
)
def test_any_datagrams_are_a_hello_or_nothing(datagrams: list[bytes], spoiled: int) -> None:
    heads = [b"\xc0\0\0\0\1\x08", b"\xd0\x6b\x33\x43\xcf\x08", b"\xc0\xff\0\0\x1d\x08", b"\xc3\0\0\0\1\x14", b""]
    initials = Initials(flows=2)
    for number, datagram in enumerate(datagrams):
        hello = initials.feed(number, heads[spoiled] + datagram)
        assert hello is None or not hello.complete
    assert len(initials._flows) <= 2


FRAME = st.one_of(
    st.sampled_from([b"\0", b"\1", b"\2\5\1\0\0", b"\3\5\1\0\0\1\1\1"]),
    st.builds(
        lambda offset, data: b"\6" + struct.pack(">HH", 0x4000 | offset, 0x4000 | len(data)) + data,
        st.integers(0, 300),
        st.binary(max_size=50),
    ),
    st.binary(max_size=5),
)


@given(st.lists(FRAME, max_size=20).map(b"".join), st.integers(0, 200))
def test_any_frames_are_collected_within_bounds(frames: bytes, room: int) -> None:
    stream = Stream(room)
    quic_packet.collect(frames, stream)
    assert len(stream.data) <= 2 * room
    assert stream.end == 0 or b"\6" in frames


@given(st.lists(st.tuples(st.integers(-20, 60), st.binary(max_size=20)), max_size=30), st.integers(0, 60))
def test_a_stream_holds_no_more_than_its_room_twice(pieces: list[tuple[int, bytes]], room: int) -> None:
    """Once in order, and once waiting."""
    stream = Stream(room)
    for offset, piece in pieces:
        before = bytes(stream.data)
        stream.add(offset, piece)
        assert stream.data.startswith(before)
        assert len(stream.data) <= 2 * room
        assert sum(map(len, stream._early.values())) == stream._held <= room
