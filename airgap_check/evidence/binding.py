"""Which names lead to which address: for whom, and since when."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airgap_check.domain import normal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from airgap_check.evidence import Answer, Resolver

# An answer that says what there is, even when that is nothing; anything else leaves the name unanswered.
_DEFINITE = frozenset({"ok", "nodata", "nxdomain"})
_TOLERANCE = timedelta(seconds=1)  # between the clocks by which packets and attempts are dated


class Bindings:
    """The names of each address, as answers gave them.

    Answers that we were given hold for their network namespace when private, else for everybody, at any time. One that
    was observed on the wire binds what began after it, in the namespace where it was seen; seen in our own, through
    which others' traffic may pass, it binds everybody. It counts only if it came from a name server that this host is
    known to use, as anybody can answer: a server on loopback only where it is used. In a capture, which does not tell
    those, all of them count.
    """

    def __init__(self, answers: Iterable[Answer], resolvers: Iterable[Resolver]) -> None:
        """Take what was answered; the first of the resolvers is one of our own view."""
        known = list(resolvers)
        self._servers = {_server(resolver.address, resolver.netns) for resolver in known if resolver.address}
        self._own = known[0].netns if known else None
        self._names: dict[tuple[str, int | None], dict[str, datetime | None]] = {}
        self._answered: set[tuple[str, int | None]] = set()
        given: list[Answer] = []
        for answer in answers:
            if answer.source != "observed":
                given.append(answer)
            elif answer.seen == "capture" or _server(answer.server, answer.netns) in self._servers:
                self._observe(answer)
        self._take(given)

    def names(self, addresses: Iterable[str], netns: int | None, began: datetime | None) -> set[str]:
        """Return the names that lead to any of the addresses; ``began`` is None for what is there now."""
        found: set[str] = set()
        for address in addresses:
            for whose in (None, netns):
                for name, since in self._names.get((address, whose), {}).items():
                    if since is None or began is None or began >= since - _TOLERANCE:
                        found.add(name)
        return found

    def answered(self, name: str, netns: int | None) -> bool:
        """Tell whether it is known where a name leads, from a network namespace."""
        return (name, None) in self._answered or (name, netns) in self._answered

    def _observe(self, answer: Answer) -> None:
        everybody = answer.seen == "capture" or (answer.netns == self._own and not answer.private)
        for end in answer.addresses:
            bound = self._names.setdefault((end.address or "", None if everybody else answer.netns), {})
            name = normal(answer.name)
            known = bound.get(name, answer.first)
            bound[name] = min(known, answer.first) if known and answer.first else None

    def _take(self, answers: Iterable[Answer]) -> None:
        """Take the answers that were given to us or to a runtime.

        Name servers that told a runtime alone of a name settle for the others that it is not theirs, unless asking for
        them failed.
        """
        failed, elsewhere = set(), set()
        for answer in answers:
            name, whose = normal(answer.name), answer.netns if answer.private else None
            if answer.status in _DEFINITE:
                self._answered.add((name, whose))
            elif whose is None:
                failed.add(name)
            if answer.source == "dns" and answer.status in _DEFINITE:
                elsewhere.add(name)
            for end in answer.addresses:
                self._names.setdefault((end.address or "", whose), {})[name] = None
        self._answered |= {(name, None) for name in elsewhere - failed}


def _server(address: str | None, netns: int) -> tuple[str | None, int | None]:
    """Return what identifies a name server: one on loopback is another in every network namespace."""
    return address, netns if address and (address.startswith("127.") or address == "::1") else None
