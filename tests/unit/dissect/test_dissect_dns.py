from __future__ import annotations

import struct
from ipaddress import ip_address

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from airgap_check.dissect import dns as dissected
from airgap_check.dissect.dns import Asked, Given, Message, Streams, parse

ALIASES = (
    "www.bank.example. 60 IN CNAME b.cdn.example.",
    "b.cdn.example. 60 IN CNAME c.cdn.example.",
    "c.cdn.example. 30 IN A 192.0.2.1",
    "c.cdn.example. 30 IN A 192.0.2.2",
)


def query(name: str = "www.bank.example.", kind: str = "A") -> dns.message.Message:
    return dns.message.make_query(name, kind, id=7)


def answer(*records: str, name: str = "www.bank.example.", kind: str = "A") -> dns.message.Message:
    response = dns.message.make_response(query(name, kind))
    for record in records:
        owner, ttl, group, what, *rest = record.split(" ")
        response.answer.append(dns.rrset.from_text(owner, int(ttl), group, what, " ".join(rest)))
    return response


def read(data: bytes) -> Message:
    found = parse(data)
    assert found
    return found


def given(owner: str, address: str, ttl: int = 30) -> Given:
    return Given(owner, ip_address(address).packed, ttl)


def wire_name(*labels: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def raw(*names: bytes, flags: int = 0x0100, counts: tuple[int, int] | None = None, answers: bytes = b"") -> bytes:
    asked, answered = counts or (len(names), 0)
    return (
        struct.pack(">6H", 7, flags, asked, answered, 0, 0) + b"".join(name + b"\0\1\0\1" for name in names) + answers
    )


def record(owner: bytes, kind: int, data: bytes, *, group: int = 1, ttl: int = 30) -> bytes:
    return owner + struct.pack(">HHIH", kind, group, ttl, len(data)) + data


BANK = wire_name(b"www", b"bank", b"example")
HERE = b"\xc0\x0c"


def test_a_question_has_a_name_and_a_type() -> None:
    assert read(query("WWW.Bank.Example.", "AAAA").to_wire()) == Message(
        id=7, response=False, status="ok", questions=(Asked("www.bank.example", "AAAA"),)
    )


def test_a_view_of_memory_is_as_good_as_bytes() -> None:
    assert parse(memoryview(query().to_wire())) == parse(query().to_wire())


@pytest.mark.parametrize("kind", ["NS", "MX", "TXT", "SRV", "HTTPS", "ANY", "PTR", "AXFR", "URI", "TYPE65400", "A"])
def test_every_type_has_the_name_that_dnspython_gives_it(kind: str) -> None:
    assert read(query(kind=kind).to_wire()).questions == (Asked("www.bank.example", kind),)


def test_the_table_of_types_agrees_with_dnspython() -> None:
    assert {number: dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number)) for number in dissected._TYPES} == (
        dissected._TYPES
    )


def test_an_answer_has_the_chain_and_the_addresses_at_its_end() -> None:
    found = read(answer(*ALIASES).to_wire())
    assert (found.response, found.status, found.truncated) == (True, "ok", False)
    assert found.chain == ("b.cdn.example", "c.cdn.example")
    assert set(found.addresses) == {given("c.cdn.example", "192.0.2.1"), given("c.cdn.example", "192.0.2.2")}


def test_the_chain_is_followed_whatever_the_order() -> None:
    found = read(answer(*reversed(ALIASES)).to_wire())
    assert found.chain == ("b.cdn.example", "c.cdn.example")
    assert len(found.addresses) == 2


def test_ipv6_addresses_are_read_too() -> None:
    found = read(answer("www.bank.example. 30 IN AAAA 2001:db8::1", kind="AAAA").to_wire())
    assert found.addresses == (given("www.bank.example", "2001:db8::1"),)


def test_a_name_that_was_not_asked_cannot_be_slipped_in() -> None:
    found = read(answer("www.bank.example. 30 IN A 10.0.0.1", "core.bank.example. 30 IN A 203.0.113.9").to_wire())
    assert found.addresses == (given("www.bank.example", "10.0.0.1"),)
    found = read(answer("other.example. 60 IN CNAME x.example.", "x.example. 30 IN A 203.0.113.9").to_wire())
    assert (found.chain, found.addresses) == ((), ())


def test_aliases_in_a_circle_end() -> None:
    circle = ("www.bank.example. 60 IN CNAME b.example.", "b.example. 60 IN CNAME www.bank.example.")
    found = read(answer(*circle).to_wire())
    assert (found.chain, found.status) == (("b.example", "www.bank.example"), "nodata")


