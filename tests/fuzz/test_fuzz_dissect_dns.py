from __future__ import annotations

import itertools
import struct
from ipaddress import ip_address

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.dissect.dns import Message, Streams, parse
from airgap_check.dissect.name import dotted

LABEL = st.one_of(
    st.sampled_from([b"a", b"www", b"Bank", b"example", b"_srv", b"x" * 63]), st.binary(min_size=1, max_size=20)
)
NAME = st.lists(LABEL, max_size=3).map(lambda labels: dns.name.Name([*labels, b""]))
NAMES = st.lists(NAME, min_size=1, max_size=4)
TYPES = st.sampled_from(["A", "AAAA", "CNAME", "MX", "TXT", "HTTPS", "ANY", "TYPE4000"])


@st.composite
def messages(draw: st.DrawFn) -> dns.message.Message:
    names = draw(NAMES)
    name = st.sampled_from(names)
    query = dns.message.make_query(names[0], draw(TYPES), id=draw(st.integers(0, 0xFFFF)))
    if draw(st.booleans()):
        return query
    response = dns.message.make_response(query)
    response.set_rcode(
        draw(st.sampled_from([dns.rcode.NOERROR, dns.rcode.NXDOMAIN, dns.rcode.REFUSED, dns.rcode.NOTIMP]))
    )
    for _ in range(draw(st.integers(0, 5))):
        kind = draw(st.sampled_from(["A", "AAAA", "CNAME", "TXT"]))
        text = {
            "A": "192.0.2.1", "AAAA": "2001:db8::1", "CNAME": draw(name).to_text(), "TXT": "hello"
        }[kind]  # fmt: skip
        response.answer.append(dns.rrset.from_text(draw(name), draw(st.integers(0, 9999)), "IN", kind, text))
    return response


@st.composite
def wires(draw: st.DrawFn) -> bytes:
    try:
        return draw(messages()).to_wire(max_size=0xFFFF)
    except dns.name.NameTooLong:
        return b""


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(wires()))
    for _ in range(draw(st.integers(0, 5)) if data else 0):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255) | st.sampled_from([0xC0, 0x0C, 0]))
    return bytes(data[: draw(st.integers(0, len(data)))])


def pointers(pieces: list[bytes]) -> bytes:
    """Make a message of names that point hither and thither."""
    return struct.pack(">6H", 1, 0x8000, 1, 60, 0, 0) + b"".join(pieces)


POINTERS = st.lists(
    st.one_of(
        st.builds(lambda target: struct.pack(">H", 0xC000 | target), st.integers(0, 120)),
        st.sampled_from([b"\1a", b"\0", b"\0\1\0\1", b"\0\5\0\1\0\0\0\1\0\2"]),
    ),
    max_size=60,
).map(pointers)


def sane(message: Message) -> None:
    names = (
        [asked.name for asked in message.questions] + [*message.chain] + [given.owner for given in message.addresses]
    )
    assert all(name.isprintable() and " " not in name and name == name.lower() for name in names)
    assert all(len(name) <= 4 * 255 for name in names)
    assert all(len(given.address) in {4, 16} and 0 <= given.ttl < 1 << 31 for given in message.addresses)
    assert all(kind for _, kind in message.questions)


@given(st.one_of(st.binary(max_size=200), mutated(), POINTERS))
def test_any_bytes_are_a_message_or_nothing(data: bytes) -> None:
    message = parse(data)
    if message:
        sane(message)
        assert message == parse(memoryview(bytearray(data)))


def shown(name: dns.name.Name) -> str:
    return dotted(list(name.labels[:-1])) if len(name.labels) > 1 else ""


def expected(theirs: dns.message.Message) -> tuple[list[str], set[tuple[str, bytes, int]]]:
    """Follow the aliases of what dnspython read, from the question on; return them and the addresses there."""
    alias: dict[str, str] = {}
    for rrset in theirs.answer:
        if rrset.rdtype == dns.rdatatype.CNAME:
            alias.setdefault(shown(rrset.name), shown(rrset[0].target))
    chain, name = [], shown(theirs.question[0].name)
    owners = {name}
    while name in alias:
        name = alias.pop(name)
        chain.append(name)
        owners.add(name)
    addresses = {
        (shown(rrset.name), ip_address(record.address).packed, rrset.ttl)
        for rrset in theirs.answer
        for record in rrset
        if rrset.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA} and shown(rrset.name) in owners
    }
    return chain, addresses


@given(wires())
def test_a_message_is_what_dnspython_says(data: bytes) -> None:
    if not data:
        return
    theirs, ours = dns.message.from_wire(data, one_rr_per_rrset=True), parse(data)
    assert ours
    assert ours.id == theirs.id
    assert [(asked.name, asked.type) for asked in ours.questions] == [
        (shown(rrset.name), dns.rdatatype.to_text(rrset.rdtype)) for rrset in theirs.question
    ]
    assert not ours.truncated
    chain, addresses = expected(theirs)
    assert list(ours.chain) == chain
    assert set(ours.addresses) == addresses
    if theirs.rcode():
        assert ours.status == {3: "nxdomain", 5: "refused"}.get(theirs.rcode(), "error")


@given(mutated())
def test_what_dnspython_understands_we_do_not_cut(data: bytes) -> None:
    """Names of records that we step over may be malformed; nothing that dnspython accepts may be refused."""
    try:
        theirs = dns.message.from_wire(data, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return
    ours = parse(data)
    if theirs.opcode() == 0 and theirs.question:
        assert ours
        assert [asked.name for asked in ours.questions][:1] == [shown(theirs.question[0].name)]


@given(st.lists(wires(), max_size=3), st.integers(0, 0xFFFFFFFF), st.data())
def test_a_stream_gives_the_messages_however_it_is_split(parts: list[bytes], start: int, draw: st.DataObject) -> None:
    wire = [part for part in parts if part]
    data = b"".join(struct.pack(">H", len(part)) + part for part in wire)
    cuts = sorted({0, len(data), *draw.draw(st.lists(st.integers(0, len(data)), max_size=6))})
    segments = [(begin, data[begin:end]) for begin, end in itertools.pairwise(cuts)]
    again = draw.draw(st.permutations(segments + segments[:2]))
    streams = Streams()
    streams.begin("flow", start)
    found = [message for begin, piece in again for message in streams.feed("flow", start + begin & 0xFFFFFFFF, piece)]
    assert found == [parse(part) for part in wire]
    assert streams.lost == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300), st.binary(max_size=60)), max_size=40))
def test_streams_of_anything_are_bounded(segments: list[tuple[int, int, bytes]]) -> None:
    streams = Streams(flows=3)
    for key, sequence, payload in segments:
        for message in streams.feed(key, sequence, payload):
            sane(message)
    assert len(streams._flows) <= 3
