"""The traffic observer in a laboratory: what leaves a host is seen with its name and addresses, and nothing is lost."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Answer, Connection, Evidence, Question, Request
from airgap_check.kernel.netns import Namespace
from airgap_check.observers.observer import Epoch
from airgap_check.observers.traffic import Traffic
from tests.live.lab import FAR, FAR6, NEAR, NEAR6, PUBLIC, PUBLIC6, RESOLVER, SILENT
from tests.onwire import SYN, answered, asked, hello, initial, ip4, ip6, tcp
from tests.unit.observers.test_traffic_wire import Anywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.lab import Lab
    from tests.live.lab_host import Host

CHECKOUT = Path(__file__).resolve().parents[2]
ANYWHERE: Any = Anywhere()
EPOCH: Any = Epoch
# Sends what it is told: lines of JSON. A stream is a connection that says its pieces one by one.
SENDER = """
import json, socket, sys, time
for line in sys.stdin:
    order = json.loads(line)
    six = ":" in order["to"]
    family = socket.AF_INET6 if six else socket.AF_INET
    place = order["to"], order["port"]
    if order["kind"] == "stream":
        with socket.create_connection(place, 60) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in order["pieces"]:
                stream.sendall(bytes.fromhex(piece))
                time.sleep(order.get("pause", 0.002))
            for _ in range(order.get("bulk", 0)):
                stream.sendall(bytes(1000))
            if order.get("answer"):
                stream.shutdown(socket.SHUT_WR)
                while stream.recv(1 << 16):
                    pass
    elif order["kind"] == "datagrams":
        with socket.socket(family, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(60)
            if order.get("fragments"):
                datagrams.setsockopt(socket.IPPROTO_IP, 10, 0)  # IP_MTU_DISCOVER, IP_PMTUDISC_DONT
            for piece in order["pieces"]:
                datagrams.sendto(bytes.fromhex(piece), place)
            if order.get("answer"):
                datagrams.recv(1 << 16)
    elif order["kind"] == "raw":
        with socket.socket(family, socket.SOCK_RAW, order["protocol"]) as raw:
            for piece in order["pieces"]:
                raw.sendto(bytes.fromhex(piece), (order["to"], 0))
    elif order["kind"] == "syn":
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.setblocking(False)
            stream.connect_ex(place)
            time.sleep(order.get("pause", 0))
    elif order["kind"] == "fast open":
        with socket.socket(family, socket.SOCK_STREAM) as stream:
            stream.settimeout(60)
            stream.sendto(bytes.fromhex(order["pieces"][0]), 0x20000000, place)
    elif order["kind"] == "flood":
        with socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            head = bytes.fromhex(order["pieces"][0])
            for number in range(order["count"]):
                packet = bytearray(head)
                packet[16:20] = (0xCB007209 + number // 60000).to_bytes(4, "big")
                packet[22:24] = (1 + number % 60000).to_bytes(2, "big")
                raw.sendto(packet, (order["to"], 0))
"""
# Answers as it is told: takes one message on each of its places, and replies with fixed bytes.
ANSWERER = """
import json, socket, sys, threading
def stream(listener, reply):
    while True:
        connection, _ = listener.accept()
        with connection:
            while reply and len(connection.recv(1 << 16, socket.MSG_PEEK)) < 20:
                pass  # until the question is there
            for begin in range(0, len(reply), 20):
                connection.sendall(reply[begin:begin + 20])
            while connection.recv(1 << 16):
                pass
def datagrams(listener, reply):
    while True:
        _, sender = listener.recvfrom(1 << 16)
        listener.sendto(reply, sender)
for address, port, kind, reply in json.loads(sys.argv[1]):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if kind == "tcp":
        listener = socket.create_server((address, port), family=family)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        listener = socket.socket(family, socket.SOCK_DGRAM)
        listener.bind((address, port))
    work = stream if kind == "tcp" else datagrams
    threading.Thread(target=work, args=(listener, bytes.fromhex(reply)), daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


def namespace(host: Host) -> Namespace:
    """Return the network namespace of a laboratory host as a test can join it."""
    return Namespace(os.fstat(host.netns).st_ino, "process", (), ((0, f"/proc/self/fd/{host.netns}"),))


@pytest.fixture
def observer(lab: Lab) -> Iterator[Traffic]:
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    try:
        yield watching
    finally:
        watching.close()


def order(kind: str, to: str, port: int = 0, *pieces: bytes, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "to": to, "port": port, "pieces": [piece.hex() for piece in pieces], **more}


def send(host: Host, *orders: dict[str, Any]) -> None:
    host.check([sys.executable, "-I", "-S", "-c", SENDER], stdin="".join(json.dumps(each) + "\n" for each in orders))


def answer(lab: Lab, host: Host, *places: tuple[str, int, str, bytes]) -> None:
    """Let a host answer on some places until the laboratory closes."""
    for address, *_ in places:
        if host is lab.far:
            lab.assign(address)
    told = json.dumps([(address, port, kind, reply.hex()) for address, port, kind, reply in places])
    host.run([sys.executable, "-I", "-S", "-c", ANSWERER, told]).expect("ready")


def finish(observer: Traffic) -> Evidence:
    evidence = observer.finish()
    assert evidence.status == "complete", evidence.reason
    assert evidence.lost == 0
    return evidence


def names(evidence: Evidence) -> set[tuple[str, str | None, str]]:
    return {(request.source, request.name, request.hidden) for request in evidence.of(Request)}


def reached(evidence: Evidence) -> set[tuple[str, str | None, int | None]]:
    return {(fact.protocol, fact.remote.address, fact.remote.port) for fact in evidence.of(Connection)}


def cut(data: bytes, *places: int) -> list[bytes]:
    return [data[begin:end] for begin, end in zip((0, *places), (*places, len(data)), strict=True)]


# --- kinds of packets ------------------------------------------------------------------------------------------------


def test_attempts_are_seen_whether_they_are_accepted_refused_or_met_with_silence(lab: Lab, observer: Traffic) -> None:
    lab.serve(PUBLIC, 443)
    lab.assign(PUBLIC6)
    send(
        lab.near,
        order("stream", PUBLIC, 443),
        order("syn", PUBLIC, 444),
        order("syn", SILENT, 443, pause=1.2),  # long enough for a second SYN
        order("syn", PUBLIC6, 445),
    )
    evidence = finish(observer)
    assert reached(evidence) == {
        ("tcp", PUBLIC, 443), ("tcp", PUBLIC, 444), ("tcp", SILENT, 443), ("tcp", PUBLIC6, 445),
    }  # fmt: skip
    for connection in evidence.of(Connection):
        assert (connection.count, connection.direction, connection.ownerless) == (1, "outbound", True)
        assert connection.local.address in {NEAR, "fd99::2"}


def test_echo_requests_and_sctp_are_seen(lab: Lab, observer: Traffic) -> None:
    lab.assign(PUBLIC6)
    echo = bytes.fromhex("0800f7fe00010000") + bytes(8)
    echo6 = bytes.fromhex("8000000000010000") + bytes(8)
    init = bytes.fromhex("9c400b80000000000000000001000014") + bytes(16)
    send(
        lab.near,
        order("raw", PUBLIC, 0, echo, protocol=1),
        order("raw", PUBLIC6, 0, echo6, protocol=58),
        order("raw", PUBLIC, 0, init, protocol=132),
    )
    expected = {("icmp", PUBLIC, None), ("icmp", PUBLIC6, None), ("raw", PUBLIC, 2944)}
    assert reached(finish(observer)) == expected


@pytest.mark.parametrize("cuts", [(), (1,), (3, 9), (5, 6, 300), (100, 200, 300, 400)], ids=len)
@pytest.mark.parametrize("address", [PUBLIC, PUBLIC6])
def test_a_hello_is_read_in_however_many_segments_it_comes(
    lab: Lab, observer: Traffic, address: str, cuts: tuple[int, ...]
) -> None:
    answer(lab, lab.far, (address, 8443, "tcp", b""))
    send(lab.near, order("stream", address, 8443, *cut(hello("split.example.com"), *cuts)))
    assert names(finish(observer)) == {("tls", "split.example.com", "no")}


def test_a_thousand_split_hellos_are_all_read(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.far, (PUBLIC, 443, "tcp", b""))
    said = [hello(f"n{number}.example.com") for number in range(1000)]
    orders = [
        order("stream", PUBLIC, 443, *cut(data, 1 + number % 60, 200), pause=0) for number, data in enumerate(said)
    ]
    for begin in range(0, 1000, 100):
        send(lab.near, *orders[begin : begin + 100])
        observer.drain()
    evidence = finish(observer)
    assert names(evidence) == {("tls", f"n{number}.example.com", "no") for number in range(1000)}
    assert sum(connection.count for connection in evidence.of(Connection)) == 1000


def test_a_hello_in_a_syn_is_read(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.far, (PUBLIC, 443, "tcp", b""))
    lab.near.sysctl("net/ipv4/tcp_fastopen", 5)  # as a client, without a cookie
    send(lab.near, order("fast open", PUBLIC, 443, hello("fast.example.com")))
    assert names(finish(observer)) == {("tls", "fast.example.com", "no")}


@pytest.mark.parametrize("version", [1, 0x6B3343CF])
def test_quic_is_read_also_when_its_hello_is_split(lab: Lab, observer: Traffic, version: int) -> None:
    lab.assign(PUBLIC)
    send(
        lab.near,
        order("datagrams", PUBLIC, 443, *initial("one.example.com", version=version)),
        order("datagrams", PUBLIC, 4433, *initial("two.example.com", version=version, split=150)),
    )
    evidence = finish(observer)
    assert names(evidence) == {("quic", "one.example.com", "no"), ("quic", "two.example.com", "no")}
    assert reached(evidence) == {("udp", PUBLIC, 443), ("udp", PUBLIC, 4433)}


def test_http_and_encrypted_dns_are_read(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.far, (PUBLIC, 80, "tcp", b""), (PUBLIC, 853, "tcp", b""))
    send(
        lab.near,
        order("stream", PUBLIC, 80, b"GET /secret HTTP/1.1\r\nHost: web.example.com\r\n\r\n"),
        order("stream", PUBLIC, 853, hello("dns.example.com")),
        order("datagrams", PUBLIC, 853, *initial("dns.example.com")),
    )
    evidence = finish(observer)
    assert names(evidence) == {
        ("http", "web.example.com", "no"),
        ("dot", "dns.example.com", "encrypted-dns"),
        ("doq", "dns.example.com", "encrypted-dns"),
    }
    assert "secret" not in repr(evidence)


def test_questions_and_answers_are_joined_over_udp_and_tcp(lab: Lab, observer: Traffic) -> None:
    over_udp = answered("udp.example.com", "10.20.0.5", chain=("db1.example.com",))
    over_tcp = answered("tcp.example.com", "10.20.0.6", "10.20.0.7")
    answer(
        lab, lab.far,
        (RESOLVER, 53, "udp", over_udp),
        (RESOLVER, 53, "tcp", len(over_tcp).to_bytes(2, "big") + over_tcp),
    )  # fmt: skip
    question = asked("tcp.example.com")
    send(
        lab.near,
        order("datagrams", RESOLVER, 53, asked("udp.example.com"), answer=True),
        order("stream", RESOLVER, 53, len(question).to_bytes(2, "big"), question, answer=True),
        order("datagrams", SILENT, 53, asked("nobody.example.com", "AAAA")),
    )
    evidence = finish(observer)
    assert {(fact.name, fact.type, fact.server.address, fact.status) for fact in evidence.of(Question)} == {
        ("udp.example.com", "A", RESOLVER, "ok"),
        ("tcp.example.com", "A", RESOLVER, "ok"),
        ("nobody.example.com", "AAAA", SILENT, "asked"),
    }
    assert {(fact.name, fact.chain, tuple(end.address for end in fact.addresses)) for fact in evidence.of(Answer)} == {
        ("udp.example.com", ("db1.example.com",), ("10.20.0.5",)),
        ("tcp.example.com", (), ("10.20.0.6", "10.20.0.7")),
    }


def test_a_question_that_is_hidden_from_us_and_not_from_its_server_is_no_clean_result(
    lab: Lab, observer: Traffic
) -> None:
    odd, question = asked("odd.example.com"), asked("after.example.com")
    segment = b"".join(len(each).to_bytes(2, "big") + each for each in (odd[:2] + b"\x30" + odd[3:], question))
    long = asked("a-name-that-is-longer-than-a-fragment." * 2 + "example.com")
    answer(lab, lab.far, (RESOLVER, 53, "tcp", b""))
    lab.near.ip(f"route replace {SILENT} via {FAR} mtu 68")
    send(
        lab.near,
        order("stream", RESOLVER, 53, segment),
        order("stream", RESOLVER, 53, segment[:9]),
        order("datagrams", SILENT, 53, long, fragments=True),
    )
    evidence = observer.finish()
    assert [fact.name for fact in evidence.of(Question)] == ["after.example.com"]
    assert (evidence.status, evidence.reason) == ("partial", "3 DNS messages could not be read")


def test_what_is_answered_on_loopback_binds_only_if_its_server_can_only_be_there(lab: Lab, observer: Traffic) -> None:
    lab.near.ip("addr add 10.20.0.99/32 dev lo")
    answer(lab, lab.near, ("10.20.0.99", 53, "udp", answered("forged.example.com", "10.20.0.5")))
    send(lab.near, order("datagrams", "10.20.0.99", 53, asked("forged.example.com"), answer=True))
    evidence = finish(observer)
    assert [fact.status for fact in evidence.of(Question)] == ["ok"]
    assert list(evidence.of(Answer)) == []


def test_questions_to_everybody_are_seen(lab: Lab, observer: Traffic) -> None:
    lab.near.ip("route add 224.0.0.0/4 dev eth0")
    send(
        lab.near,
        order("datagrams", "224.0.0.251", 5353, asked("printer.local", number=0)),
        order("datagrams", "224.0.0.252", 5355, asked("printer")),
    )
    evidence = finish(observer)
    assert {(fact.name, fact.protocol, fact.server.address) for fact in evidence.of(Question)} == {
        ("printer.local", "mdns", "224.0.0.251"),
        ("printer", "llmnr", "224.0.0.252"),
    }


def test_on_loopback_only_names_are_seen_and_each_once(lab: Lab, observer: Traffic) -> None:
    reply = answered("stub.example.com", "10.20.0.5")
    answer(lab, lab.near, ("127.0.0.53", 53, "udp", reply), ("127.0.0.1", 443, "tcp", b""))
    send(
        lab.near,
        order("datagrams", "127.0.0.53", 53, asked("stub.example.com"), answer=True),
        order("stream", "127.0.0.1", 443, hello("here.example.com")),
    )
    evidence = finish(observer)
    (question,) = evidence.of(Question)
    assert (question.name, question.status, question.count) == ("stub.example.com", "ok", 1)
    assert [end.address for fact in evidence.of(Answer) for end in fact.addresses] == ["10.20.0.5"]
    assert len(evidence.records) == 2


@pytest.mark.parametrize("extension", [0, 60])
def test_what_stands_behind_extension_headers_is_seen(lab: Lab, observer: Traffic, extension: int) -> None:
    lab.assign(PUBLIC6)
    padded = bytes([6, 0, 1, 4, 0, 0, 0, 0]) + tcp(flags=SYN)
    packet = ip6(extension, padded, source=NEAR6, to=PUBLIC6)
    send(lab.near, order("raw", PUBLIC6, 0, packet, protocol=255))
    assert ("tcp", PUBLIC6, 443) in reached(finish(observer))


# --- what is not wanted, and how often things count ------------------------------------------------------------------


def test_bulk_data_is_not_taken(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.far, (PUBLIC, 9000, "tcp", b""))
    send(lab.near, order("stream", PUBLIC, 9000, b"begin", bulk=20_000))
    evidence = finish(observer)
    assert reached(evidence) == {("tcp", PUBLIC, 9000)}
    assert evidence.counts["packets"] <= 20  # the SYN, and neighbour discovery where there is any


def test_what_follows_a_split_hello_is_not_taken(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.far, (PUBLIC, 9000, "tcp", b""))
    send(lab.near, order("stream", PUBLIC, 9000, *cut(hello("split.example.com"), 100), bulk=20_000))
    evidence = finish(observer)
    assert names(evidence) == {("tls", "split.example.com", "no")}
    assert evidence.counts["packets"] <= 60  # of a thousand bytes each, within 17 KiB


def test_a_connection_that_arrives_is_not_ours(lab: Lab, observer: Traffic) -> None:
    answer(lab, lab.near, (NEAR, 443, "tcp", b"hi"))
    send(lab.far, order("stream", NEAR, 443, hello("near.example.com")))
    assert finish(observer).records == ()


def test_what_a_container_sends_counts_once_though_it_passes_two_interfaces(lab: Lab) -> None:
    lab.serve(PUBLIC, 443)
    lab.assign(PUBLIC)
    lab.far.ip("route add 172.17.0.0/16 via 10.99.0.2")
    running = lab.near.run(["unshare", "--net", PYTHON_WAIT[0], *PYTHON_WAIT[1:]])
    running.expect("ready")
    lab.wire_container(running.pid)
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    try:
        script = order("stream", PUBLIC, 443, hello("inside.example.com"))
        lab.near.check(
            ["nsenter", "--target", str(running.pid), "--net", sys.executable, "-I", "-S", "-c", SENDER],
            stdin=json.dumps(script) + "\n",
        )
        evidence = finish(watching)
    finally:
        watching.close()
    (connection,) = evidence.of(Connection)
    assert (connection.count, connection.local.address, connection.remote.address) == (1, "172.17.0.2", PUBLIC)
    assert [request.count for request in evidence.of(Request)] == [1]


PYTHON_WAIT = (sys.executable, "-I", "-S", "-c", "print('ready', flush=True); input()")


def test_what_a_container_is_answered_through_our_own_namespace_binds_everybody(lab: Lab) -> None:
    answer(lab, lab.far, (RESOLVER, 53, "udp", answered("db.example.com", "10.20.0.5")))
    lab.far.ip("route add 172.17.0.0/16 via 10.99.0.2")
    running = lab.near.run(["unshare", "--net", PYTHON_WAIT[0], *PYTHON_WAIT[1:]])
    running.expect("ready")
    lab.wire_container(running.pid)
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    watching._own = namespace(lab.near).inode
    try:
        script = order("datagrams", RESOLVER, 53, asked("db.example.com"), answer=True)
        lab.near.check(
            ["nsenter", "--target", str(running.pid), "--net", sys.executable, "-I", "-S", "-c", SENDER],
            stdin=json.dumps(script) + "\n",
        )
        evidence = finish(watching)
    finally:
        watching.close()
    (told,) = evidence.of(Answer)
    assert ([end.address for end in told.addresses], told.private) == (["10.20.0.5"], False)


def test_an_interface_that_comes_later_and_a_bridge_are_watched_too(lab: Lab, observer: Traffic) -> None:
    lab.near.ip(
        "link add late type veth peer name later",
        "address add 10.77.0.1/24 dev late",
        "link set late up",
        "link set later up",
        "neighbour add 10.77.0.9 lladdr 02:00:00:00:00:09 dev late",
    )
    send(lab.near, order("syn", "10.77.0.9", 22))
    evidence = finish(observer)
    (connection,) = evidence.of(Connection)
    assert (connection.remote.address, connection.count) == ("10.77.0.9", 1)


# --- bounds, and what goes wrong -------------------------------------------------------------------------------------


def test_a_flood_of_different_flows_is_counted_and_memory_stays_bounded(lab: Lab) -> None:
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    try:
        before = _resident()
        syn = ip4(6, tcp(flags=SYN, options=0), source=NEAR, to=SILENT)
        for _ in range(3):
            send(lab.near, order("flood", SILENT, 0, syn, count=60_000))
            for _ in range(3):
                watching.drain()
                time.sleep(0.06)
        evidence = watching.finish()
    finally:
        watching.close()
    assert len(evidence.records) <= 50_000
    assert evidence.status == "partial"
    assert evidence.counts["flows"] + evidence.counts["drops"] >= 60_000
    assert evidence.lost >= 10_000
    assert _resident() - before < 80 << 20


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_reader_who_stops_for_a_second_loses_nothing(lab: Lab, observer: Traffic) -> None:
    lab.assign(PUBLIC)
    observer.drain()
    end = time.monotonic() + 1.2
    rounds = 0
    while time.monotonic() < end:
        send(lab.near, *(order("syn", FAR, port) for port in range(1000, 1050)))
        rounds += 1
    evidence = finish(observer)
    assert sum(connection.count for connection in evidence.of(Connection)) == 50 * rounds
    assert len(evidence.records) == 50


def test_packets_that_there_is_no_room_for_are_counted_exactly(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.traffic._FIRST", 1 << 17)
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    try:
        syn = ip4(6, tcp(flags=SYN, options=0), source=NEAR, to=SILENT)
        send(lab.near, order("flood", SILENT, 0, syn, count=20_000))
        evidence = watching.finish()
    finally:
        watching.close()
    assert evidence.status == "partial"
    assert evidence.counts["drops"] > 10_000
    assert evidence.counts["drops"] + evidence.counts["flows"] == 20_000
    assert f"the kernel had no room for {evidence.counts['drops']} packets" in evidence.reason


def test_without_the_right_the_reason_is_one_line(lab: Lab) -> None:
    script = (
        "from airgap_check.kernel.netns import Namespace, own_inode\n"
        "from airgap_check.observers.observer import UnobservableError\n"
        "from airgap_check.observers.traffic import Traffic\n"
        "try:\n    Traffic([Namespace(own_inode(), 'process')], None, None)\n"
        "except UnobservableError as error:\n    print(error)\n"
    )
    said = lab.near.check([sys.executable, "-c", script], user=(65534, 65534), env={"PYTHONPATH": str(CHECKOUT)})
    assert said == "packets cannot be captured: that needs CAP_NET_RAW (run as root, or give that capability)\n"


def test_without_cap_bpf_a_split_hello_is_told_as_one_that_cannot_be_known(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airgap_check.kernel.unfinished_hello.bpf.load", _refuse)
    answer(lab, lab.far, (PUBLIC, 443, "tcp", b""))
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    try:
        send(lab.near, order("stream", PUBLIC, 443, *cut(hello("split.example.com"), 100)))
        evidence = finish(watching)
    finally:
        watching.close()
    assert names(evidence) == {("tls", None, "cut")}
    assert any("split over several segments (needs CAP_BPF)" in spot for spot in evidence.blind)


def _refuse(*_: object, **__: object) -> int:
    raise PermissionError(1, "refused for the sake of the test")


def test_a_namespace_is_not_kept_alive(observer: Traffic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap_check.observers.traffic._LOOK_AFTER", -math.inf)
    with subprocess.Popen(["unshare", "--net", *PYTHON_WAIT], stdin=-1, stdout=-1) as gone:
        assert gone.stdout
        assert gone.stdin
        gone.stdout.readline()
        link = f"/proc/{gone.pid}/ns/net"
        other = Namespace(os.stat(link).st_ino, "process", (gone.pid,), ((0, link),))
        observer.add(other)
        observer.drain()
        assert len(observer._lookouts) == 2
        gone.stdin.close()
    observer.drain()
    assert len(observer._lookouts) == 1
    assert finish(observer).scope == "packets that left 2 network namespaces"


def test_nothing_stays_open(lab: Lab) -> None:
    lab.assign(FAR6)
    before = sorted(os.listdir("/proc/self/fd"))
    watching = Traffic([namespace(lab.near)], EPOCH, ANYWHERE)
    watching.drain()
    watching.finish()
    watching.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
