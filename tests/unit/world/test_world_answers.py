from __future__ import annotations

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.world import answers as module
from airgap_check.world.answers import Answers
from airgap_check.world.names import Pool


class Asker:
    """Asks, and keeps what was told."""

    def __init__(self, *existing: str) -> None:
        self.pool = Pool()
        self.told: list[tuple[str, tuple[str, ...]]] = []
        self.refused = 0
        self.answers = Answers(
            self.pool,
            lambda name: not existing or name in existing,
            lambda *named: self.told.append(named),
            self._refuse,
        )

    def _refuse(self) -> None:
        self.refused += 1

    def ask(self, name: str, kind: str, **options: int) -> dns.message.Message:
        query = dns.message.make_query(name, kind, **options)  # type: ignore[arg-type]
        wire = self.answers.reply(query.to_wire(), datagram=True).wire
        assert wire is not None
        response = dns.message.from_wire(wire)
        assert query.is_response(response)
        return response

    def records(self, name: str, kind: str) -> list[str]:
        return [str(item) for rrset in self.ask(name, kind).answer for item in rrset]


@pytest.fixture
def asker() -> Asker:
    return Asker()


def test_every_name_has_an_address_of_each_family_and_is_told_once(asker: Asker) -> None:
    (four,), (six,) = asker.records("cloud.example.", "A"), asker.records("cloud.example.", "AAAA")
    assert asker.told == [("cloud.example", (four, six))]


def test_a_service_is_at_the_host_that_it_is_said_of_and_at_its_port(asker: Asker) -> None:
    response = asker.ask("_mongodb._tcp.cluster.example.", "SRV")
    (service,) = response.answer[0]
    assert str(service) == "0 0 27017 cluster.example."
    beside = {dns.rdatatype.to_text(rrset.rdtype): str(rrset[0]) for rrset in response.additional}
    assert ("cluster.example", (beside["A"], beside["AAAA"])) in asker.told


def test_mail_goes_to_the_domain_itself(asker: Asker) -> None:
    assert asker.records("bank.example.", "MX") == ["10 bank.example."]


def test_https_records_hint_at_the_addresses(asker: Asker) -> None:
    (record,) = asker.records("cloud.example.", "HTTPS")
    pair = asker.pool.pair("cloud.example")
    assert pair is not None
    assert record == f'1 . alpn="h2" ipv4hint="{pair.four}" ipv6hint="{pair.six}"'


@pytest.mark.parametrize("kind", ["CNAME", "TXT", "NS", "CAA", "ANY", "TYPE65280"])
def test_of_other_kinds_there_is_nothing_but_the_name_exists(asker: Asker, kind: str) -> None:
    response = asker.ask("cloud.example.", kind)
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer


def test_an_address_of_ours_leads_back_to_its_name_and_no_other_does(asker: Asker) -> None:
    pair = asker.pool.pair("db.bank.example")
    assert pair is not None
    for address in pair.texts:
        assert asker.records(dns.reversename.from_address(address).to_text(), "PTR") == ["db.bank.example."]
    response = asker.ask("4.3.2.1.in-addr.arpa.", "PTR")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert asker.told == [("4.3.2.1.in-addr.arpa", ())]


@pytest.mark.parametrize("label", [b"a b", b"@", b"$", b'"', b"a;b", b"(", b"\\", b"\xff", b"."])
def test_an_address_of_a_name_that_no_zone_file_holds_leads_back_to_it_or_to_nobody(asker: Asker, label: bytes) -> None:
    query = dns.message.make_query(dns.name.Name([label, b"example", b""]), "A")
    wire = asker.answers.reply(query.to_wire()).wire
    assert wire is not None
    address = dns.message.from_wire(wire).answer[0][0].to_text()
    assert asker.ask(dns.reversename.from_address(address).to_text(), "PTR").rcode() == dns.rcode.NOERROR


def test_in_a_world_without_names_only_the_chosen_exist() -> None:
    asker = Asker("db.bank.example")
    assert asker.ask("cloud.example.", "A").rcode() == dns.rcode.NXDOMAIN
    assert asker.ask("db.bank.example.", "A").answer
    assert asker.ask("localhost.", "A").answer
    assert [name for name, addresses in asker.told if not addresses] == ["cloud.example"]


def test_edns_is_answered_with_edns(asker: Asker) -> None:
    assert asker.ask("a.example.", "A", use_edns=0).edns == 0
    assert asker.ask("a.example.", "A").edns == -1


def test_what_no_datagram_can_hold_is_said_to_be_cut_and_comes_by_a_stream(asker: Asker) -> None:
    query = dns.message.make_query(f"_x._tcp.{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 40}.", "SRV")
    cut = asker.answers.reply(query.to_wire(), datagram=True).wire
    whole = asker.answers.reply(query.to_wire()).wire
    assert cut is not None
    assert whole is not None
    assert len(cut) <= 512 < len(whole)
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    assert dns.message.from_wire(whole).answer


def test_several_questions_at_once_are_noted_and_turned_down(asker: Asker) -> None:
    query = dns.message.make_query("a.example.", "A")
    query.question += dns.message.make_query("b.example.", "A").question
    reply = asker.answers.reply(query.to_wire(), datagram=True)
    assert reply.lines == ("DNS A a.example", "DNS A b.example")
    assert reply.wire is not None
    assert dns.message.from_wire(reply.wire).rcode() == dns.rcode.FORMERR


def test_a_question_is_noted_as_a_line_without_what_a_terminal_obeys(asker: Asker) -> None:
    query = dns.message.make_query("Evil\\027[31m.example.", "TXT")
    assert asker.answers.reply(query.to_wire()).lines == ("DNS TXT evil\\027[31m.example",)


def test_where_names_run_out_the_answer_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 1)
    asker = Asker()
    for number in range(5):
        asker.ask(f"n{number}.example.", "A")
    assert len(asker.told) == 2
    assert asker.refused == 3


def test_updates_are_not_implemented_and_answers_are_not_answered(asker: Asker) -> None:
    query = dns.message.make_query("a.example.", "A")
    query.set_opcode(dns.opcode.NOTIFY)
    wire = asker.answers.reply(query.to_wire()).wire
    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.NOTIMP
    assert (
        asker.answers.reply(dns.message.make_response(dns.message.make_query("a.example.", "A")).to_wire()).wire is None
    )


@given(st.binary(max_size=600))
def test_any_bytes_are_answered_or_not_but_never_fatal(data: bytes) -> None:
    Asker().answers.reply(data)


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3), st.integers(0, 65535))
def test_any_name_and_kind_is_answered(labels: list[bytes], kind: int) -> None:
    asker = Asker()
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0" + kind.to_bytes(2, "big") + b"\0\1"
    reply = asker.answers.reply(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question, datagram=True)
    assert all(line.isprintable() for line in reply.lines)
    if reply.wire is not None:
        assert reply.wire[:2] == b"\x12\x34"
