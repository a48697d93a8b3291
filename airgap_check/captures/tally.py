"""Gathers what captures and logs say, each fact once with its count, and states it as records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from airgap_check.address import PUBLIC, Scope
from airgap_check.captures.conversation import GUESSED, SURE, Certainty
from airgap_check.captures.window import SECOND, UNKNOWN_TIME
from airgap_check.dissect import encrypted_dns
from airgap_check.evidence import Answer, Connection, Question, Request
from airgap_check.fact import Endpoint, endpoint
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import AnyRecord, Direction, Hidden, Protocol

Status = Literal["ok", "nodata", "nxdomain", "servfail", "refused", "error"]
Asked = Literal["asked", "ok", "nodata", "nxdomain", "refused", "servfail", "error"]  # the worse the later
_K = TypeVar("_K")

MOST_FLOWS, MOST_NAMES = 1_000_000, 200_000
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
PROTOCOLS: dict[int, Protocol] = {ICMP: "icmp", ICMPV6: "icmp", TCP: "tcp", UDP: "udp"}
_WORSE: tuple[Asked, ...] = ("asked", "ok", "nodata", "nxdomain", "refused", "servfail", "error")
_ENDED: dict[str, Asked] = {word: word for word in _WORSE}
_LATEST = 253_402_300_799 * SECOND  # the end of the year 9999
_NOBODY: frozenset[Scope] = frozenset({"multicast", "broadcast"})  # what never speaks first


class Flow(NamedTuple):
    """What flows share that are one record; ``port`` is the responder's, 0 where the protocol has none."""

    initiator: bytes
    responder: bytes
    port: int
    protocol: int
    certainty: Certainty


class Asking(NamedTuple):
    """A question to a server."""

    name: str
    type: str
    protocol: Literal["dns", "mdns", "llmnr"]
    server: bytes
    port: int


class Told(NamedTuple):
    """What a server said about a name; the addresses are sorted."""

    name: str
    status: Status
    chain: tuple[str, ...]
    addresses: tuple[bytes, ...]
    server: bytes


class Said(NamedTuple):
    """What a client said to a server."""

    source: Literal["tls", "quic", "http", "dot", "doq", "doh"]
    name: str | None
    hidden: Hidden
    protocol: int
    server: bytes
    port: int


class _Span:
    """How often something was seen, and when: nanoseconds, or `UNKNOWN_TIME`, which prevails."""

    __slots__ = ("count", "first", "last", "word")

    def __init__(self, first: int, last: int, word: str) -> None:
        self.count, self.first, self.last, self.word = 0, first, last, word

    def add(self, count: int, first: int, last: int) -> None:
        self.count += count
        self.first = min(self.first, first)
        self.last = max(self.last, last)


