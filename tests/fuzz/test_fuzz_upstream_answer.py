"""Whatever aliases a server sends, reading its answer ends, and takes addresses from the end of the chain only."""

from __future__ import annotations

import dns.exception
import dns.message
import dns.rrset
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.names import query

NAMES = ["a.x.", "b.x.", "C.x.", "d.x."]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from([*NAMES, "10.0.0.1", "10.0.0.2"]))))
def test_any_web_of_aliases(records: list[tuple[str, str]]) -> None:
    response = dns.message.make_response(dns.message.make_query("a.x.", "A"))
    for name, value in records:
        kind = "A" if value[0] == "1" else "CNAME"
        response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, value))
    wire = dns.message.from_wire(response.to_wire())
    reply = query.read(wire)
    assert len(reply.chain) == len(set(reply.chain)) <= len(NAMES)
    end = reply.chain[-1] if reply.chain else "a.x"
    assert {str(address) for address in reply.addresses} <= {
        value for name, value in records if name.lower() == f"{end}." and value[0] == "1"
    }
    assert (reply.status == "ok") == bool(reply.addresses)


RECORDS = st.binary(max_size=40).map(lambda data: b"\xc0\x0c" + data)  # a pointer to the name of the question


@given(st.integers(0, 65535), st.integers(0, 3), st.lists(RECORDS, max_size=3))
def test_any_bytes_as_an_answer(flags: int, count: int, records: list[bytes]) -> None:
    question = dns.message.make_query("a.x.", "A").to_wire()
    header = question[:2] + flags.to_bytes(2, "big") + b"\0\1" + count.to_bytes(2, "big") + bytes(4)
    try:
        message = dns.message.from_wire(header + question[12:] + b"".join(records), ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):  # what the caller of a server expects
        return
    reply = query.read(message)
    assert all(name.isprintable() for name in reply.chain)
