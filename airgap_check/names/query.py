"""Asks internal name servers for addresses: the one place of an audit that sends anything.

Who may be asked is decided by the caller, see `forwarding`. Importing this module costs as much as a small audit: do it
where there is a name to ask for. Standards: RFC 1035, RFC 6891 (EDNS), RFC 7766 (TCP).
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

import dns.query
from dns import rcode, rdatatype
from dns.exception import DNSException, Timeout
from dns.message import Message, QueryMessage, Truncated, make_query

from airgap_check.address import Address, parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Status = Literal["ok", "nodata", "nxdomain", "servfail", "refused", "timeout", "dangling", "error"]

FAILURES: frozenset[Status] = frozenset({"timeout", "servfail", "refused", "error"})
THREADS = 16
PATIENCE = 2.0  # seconds for one name
_PAYLOAD = 1232  # bytes that pass every link unfragmented (DNS flag day 2020)
_CHAIN = 16
_SILENT = 3  # timeouts in a row, and never an answer: nobody else needs to wait for this server


class Server(NamedTuple):
    """A name server; ``zone`` is the interface of a link-local address."""

    address: Address
    port: int = 53
    zone: str = ""


class Reply(NamedTuple):
    """What was said about one name, A and AAAA together; ``ttl`` in seconds."""

    status: Status
    chain: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    ttl: int | None = None
    server: str | None = None


class _Health:
    """What this run has learnt about its servers, so that one that is dead costs no more than a few timeouts."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._missed = dict.fromkeys(servers, 0)

    def order(self) -> list[Server]:
        """Return the servers worth asking; those that missed questions come last, the silent not at all."""
        alive = [server for server, missed in self._missed.items() if missed < _SILENT]
        return sorted(alive, key=lambda server: self._missed[server] > 0)

    def answered(self, server: Server) -> None:
        self._missed[server] = -1_000_000  # it lives: lost packets from now on are only that

    def missed(self, server: Server) -> None:
        self._missed[server] += 1


def candidates(name: str, search: Sequence[str], ndots: int) -> tuple[str, ...]:
    """Return the full names that stand for a name: itself when it has a dot, else with each search domain.

    With ``options ndots:`` above the dots of a name (Kubernetes) the search domains are tried too, after the name
    itself: asking for the name as it is written first tells the servers least.
    """
    bare = name.removesuffix(".")
    if name.endswith("."):
        return (bare,)
    dots = bare.count(".")
    expanded = tuple(f"{bare}.{domain}" for domain in search) if dots < ndots or not dots else ()
    return (bare, *expanded) if dots else expanded


def ask(
    questions: Mapping[str, tuple[str, ...]], servers: Sequence[Server], deadline: float | None = None
) -> dict[str, Reply]:
    """Ask for every name, each by its candidates in turn until one exists, at most 16 names at once.

    ``deadline`` is a time.monotonic() value; names whose turn had not come by then are missing from the result.
    """
    health = _Health(servers)

    def one(names: tuple[str, ...]) -> Reply | None:
        until = time.monotonic() + PATIENCE
        if deadline is not None:
            if time.monotonic() >= deadline:
                return None
            until = min(until, deadline)
        return _resolve(names, health, until)

    with ThreadPoolExecutor(max_workers=min(THREADS, len(questions) or 1)) as pool:
        replies = dict(zip(questions, pool.map(one, questions.values()), strict=True))
    return {name: reply for name, reply in replies.items() if reply is not None}


def _resolve(names: tuple[str, ...], health: _Health, until: float) -> Reply:
    reply = Reply("nxdomain")
    for name in names:
        reply = merge(_ask_type(name, "A", health, until), _ask_type(name, "AAAA", health, until))
        if reply.status not in {"nxdomain", "nodata"}:
            break
    return reply


