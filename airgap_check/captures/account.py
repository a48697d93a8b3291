"""States as records what captures and logs said: who is local and who remote, when it was, and what cannot be known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from airgap_check.address import PUBLIC, Scope
from airgap_check.captures.conversation import GUESSED, SURE
from airgap_check.captures.tally import ENDED, Flow, Said, Span, Tally
from airgap_check.captures.window import SECOND, UNKNOWN_TIME
from airgap_check.dissect import encrypted_dns
from airgap_check.dissect.packet import ICMP, ICMPV6, TCP, UDP
from airgap_check.evidence import Answer, Connection, Question, Request
from airgap_check.evidence.fact import Endpoint, endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import AnyRecord, Direction, Protocol

PROTOCOLS: dict[int, Protocol] = {ICMP: "icmp", ICMPV6: "icmp", TCP: "tcp", UDP: "udp"}
_LATEST = 253_402_300_799 * SECOND  # the end of the year 9999
_NOBODY: frozenset[Scope] = frozenset({"multicast", "broadcast"})  # what never speaks first


class Account:
    """An account of a tally."""

    def __init__(self, tally: Tally) -> None:
        """Take a tally that nothing is added to any more."""
        self._tally = tally
        self._ends: dict[tuple[bytes, int | None], Endpoint] = {}

    def records(self) -> Iterator[AnyRecord]:
        """Yield every fact as a record; flows to servers of encrypted DNS are requests with an unknowable name too."""
        self._note_encrypted_dns()
        for flow, span in self._tally.flows.items():
            if connection := self._connection(flow, span):
                yield connection
        for asking, span in self._tally.questions.items():
            yield Question(
                netns=0,
                name=asking.name,
                type=asking.type,
                protocol=asking.protocol,
                server=self._end(asking.server, asking.port),
                status=ENDED[span.word],
                seen="capture",
                **_seen(span),
            )
        for told, (first, ttl) in self._tally.answers.items():
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
        for said, span in self._tally.requests.items():
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
        spoken = {(said.source, said.server, said.port) for said in self._tally.requests}
        for flow, span in self._tally.flows.items():
            kind = encrypted_dns.kind(flow.port, flow.protocol) if flow.protocol in {TCP, UDP} else None
            if kind and (kind, flow.responder, flow.port) not in spoken:
                said = Said(kind, None, "encrypted-dns", flow.protocol, flow.responder, flow.port)
                self._tally.request(said, span.first, span.last, span.count)

    def _connection(self, flow: Flow, span: Span) -> Connection | None:
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


def _seen(span: Span) -> dict[str, Any]:  # the fields that count and date a record
    return {"count": max(1, span.count), "first": _time(span.first), "last": _time(span.last)}


def _time(nanoseconds: int) -> datetime | None:
    if nanoseconds == UNKNOWN_TIME or nanoseconds > _LATEST:
        return None
    seconds, rest = divmod(nanoseconds, SECOND)
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest // 1000)