@pytest.mark.parametrize(
    ("code", "status"),
    [("NXDOMAIN", "nxdomain"), ("SERVFAIL", "servfail"), ("REFUSED", "refused"), ("FORMERR", "error")],
)
def test_the_status_is_the_code_of_the_answer(code: str, status: str) -> None:
    response = answer()
    response.set_rcode(dns.rcode.from_text(code))
    assert read(response.to_wire()).status == status


@pytest.mark.parametrize(
    ("records", "kind", "status"),
    [
        ((), "A", "nodata"),
        (ALIASES[:1], "A", "nodata"),
        (ALIASES[:1], "CNAME", "ok"),
        (ALIASES[:1], "ANY", "ok"),
        (("www.bank.example. 9 IN MX 10 mail.bank.example.",), "MX", "ok"),
        (("www.bank.example. 9 IN MX 10 mail.bank.example.",), "A", "nodata"),
    ],
)
def test_an_answer_without_what_was_asked_is_no_data(records: tuple[str, ...], kind: str, status: str) -> None:
    assert read(answer(*records, kind=kind).to_wire()).status == status


def test_a_truncated_answer_says_so_and_is_not_no_data() -> None:
    response = answer()
    response.flags |= dns.flags.TC
    found = read(response.to_wire())
    assert (found.status, found.truncated) == ("ok", True)


def test_the_update_of_a_zone_names_the_zone() -> None:
    message = query("bank.example.", "SOA")
    message.set_opcode(dns.opcode.UPDATE)
    assert read(message.to_wire()).questions == (Asked("bank.example", "SOA"),)


def test_the_answer_to_an_update_has_no_data_and_needs_none() -> None:
    message = query("bank.example.", "SOA")
    message.set_opcode(dns.opcode.UPDATE)
    assert read(dns.message.make_response(message).to_wire()).status == "ok"


def test_the_first_of_two_aliases_counts() -> None:
    found = read(answer("www.bank.example. 9 IN CNAME a.", "www.bank.example. 9 IN CNAME b.").to_wire())
    assert found.chain in {("a",), ("b",)}  # dnspython writes them in any order
    two = record(HERE, 5, wire_name(b"a")) + record(HERE, 5, wire_name(b"b"))
    assert read(raw(BANK, flags=0x8000, counts=(1, 2), answers=two)).chain == ("a",)


def test_mdns_answers_without_a_question_and_sets_the_top_bit_of_the_class() -> None:
    printer = wire_name(b"printer", b"local")
    found = read(
        raw(flags=0x8400, counts=(0, 1), answers=record(printer, 1, bytes([10, 0, 0, 9]), group=0x8001, ttl=120))
    )
    assert found == Message(
        id=7, response=True, status="ok", questions=(), addresses=(given("printer.local", "10.0.0.9", 120),)
    )
    asked = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + printer + b"\0\1\x80\1"
    assert read(asked).questions == (Asked("printer.local", "A"),)


def test_records_of_another_class_are_no_addresses() -> None:
    found = read(raw(BANK, flags=0x8000, counts=(1, 1), answers=record(HERE, 1, bytes(4), group=3)))
    assert (found.addresses, found.status) == ((), "nodata")


def test_an_address_of_the_wrong_size_is_none() -> None:
    assert read(raw(BANK, flags=0x8000, counts=(1, 1), answers=record(HERE, 1, bytes(5)))).addresses == ()


def test_a_negative_time_to_live_is_zero() -> None:
    found = read(raw(BANK, flags=0x8000, counts=(1, 1), answers=record(HERE, 1, bytes(4), ttl=0x80000000)))
    assert found.addresses == (given("www.bank.example", "0.0.0.0", 0),)


def test_the_root_has_an_empty_name() -> None:
    assert read(query(".", "NS").to_wire()).questions == (Asked("", "NS"),)


def test_unprintable_labels_are_escaped() -> None:
    (asked,) = read(raw(wire_name(b"a.b", b"\x1b[31m", b"back\\slash", b"CAF\xc3\xa9", b"o k"))).questions
    assert asked.name == r"a\046b.\027[31m.back\092slash.caf\195\169.o\032k"


@pytest.mark.parametrize("pointer", [b"\xc0\x0c", b"\xc0\x0e", b"\x01a\xc0\x0c", b"\xc0\xff", b"\xff\xff"])
def test_a_pointer_that_does_not_lead_backwards_is_no_name(pointer: bytes) -> None:
    assert parse(raw(pointer)) is None


