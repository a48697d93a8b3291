"""Reads Suricata's EVE JSON: flow, dns (versions 1 to 3), tls, quic and http events.

Source: the Suricata manual, "Eve JSON Format"; version 3 of the dns events is Suricata 8's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airgap_check.captures import line as value
from airgap_check.captures import log
from airgap_check.captures.line import MalformedError
from airgap_check.captures.speech import DNS_PORTS
from airgap_check.dissect.packet import TCP

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.captures.tally import Tally

# the events that tell whom a client wants, and where
_SAID: dict[str, tuple[Literal["tls", "quic", "http"], str]] = {
    "tls": ("tls", "sni"), "quic": ("quic", "sni"), "http": ("http", "hostname"),
}  # fmt: skip


def recognises(line: bytes) -> bool:
    """Tell whether a line is an event of Suricata's."""
    if not line.startswith(b"{"):
        return False
    try:
        return "event_type" in _decode(line)
    except MalformedError:
        return False


class Log:
    """Reads events."""

    def __init__(self, tally: Tally) -> None:
        """Tell everything to a tally."""
        self._tally = tally
        self._kinds: dict[object, Callable[[log.Tuple, dict[str, Any], dict[str, Any], int], None]] = {
            "flow": self._flow, "dns": self._dns, **dict.fromkeys(_SAID, self._said),
        }  # fmt: skip
        self.skipped = 0

    def take(self, line: bytes) -> None:
        """Take a line. Raises `MalformedError`."""
        if not line.strip():
            return
        event = _decode(line)
        kind = event.get("event_type")
        take = self._kinds.get(kind) if isinstance(kind, str) else None
        if take is None:
            self.skipped += 1
            return
        ends = log.Tuple(
            value.address(event.get("src_ip")), value.port(event.get("src_port")),
            value.address(event.get("dest_ip")), value.port(event.get("dest_port")), value.protocol(event.get("proto")),
        )  # fmt: skip
        take(ends, event, _mapping(event.get(str(kind))), value.seconds(event.get("timestamp")))

    def _flow(self, ends: log.Tuple, event: dict[str, Any], flow: dict[str, Any], time: int) -> None:
        first = value.seconds(flow["start"]) if flow.get("start") else time
        last = value.seconds(flow["end"]) if flow.get("end") else time
        began = ends.protocol != TCP or not isinstance(event.get("tcp"), dict) or bool(event["tcp"].get("syn"))
        log.flow(self._tally, ends, (first, last), 1, str(flow.get("state") or "captured"), began=began)

    def _dns(self, ends: log.Tuple, _: dict[str, Any], dns: dict[str, Any], time: int) -> None:
        is_answer = dns.get("type") in {"answer", "response"}
        if is_answer and ends.initiator_port in DNS_PORTS and ends.responder_port not in DNS_PORTS:
            ends = log.Tuple(  # an answer is told from the server's side
                ends.responder, ends.responder_port, ends.initiator, ends.initiator_port, ends.protocol
            )
        log.flow(self._tally, ends, (time, time), 0)
        queries = [_mapping(query) for query in _list(dns.get("queries"))] or [dns]
        for query in queries:
            name, kind = query.get("rrname"), str(query.get("rrtype") or "?")
            if not isinstance(name, str):
                raise MalformedError
            if not is_answer:
                log.question(self._tally, ends, (name, kind), time)
                continue
            answers, ttl = _answers(dns, kind)
            rcode = str(dns.get("rcode") or "NOERROR")
            log.answer(self._tally, ends, (name, kind), log.Answered(rcode, answers, ttl), time)

    def _said(self, ends: log.Tuple, event: dict[str, Any], said: dict[str, Any], time: int) -> None:
        source, field = _SAID[event["event_type"]]
        log.flow(self._tally, ends, (time, time), 0)
        log.request(self._tally, ends, source, said.get(field), time)


def _answers(dns: dict[str, Any], kind: str) -> tuple[list[str], int]:
    """Return what was answered and the least TTL: version 1 has a record an event, the others have lists."""
    records = [_mapping(record) for record in _list(dns.get("answers"))]
    if not records and "rdata" in dns and dns.get("rrtype") in {"A", "AAAA", "CNAME"}:
        records = [dns]
    grouped = dns.get("grouped")
    answers = [str(record["rdata"]) for record in records if record.get("rdata")]
    if not answers and isinstance(grouped, dict):
        answers = [str(text) for name in ("CNAME", kind) for text in _list(grouped.get(name))]
    ttls = [record["ttl"] for record in records if isinstance(record.get("ttl"), int) and record["ttl"] >= 0]
    return answers, min(ttls, default=0)


def _decode(line: bytes) -> dict[str, Any]:
    try:
        return _mapping(msgspec.json.decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError from error


def _mapping(found: object) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise MalformedError
    return found


def _list(found: object) -> list[Any]:
    if found is not None and not isinstance(found, list):
        raise MalformedError
    return found or []
