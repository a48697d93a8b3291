from __future__ import annotations

import itertools
import random
import ssl
import struct

import pytest

from airgap_check.dissect.hello import UNKNOWABLE, Hello, Hellos, opens, parse, peek

TLS13, TLS12 = 0x0304, 0x0303


def said(
    name: str | None = "www.Bank.Example", *, alpn: tuple[str, ...] = ("h2", "http/1.1"), most: int = TLS13
) -> bytes:
    """Return what a real client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion(most)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


REAL = said()
BANK = Hello("www.bank.example", False, ("h2", "http/1.1"), (TLS13, TLS12))  # noqa: FBT003 -- a record's field


def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def server_name(name: bytes) -> bytes:
    return extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)


def handshake(*extensions: bytes, version: int = TLS12, legacy: bool = False) -> bytes:
    """Make a hello by hand."""
    body = struct.pack(">H", version) + bytes(32) + b"\x02ab" + b"\0\x02\x13\x01" + b"\x01\0"
    if not legacy:
        body += struct.pack(">H", sum(map(len, extensions))) + b"".join(extensions)
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(message: bytes, size: int = 16384) -> bytes:
    pieces = [message[start : start + size] for start in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(piece)) + piece for piece in pieces)


def test_a_real_hello_is_read() -> None:
    assert parse(REAL[5:]) == BANK
    assert peek(REAL) == BANK


def test_a_real_hello_without_a_name_has_none() -> None:
    found = parse(said(None, alpn=())[5:])
    assert found
    assert (found.name, found.alpn, found.complete) == (None, (), True)


def test_an_older_client_offers_its_one_version() -> None:
    found = parse(said(most=TLS12)[5:])
    assert found
    assert (found.name, found.versions) == ("www.bank.example", (TLS12,))
    assert parse(handshake(version=0x0301, legacy=True)) == Hello(None, versions=(0x0301,))


@pytest.mark.parametrize("kind", [0xFE0D, 0xFFCE])
def test_an_encrypted_hello_has_an_outer_name_only(kind: int) -> None:
    found = parse(handshake(server_name(b"public.example"), extension(kind, bytes(50))))
    assert found
    assert (found.name, found.ech) == ("public.example", True)


def test_a_name_is_made_printable() -> None:
    found = parse(handshake(server_name(b"BAD\x1b[31m\xff.example.")))
    assert found
    assert found.name == r"bad\027[31m\255.example"


def test_a_name_is_no_longer_than_names_are() -> None:
    found = parse(handshake(server_name(b"x" * 3000)))
    assert found
    assert found.name == "x" * 255


def test_the_first_of_two_names_counts() -> None:
    found = parse(handshake(server_name(b"one.example"), server_name(b"two.example")))
    assert found
    assert found.name == "one.example"


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"\0\x04\x01\0\x01x", b"\0\x03\0\0\0"])
def test_a_malformed_name_is_none(data: bytes) -> None:
    assert parse(handshake(extension(0, data))) == Hello(None, versions=(TLS12,))


def test_a_hello_cut_short_is_read_as_far_as_it_goes() -> None:
    message = handshake(server_name(b"a.example"), extension(0xFE0D, bytes(9)))
    for end in range(4, len(message)):
        found = parse(message[:end])
        assert found
        assert not found.complete
        assert found.name == ("a.example" if end >= len(message) - 13 else None)
        assert found == peek(records(message)[: 5 + end])
    assert [parse(message[:end]) for end in range(4)] == [None] * 4


def test_what_lies_about_its_length_is_not_complete() -> None:
    message = bytearray(handshake(server_name(b"a.example")))
    for place in (38, 41, 42, 45, 47, 48, 51, 52):
        lying = bytearray(message)
        lying[place] = 0xFF
        found = parse(lying)
        assert found
        assert not found.complete


def test_another_handshake_message_is_no_hello() -> None:
    assert parse(b"\x02" + REAL[6:]) is None
    assert peek(b"\x16\x03\x01\0\x05\x02\0\0\x01x") is None
    assert peek(b"\x17\x03\x03\0\x05hello") is None


def test_many_protocols_and_versions_are_bounded() -> None:
    found = parse(handshake(extension(16, b"\0\0" + b"\x01x" * 9000), extension(43, b"\xff" + b"\x03\x04" * 9000)))
    assert found
    assert (len(found.alpn), len(found.versions)) == (64, 64)


@pytest.mark.parametrize(
    ("head", "may_be"),
    [(b"\x16", True), (b"\x16\x03", True), (b"\x16\x03\x01\0\x05\x01", True), (b"\x16\x03\x01\0\x05\x02", False),
     (b"\x16\x02", False), (b"\x17\x03", False), (b"", False), (b"GET / ", False)],
)  # fmt: skip
def test_the_beginning_of_a_hello_is_told_apart(head: bytes, may_be: bool) -> None:  # noqa: FBT001 -- a parameter
    assert opens(head) is may_be


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_hello_in_one_segment_is_found_once() -> None:
    hellos = Hellos()
    assert hellos.feed("flow", 100, REAL) == BANK
    assert hellos.feed("flow", 100, REAL) is None
    assert hellos.feed("flow", 100 + len(REAL), b"\x17\x03\x03\0\x01x") is None
    assert hellos.lost == 0


@pytest.mark.parametrize("start", [100, 0xFFFFFF00])
def test_a_hello_in_segments_of_a_byte_is_found(start: int) -> None:
    hellos = Hellos()
    found = [hellos.feed("flow", start + place & 0xFFFFFFFF, REAL[place : place + 1]) for place in range(len(REAL))]
    assert found == [None] * (len(REAL) - 1) + [BANK]


def test_a_hello_over_many_records_is_found() -> None:
    for size in (1, 3, 4, 100):
        assert Hellos().feed("flow", 100, records(REAL[5:], size)) == BANK
        assert peek(records(REAL[5:], size)) == BANK


@pytest.mark.parametrize("begun", [True, False])
def test_segments_in_any_order_make_a_hello(begun: bool) -> None:  # noqa: FBT001 -- a parameter
    pieces = [(100 + start, REAL[start : start + 150]) for start in range(0, len(REAL), 150)]
    for order in itertools.permutations(pieces):
        hellos = Hellos()
        if begun:
            hellos.begin("flow", 100)
        found = [hellos.feed("flow", sequence, piece) for sequence, piece in order]
        assert found == [None] * (len(pieces) - 1) + [BANK]


def test_overlapping_and_repeated_segments_make_a_hello() -> None:
    chance = random.Random(7)
    for _ in range(100):
        hellos = Hellos()
        hellos.begin("flow", 100)
        found: list[Hello] = []
        while not found:
            start = chance.randrange(len(REAL))
            result = hellos.feed("flow", 100 + start, REAL[start : start + chance.randrange(200)])
            found += [result] if result else []
        assert found == [BANK]


def test_the_first_bytes_of_an_overlap_stay() -> None:
    hellos = Hellos()
    assert hellos.feed("flow", 100, REAL[:200]) is None
    assert hellos.feed("flow", 100, b"\x17" * 200 + REAL[200:]) == BANK


def test_a_syn_seen_again_changes_nothing() -> None:
    hellos = Hellos()
    hellos.begin("flow", 100)
    hellos.feed("flow", 100, REAL[:200])
    hellos.begin("flow", 100)
    assert hellos.feed("flow", 300, REAL[200:]) == BANK
    hellos.begin("flow", 100)
    assert hellos.feed("flow", 100, REAL) is None


def test_a_connection_that_begins_anew_says_hello_again() -> None:
    hellos = Hellos()
    assert hellos.feed("flow", 100, REAL) == BANK
    hellos.begin("flow", 9000)
    assert hellos.feed("flow", 9000, REAL) == BANK
    assert hellos.feed("flow", 20000, REAL) == BANK  # the SYN was not seen
    assert hellos.feed("flow", 20000, REAL) is None


def test_a_hello_inside_a_tunnel_through_a_proxy_is_found() -> None:
    hellos = Hellos()
    hellos.begin("flow", 100)
    assert hellos.feed("flow", 100, b"CONNECT a.example:443 HTTP/1.1\r\n\r\n") is None
    assert hellos.feed("flow", 134, REAL[:99]) is None
    assert hellos.feed("flow", 233, REAL[99:]) == BANK


@pytest.mark.parametrize(
    "payload",
    [b"GET / HTTP/1.1\r\n", b"\x17\x03\x03\0\x05hello", b"\x16\x03\x03\0\x04\x02\0\0\0", b"\x16\x02", b"\x80\x2e\x01"],
)
def test_what_is_no_hello_is_nothing_and_not_lost(payload: bytes) -> None:
    hellos = Hellos()
    hellos.begin("flow", 100)
    assert hellos.feed("flow", 100, payload) is None
    assert hellos.feed("flow", 100 + len(payload), b"") is None
    assert hellos.feed("flow", 100 + len(payload), b"more") is None
    assert (hellos.lost, len(hellos._flows)) == (0, 0)


def test_a_stream_without_a_beginning_is_soon_let_go() -> None:
    hellos = Hellos()
    for place in range(20):
        assert hellos.feed("flow", 100 + 1000 * place, b"\x17" + bytes(999)) is None
    assert (hellos.lost, len(hellos._flows)) == (0, 0)


def test_the_oldest_hello_gives_way_and_is_counted() -> None:
    hellos = Hellos(flows=2)
    for key in range(3):
        hellos.feed(key, 100, REAL[:200])
    hellos.begin(3, 100)
    hellos.begin(4, 100)
    hellos.begin(5, 100)  # in 3, nothing had come
    assert hellos.lost == 3
    assert hellos.feed(5, 100, REAL) == BANK
    assert hellos.feed(0, 300, REAL[200:]) is None


def test_what_is_remembered_is_bounded() -> None:
    hellos = Hellos(flows=10, room=2000)
    for key in range(1000):
        hellos.feed(key, 100, REAL[:300])
        hellos.feed(key, 99999, REAL)
        hellos.feed(-key, 100, REAL)
    assert len(hellos._flows) <= 10
    assert len(hellos._done) <= 10


def test_a_hello_too_long_to_follow_is_given_up_as_far_as_it_was_read() -> None:
    long = records(handshake(server_name(b"a.example"), extension(21, bytes(60000))))
    hellos = Hellos(room=20000)
    assert hellos.feed("flow", 100, long[:1400]) is None
    found = [hellos.feed("flow", 1500 + start, long[1400 + start : 2800 + start]) for start in range(0, 50000, 1400)]
    (given_up,) = [hello for hello in found if hello]
    assert given_up == Hello("a.example", versions=(TLS12,), complete=False)
    assert hellos.lost == 1
    assert not UNKNOWABLE.complete


def test_a_record_that_breaks_off_a_hello_gives_it_up() -> None:
    hellos = Hellos()
    hellos.feed("flow", 100, records(REAL[5:205]))
    found = hellos.feed("flow", 305, b"\x15\x03\x01\0\x02ab")
    assert found
    assert (found.complete, hellos.lost) == (False, 1)


def test_a_record_longer_than_allowed_is_no_hello() -> None:
    hellos = Hellos()
    assert hellos.feed("flow", 100, b"\x16\x03\x01\xff\xff\x01\0\0\x05") is None
    assert not hellos._flows


def test_a_gap_too_large_to_wait_for_gives_a_hello_up() -> None:
    hellos = Hellos(room=1000)
    assert hellos.feed("flow", 100, records(REAL[5:], 100)[:250]) is None
    found = hellos.feed("flow", 9000, b"x")
    assert found
    assert (found.complete, hellos.lost) == (False, 1)


def test_bytes_behind_the_extensions_are_not_complete() -> None:
    message = handshake(server_name(b"a.example")) + b"more"
    found = parse(message[:1] + (len(message) - 4).to_bytes(3, "big") + message[4:])
    assert found == Hello("a.example", versions=(TLS12,), complete=False)
