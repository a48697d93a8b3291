"""Reads DNS messages (also mDNS and LLMNR, which share the format): the questions, and the addresses in the answers.

Source: RFC 1035 4, RFC 6762 18, RFC 4795 2.1. A parser of our own, because dnspython's takes 125 us an answer where
this one takes 8, and a capture holds tens of thousands of them. It lends the names of rare record types.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.dissect.name import LONGEST, dotted
from airgap_check.dissect.stream import Stream, distance

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

Status = Literal["ok", "nodata", "nxdomain", "servfail", "refused", "error"]

_STATUS: dict[int, Status] = {0: "ok", 2: "servfail", 3: "nxdomain", 5: "refused"}
_OPERATIONS = frozenset({0, 4, 5})  # query, notify, update: the others are obsolete or hold no names
_UPDATE = 5
_A, _CNAME, _AAAA, _ANY, _INTERNET = 1, 5, 28, 255, 1
_SIZES = {_A: 4, _AAAA: 16}
_TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
    43: "DS", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS", 255: "ANY", 257: "CAA",
}  # fmt: skip
_RECORDS = 1024  # of a message that are read
_SMALLEST = 12  # bytes of a header

_HEADER = struct.Struct(">6H").unpack_from
_QUESTION = struct.Struct(">HH").unpack_from
_RECORD = struct.Struct(">HHIH").unpack_from
_Names = dict[int, tuple[str, int]]  # offset -> name, bytes that it takes on the wire


class Asked(NamedTuple):
    """A name in lower case without the last dot ("" is the root), and the record type in letters."""

    name: str
    type: str


class Given(NamedTuple):
    """An address record of the answer: its owner, the packed address (4 or 16 bytes), the seconds it may be kept."""

    owner: str
    address: bytes
    ttl: int


class Message(NamedTuple):
    """One message. ``addresses`` are those of the names asked, or of the ``chain`` of CNAME targets that leads away.

    Other owners' addresses are left out when there is a question: whoever answers may not slip in a name.
    ``truncated``: the sender says so (TC), or bytes are missing. Of a query, the status is *ok*.
    """

    id: int
    response: bool
    status: Status
    questions: tuple[Asked, ...]
    chain: tuple[str, ...] = ()
    addresses: tuple[Given, ...] = ()
    truncated: bool = False


class _CutError(ValueError):
    """The bytes end, or make no sense."""


def parse(payload: bytes | memoryview) -> Message | None:
    """Read the payload of a UDP datagram, or of one TCP message without its length; None when it is not DNS.

    What makes no sense after the first question cuts the message there. Trailing bytes are ignored.
    """
    data = bytes(payload)
    if len(data) < _SMALLEST:
        return None
    number, flags, asked, answered, _, _ = _HEADER(data)
    operation = flags >> 11 & 15
    if operation not in _OPERATIONS or (not asked and flags < 0x8000):
        return None
    names: _Names = {}
    questions: list[tuple[str, int]] = []
    position = _SMALLEST
    whole = asked <= _RECORDS
    try:
        for _ in range(min(asked, _RECORDS)):
            name, position = _name(data, position, names)
            questions.append((name, _QUESTION(data, position)[0]))
            position += 4
    except (IndexError, struct.error, _CutError):
        if not questions:
            return None
        whole = False
    shown = tuple([Asked(name, _TYPES.get(kind) or type_name(kind)) for name, kind in questions])
    truncated = flags & 0x0200 != 0
    if flags < 0x8000 or operation == _UPDATE:
        return Message(number, flags >= 0x8000, _STATUS.get(flags & 15 if flags >= 0x8000 else 0, "error"), shown,
                       truncated=truncated or not whole)  # fmt: skip
    answer = _Answer()
    if whole:
        whole = _read_answers(data, position, answered, names, answer)
    chain, addresses = answer.for_questions([name for name, _ in questions])
    status = _STATUS.get(flags & 15, "error")
    truncated = truncated or not whole
    if status == "ok" and not truncated and not answer.answers(questions):
        status = "nodata"
    return Message(number, True, status, shown, chain, addresses, truncated)  # noqa: FBT003 -- a record's field


class _Answer:
    """The records of an answer section that matter here."""

    __slots__ = ("addresses", "kinds", "targets")

    def __init__(self) -> None:
        self.targets: dict[str, str] = {}  # owner -> CNAME
        self.addresses: list[Given] = []
        self.kinds: set[int] = set()

    def answers(self, questions: list[tuple[str, int]]) -> bool:
        """Tell whether there is a record of a kind that was asked for; of any kind where nothing was."""
        if not questions:
            return bool(self.kinds)
        return any(kind in self.kinds or (kind == _ANY and self.kinds) for _, kind in questions)

    def for_questions(self, names: list[str]) -> tuple[tuple[str, ...], tuple[Given, ...]]:
        """Follow the aliases from the names asked, and keep the addresses at the end of that."""
        if not names:
            return tuple(self.targets.values()), tuple(self.addresses)
        if not self.targets and not self.addresses:
            return (), ()
        chain: list[str] = []
        for name in names:
            target = self.targets.pop(name, None)
            while target is not None:
                chain.append(target)
                target = self.targets.pop(target, None)
        owners = {*names, *chain}
        return tuple(chain), tuple([given for given in self.addresses if given.owner in owners])


def _read_answers(data: bytes, position: int, count: int, names: _Names, answer: _Answer) -> bool:
    """Collect the records of the answer section; False when it is cut, or longer than anyone's."""
    try:
        for _ in range(min(count, _RECORDS)):
            owner, position = _name(data, position, names)
            kind, group, ttl, size = _RECORD(data, position)
            position += 10
            if position + size > len(data):
                return False
            if group & 0x7FFF == _INTERNET:  # the first bit is mDNS's cache-flush
                answer.kinds.add(kind)
                if _SIZES.get(kind) == size:
                    ttl = ttl if ttl < 0x80000000 else 0  # RFC 2181 8
                    answer.addresses.append(Given(owner, data[position : position + size], ttl))
                elif kind == _CNAME:
                    answer.targets.setdefault(owner, _name(data, position, names)[0])
            position += size
    except (IndexError, struct.error, _CutError):
        return False
    return count <= _RECORDS


