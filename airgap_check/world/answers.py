"""Answers DNS questions the way of the world: every name exists, and has one address of each family.

Source: RFC 1035, RFC 2782 (SRV), RFC 6891 (EDNS), RFC 9460 (HTTPS).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import domain
from airgap_check.dissect.name import dotted
from airgap_check.redact import printable
from airgap_check.world.names import MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from dns.message import Message
    from dns.name import Name
    from dns.rcode import Rcode
    from dns.rrset import RRset

    from airgap_check.world.names import Pair, Pool

LIFETIME = 60  # seconds that an answer may be kept
_SMALLEST, _LARGEST = 512, 0xFFFF
_QUESTIONS = 4  # of a message that are noted; everybody asks one
_PORTS = {  # of SRV records, by service; what is none of these gets that of HTTPS
    "_http": 80, "_ldap": 389, "_ldaps": 636, "_kerberos": 88, "_kpasswd": 464, "_mongodb": 27017, "_gc": 3268,
    "_postgresql": 5432, "_mysql": 3306, "_redis": 6379, "_smtp": 25, "_submission": 587, "_submissions": 465,
    "_imap": 143, "_imaps": 993, "_ntp": 123, "_sip": 5060, "_sips": 5061, "_xmpp-client": 5222,
    "_xmpp-server": 5269, "_matrix": 8448, "_stun": 3478, "_turn": 3478, "_etcd-client": 2379, "_etcd-server": 2380,
}  # fmt: skip


class Reply(NamedTuple):
    """What is sent back, None for nothing; and what was asked, a line a question: *DNS A db.example*."""

    wire: bytes | None
    lines: tuple[str, ...] = ()


_SILENCE = Reply(None)


class Answers:
    """Answers questions, and tells of each name once.

    ``exists`` tells whether a name has addresses in this world at all; ``tell`` is given what was named for the first
    time, ``refuse`` is called where there are more names than anybody remembers.
    """

    def __init__(
        self,
        pool: Pool,
        exists: Callable[[str], bool],
        tell: Callable[[str, tuple[str, ...]], None],
        refuse: Callable[[], None],
    ) -> None:
        self._pool, self._exists, self._tell, self._refuse = pool, exists, tell, refuse
        self._told: set[str] = set()

    def reply(self, question: bytes, *, datagram: bool = False) -> Reply:
        """Answer a message; silence where it is no question. A datagram is cut to what EDNS allows."""
        import dns.exception
        import dns.flags
        import dns.message
        import dns.opcode
        import dns.rcode
        import dns.rdatatype

        try:
            query = dns.message.from_wire(question, ignore_trailing=True)
        except (dns.exception.DNSException, ValueError, struct.error):
            return _SILENCE
        if query.flags & dns.flags.QR or not query.question:
            return _SILENCE
        lines = tuple(
            f"DNS {dns.rdatatype.to_text(each.rdtype)} {_text(each.name) or '.'}"
            for each in query.question[:_QUESTIONS]
        )
        response = dns.message.make_response(query, recursion_available=True)
        del response.question[1:]
        if len(query.question) > 1:
            response.set_rcode(dns.rcode.FORMERR)  # RFC 9619
        elif query.opcode() == dns.opcode.QUERY:
            (asked,) = query.question
            response.set_rcode(self._answer(response, asked.name, asked.rdtype))
        else:
            response.set_rcode(dns.rcode.NOTIMP)
        room = min(max(_SMALLEST, query.payload), _LARGEST) if datagram else _LARGEST
        try:
            return Reply(response.to_wire(max_size=room), lines)
        except dns.exception.TooBig:
            response.answer.clear()
            response.additional.clear()
            response.flags |= dns.flags.TC
            return Reply(response.to_wire(max_size=room), lines)

    def _answer(self, response: Message, owner: Name, kind: int) -> Rcode:
        """Add the records to the response; return its code."""
        import dns.rcode

        name = _text(owner)
        reverse = domain.reversed_network(name)
        if reverse is not None:
            known = self._pool.owner(reverse.network_address) if reverse.prefixlen == reverse.max_prefixlen else None
            if known is None:
                self._tell_once(name)
                return dns.rcode.NXDOMAIN
            response.answer += _pointer(owner, known) if _is(kind, "PTR") else []
            return dns.rcode.NOERROR
        if not domain.below(name, "localhost") and not self._exists(name):
            self._tell_once(name)
            return dns.rcode.NXDOMAIN
        pair = self._named(name)
        if pair is None:
            return dns.rcode.REFUSED
        if _is(kind, "A"):
            response.answer.append(_records(owner, "A", str(pair.four)))
        elif _is(kind, "AAAA"):
            response.answer.append(_records(owner, "AAAA", str(pair.six)))
        elif _is(kind, "MX"):
            response.answer.append(_records(owner, "MX", f"10 {owner.to_text()}"))
        elif _is(kind, "HTTPS"):
            hints = f"1 . alpn=h2 ipv4hint={pair.four} ipv6hint={pair.six}"
            response.answer.append(_records(owner, "HTTPS", hints))
        elif _is(kind, "SRV"):
            self._add_service(response, owner, name)
        return dns.rcode.NOERROR

    def _add_service(self, response: Message, owner: Name, name: str) -> None:
        """Name the host that a service is said of, with its addresses beside it."""
        import dns.name

        host = domain.bare(name)
        skipped = name.count(".") - host.count(".")
        pair = self._named(host) if skipped else None
        if pair is not None:
            target = dns.name.Name(owner.labels[skipped:])
            port = _PORTS.get(name.partition(".")[0], 443)
            response.answer.append(_records(owner, "SRV", f"0 0 {port} {target.to_text()}"))
            response.additional.append(_records(target, "A", str(pair.four)))
            response.additional.append(_records(target, "AAAA", str(pair.six)))

    def _named(self, name: str) -> Pair | None:
        pair = self._pool.pair(name)
        if pair is None:
            self._refuse()
        elif not domain.below(name, "localhost"):
            self._tell_once(name, pair.texts)
        return pair

    def _tell_once(self, name: str, addresses: tuple[str, ...] = ()) -> None:
        if name in self._told:
            return
        if len(self._told) >= 2 * MOST:
            self._refuse()
            return
        self._told.add(name)
        self._tell(name, addresses)


def _text(name: Name) -> str:
    return printable(dotted(list(name.labels[:-1] if name.is_absolute() else name.labels)))


def _pointer(owner: Name, name: str) -> list[RRset]:
    """Return the record that leads back to a name; none to one whose odd characters no zone file would hold."""
    import dns.exception
    import dns.name

    try:
        return [_records(owner, "PTR", dns.name.from_text(f"{name}.").to_text())]
    except dns.exception.DNSException:
        return []


def _is(kind: int, letters: str) -> bool:
    import dns.rdatatype

    return kind == dns.rdatatype.from_text(letters)


def _records(owner: Name, kind: str, text: str) -> RRset:
    import dns.rrset

    return dns.rrset.from_text(owner, LIFETIME, "IN", kind, text)
