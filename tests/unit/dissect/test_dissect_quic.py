from __future__ import annotations

import itertools
import struct
import sys
from typing import NamedTuple

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from airgap_check.dissect import quic_packet
from airgap_check.dissect.hello import UNKNOWABLE, Hello
from airgap_check.dissect.quic import Initials

V1, V2 = 0x00000001, 0x6B3343CF
TARGET = bytes.fromhex("8394c8f03e515708")  # the connection id of RFC 9001 A.1 and RFC 9369 A.1


class Published(NamedTuple):
    """A client's keys as an RFC prints them, and how the packet made with them begins and ends."""

    version: int
    key: bytes
    vector: bytes
    mask: bytes
    header: bytes
    begins: bytes


# RFC 9001 A.2: the CRYPTO frame that the client's first packet holds
FRAME = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868"
    "04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578"
    "616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fba"
    "baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400"
    "0d0010000e0403050306030203080408050806002d00020101001c0002400100"
    "3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff"
)
RFC9001 = Published(
    V1,
    bytes.fromhex("1f369613dd76d5467730efcbe3b1a22d"),
    bytes.fromhex("fa044b2f42a3fd3b46fb255c"),
    bytes.fromhex("9f50449e04a0e810283a1e9933adedd2"),
    bytes.fromhex("c300000001088394c8f03e5157080000449e00000002"),
    bytes.fromhex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c"),
)
RFC9369 = Published(
    V2,
    bytes.fromhex("8b1a0bc121284290a29e0971b5cd045d"),
    bytes.fromhex("91f73e2351d8fa91660e909f"),
    bytes.fromhex("45b95e15235d6f45a6b19cbcb0294ba9"),
    bytes.fromhex("d36b3343cf088394c8f03e5157080000449e00000002"),
    bytes.fromhex("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c"),
)
EXAMPLE = Hello("example.com", alpn=("alpn",), versions=(0x0304,))


def sealed(keys: Published, frames: bytes, header: bytes, number: int) -> bytes:
    """Protect a packet as RFC 9001 5 says, with keys from print; the header ends with a packet number of 4 bytes."""
    nonce = (int.from_bytes(keys.vector, "big") ^ number).to_bytes(12, "big")
    body = AESGCM(keys.key).encrypt(nonce, frames, header)
    mask = Cipher(AES(keys.mask), ECB()).encryptor().update(body[:16])
    begin = bytes([header[0] ^ mask[0] & 0x0F]) + header[1:-4]
    return begin + bytes(left ^ right for left, right in zip(header[-4:], mask[1:5], strict=True)) + body


def initial(
    frames: bytes,
    *,
    number: int = 2,
    keys: Published = RFC9001,
    target: bytes = TARGET,
    token: bytes = b"",
    size: int = 1162,
) -> bytes:
    """Make a client's Initial packet that is padded to ``size`` bytes of frames."""
    frames = frames.ljust(size, b"\0")
    header = (
        keys.header[:5] + bytes([len(target)]) + target + b"\0"
        + bytes([len(token)]) + token + struct.pack(">H", 0x4000 | 4 + len(frames) + 16) + number.to_bytes(4, "big")
    )  # fmt: skip
    return sealed(keys, frames, header, number)


def crypto(offset: int, data: bytes) -> bytes:
    return b"\x06" + struct.pack(">HH", 0x4000 | offset, 0x4000 | len(data)) + data


HELLO = FRAME[4:]
PIECES = [crypto(start, HELLO[start : start + 50]) for start in range(0, len(HELLO), 50)]


@pytest.mark.parametrize("keys", [RFC9001, RFC9369], ids=["RFC 9001", "RFC 9369"])
def test_the_packet_of_the_rfc_is_read(keys: Published) -> None:
    packet = sealed(keys, FRAME.ljust(1162, b"\0"), keys.header, 2)
    assert packet.startswith(keys.begins)  # so the RFC's bytes are what was made
    assert len(packet) == 1200
    assert Initials().feed("flow", packet) == EXAMPLE


def test_the_packet_of_rfc_9001_ends_as_it_prints() -> None:
    packet = sealed(RFC9001, FRAME.ljust(1162, b"\0"), RFC9001.header, 2)
    assert packet.endswith(bytes.fromhex("e221af44860018ab0856972e194cd934"))
    assert packet == initial(FRAME)


