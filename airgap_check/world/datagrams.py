"""Answers datagrams: questions of DNS and of the time; all others are heard, and grouped by who sends them where.

Source: ip(7), linux/in6.h (IPV6_RECVORIGDSTADDR), sock_diag.h (SK_MEMINFO), RFC 5905 (NTP), RFC 5424 and 3164 (syslog).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.dissect.quic import Initials
from airgap_check.world import opening, redirection
from airgap_check.world.account import Account, reached

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.address import Address
    from airgap_check.evidence.rehearsed import Spoken
    from airgap_check.world.host import Host

_ORIGINAL4, _ORIGINAL6 = 20, 74  # IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR, and what the kernel calls its messages
_MEMORY, _DROPS, _FIELDS = 55, 8, 9  # SO_MEMINFO; the place of SK_MEMINFO_DROPS, which Linux 4.6 has; how many to read
_LARGEST, _AT_ONCE = 65535, 64
_QUIET, _ROUND = 2.0, 0.5  # seconds after which a group is told; between looks
_MOST_GROUPS = 4096
_DNS, _NTP, _SYSLOG = 53, 123, 514
_ANSWERED_DNS = frozenset({_DNS, 5353, 5355})
_CLIENT = 3  # NTP's mode


class _Flow(NamedTuple):
    source: str
    source_port: int
    address: Address
    port: int


class Datagrams:
    """Everything that came over the given sockets; ``heard`` counts it. ``finish`` tells what was not told yet."""

    def __init__(self, host: Host, sockets: Iterable[socket.socket]) -> None:
        self.heard = 0
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._groups: OrderedDict[_Flow, tuple[float, Account]] = OrderedDict()  # the one heard of last stands last
        self._initials = Initials(flows=256)
        for each in sockets:
            each.setblocking(False)  # noqa: FBT003 -- the socket's own signature
            six = each.family == socket.AF_INET6
            each.setsockopt(*((socket.IPPROTO_IPV6, _ORIGINAL6, 1) if six else (socket.IPPROTO_IP, _ORIGINAL4, 1)))
            self._loop.add_reader(each, self._hear, each)
        self._timer = self._loop.call_later(_ROUND, self._look_round)

    def finish(self) -> None:
        """Tell of all groups."""
        self._timer.cancel()
        while self._groups:
            self._tell_oldest()

    def _hear(self, end: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, messages, _, source = end.recvmsg(_LARGEST, 256)
            except OSError:  # nothing more, or word that an answer of ours was not wanted
                return
            address, port = _original(messages) or end.getsockname()[:2]
            flow = _Flow(source[0], source[1], reached(address), port)
            account = self._account(flow)
            account.sent += len(data)
            self.heard += 1
            answer = self._answer(flow, account, data)
            if answer is not None and _send(end, flow, answer):
                account.received += len(answer)

    def _account(self, flow: _Flow) -> Account:
        _, account = self._groups.pop(flow, (0.0, None))
        if account is None:
            if len(self._groups) >= _MOST_GROUPS:
                self._tell_oldest()
            account = Account("udp", flow.source_port, flow.address, flow.port)
        self._groups[flow] = time.monotonic(), account
        return account

    def _answer(self, flow: _Flow, account: Account, data: bytes) -> bytes | None:
        """Note what was said, and return what is answered to it."""
        if flow.port in _ANSWERED_DNS:
            reply = self._host.answers.reply(data, datagram=True)
            if reply.lines:
                account.open_with("dns", account.opening or reply.lines[0][: opening.SHOWN])
            for line in reply.lines:
                account.ask(line)
            if reply.lines:
                return reply.wire
        if flow.port == _NTP and len(data) >= 48 and data[0] & 7 == _CLIENT:
            account.open_with("ntp", account.opening or f"NTP version {data[0] >> 3 & 7}")
            return _time(data)
        if data[:1] >= b"\xc0" and len(data) >= 7:
            said = self._initials.feed(flow, data)
            if said is not None or account.spoken == "quic":
                account.seek(said.name if said else None)
                account.open_with("quic", f"QUIC version {int.from_bytes(data[1:5], 'big'):#x}")
                return None
        if account.spoken == "nothing":
            account.open_with(_spoken(flow.port, data), opening.show(data))
        return None

    def _look_round(self) -> None:
        now = time.monotonic()
        while self._groups and next(iter(self._groups.values()))[0] < now - _QUIET:
            self._tell_oldest()
        self._timer = self._loop.call_later(_ROUND, self._look_round)

    def _tell_oldest(self) -> None:
        _, (_, account) = self._groups.popitem(last=False)
        account.ended = "answered" if account.received else "not answered"
        self._host.tell(account)


class Resolver:
    """The name server that the rehearsed program knows of; asking it is nothing to tell, but for the names."""

    def __init__(self, host: Host, sockets: Iterable[socket.socket]) -> None:
        self._host = host
        for each in sockets:
            each.setblocking(False)  # noqa: FBT003 -- as above
            asyncio.get_running_loop().add_reader(each, self._hear, each)

    def _hear(self, end: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                data, source = end.recvfrom(_LARGEST)
                wire, lines = self._host.answers.reply(data, datagram=True)
                if wire is not None:
                    asker = self._host.askers.of(socket.IPPROTO_UDP, source[:2], end.getsockname()[:2])
                    self._host.askers.note(asker, lines)
                    end.sendto(wire, source)
            except OSError:
                return


def dropped(sockets: Iterable[socket.socket]) -> int:
    """Count the datagrams that the kernel had no room for at any of the sockets."""
    counts = (end.getsockopt(socket.SOL_SOCKET, _MEMORY, 4 * _FIELDS) for end in sockets)
    return sum(struct.unpack_from("=I", counted, 4 * _DROPS)[0] for counted in counts if len(counted) > 4 * _DROPS)


def _original(messages: list[tuple[int, int, bytes]]) -> tuple[str, int] | None:
    """Read where a datagram was sent: a sockaddr_in or sockaddr_in6."""
    for level, kind, data in messages:
        if (level, kind) == (socket.IPPROTO_IP, _ORIGINAL4) and len(data) >= 8:
            return socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack_from(">H", data, 2)[0]
        if (level, kind) == (socket.IPPROTO_IPV6, _ORIGINAL6) and len(data) >= 24:
            return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack_from(">H", data, 2)[0]
    return None


def _send(end: socket.socket, flow: _Flow, answer: bytes) -> bool:
    """Send an answer from the address that was asked, which may be anybody's; without the right to, from our own."""
    try:
        with socket.socket(end.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as voice:
            voice.setsockopt(*redirection.TRANSPARENT[end.family], 1)
            voice.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            voice.bind((str(flow.address), flow.port))
            voice.sendto(answer, (flow.source, flow.source_port))
    except OSError:
        try:
            end.sendto(answer, (flow.source, flow.source_port))
        except OSError:
            return False
    return True


def _time(question: bytes) -> bytes:
    """Answer with the time that the client itself says it is: nobody's clock is to be changed."""
    stamp = question[40:48]
    head = bytes([question[0] & 0x38 | 4, 2, question[2], 0xEC]) + bytes(8) + b"\x7f\0\0\1"
    return head + stamp * 4


def _spoken(port: int, data: bytes) -> Spoken:
    """Name what is told by its port alone, or by how it begins."""
    priority = data[1:5].partition(b">")[0]
    return "syslog" if port == _SYSLOG or (data[:1] == b"<" and priority.isdigit() and b">" in data[:6]) else "unknown"