def test_a_pointer_into_the_header_is_followed_as_name_servers_follow_it() -> None:
    message = read(raw(b"\x06secret\x03com\xc0\x03"))
    assert (message.questions[0].name, message.truncated) == ("secret.com", False)


def test_two_pointers_at_each_other_are_no_name() -> None:
    found = read(raw(BANK, flags=0x8000, counts=(1, 2), answers=record(b"\xc0\x2e", 1, bytes(4)) * 2))
    assert (found.addresses, found.truncated) == ((), True)


def test_pointers_that_lead_backwards_and_forwards_again_are_no_name() -> None:
    circle = record(HERE, 16, b"\xc0\x30\xc0\x2e")
    assert raw(BANK, answers=circle).index(b"\xc0\x30") == 0x2E
    found = read(raw(BANK, flags=0x8000, counts=(1, 2), answers=circle + record(b"\xc0\x2e", 1, bytes(4))))
    assert found.truncated


def test_names_may_be_as_long_as_the_rfc_says_and_no_longer() -> None:
    labels = [b"x" * 63] * 3
    longest = wire_name(*labels, b"y" * 61)
    assert len(longest) == 255
    assert len(read(raw(longest)).questions[0].name) == 253
    assert parse(raw(wire_name(*labels, b"y" * 62))) is None
    assert parse(raw(b"\x40" + b"x" * 64 + b"\0")) is None
    grown = record(b"\x3f" + b"z" * 63 + HERE, 1, bytes(4))
    assert read(raw(longest, flags=0x8000, counts=(1, 1), answers=grown)).truncated


def test_more_questions_are_promised_than_asked() -> None:
    found = read(raw(BANK, counts=(9, 0)))
    assert (found.questions, found.truncated) == ((Asked("www.bank.example", "A"),), True)


def test_more_answers_are_promised_than_given() -> None:
    found = read(raw(BANK, flags=0x8000, counts=(1, 9), answers=record(HERE, 1, bytes(4))))
    assert (len(found.addresses), found.status, found.truncated) == (1, "ok", True)


def test_a_record_longer_than_the_message_cuts_it() -> None:
    data = raw(BANK, flags=0x8000, counts=(1, 1), answers=record(HERE, 1, bytes(4)))
    assert (read(data[:-1]).addresses, read(data[:-1]).truncated) == ((), True)


def test_trailing_bytes_are_ignored() -> None:
    assert parse(query().to_wire() + b"garbage") == parse(query().to_wire())


def test_a_message_of_names_that_grow_is_bounded() -> None:
    """Twenty thousand records, each of which points at a name of 127 labels."""
    long = wire_name(*[b"x"] * 126)
    found = read(raw(long, flags=0x8000, counts=(1, 0xFFFF), answers=record(b"\1y" + HERE, 1, bytes(4)) * 0xFFFF))
    assert found.truncated
    assert read(raw(BANK, counts=(0xFFFF, 0), answers=(HERE + b"\0\1\0\1") * 10000)).truncated


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(12), b"\0\7\x08\0\0\1" + bytes(6) + BANK + b"\0\1\0\1"])
def test_what_is_not_dns_is_nothing(data: bytes) -> None:
    assert parse(data) is None


def test_an_answer_to_nothing_still_has_a_status() -> None:
    assert read(raw(flags=0x8005)).status == "refused"


# --- TCP --------------------------------------------------------------------------------------------------------------


def framed(*messages: dns.message.Message) -> bytes:
    return measured(*(message.to_wire() for message in messages))