def connection(version: int, name: str) -> QuicConnection:
    known: list[int] = [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2]
    configuration = QuicConfiguration(
        is_client=True, server_name=name, alpn_protocols=["h3"], original_version=version, supported_versions=known
    )
    return QuicConnection(configuration=configuration)


@pytest.mark.parametrize("version", [V1, V2])
@pytest.mark.parametrize("name", ["quic.bank.example", ".".join(["x" * 60] * 4)])
def test_what_a_real_client_sends_is_read(version: int, name: str) -> None:
    client = connection(version, name)
    client.connect(("192.0.2.1", 443), now=0)
    initials = Initials()
    found = [initials.feed("flow", data) for data, _ in client.datagrams_to_send(now=0)]
    again = [initials.feed("flow", data) for data, _ in client.datagrams_to_send(now=10)]
    hellos = [hello for hello in found + again if hello]
    assert [(hello.name, hello.alpn, hello.complete, hello.ech) for hello in hellos] == [(name, ("h3",), True, False)]
    assert initials.lost == 0


def test_a_hello_is_told_once_a_connection() -> None:
    initials = Initials()
    assert initials.feed("flow", initial(FRAME)) == EXAMPLE
    assert initials.feed("flow", initial(FRAME)) is None
    assert initials.feed("flow", initial(b"\x02\0\0\0\0", number=3)) is None
    other = connection(V1, "other.example")  # from the same port
    other.connect(("192.0.2.1", 443), now=0)
    (found,) = [initials.feed("flow", data) for data, _ in other.datagrams_to_send(now=0)]
    assert found
    assert found.name == "other.example"


def test_crypto_frames_come_in_any_order_in_a_packet() -> None:
    for order in (PIECES, PIECES[::-1], PIECES[::2] + PIECES[1::2]):
        mixed = b"\0\0\1".join(order) + b"\x02\x05\x01\x01\x00\x00\x01" + b"\x03\x05\x01\x00\x00\x01\x01\x01" + b"\1"
        assert Initials().feed("flow", initial(mixed)) == EXAMPLE


def test_an_ack_before_the_hello_is_stepped_over() -> None:
    plain = b"\x02\x09\x01\x01\x00\x01\x02"  # one more range
    counted = b"\x03\x09\x01\x00\x00\x01\x02\x03"
    assert Initials().feed("flow", initial(plain + counted + FRAME)) == EXAMPLE


def test_a_hello_over_several_datagrams_in_any_order_is_read() -> None:
    datagrams = [initial(b"".join(PIECES[place::3]), number=place) for place in range(3)]
    for order in itertools.permutations(datagrams):
        initials = Initials()
        assert [initials.feed("flow", datagram) for datagram in order] == [None, None, EXAMPLE]


def test_coalesced_packets_are_read() -> None:
    first = initial(b"".join(PIECES[:2]), size=200)
    early_data = b"\xd0" + first[1:14] + b"\0" + b"\x40\x20" + bytes(32)  # 0-RTT has no token
    rest = initial(b"".join(PIECES[2:]), number=3, size=700)
    assert Initials().feed("flow", first + early_data[:14] + b"\0\x40\x20" + bytes(32) + rest) == EXAMPLE
    assert Initials().feed("flow", first + rest + bytes(100)) == EXAMPLE


def test_the_server_may_choose_another_connection_id() -> None:
    """The client's second Initial is addressed to the id of the server, while the keys stay (RFC 9001 5.2)."""
    initials = Initials()
    assert initials.feed("flow", initial(PIECES[0])) is None
    assert initials.feed("flow", initial(b"".join(PIECES[1:]), number=3, target=b"server's")) == EXAMPLE


def test_after_a_retry_the_keys_follow_from_the_new_id() -> None:
    client = connection(V1, "retried.example")
    client.connect(("192.0.2.1", 443), now=0)
    (retried,) = [data for data, _ in client.datagrams_to_send(now=0)]
    initials = Initials()
    assert initials.feed("flow", initial(PIECES[0])) is None
    found = initials.feed("flow", retried)
    assert found
    assert found.name == "retried.example"


def test_a_token_is_stepped_over() -> None:
    assert Initials().feed("flow", initial(FRAME, token=b"a token")) == EXAMPLE


