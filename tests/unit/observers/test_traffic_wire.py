"""Packets become facts; the kernel is not asked."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.address import scope_of
from airgap_check.evidence import Answer, Connection, Question, Request
from airgap_check.evidence.fact import endpoint
from airgap_check.kernel.packet import HOST, OTHER_HOST, OUTGOING, Frame
from airgap_check.observers.wire import Wire
from tests.onwire import (
    ACK,
    CLIENT,
    FIN,
    PUSH,
    SERVER,
    SERVER6,
    SYN,
    answered,
    asked,
    hello,
    initial,
    ip4,
    ip6,
    tcp,
    udp,
)  # fmt: skip

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.observers.lookout import Source

NETNS = 4026531840
SECOND = 1_700_000_000
OWN, STUB = "10.0.0.99", "127.0.0.53"


class Anywhere:
    """An identity that knows no namespace: an address is what it is for everybody."""

    def end(self, inode: int, packed: bytes, port: int | None = None, *, datagram: bool = True) -> Endpoint:
        assert inode
        address = ip_address(packed)
        if str(address) == OWN:
            return endpoint(address, port, scope="own")
        return endpoint(address, port, scope="broadcast" if datagram and packed[-1] == 255 else scope_of(address))


class Scene:
    def __init__(self, limit: int = 1000) -> None:
        identity: Any = Anywhere()
        self.wire = Wire(identity, limit, NETNS)
        self.second = SECOND

    def show(
        self,
        data: bytes,
        kind: int = OUTGOING,
        *,
        source: Source = "all",
        netns: int = NETNS,
        now: float = 0.0,
        interface: int = 2,
    ) -> None:
        self.second += 1
        ethertype = 0x86DD if data[:1] >= b"\x60" else 0x0800
        frame = Frame(self.second, 0, interface, kind, ethertype, data, len(data))
        self.wire.take(netns, frame, now, source=source)

    def facts(self, kind: type) -> list[Any]:
        return [fact for fact in self.wire.sightings.all() if isinstance(fact, kind)]

    def only(self, kind: type) -> Any:
        (fact,) = self.facts(kind)
        return fact


@pytest.fixture
def scene() -> Scene:
    return Scene()


def at(second: int) -> datetime:
    return datetime.fromtimestamp(SECOND + second, UTC)


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_syn_is_an_outbound_connection_of_nobody(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN)))
    connection = scene.only(Connection)
    assert connection == Connection(
        netns=NETNS,
        protocol="tcp",
        state="packet",
        direction="outbound",
        local=endpoint(ip_address(CLIENT)),
        remote=endpoint(ip_address(SERVER), 443),
        ownerless=True,
        first=at(1),
        last=at(1),
        seen="traffic",
    )
    assert connection.remote.scope == "public"


def test_a_syn_sent_again_counts_once_and_another_flow_counts_too(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN, sequence=5)))
    scene.show(ip4(6, tcp(flags=SYN, sequence=5)))
    scene.show(ip4(6, tcp(flags=SYN, sequence=9)))  # the port was used again
    scene.show(ip4(6, tcp(flags=SYN, sequence=5, source=40001)))
    connection = scene.only(Connection)
    assert connection.count == 3
    assert (connection.first, connection.last) == (at(1), at(4))
    assert scene.wire.counts()["flows"] == 3


def test_a_syn_that_arrives_is_not_ours(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN)), HOST)
    assert scene.facts(Connection) == []


@pytest.mark.parametrize(
    "packet",
    [tcp(flags=SYN | ACK), tcp(flags=ACK), tcp(flags=FIN | ACK)],
    ids=["SYN and ACK", "ACK", "FIN"],
)
def test_no_other_segment_is_a_connection(scene: Scene, packet: bytes) -> None:
    scene.show(ip4(6, packet))
    assert scene.facts(Connection) == []


@pytest.mark.parametrize(
    ("packet", "protocol", "port"),
    [
        (ip4(1, b"\x08\0\0\0\0\x07\0\x01" + bytes(20)), "icmp", None),
        (ip6(58, b"\x80\0\0\0\0\x07\0\x01" + bytes(20)), "icmp", None),
        (ip4(132, b"\x9c\x40\x0b\x80" + bytes(8) + b"\x01\0\0\x14" + bytes(16)), "raw", 2944),
        (ip6(6, tcp(flags=SYN)), "tcp", 443),
    ],
    ids=["echo", "IPv6 echo", "SCTP INIT", "IPv6 SYN"],
)
def test_other_openings_are_connections_too(scene: Scene, packet: bytes, protocol: str, port: int | None) -> None:
    scene.show(packet)
    connection = scene.only(Connection)
    assert (connection.protocol, connection.remote.port) == (protocol, port)
    assert connection.remote.address in {SERVER, SERVER6}


def test_a_ping_counts_once_however_often_it_is_sent(scene: Scene) -> None:
    for number in range(5):
        scene.show(ip4(1, b"\x08\0\0\0\0\x07\0" + bytes([number]) + bytes(20)))
    scene.show(ip4(1, b"\x08\0\0\0\0\x08\0\0" + bytes(20)))
    assert scene.only(Connection).count == 2


@pytest.mark.parametrize("packet", [ip4(1, b"\0" * 28), ip6(58, b"\x87" + bytes(23)), ip4(132, bytes(12) + b"\0" * 20)])
def test_echo_replies_and_other_chunks_open_nothing(scene: Scene, packet: bytes) -> None:
    scene.show(packet)
    assert scene.facts(Connection) == []


def test_namespaces_are_kept_apart(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN)), netns=1)
    scene.show(ip4(6, tcp(flags=SYN)), netns=2)
    assert [fact.netns for fact in scene.facts(Connection)] == [1, 2]


def test_only_a_datagram_is_a_broadcast(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN), to="10.0.0.255"))
    assert scene.only(Connection).remote.scope == "private"


def test_a_packet_with_a_tag_in_front_is_read(scene: Scene) -> None:
    data = ip4(6, tcp(flags=SYN))
    scene.wire.take(NETNS, Frame(1, 0, 2, OUTGOING, 0x8100, data, len(data)), 0.0, source="all")
    assert scene.only(Connection).remote.port == 443


# --- what clients say ------------------------------------------------------------------------------------------------


def test_a_hello_names_whom_it_is_for(scene: Scene) -> None:
    scene.show(ip4(6, tcp(hello("db.example.com"), flags=ACK | PUSH)))
    assert scene.only(Request) == Request(
        netns=NETNS,
        source="tls",
        name="db.example.com",
        protocol="tcp",
        remote=endpoint(ip_address(SERVER), 443),
        first=at(1),
        last=at(1),
        seen="traffic",
    )


def test_a_hello_sent_again_counts_once_and_another_counts_too(scene: Scene) -> None:
    said = hello("db.example.com")
    for source in (1, 1, 2):
        scene.show(ip4(6, tcp(said, source=source)))
    assert scene.only(Request).count == 2


def test_a_hello_in_a_syn_is_read(scene: Scene) -> None:
    scene.show(ip6(6, tcp(hello("fast.example.com"), flags=SYN)))
    assert scene.only(Request).name == "fast.example.com"
    assert scene.only(Connection).count == 1


@pytest.mark.parametrize("cuts", [(1,), (5,), (6, 9), (3, 100), (100, 200, 300, 400), (1, 2, 3, 4)])
def test_a_hello_in_pieces_is_put_together(scene: Scene, cuts: tuple[int, ...]) -> None:
    said = hello("pieces.example.com")
    ends = [*cuts, len(said)]
    for begin, end in zip([0, *cuts], ends, strict=True):
        scene.show(ip4(6, tcp(said[begin:end], sequence=1000 + begin)), source="hello")
    scene.show(ip4(6, tcp(bytes(500), sequence=1000 + len(said))), source="hello")  # what follows is nobody's name
    scene.wire.settle(math.inf)
    request = scene.only(Request)
    assert (request.name, request.hidden, request.count) == ("pieces.example.com", "no", 1)


def test_the_first_piece_is_left_to_the_ring_that_has_the_others(scene: Scene) -> None:
    said = hello("pieces.example.com")
    scene.show(ip4(6, tcp(said[:100], sequence=1000)), source="rest")
    scene.wire.settle(math.inf)
    assert scene.facts(Request) == []
    scene.show(ip4(6, tcp(said, sequence=1000)), source="rest")
    assert scene.only(Request).name == "pieces.example.com"


def test_a_hello_whose_rest_does_not_come_is_for_somebody_unknown(scene: Scene) -> None:
    scene.show(ip4(6, tcp(hello("cut.example.com")[:40])), now=10.0)
    scene.wire.settle(11.0)
    assert scene.facts(Request) == []
    scene.wire.settle(13.0)
    request = scene.only(Request)
    assert (request.source, request.name, request.hidden) == ("tls", None, "cut")
    scene.wire.settle(math.inf)
    assert scene.only(Request).count == 1


@pytest.mark.parametrize("source", ["all", "hello"])
def test_a_byte_that_a_hello_begins_with_is_none_yet(scene: Scene, source: Source) -> None:
    scene.show(ip4(6, tcp(b"\x16", to=23)), source=source)
    scene.wire.settle(math.inf)
    assert scene.facts(Request) == []


def test_what_goes_on_unlike_a_hello_is_none(scene: Scene) -> None:
    scene.show(ip4(6, tcp(b"\x16", to=23)), source="hello")
    scene.show(ip4(6, tcp(b"ls -l\n", to=23, sequence=2)), source="hello")
    scene.wire.settle(math.inf)
    assert scene.facts(Request) == []


def test_unfinished_hellos_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.opening._UNFINISHED", 3)
    for source in range(5):
        scene.show(ip4(6, tcp(hello("a.example.com")[:40], source=source)))
    assert scene.only(Request).count == 2


def test_dns_over_tls_has_no_name_to_know(scene: Scene) -> None:
    scene.show(ip4(6, tcp(hello("dns.example.com"), to=853)))
    request = scene.only(Request)
    assert (request.source, request.hidden) == ("dot", "encrypted-dns")


@pytest.mark.parametrize(
    ("head", "name", "hidden"),
    [
        (b"GET /secret HTTP/1.1\r\nCookie: secret\r\nHost: Web.Example.com\r\n\r\n", "web.example.com", "no"),
        (b"CONNECT far.example.com:443 HTTP/1.1\r\n\r\n", "far.example.com", "no"),
        (b"GET / HTTP/1.0\r\n\r\n", None, "no"),
        (b"GET / HTTP/1.1\r\nUser-Agent: x\r\n", None, "cut"),
    ],
    ids=["host", "proxy", "no host", "cut"],
)  # fmt: skip
def test_an_http_request_names_its_host_and_keeps_its_secrets(
    scene: Scene, head: bytes, name: str | None, hidden: str
) -> None:
    scene.show(ip4(6, tcp(head, to=80)))
    request = scene.only(Request)
    assert (request.source, request.name, request.hidden) == ("http", name, hidden)
    assert "secret" not in repr(scene.wire.sightings.all())


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_a_quic_initial_is_a_connection_and_names_whom_it_is_for(scene: Scene, version: int) -> None:
    (datagram,) = initial("quic.example.com", version=version)
    for _ in range(2):
        scene.show(ip4(17, udp(datagram, to=443)))
    request = scene.only(Request)
    assert (request.source, request.name, request.hidden, request.count) == ("quic", "quic.example.com", "no", 1)
    assert (scene.only(Connection).protocol, scene.only(Connection).count) == ("udp", 1)
    scene.wire.settle(math.inf)
    assert scene.only(Request).count == 1


def test_a_quic_hello_in_two_datagrams_is_put_together(scene: Scene) -> None:
    for datagram in initial("quic.example.com", split=100):
        scene.show(ip6(17, udp(datagram, to=4433)))
    scene.wire.settle(math.inf)
    assert [request.name for request in scene.facts(Request)] == ["quic.example.com"]


def test_a_quic_hello_whose_rest_does_not_come_is_for_somebody_unknown(scene: Scene) -> None:
    scene.show(ip4(17, udp(initial("quic.example.com", split=100)[0], to=443)))
    scene.wire.settle(math.inf)
    assert (scene.only(Request).source, scene.only(Request).hidden) == ("quic", "cut")


def test_what_follows_a_quic_hello_is_not_another(scene: Scene) -> None:
    for datagram in (*initial("quic.example.com"), initial("other.example.com", split=100)[1]):
        scene.show(ip4(17, udp(datagram, to=443)))
    scene.wire.settle(math.inf)
    assert [request.name for request in scene.facts(Request)] == ["quic.example.com"]


def test_a_quic_servers_answer_opens_nothing(scene: Scene) -> None:
    (datagram,) = initial("quic.example.com")
    scene.show(ip4(17, udp(datagram, source=443, to=50000)))
    assert scene.wire.sightings.all() == []


def test_dns_over_quic_or_dtls_is_encrypted_dns(scene: Scene) -> None:
    scene.show(ip4(17, udp(bytes(40), to=853)))
    (datagram,) = initial("dns.example.com")
    scene.show(ip4(17, udp(datagram, to=853, source=40001)))
    assert {(request.source, request.hidden) for request in scene.facts(Request)} == {("doq", "encrypted-dns")}


# --- names asked for -------------------------------------------------------------------------------------------------


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def ask(scene: Scene, name: str, kind: str = "A", number: int = 7) -> None:
    scene.show(ip4(17, udp(asked(name, kind, number), to=53)))


def answer(scene: Scene, data: bytes, *, to: str = CLIENT, port: int = 40000, server: str = SERVER) -> None:
    scene.show(ip4(17, udp(data, source=53, to=port), source=server, to=to), HOST)


def test_a_question_is_asked_once_a_name_and_server(scene: Scene) -> None:
    ask(scene, "Db.Example.com")
    ask(scene, "db.example.com", number=8)
    assert scene.only(Question) == Question(
        netns=NETNS,
        name="db.example.com",
        type="A",
        protocol="dns",
        server=endpoint(ip_address(SERVER), 53),
        status="asked",
        count=2,
        first=at(1),
        last=at(2),
        seen="traffic",
    )


def test_a_question_sent_again_counts_once(scene: Scene) -> None:
    ask(scene, "db.example.com")
    ask(scene, "db.example.com")
    assert scene.only(Question).count == 1
    assert scene.wire.counts()["questions"] == 1


def test_kinds_of_records_are_questions_of_their_own(scene: Scene) -> None:
    ask(scene, "db.example.com")
    ask(scene, "db.example.com", "AAAA", 8)
    assert {fact.type for fact in scene.facts(Question)} == {"A", "AAAA"}


def test_an_answer_on_our_own_wire_binds_its_addresses_for_everybody(scene: Scene) -> None:
    ask(scene, "db.example.com")
    answer(scene, answered("db.example.com", "10.1.1.2", "10.1.1.1", chain=("a.example.com",), ttl=30))
    assert scene.only(Answer) == Answer(
        name="db.example.com",
        netns=NETNS,
        source="observed",
        status="ok",
        chain=("a.example.com",),
        addresses=(endpoint(ip_address("10.1.1.1")), endpoint(ip_address("10.1.1.2"))),
        ttl=30,
        server=SERVER,
        private=False,
        first=at(2),
        seen="traffic",
    )
    assert scene.only(Question).status == "ok"
    assert scene.wire.counts()["answers"] == 1


def converse(scene: Scene, server: str, kind: int, *, netns: int = NETNS, interfaces: tuple[int, ...] = (2, 2)) -> None:
    """Ask by the first interfaces, and be answered by the last."""
    *there, back = interfaces
    for interface in there:
        scene.show(ip4(17, udp(asked("db.example.com"), to=53), to=server), netns=netns, interface=interface)
    reply = udp(answered("db.example.com", "10.1.1.1"), source=53, to=40000)
    scene.show(ip4(17, reply, source=server, to=CLIENT), kind, netns=netns, interface=back)


def test_an_answer_in_another_namespace_binds_for_who_asked_there(scene: Scene) -> None:
    converse(scene, SERVER, HOST, netns=7)
    assert scene.only(Answer).private


@pytest.mark.parametrize(
    ("server", "kind", "netns", "binds"),
    [
        (SERVER, HOST, 7, True),
        (SERVER, OTHER_HOST, 7, False),
        (SERVER, OUTGOING, NETNS, False),
        (SERVER, OUTGOING, 7, False),
        (STUB, OUTGOING, NETNS, True),
        (STUB, OUTGOING, 7, True),
        (OWN, OUTGOING, NETNS, True),
        (OWN, OUTGOING, 7, False),
    ],
)
def test_an_answer_binds_that_came_by_a_wire_or_from_loopback_itself(
    scene: Scene, server: str, kind: int, netns: int, *, binds: bool
) -> None:
    converse(scene, server, kind, netns=netns)
    assert bool(scene.facts(Answer)) is binds
    assert scene.only(Question).status == "ok"


@pytest.mark.parametrize(("interfaces", "binds"), [((2, 3), False), ((2, 3, 2), True), ((2, 3, 3), True)])
def test_an_answer_binds_that_came_by_the_way_of_its_question(
    scene: Scene, interfaces: tuple[int, ...], *, binds: bool
) -> None:
    converse(scene, SERVER, HOST, interfaces=interfaces)
    assert bool(scene.facts(Answer)) is binds
    assert scene.only(Question).count == 1


def test_a_forgery_does_not_keep_the_answer_out(scene: Scene) -> None:
    converse(scene, SERVER, HOST, interfaces=(2, 3))
    answer(scene, answered("db.example.com", "10.1.1.2"))
    assert [end.address for end in scene.only(Answer).addresses] == ["10.1.1.2"]


def test_the_same_answer_again_is_one_fact_with_its_first_time(scene: Scene) -> None:
    for number in (7, 8):
        ask(scene, "db.example.com", number=number)
        answer(scene, answered("db.example.com", "10.1.1.1", number=number))
    assert scene.only(Answer).first == at(2)


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (answered("db.example.com", "10.6.6.6", number=8), {}),
        (answered("other.example.com", "10.6.6.6"), {}),
        (answered("db.example.com", "fd00::6", kind="AAAA"), {}),
        (answered("db.example.com", "10.6.6.6"), {"server": "10.6.6.6"}),
        (answered("db.example.com", "10.6.6.6"), {"port": 40001}),
        (answered("db.example.com", "10.6.6.6"), {"to": "10.0.0.9"}),
    ],
    ids=["number", "name", "kind", "server", "port", "address"],
)
def test_an_answer_that_nobody_asked_for_binds_nothing(scene: Scene, data: bytes, how: dict[str, Any]) -> None:
    ask(scene, "db.example.com")
    answer(scene, data, **how)
    assert scene.facts(Answer) == []
    assert scene.only(Question).status == "asked"


def test_a_second_answer_to_one_question_binds_nothing(scene: Scene) -> None:
    ask(scene, "db.example.com")
    answer(scene, answered("db.example.com", "10.1.1.1"))
    answer(scene, answered("db.example.com", "10.6.6.6"))
    assert [end.address for end in scene.only(Answer).addresses] == ["10.1.1.1"]


@pytest.mark.parametrize(
    ("code", "status"), [(0, "nodata"), (2, "servfail"), (3, "nxdomain"), (5, "refused"), (4, "error")]
)
def test_a_question_has_the_status_of_its_answer(scene: Scene, code: int, status: str) -> None:
    ask(scene, "db.example.com")
    answer(scene, answered("db.example.com", code=code))
    assert scene.only(Question).status == status
    assert scene.facts(Answer) == []


def test_the_worst_answer_is_kept(scene: Scene) -> None:
    for number, code in ((1, 0), (2, 3), (3, 0)):
        ask(scene, "db.example.com", number=number)
        answer(scene, answered("db.example.com", "10.1.1.1", number=number, code=code))
    assert scene.only(Question).status == "nxdomain"


def test_a_question_that_arrives_is_not_ours(scene: Scene) -> None:
    scene.show(ip4(17, udp(asked("db.example.com"), to=53)), HOST)
    assert scene.facts(Question) == []


def test_names_over_tcp_are_read_in_pieces(scene: Scene) -> None:
    question, reply = asked("tcp.example.com"), answered("tcp.example.com", "10.1.1.1")
    scene.show(ip4(6, tcp(flags=SYN, to=53, sequence=99)))
    scene.show(ip4(6, tcp(len(question).to_bytes(2, "big"), to=53, sequence=100)))
    scene.show(ip4(6, tcp(question, to=53, sequence=102)))
    whole = len(reply).to_bytes(2, "big") + reply
    for begin in range(0, len(whole), 20):
        segment = tcp(whole[begin : begin + 20], source=53, to=40000, sequence=500 + begin)
        scene.show(ip4(6, segment, source=SERVER, to=CLIENT), HOST)
    assert (scene.only(Question).name, scene.only(Question).status) == ("tcp.example.com", "ok")
    assert [end.address for end in scene.only(Answer).addresses] == ["10.1.1.1"]
    assert scene.only(Connection).remote.port == 53


def test_a_multicast_name_is_asked_of_everybody_and_binds_nothing(scene: Scene) -> None:
    group = "224.0.0.251"
    scene.show(ip4(17, udp(asked("printer.local", number=0), to=5353, source=5353), to=group))
    reply = udp(answered("printer.local", "10.0.0.9", number=0), to=5353, source=5353)
    scene.show(ip4(17, reply, source="10.0.0.9", to=group), HOST)
    question = scene.only(Question)
    assert (question.protocol, question.server.address, question.status) == ("mdns", group, "ok")
    assert scene.facts(Answer) == []


def test_a_link_local_name_is_answered_by_whom_it_belongs_to_and_binds_nothing(scene: Scene) -> None:
    scene.show(ip4(17, udp(asked("printer"), to=5355), to="224.0.0.252"))
    reply = udp(answered("printer", "10.0.0.9"), source=5355, to=40000)
    scene.show(ip4(17, reply, source="10.0.0.9", to=CLIENT), HOST)
    assert (scene.only(Question).protocol, scene.only(Question).status) == ("llmnr", "ok")
    assert scene.facts(Answer) == []


def test_questions_that_wait_are_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.dialogue._WAITING", 2)
    for number in range(3):
        ask(scene, f"n{number}.example.com", number=number)
    for number in range(3):
        answer(scene, answered(f"n{number}.example.com", "10.1.1.1", number=number))
    assert [fact.status for fact in scene.facts(Question)] == ["asked", "ok", "ok"]


def test_what_is_no_dns_on_its_port_is_counted(scene: Scene) -> None:
    scene.show(ip4(17, udp(b"?", to=53)))
    scene.show(b"\x45")
    assert scene.wire.counts()["undissected"] == 2
    assert scene.wire.unread == 1


PUBLIC = asked("secret.example.com")
TWICE = PUBLIC[:5] + b"\x02" + PUBLIC[6:]  # it says that it asks for two names
ODD = PUBLIC[:2] + b"\x30" + PUBLIC[3:]  # an operation that nobody knows


@pytest.mark.parametrize(
    "packet",
    [
        ip4(17, udp(PUBLIC[:20], to=53)),
        ip4(17, udp(PUBLIC, to=53)[:24], fragment=0x2000),
        ip4(17, udp(PUBLIC, to=53)[:8], fragment=0x2000),
        ip4(17, udp(ODD, to=53)),
        ip4(17, udp(TWICE, to=53)),
        ip4(6, tcp(b"\0\x05hello", to=53, flags=SYN)),
        ip4(6, tcp(b"\0\x50hello", to=53, flags=SYN)),
        ip4(6, tcp(framed(PUBLIC), to=53), fragment=0x2000),
    ],
    ids=["cut", "fragment", "fragment without payload", "operation", "two names", "TCP", "TCP unfinished", "TCP cut"],
)
def test_what_a_name_server_may_read_and_we_cannot_is_counted(scene: Scene, packet: bytes) -> None:
    scene.show(packet)
    scene.wire.settle(math.inf)
    assert scene.wire.unread == 1
    assert scene.wire.counts()["undissected"] == 1


@pytest.mark.parametrize(
    ("packet", "kind"),
    [
        (ip4(17, udp(answered("db.example.com", "10.1.1.1")[:20], source=53, to=40000)), HOST),
        (ip4(17, udp(answered("db.example.com", "10.1.1.1")[:40], source=53, to=53)), OUTGOING),
        (ip4(17, udp(b"?", to=5353)), OUTGOING),
        (ip4(17, udp(PUBLIC, to=53), fragment=0x2000), OUTGOING),
        (ip4(6, tcp(b"\x03\x07\x01\x02", to=53)), OUTGOING),
        (ip4(6, tcp(to=53)), OUTGOING),
        (ip4(6, tcp(b"\0\x05hello", source=53, to=40000, flags=SYN)), HOST),
    ],
    ids=["cut answer", "our own answer", "mDNS", "whole in a fragment", "joined later", "keepalive", "TCP answer"],
)
def test_what_asks_for_nothing_is_not(scene: Scene, packet: bytes, kind: int) -> None:
    scene.show(packet, kind)
    scene.wire.settle(math.inf)
    assert scene.wire.unread == 0


@pytest.mark.parametrize("operation", [b"\x20", b"\x28"], ids=["notify", "update"])
def test_the_zone_of_a_change_is_asked_for(scene: Scene, operation: bytes) -> None:
    scene.show(ip4(17, udp(PUBLIC[:2] + operation + PUBLIC[3:], to=53)))
    assert scene.only(Question).name == "secret.example.com"
    assert scene.wire.unread == 0


@pytest.mark.parametrize(
    "packet",
    [
        ip4(17, udp(PUBLIC[:2] + b"\x81" + PUBLIC[3:], to=53)),
        ip4(6, tcp(framed(PUBLIC[:2] + b"\x81" + PUBLIC[3:]), to=53, source=53)),
    ],
)
def test_a_question_that_says_it_is_an_answer_is_one(scene: Scene, packet: bytes) -> None:
    scene.show(packet)
    assert scene.only(Question).name == "secret.example.com"


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_facts_beyond_the_limit_are_counted_and_not_kept() -> None:
    scene = Scene(limit=10)
    for port in range(1, 31):
        scene.show(ip4(6, tcp(flags=SYN, to=port)))
    scene.show(ip4(6, tcp(flags=SYN, to=1, source=9)))
    assert len(scene.facts(Connection)) == 10
    assert scene.wire.sightings.overflow == 20
    assert scene.facts(Connection)[0].count == 2


def test_what_is_new_is_told_once(scene: Scene) -> None:
    scene.show(ip4(6, tcp(flags=SYN)))
    assert scene.wire.sightings.fresh() == scene.facts(Connection) != []
    scene.show(ip4(6, tcp(flags=SYN, sequence=9)))
    assert scene.wire.sightings.fresh() == []
    scene.show(ip4(6, tcp(flags=SYN, to=80)))
    assert len(scene.wire.sightings.fresh()) == 1


_DATAGRAMS = st.builds(udp, st.binary(max_size=80), to=st.sampled_from((53, 443, 853, 5353)))
_SAID = st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(b"\x16\x03\x01\x00\x40\x01".__add__))
_SEGMENTS = st.builds(tcp, _SAID, to=st.sampled_from((53, 443, 80)), flags=st.integers(0, 255))
_PACKETS = st.one_of(
    st.builds(ip4, st.sampled_from((1, 6, 17, 58, 132)), st.binary(max_size=80)),
    st.builds(ip6, st.sampled_from((0, 6, 17, 44, 58)), st.binary(max_size=80)),
    st.builds(ip4, st.just(17), _DATAGRAMS),
    st.builds(ip4, st.just(6), _SEGMENTS),
    st.binary(max_size=60),
)
_KINDS, _SOURCES = st.sampled_from((HOST, OUTGOING)), st.sampled_from(("all", "hello", "rest"))


@given(st.lists(st.tuples(_PACKETS, _KINDS, _SOURCES), max_size=8))
def test_no_packet_breaks_it(packets: list[tuple[bytes, int, Source]]) -> None:
    scene = Scene(limit=5)
    for data, kind, source in packets:
        scene.show(data, kind, source=source)
    scene.wire.settle(math.inf)
    assert len(scene.wire.sightings.all()) <= 5
