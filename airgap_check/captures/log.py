"""States what a line of a log says in the words of a tally; the formats differ, what they tell does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from airgap_check.address import parse
from airgap_check.captures.conversation import GUESSED, SURE, UNKNOWN, Certainty, serves
from airgap_check.captures.line import MalformedError
from airgap_check.captures.speech import DNS_PORTS
from airgap_check.captures.tally import Asking, Flow, Said, Told, clean_name, clean_word
from airgap_check.dissect import encrypted_dns
from airgap_check.dissect.hello import Hello
from airgap_check.dissect.packet import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.captures.tally import Status, Tally
    from airgap_check.evidence import Hidden

_STATUS: dict[str, Status] = {
    "NOERROR": "ok", "NXDOMAIN": "nxdomain", "SERVFAIL": "servfail", "REFUSED": "refused",
    "0": "ok", "3": "nxdomain", "2": "servfail", "5": "refused",
}  # fmt: skip


class Log(Protocol):
    """Reads one log; ``skipped`` counts the lines that say nothing of who talks to whom."""

    skipped: int

    def take(self, line: bytes) -> None:
        """Take a line. Raises `MalformedError`."""
        ...


class Tuple(NamedTuple):
    """The two ends of a flow: packed addresses, and ports or 0."""

    initiator: bytes
    initiator_port: int
    responder: bytes
    responder_port: int
    protocol: int


class Answered(NamedTuple):
    """The response code as a word or number, what was answered, and for how many seconds."""

    code: str
    answers: Sequence[str]
    ttl: int


def flow(
    tally: Tally, ends: Tuple, times: tuple[int, int], count: int = 1, state: str = "captured", *, began: bool = True
) -> None:
    """Count a flow; without ``began`` nobody saw the beginning of a TCP connection, and the ports have to tell."""
    certainty: Certainty = SURE
    if ends.protocol == TCP and not began:
        certainty = GUESSED if serves(ends.responder_port, ends.initiator_port) else UNKNOWN
    port = ends.responder_port if ends.protocol in {TCP, UDP, 33, 132, 136} else 0
    first, last = times
    tally.flow(
        Flow(ends.initiator, ends.responder, port, ends.protocol, certainty),
        first, max(first, last), count, clean_word(state) or "captured",
    )  # fmt: skip


def question(tally: Tally, ends: Tuple, asked: tuple[str, str], time: int) -> None:
    """Count a question, a name and a type, to the responder."""
    tally.question(_asking(ends, asked), time)


def answer(tally: Tally, ends: Tuple, asked: tuple[str, str], said: Answered, time: int) -> None:
    """Note what the responder answered: addresses, and the names on the way to them."""
    asking = _asking(ends, asked)
    addresses = tuple(sorted({parsed.packed for text in said.answers if (parsed := parse(text[:128]))}))
    status = _STATUS.get(said.code.upper(), "error")
    empty: Status = "nodata" if status == "ok" else status
    tally.answered(asking, status if said.answers else empty, time)
    wants_address = asking.type in {"A", "AAAA"}
    if not addresses and not wants_address:
        return
    chain = tuple(clean_name(text) for text in said.answers if wants_address and not parse(text[:128]))
    tally.answer(Told(asking.name, status if addresses else empty, chain, addresses, ends.responder), said.ttl, time)


def request(tally: Tally, ends: Tuple, source: Literal["tls", "quic", "http"], name: object, time: int) -> None:
    """Count what the initiator said of whom it wants."""
    if ends.protocol not in {TCP, UDP}:
        raise MalformedError
    named = clean_name(name) if name and isinstance(name, str) else None
    kind = encrypted_dns.kind(ends.responder_port, ends.protocol, Hello(named) if source != "http" else None)
    hidden: Hidden = "encrypted-dns" if kind else "no"
    tally.request(Said(kind or source, named, hidden, ends.protocol, ends.responder, ends.responder_port), time)


def _asking(ends: Tuple, asked: tuple[str, str]) -> Asking:
    name, kind = asked
    protocol = DNS_PORTS.get(ends.responder_port, "dns")
    return Asking(clean_name(name), clean_word(kind), protocol, ends.responder, ends.responder_port)