def _name(data: bytes, position: int, names: _Names) -> tuple[str, int]:
    """Read a name; return it and where it ends. Pointers must lead backwards, so that they end (RFC 1035 4.1.4).

    That may be into the header, as name servers follow such a pointer, too.
    """
    begin = bound = position
    end = size = 0
    labels: list[bytes] = []
    known = ""
    while length := data[position]:
        if length < 64:
            position += 1
            labels.append(data[position : position + length])
            position += length
            size += length + 1
            continue
        target = (length & 0x3F) << 8 | data[position + 1]
        if length < 0xC0 or target >= bound:
            raise _CutError
        end = end or position + 2
        if target in names:
            known, rest = names[target]
            size += rest
            break
        position = bound = target
    if size >= LONGEST:
        raise _CutError
    text = dotted(labels) if labels else ""
    if known:
        text = f"{text}.{known}" if text else known
    names[begin] = text, size
    return text, end or position + 1


@lru_cache(maxsize=256)
def type_name(number: int) -> str:
    """Name a record type, as dnspython does: letters, or TYPE and the number (RFC 3597 5)."""
    import dns.rdatatype

    return _TYPES.get(number) or dns.rdatatype.to_text(dns.rdatatype.RdataType.make(number))


class _Flow:
    __slots__ = ("certain", "start", "stream")

    def __init__(self, start: int, *, certain: bool) -> None:
        self.start = start
        self.stream = Stream(2 + 0xFFFF)
        self.certain = certain  # that a message begins where the stream does


class Streams:
    """Reads the messages of many TCP streams (RFC 1035 4.2.2); ``key`` names one direction of one connection.

    At most ``flows`` are followed, with one message of each; the one that was silent for longest gives way.

    ``lost`` counts the messages that could not be read: they are not DNS, or the stream broke off or gave way before
    their end. It counts none of a stream that may have been joined in the middle of a message: its beginning was not
    seen, nothing of it could be read yet, and no stream gave way that it may have been.
    """

    def __init__(self, flows: int = 256) -> None:
        self.lost = 0
        self._flows: OrderedDict[Hashable, _Flow] = OrderedDict()
        self._limit = flows
        self._forgetful = False

    def begin(self, key: Hashable, sequence: int) -> None:
        """Note the sequence number of the first byte (the SYN's, plus one). Without it, the first segment begins."""
        flow = self._flows.get(key)
        if flow is None or flow.start != sequence:
            self._forget(key)
            self._follow(key, sequence, certain=True)

    def feed(self, key: Hashable, sequence: int, payload: bytes) -> list[Message]:
        """Add a segment and return the messages that are now complete.

        What is not DNS is skipped by its length. After a gap too large to wait for, or where nothing could be read of
        a stream whose beginning was not seen, the next segment is taken for a beginning.
        """
        if not payload:
            return []
        flow = self._flows.get(key) or self._follow(key, sequence, certain=self._forgetful)
        self._flows.move_to_end(key)
        end = flow.stream.end
        offset = end + distance(flow.start + end, sequence)
        if not flow.stream.add(offset, payload):
            self._flows.pop(key)
            self.lost += flow.certain
            return []
        found = list(_take(flow.stream))
        messages = [message for message in found if message is not None]
        flow.certain = flow.certain or bool(messages)
        if flow.certain:
            self.lost += len(found) - len(messages)
        elif found:
            self._flows.pop(key)
        return messages

    def close(self) -> None:
        """Give up what is unfinished, as nothing more comes."""
        for key in list(self._flows):
            self._forget(key)

    def _follow(self, key: Hashable, sequence: int, *, certain: bool) -> _Flow:
        flow = self._flows[key] = _Flow(sequence, certain=certain)
        if len(self._flows) > self._limit:
            self._forget(next(iter(self._flows)))
            self._forgetful = True
        return flow

    def _forget(self, key: Hashable) -> None:
        flow = self._flows.pop(key, None)
        if flow and flow.stream.unfinished:
            self.lost += flow.certain


def _take(stream: Stream) -> Iterator[Message | None]:
    """Move the complete messages out of a stream; None for one that is not DNS."""
    while len(stream.data) >= 2:
        size = int.from_bytes(stream.data[:2], "big")
        if len(stream.data) < 2 + size:
            break
        yield parse(stream.take(2 + size)[2:])
