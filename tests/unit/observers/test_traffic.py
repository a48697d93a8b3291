from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Connection
from airgap_check.kernel import netns, unfinished_hello
from airgap_check.kernel.bpf import BpfError
from airgap_check.kernel.netns import Namespace, own_inode
from airgap_check.kernel.packet import OUTGOING, Frame, Statistics
from airgap_check.observers import lookout, traffic
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.observers.traffic import Traffic
from tests.onwire import SYN, hello, ip4, tcp, udp
from tests.unit.observers.test_traffic_wire import Anywhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.observers.lookout import Source

ANYWHERE: Any = Anywhere()
EPOCH: Any = Epoch
HERE, THERE, TRIAL = (Namespace(inode, "process", (1,)) for inode in (11, 22, 33))


class Post:
    """A lookout whose packets are put there by the test."""

    def __init__(self, namespace: Namespace, size: int, program: object) -> None:
        if namespace.inode in REFUSED:
            raise UnobservableError("refused for the sake of the test")
        assert program
        self.namespace, self.size = namespace, size
        self.waiting: list[tuple[Source, list[Frame]]] = []
        self.lost = 0
        self.gone = self.closed = False
        self.wake = os.eventfd(0, os.EFD_NONBLOCK)
        POSTS[namespace.inode] = self

    def see(self, data: bytes, source: Source = "all") -> None:
        self.waiting.append((source, [Frame(1, 0, 2, OUTGOING, 0x0800, data, len(data))]))

    def filenos(self) -> Iterator[int]:
        yield self.wake

    def blocks(self) -> Iterator[tuple[Source, list[Frame]]]:
        while self.waiting:
            yield self.waiting.pop(0)

    def statistics(self) -> Statistics:
        return Statistics(5 + self.lost, self.lost, 0)

    def has_gone(self) -> bool:
        return self.gone

    def close(self) -> None:
        if not self.closed:
            os.close(self.wake)
        self.closed = True


POSTS: dict[int, Post] = {}
REFUSED: set[int] = set()


@pytest.fixture(autouse=True)
def posts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(traffic, "Lookout", Post)
    monkeypatch.setattr(unfinished_hello, "load", _no_program)
    monkeypatch.setattr("airgap_check.kernel.packet.RETIRE_MS", 0)
    yield
    for post in POSTS.values():
        assert post.closed
    POSTS.clear()
    REFUSED.clear()


def _no_program() -> int:
    raise BpfError(errno.EPERM, "load")


def watch(*namespaces: Namespace) -> Traffic:
    return Traffic(namespaces or (HERE,), EPOCH, ANYWHERE)


def syn(port: int = 443) -> bytes:
    return ip4(6, tcp(flags=SYN, to=port))


def test_what_was_seen_is_complete_when_nothing_was_lost() -> None:
    observer = watch(HERE, THERE)
    POSTS[11].see(syn())
    POSTS[22].see(syn())
    evidence = observer.finish()
    assert (evidence.kind, evidence.status, evidence.reason, evidence.lost) == ("traffic", "complete", "", 0)
    assert [record.netns for record in evidence.of(Connection)] == [11, 22]
    assert evidence.counts == {
        "packets": 10, "drops": 0, "flows": 2, "questions": 0, "answers": 0, "requests": 0, "undissected": 0,
    }  # fmt: skip
    assert evidence.scope == "packets that left 2 network namespaces"
    assert "every network namespace but the 2 observed" in evidence.blind
    assert "which process a packet is of" in evidence.blind


def test_a_network_where_nothing_happens_is_complete_too() -> None:
    evidence = watch().finish()
    assert (evidence.status, evidence.records) == ("complete", ())
    assert evidence.counts["flows"] == 0
    assert evidence.scope == "packets that left 1 network namespace"


def test_lost_packets_make_it_partial() -> None:
    observer = watch()
    POSTS[11].lost = 3
    evidence = observer.finish()
    assert (evidence.status, evidence.lost, evidence.counts["drops"]) == ("partial", 3, 3)
    assert evidence.reason == "the kernel had no room for 3 packets"


def test_facts_that_were_not_kept_make_it_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "FACTS", 2)
    observer = watch()
    for port in range(1, 6):
        POSTS[11].see(syn(port))
    evidence = observer.finish()
    assert (evidence.status, evidence.lost, len(evidence.records)) == ("partial", 3, 2)
    assert evidence.reason == "there were more than 2 different facts; 3 sightings were not kept"


@pytest.mark.parametrize(("number", "reason"), [(1, "1 DNS message could"), (2, "2 DNS messages could")])
def test_questions_that_cannot_be_read_make_it_partial(number: int, reason: str) -> None:
    observer = watch()
    for _ in range(number):
        POSTS[11].see(ip4(17, udp(b"?", to=53)))
    evidence = observer.finish()
    assert (evidence.status, evidence.reason) == ("partial", f"{reason} not be read")
    assert evidence.counts["undissected"] == number


def test_a_namespace_that_cannot_be_watched_makes_it_partial() -> None:
    REFUSED.add(22)
    evidence = watch(HERE, THERE).finish()
    assert (evidence.status, evidence.reason) == ("partial", "refused for the sake of the test")
    assert evidence.scope == "packets that left 1 network namespace"


def test_a_namespace_that_could_be_watched_later_is_no_gap() -> None:
    REFUSED.add(22)
    observer = watch(HERE, THERE)
    REFUSED.clear()
    observer.add(THERE)
    assert observer.finish().status == "complete"