class Tally:
    """Everything seen so far. ``lost`` counts what was left out because there was too much of it."""

    def __init__(self, most_flows: int = MOST_FLOWS, most_names: int = MOST_NAMES) -> None:
        """Keep at most so many distinct flows, and so many questions, answers and requests each."""
        self.most_flows = most_flows
        self._most_names = most_names
        self.lost = 0
        self._flows: dict[Flow, _Span] = {}
        self._questions: dict[Asking, _Span] = {}
        self._answers: dict[Told, tuple[int, int]] = {}
        self._requests: dict[Said, _Span] = {}
        self._ends: dict[tuple[bytes, int | None], Endpoint] = {}

    def __bool__(self) -> bool:
        """Tell whether anything was seen at all."""
        return bool(self._flows or self._questions or self._answers or self._requests)

    # --- what readers say ---------------------------------------------------------------------------------------------

    def flow(self, flow: Flow, first: int, last: int, count: int = 1, state: str = "captured") -> None:
        """Count flows between two ends; a count of 0 says that there was one, which others may have counted."""
        self._count(self._flows, flow, self.most_flows, (count, first, last), state)

    def question(self, asking: Asking, time: int) -> None:
        """Count a question."""
        self._count(self._questions, asking, self._most_names, (1, time, time), "asked")

    def answered(self, asking: Asking, status: Status, time: int) -> None:
        """Note how a question ended; an answer proves that somebody asked."""
        self._count(self._questions, asking, self._most_names, (0, time, time), status)
        span = self._questions.get(asking)
        if span and _WORSE.index(status) > _WORSE.index(span.word):
            span.word = status

    def answer(self, told: Told, ttl: int, time: int) -> None:
        """Note what a server said, and for how many seconds."""
        known = self._answers.get(told)
        if known is None and len(self._answers) >= self._most_names:
            self.lost += 1
            return
        self._answers[told] = (min(time, known[0]), min(ttl, known[1])) if known else (time, ttl)

    def request(self, said: Said, time: int) -> None:
        """Count what a client said."""
        self._count(self._requests, said, self._most_names, (1, time, time), "")

    def _count(self, spans: dict[_K, _Span], key: _K, most: int, seen: tuple[int, int, int], word: str) -> None:
        span = spans.get(key)
        if span is None:
            if len(spans) >= most:
                self.lost += 1
                return
            span = spans[key] = _Span(seen[1], seen[2], word)
        span.add(*seen)

    # --- what the records say -----------------------------------------------------------------------------------------

    def records(self) -> Iterator[AnyRecord]:
        """Yield every fact as a record; flows to servers of encrypted DNS are requests with an unknowable name too."""
        self._note_encrypted_dns()
        for flow, span in self._flows.items():
            if connection := self._connection(flow, span):
                yield connection
        for asking, span in self._questions.items():
            yield Question(
                netns=0,
                name=asking.name,
                type=asking.type,
                protocol=asking.protocol,
                server=self._end(asking.server, asking.port),
                status=_ENDED[span.word],
                seen="capture",
                **_seen(span),
            )
        for told, (first, ttl) in self._answers.items():
            yield Answer(
                netns=0,
                name=told.name,
                source="observed",
                status=told.status,
                chain=told.chain,
                addresses=tuple(self._end(address, None) for address in told.addresses),
                ttl=ttl if told.addresses else None,
                server=str(ip_address(told.server)),
                first=_time(first),
                seen="capture",
            )
        for said, span in self._requests.items():
            yield Request(
                netns=0,
                source=said.source,
                name=said.name,
                hidden=said.hidden,
                protocol=PROTOCOLS[said.protocol],
                remote=self._end(said.server, said.port),
                seen="capture",
                **_seen(span),
            )

    def _note_encrypted_dns(self) -> None:
        spoken = {(said.source, said.server, said.port) for said in self._requests}
        for flow, span in self._flows.items():
            kind = encrypted_dns.kind(flow.port, flow.protocol) if flow.protocol in {TCP, UDP} else None
            if kind and (kind, flow.responder, flow.port) not in spoken:
                said = Said(kind, None, "encrypted-dns", flow.protocol, flow.responder, flow.port)
                self._count(self._requests, said, self._most_names, (span.count, span.first, span.last), "")

    def _connection(self, flow: Flow, span: _Span) -> Connection | None:
        initiator, responder = self._end(flow.initiator, None), self._end(flow.responder, flow.port or None)
        local, remote = initiator, responder
        direction: Direction = "unknown" if flow.certainty not in {SURE, GUESSED} else "outbound"
        # Where only the ports tell who began, they must not hide whom an inside host talks to.
        if flow.certainty != SURE and _beyond(initiator) and not _beyond(responder):
            local, remote = responder, initiator
            direction = "outbound" if initiator.scope in _NOBODY else "unknown"
        protocol = PROTOCOLS.get(flow.protocol, "raw")
        if protocol == "icmp" and flow.certainty != SURE and remote.scope not in PUBLIC:
            return None  # an error message, or a neighbour's chatter: an answer, not an attempt
        return Connection(
            netns=0,
            protocol=protocol,
            state=span.word if protocol != "raw" else f"proto {flow.protocol}",
            direction=direction,
            local=local,
            remote=remote,
            ownerless=True,
            seen="capture",
            **_seen(span),
        )

    def _end(self, address: bytes, port: int | None) -> Endpoint:
        known = self._ends.get((address, port))
        if known is None:
            known = self._ends[address, port] = endpoint(ip_address(address), port)
        return known


def _beyond(end: Endpoint) -> bool:
    return end.scope in PUBLIC or end.scope in _NOBODY


def _seen(span: _Span) -> dict[str, Any]:  # the fields that count and date a record
    return {"count": max(1, span.count), "first": _time(span.first), "last": _time(span.last)}


def _time(nanoseconds: int) -> datetime | None:
    if nanoseconds == UNKNOWN_TIME or nanoseconds > _LATEST:
        return None
    seconds, rest = divmod(nanoseconds, SECOND)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 1000)


def clean_word(text: str) -> str:
    """Return a word of a log as it may stand in a record: printable and short."""
    return printable(text)[:64]


def clean_name(text: str) -> str:
    """Return a name of a log as records have it: printable, in lower case, without the last dot."""
    return printable(text)[:255].lower().removesuffix(".")
