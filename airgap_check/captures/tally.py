"""Gathers what captures and logs say, each fact once with its count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from airgap_check.redact import printable

if TYPE_CHECKING:
    from airgap_check.captures.conversation import Certainty
    from airgap_check.evidence import Hidden

Status = Literal["ok", "nodata", "nxdomain", "servfail", "refused", "error"]
Asked = Literal["asked", "ok", "nodata", "nxdomain", "refused", "servfail", "error"]  # the worse the later
_K = TypeVar("_K")

# A record takes half a kilobyte: all of them fit into 100 MiB. A conversation is one with the ports of both ends.
MOST_CONVERSATIONS, MOST_FLOWS, MOST_NAMES = 400_000, 100_000, 50_000
_WORSE: tuple[Asked, ...] = ("asked", "ok", "nodata", "nxdomain", "refused", "servfail", "error")
ENDED: dict[str, Asked] = {word: word for word in _WORSE}


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


class Span:
    """How often something was seen, and when: nanoseconds, or `UNKNOWN_TIME`, which prevails."""

    __slots__ = ("count", "first", "last", "word")

    def __init__(self, first: int, last: int, word: str) -> None:
        self.count, self.first, self.last, self.word = 0, first, last, word

    def add(self, count: int, first: int, last: int) -> None:
        """Count more of it."""
        self.count += count
        self.first = min(self.first, first)
        self.last = max(self.last, last)


class Tally:
    """Everything seen so far. ``lost`` counts what was left out because there was too much of it."""

    def __init__(
        self,
        most_conversations: int = MOST_CONVERSATIONS,
        most_flows: int = MOST_FLOWS,
        most_names: int = MOST_NAMES,
    ) -> None:
        """Keep at most so many distinct flows, and so many questions, answers and requests each."""
        self.most_conversations = most_conversations
        self._most_flows = most_flows
        self._most_names = most_names
        self.lost = 0
        self.flows: dict[Flow, Span] = {}
        self.questions: dict[Asking, Span] = {}
        self.answers: dict[Told, tuple[int, int]] = {}
        self.requests: dict[Said, Span] = {}

    def __bool__(self) -> bool:
        """Tell whether anything was seen at all."""
        return bool(self.flows or self.questions or self.answers or self.requests)

    # --- what readers say ---------------------------------------------------------------------------------------------

    def flow(self, flow: Flow, first: int, last: int, count: int = 1, state: str = "captured") -> None:
        """Count flows between two ends; a count of 0 says that there was one, which others may have counted."""
        self._count(self.flows, flow, self._most_flows, (count, first, last), state)

    def question(self, asking: Asking, time: int) -> None:
        """Count a question."""
        self._count(self.questions, asking, self._most_names, (1, time, time), "asked")

    def answered(self, asking: Asking, status: Status, time: int) -> None:
        """Note how a question ended; an answer proves that somebody asked."""
        self._count(self.questions, asking, self._most_names, (0, time, time), status)
        span = self.questions.get(asking)
        if span and _WORSE.index(status) > _WORSE.index(span.word):
            span.word = status

    def answer(self, told: Told, ttl: int, time: int) -> None:
        """Note what a server said, and for how many seconds."""
        known = self.answers.get(told)
        if known is None and len(self.answers) >= self._most_names:
            self.lost += 1
            return
        self.answers[told] = (min(time, known[0]), min(ttl, known[1])) if known else (time, ttl)

    def request(self, said: Said, first: int, last: int | None = None, count: int = 1) -> None:
        """Count what a client said."""
        self._count(self.requests, said, self._most_names, (count, first, first if last is None else last), "")

    def _count(self, spans: dict[_K, Span], key: _K, most: int, seen: tuple[int, int, int], word: str) -> None:
        span = spans.get(key)
        if span is None:
            if len(spans) >= most:
                self.lost += 1
                return
            span = spans[key] = Span(seen[1], seen[2], word)
        span.add(*seen)


def clean_word(text: str) -> str:
    """Return a word of a log as it may stand in a record: printable and short."""
    return printable(text)[:64]


def clean_name(text: str) -> str:
    """Return a name of a log as records have it: printable, in lower case, without the last dot."""
    return printable(text)[:255].lower().removesuffix(".")