def test_other_keys_are_unknowable_once_a_flow() -> None:
    initials = Initials()
    servers = initial(FRAME, target=b"unknown id")
    assert initials.feed("flow", servers) == UNKNOWABLE
    assert initials.feed("flow", servers) is None
    assert initials.feed("flow", initial(FRAME)) == EXAMPLE  # the beginning came late
    assert initials.feed("flow", servers) is None


def test_a_damaged_packet_is_unknowable() -> None:
    data = bytearray(initial(FRAME))
    data[500] ^= 1
    assert Initials().feed("flow", bytes(data)) == UNKNOWABLE


def test_a_datagram_cut_by_the_capture_is_unknowable() -> None:
    assert Initials().feed("flow", initial(FRAME)[:900]) == UNKNOWABLE


def test_an_unknown_version_is_unknowable() -> None:
    data = initial(FRAME)
    assert Initials().feed("flow", data[:1] + b"\xff\0\0\x1d" + data[5:]) == UNKNOWABLE
    assert Initials().feed("flow", data[:1] + b"\xff\0\0\x1d" + data[5:1100]) is None  # no client sends so little
    assert Initials().feed("flow", data[:1] + b"\xff\0\0\x1d\x03" + data[6:]) is None  # nor so short an id


def test_without_the_library_of_ciphers_it_is_unknowable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    quic_packet._keys.cache_clear()
    assert Initials().feed("flow", initial(FRAME)) == UNKNOWABLE
    quic_packet._keys.cache_clear()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(1200),
        b"\x40" + bytes(1199),
        b"\xc0" + bytes(1199),  # version negotiation
        b"\xe0\0\0\0\1\x08" + bytes(1194),  # Handshake
        b"\xc0\0\0\0\1\xff" + bytes(1194),
        b"\xc0\0\0\0\1\x08" + bytes(9) + b"\0\x03abc",  # too little to sample
    ],
)
def test_what_is_no_initial_is_nothing(data: bytes) -> None:
    initials = Initials()
    assert initials.feed("flow", data) is None
    assert initials.feed("flow", data) is None


def test_another_handshake_message_is_nothing() -> None:
    initials = Initials()
    assert initials.feed("flow", initial(crypto(0, b"\x02\0\0\1x"))) is None
    assert initials.feed("flow", initial(FRAME, number=3)) is None
    assert initials.lost == 0


def test_frames_that_make_no_sense_end_the_packet() -> None:
    for odd in (b"\x1c" + FRAME, b"\x06", b"\x06\x40", b"\x02\xff", b"\x02\0\0\xff" + b"\xff" * 1000):
        initials = Initials()
        assert initials.feed("flow", initial(odd)) is None
        assert initials.feed("flow", initial(FRAME, number=3)) == EXAMPLE


def test_a_hello_too_long_to_follow_is_given_up_and_counted() -> None:
    initials = Initials(room=300)
    assert initials.feed("flow", initial(crypto(0, b"\1\0\x40\0" + HELLO[4:104]))) == EXAMPLE._replace(
        versions=(0x0303,), complete=False
    )
    assert initials.feed("far", initial(crypto(0x3000, b"x"))) == UNKNOWABLE
    assert initials.feed("far", initial(FRAME, number=3)) is None
    assert initials.lost == 2


def test_the_oldest_flow_gives_way_and_is_counted() -> None:
    initials = Initials(flows=2)
    for key in range(3):
        assert initials.feed(key, initial(PIECES[0])) is None
    assert initials.lost == 1
    assert initials.feed(2, initial(b"".join(PIECES[1:]), number=3)) == EXAMPLE
    for key in range(3, 9):
        initials.feed(key, initial(FRAME))
    assert initials.lost == 2  # those that were found are no loss


def test_what_was_given_up_is_counted_once() -> None:
    initials = Initials(flows=1, room=300)
    initials.feed("flow", initial(crypto(0, b"\1\0\x40\0" + HELLO[4:104])))
    initials.feed("other", initial(FRAME))
    assert initials.lost == 1


def test_other_keys_in_a_flow_that_was_read_are_nothing() -> None:
    initials = Initials()
    assert initials.feed("flow", initial(PIECES[0])) is None
    assert initials.feed("flow", initial(FRAME)[:-1] + b"?") is None