def measured(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


ONE, TWO = query("one.example."), query("two.example.")
BOTH = framed(ONE, TWO)


def names(messages: list[Message]) -> list[str]:
    return [message.questions[0].name for message in messages]


def test_several_messages_come_in_a_segment() -> None:
    assert names(Streams().feed("flow", 100, BOTH)) == ["one.example", "two.example"]


@pytest.mark.parametrize("start", [100, 0xFFFFFFF0])
def test_a_message_is_split_over_segments_of_a_byte(start: int) -> None:
    streams = Streams()
    found = [
        message
        for place in range(len(BOTH))
        for message in streams.feed("flow", (start + place) & 0xFFFFFFFF, BOTH[place : place + 1])
    ]
    assert names(found) == ["one.example", "two.example"]
    assert streams.lost == 0


def test_segments_that_overtake_wait_when_the_beginning_is_known() -> None:
    streams = Streams()
    streams.begin("flow", 100)
    assert streams.feed("flow", 120, BOTH[20:]) == []
    streams.begin("flow", 100)  # the SYN again
    assert names(streams.feed("flow", 100, BOTH[:25])) == ["one.example", "two.example"]


def test_a_segment_sent_again_is_read_once() -> None:
    streams = Streams()
    assert len(streams.feed("flow", 100, BOTH)) == 2
    assert streams.feed("flow", 100, BOTH) == []
    assert names(streams.feed("flow", 100, BOTH + framed(ONE))) == ["one.example"]
    assert streams.feed("flow", 100, b"") == []


def test_directions_do_not_mix() -> None:
    streams = Streams()
    assert streams.feed("there", 100, BOTH[:10]) == []
    assert names(streams.feed("back", 100, framed(TWO))) == ["two.example"]
    assert names(streams.feed("there", 110, BOTH[10:])) == ["one.example", "two.example"]


def test_a_connection_that_begins_anew_is_another_stream() -> None:
    streams = Streams()
    streams.begin("flow", 100)
    streams.feed("flow", 100, BOTH[:10])
    streams.begin("flow", 5000)
    assert streams.lost == 1
    assert len(streams.feed("flow", 5000, BOTH)) == 2


def test_a_stream_far_out_of_order_is_given_up_and_counted() -> None:
    streams = Streams()
    streams.begin("flow", 100)
    assert streams.feed("flow", 100 + 70000, BOTH) == []
    assert streams.lost == 1
    assert len(streams.feed("flow", 100 + 70000 + len(BOTH), BOTH)) == 2


def test_bytes_that_are_no_dns_are_counted_and_what_was_read_before_stays() -> None:
    streams = Streams()
    assert names(streams.feed("flow", 100, framed(ONE) + b"\0\1x")) == ["one.example"]
    assert streams.lost == 1
    assert streams.feed("flow", 100 + len(framed(ONE)) + 3, b"\0\x0c" + bytes(12)) == []
    assert streams.lost == 2


@pytest.mark.parametrize("odd", [b"", b"x", raw(counts=(0, 0), flags=0x3000), raw(b"\x03com\xc0\xff")])
def test_what_is_no_dns_hides_nothing_that_follows_it(odd: bytes) -> None:
    streams = Streams()
    streams.begin("flow", 100)
    assert names(streams.feed("flow", 100, measured(odd) + framed(ONE) + measured(odd) + framed(TWO))) == [
        "one.example",
        "two.example",
    ]
    assert streams.lost == 2


def test_nothing_is_lost_of_a_stream_that_was_joined_in_the_middle_of_a_message() -> None:
    streams = Streams()
    assert streams.feed("flow", 100, measured(b"ab") + b"\xff") == []
    assert names(streams.feed("flow", 105, framed(TWO))) == ["two.example"]
    assert streams.lost == 0
    streams.feed("flow", 105 + len(framed(TWO)), measured(b"x"))
    assert streams.lost == 1, "now it is known where a message begins"


def test_what_waits_for_its_end_when_nothing_more_comes_is_lost_where_its_beginning_is_known() -> None:
    streams = Streams()
    for key in ("begun", "whole", "early"):
        streams.begin(key, 100)
    streams.feed("begun", 100, BOTH[:9])
    streams.feed("whole", 100, BOTH)
    streams.feed("early", 109, BOTH[9:])
    streams.feed("joined", 100, BOTH[:9])
    streams.close()
    assert streams.lost == 2
    streams.close()
    assert streams.lost == 2


def test_the_stream_that_was_silent_for_longest_gives_way_and_is_counted() -> None:
    streams = Streams(flows=2)
    for key in (0, 1):
        streams.begin(key, 100)
        streams.feed(key, 100, BOTH[:10])
    streams.feed(0, 110, BOTH[10:12])
    streams.begin(2, 100)
    assert streams.lost == 1
    assert len(streams.feed(0, 112, BOTH[12:])) == 2
    assert streams.feed(1, 110, BOTH[10:]) == []


def test_a_stream_that_gave_way_hides_nothing_when_it_goes_on() -> None:
    streams = Streams(flows=1)
    streams.begin("flow", 100)
    assert len(streams.feed("flow", 100, BOTH)) == 2
    streams.begin("other", 100)
    streams.feed("flow", 100 + len(BOTH), BOTH[:10])
    assert streams.lost == 0
    streams.begin("another", 100)
    assert streams.lost == 1


def test_a_stream_of_more_than_two_gigabytes_goes_on() -> None:
    streams = Streams()
    streams.begin("flow", 100)
    streams._flows["flow"].stream._start = 3 << 30  # bytes that have come
    assert names(streams.feed("flow", 100 + (3 << 30) & 0xFFFFFFFF, framed(ONE))) == ["one.example"]