def test_a_library_that_is_missing_makes_it_partial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "find_spec", lambda _: None)
    evidence = watch().finish()
    assert evidence.status == "partial"
    assert evidence.reason == ("not every packet can be read: cryptography and scapy cannot be imported")


def test_without_the_program_split_hellos_are_a_blind_spot() -> None:
    blind = "the name in a TLS hello that is split over several segments (needs CAP_BPF)"
    assert blind in watch().finish().blind


def test_where_nothing_can_be_watched_the_reason_is_one_line() -> None:
    REFUSED.add(11)
    with pytest.raises(UnobservableError, match="refused for the sake of the test"):
        watch()
    with pytest.raises(UnobservableError, match="there is no network namespace to watch"):
        Traffic((), EPOCH, ANYWHERE)


@pytest.mark.parametrize(
    ("error", "inode", "line"),
    [
        (PermissionError(errno.EPERM, ""), own_inode(), "packets cannot be captured: that needs CAP_NET_RAW"),
        (OSError(errno.EAFNOSUPPORT, ""), own_inode(), "packets cannot be captured: this kernel has no packet sockets"),
        (OSError(errno.ENOMEM, ""), own_inode(), "packets cannot be captured: Cannot allocate memory"),
        (PermissionError(errno.EPERM, ""), 5, r"could not capture packets in net:\[5\]: Operation not permitted"),
    ],
)
def test_what_the_kernel_refuses_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, error: OSError, inode: int, line: str
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(netns, "inside", refuse)
    program: Any = None
    with pytest.raises(UnobservableError, match=f"^{line}") as caught:
        lookout.Lookout(Namespace(inode, "process"), 1 << 20, program)
    assert "\n" not in str(caught.value)


def test_what_is_set_aside_is_kept_apart_and_never_reported() -> None:
    observer = watch(HERE)
    observer.set_aside(33)
    observer.add(TRIAL)
    POSTS[33].see(syn(1))
    POSTS[33].lost = 7
    POSTS[11].see(syn(2))
    observer.drain()
    assert [record.remote.port for record in observer.aside() if isinstance(record, Connection)] == [1]
    assert [record.remote.port for record in observer.fresh() if isinstance(record, Connection)] == [2]
    evidence = observer.finish()
    assert [record.remote.port for record in evidence.of(Connection)] == [2]
    assert (evidence.status, evidence.counts["packets"], evidence.counts["flows"]) == ("complete", 5, 1)
    assert evidence.scope == "packets that left 1 network namespace"


def test_what_is_set_aside_and_cannot_be_watched_is_said_to_who_asked_alone() -> None:
    observer = watch(HERE)
    observer.set_aside(33)
    REFUSED.add(33)
    with pytest.raises(UnobservableError):
        observer.add(TRIAL)
    assert observer.finish().status == "complete"


def test_what_is_new_is_told_once() -> None:
    observer = watch()
    assert observer.fresh() == []
    POSTS[11].see(syn())
    observer.drain()
    assert len(observer.fresh()) == 1
    assert observer.fresh() == []
    assert len(observer.finish().records) == 1


def test_a_hello_that_never_ends_is_told_at_the_end() -> None:
    observer = watch()
    POSTS[11].see(ip4(6, tcp(hello("a.example.com")[:50])))
    assert observer.finish().counts["requests"] == 1


def test_a_namespace_that_has_gone_is_left_and_what_was_seen_there_stays() -> None:
    observer = watch(HERE, THERE)
    POSTS[22].see(syn())
    POSTS[22].lost = 1
    POSTS[22].gone = True
    observer.drain()
    assert POSTS[22].closed
    assert not POSTS[11].closed
    evidence = observer.finish()
    assert [record.netns for record in evidence.of(Connection)] == [22]
    assert evidence.counts["drops"] == 1


def test_a_namespace_is_watched_once_and_only_so_many() -> None:
    observer = watch(HERE)
    first = POSTS[11]
    observer.add(HERE)
    assert POSTS[11] is first
    for inode in range(100, 150):
        observer.add(Namespace(inode, "process"))
    assert len(POSTS) == 32
    assert (first.size, POSTS[100].size) == (8 << 20, 1 << 20)
    evidence = observer.finish()
    assert evidence.status == "partial"
    assert evidence.reason == "packets of no more than 32 network namespaces are watched at a time (and 18 more)"


def test_one_descriptor_tells_of_every_namespace_and_outlives_them() -> None:
    observer = watch(HERE)
    before = observer.filenos()
    observer.add(THERE)
    with select.epoll() as poll:
        poll.register(before[0], select.EPOLLIN)
        assert poll.poll(0) == []
        os.eventfd_write(POSTS[22].wake, 1)
        assert poll.poll(0) == [(before[0], select.EPOLLIN)]
        observer.remove(22)
        assert poll.poll(0) == []
        assert observer.filenos() == before
        poll.unregister(before[0])
    observer.close()


def test_it_can_be_closed_more_than_once() -> None:
    observer = watch()
    observer.close()
    observer.close()
    assert POSTS[11].closed
    assert observer.filenos() == ()


def test_the_program_has_two_ways_out() -> None:
    code = unfinished_hello.program(3)
    moves = [code[at : at + 8] for at in range(0, len(code), 8)]
    exits = [at for at, move in enumerate(moves) if move[0] == 0x95]
    values = {int.from_bytes(moves[at - 1][4:8], "little") for at in exits if moves[at - 1][:2] == b"\xb7\x00"}
    assert len(exits) == 2
    assert values == {0, 0x4800}