def merge(four: Reply, six: Reply) -> Reply:
    """Join the replies for A and for AAAA; half an answer keeps its addresses, but stays a failure."""
    both = (four, six)
    addresses = four.addresses + six.addresses
    chain = four.chain or six.chain
    status: Status = next((reply.status for reply in both if reply.status in FAILURES), "ok")
    if status == "ok" and not addresses:
        said = {reply.status for reply in both}
        status = "dangling" if "dangling" in said else "nodata" if "nodata" in said else "nxdomain"
    ttls = [reply.ttl for reply in both if reply.ttl is not None]
    return Reply(status, chain, addresses, min(ttls, default=None), four.server or six.server)


def _ask_type(name: str, kind: str, health: _Health, until: float) -> Reply:
    """Ask server after server until one says something definite; the last failure counts when none does."""
    try:
        query = make_query(name, kind, use_edns=0, payload=_PAYLOAD)
    except (DNSException, UnicodeError):
        return Reply("error")
    order = health.order()
    attempts = order * 2 if len(order) == 1 else order
    failure = Reply("timeout")
    for position, server in enumerate(attempts):
        patience = (until - time.monotonic()) / (len(attempts) - position)
        if patience <= 0:
            break
        reply = _ask_server(query, server, patience)
        if reply.status in {"timeout", "error"}:
            health.missed(server)
        else:
            health.answered(server)
        if reply.status not in FAILURES:
            return reply
        failure = reply
    return failure


def _ask_server(query: QueryMessage, server: Server, patience: float) -> Reply:

    try:
        response = _exchange(query, server, patience)
    except Timeout:
        return Reply("timeout", server=str(server.address))
    except (DNSException, OSError, EOFError, ValueError):
        return Reply("error", server=str(server.address))
    refusals: dict[int, Status] = {rcode.SERVFAIL: "servfail", rcode.REFUSED: "refused"}
    code = response.rcode()
    if code not in {rcode.NOERROR, rcode.NXDOMAIN}:
        return Reply(refusals.get(code, "error"), server=str(server.address))
    return read(response)._replace(server=str(server.address))


def _exchange(query: QueryMessage, server: Server, patience: float) -> Message:
    """Send over UDP, over TCP when the answer did not fit, and without EDNS to servers too old for it."""
    until = time.monotonic() + patience
    where = f"{server.address}%{server.zone}" if server.zone else str(server.address)

    def send(message: QueryMessage) -> Message:
        try:
            return dns.query.udp(
                message,
                where,
                max(until - time.monotonic(), 0.01),
                server.port,
                ignore_unexpected=True,
                raise_on_truncation=True,
                ignore_errors=True,
            )
        except Truncated:
            return dns.query.tcp(message, where, max(until - time.monotonic(), 0.01), server.port)

    response = send(query)
    if response.rcode() in {rcode.FORMERR, rcode.NOTIMP}:
        question = query.question[0]
        return send(make_query(question.name, question.rdtype))
    return response


def read(response: Message) -> Reply:
    """Follow the CNAME records of an answer from its question to the addresses at their end.

    Records that do not lie on this way are ignored. A chain that ends without an address is *dangling*: its target is
    not on anybody's allowlist, so it is not asked for.
    """
    if not response.question:
        return Reply("error")
    name, kind = response.question[0].name, response.question[0].rdtype
    chain: list[str] = []
    ttls: list[int] = []
    seen = {name}
    for _ in range(_CHAIN):
        alias = response.get_rrset(response.answer, name, response.question[0].rdclass, rdatatype.CNAME)
        if not alias or alias[0].target in seen:
            break
        name = alias[0].target
        seen.add(name)
        chain.append(name.to_text(omit_final_dot=True).lower())
        ttls.append(alias.ttl)
    found = response.get_rrset(response.answer, name, response.question[0].rdclass, kind)
    addresses = tuple(address for record in found or () if (address := parse(record.address)))
    if addresses and found:
        return Reply("ok", tuple(chain), addresses, min([*ttls, found.ttl]))
    if chain:
        return Reply("dangling", tuple(chain))
    return Reply("nxdomain" if response.rcode() == rcode.NXDOMAIN else "nodata")
