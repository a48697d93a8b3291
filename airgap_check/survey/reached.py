"""Joins what a rehearsed command reached for with what its configuration leads to, and with what the policy says."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from airgap_check.domain import bare, normal
from airgap_check.evidence import Connection, Question
from airgap_check.evidence.fact import Endpoint
from airgap_check.evidence.rehearsed import Encounter, Visit
from airgap_check.finding import Occasion, Reached
from airgap_check.policy.allowlist import NEVER_EGRESS, Decision
from airgap_check.survey.place import shown, target_of
from airgap_check.view import EncounterView

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.evidence import Allowed
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy
    from airgap_check.policy.allowlist import Allowlist
    from airgap_check.survey.hearsay import Hearsay
    from airgap_check.survey.prediction import Predictions

_WORST_FIRST: tuple[Allowed, ...] = ("no", "unknown", "yes")
_T = TypeVar("_T", bound=str)
_SOME = 20  # of what differs within one destination; the evidence has all
_BROWSER = "a browser"


class Reach:
    """What was reached for in one inspection: every encounter judged, and grouped by destination."""

    def __init__(
        self, inspection: Inspection, policy: Policy, allowlist: Allowlist, hearsay: Hearsay, predictions: Predictions
    ) -> None:
        """Judge every encounter once; those of the machine with itself are none."""
        self._terms, self._allowlist, self._hearsay, self._predictions = policy.terms, allowlist, hearsay, predictions
        groups: dict[Hashable, list[tuple[Encounter, Decision]]] = {}
        self._judged: list[tuple[Encounter, Decision]] = []
        for encounter in inspection.records(Encounter):
            remote = allowlist.scoped(encounter.remote)
            if remote.scope not in NEVER_EGRESS:
                one = replace(encounter, remote=remote), allowlist.connection(connection_of(encounter))
                self._judged.append(one)
                key = (encounter.seen, encounter.protocol, shown(remote), remote.port)
                groups.setdefault(key, []).append(one)
        self._first: list[tuple[Reached, Encounter | Question]] = []
        for members in groups.values():
            reached = self._destination(members)
            self._first.append((reached, replace(members[0][0], count=reached.count)))
        self._first += self._asked(inspection)
        self._first.sort(key=_urgency)

    def destinations(self) -> tuple[Reached, ...]:
        """Return every destination: refused ones first, and of those the public ones."""
        return tuple(reached for reached, _ in self._first)

    def firsts(self) -> list[tuple[Reached, Encounter | Question]]:
        """Return every destination with the first record of it, which counts for all."""
        return self._first

    def views(self) -> Iterator[EncounterView]:
        """Yield each encounter as rules see it."""
        for encounter, decision in self._judged:
            yield EncounterView(
                policy=self._terms,
                record=encounter,
                remote=encounter.remote,
                target=target_of(encounter.remote),
                during=(encounter.trigger or "no page").removeprefix("browser "),
                allowed=decision.allowed,
                predicted="yes" if self._predictions.of(encounter.remote) else "no",
            )

    def _destination(self, members: list[tuple[Encounter, Decision]]) -> Reached:
        encounters = [encounter for encounter, _ in members]
        decision = min((one for _, one in members), key=lambda one: _WORST_FIRST.index(one.allowed))
        occasions: Counter[str | None] = Counter()
        for one in encounters:
            occasions[one.trigger] += one.count
        first = encounters[0]
        remote = _destined(first.remote)
        predicted = self._predictions.of(remote)
        return Reached(
            remote=remote,
            protocol=first.protocol,
            addresses=_some(one.remote.address for one in encounters),
            allowed=decision.allowed,
            by=decision.by,
            who=_some(_who(one) for one in encounters),
            occasions=tuple(Occasion(trigger=what, count=count) for what, count in occasions.most_common(_SOME)),
            count=sum(one.count for one in encounters),
            spoken=_some(one.spoken for one in encounters if one.spoken != "nothing") or ("nothing",),
            encrypted=any(one.encrypted for one in encounters),
            requests=_some(one.request for one in encounters),
            openings=_some(one.opening for one in encounters),
            ended=_some(one.ended for one in encounters),
            sent=sum(one.sent for one in encounters),
            received=sum(one.received for one in encounters),
            predicted=_some(one.by for one in predicted),
            role=next((one.role for one in predicted if one.role), None),
            first=_extreme(min, (one.first for one in encounters)),
            last=_extreme(max, (one.last or one.first for one in encounters)),
            seen=first.seen,
        )

    def _asked(self, inspection: Inspection) -> Iterator[tuple[Reached, Question]]:
        """Yield each name that was asked for and never dialled: a world without names lets nobody come further."""
        visits = list(inspection.records(Visit))
        dialled = {normal(one.remote.name) for one, _ in self._judged if one.remote.name}
        groups: dict[str, list[Question]] = {}
        for question in inspection.records(Question):
            name = bare(self._hearsay.base(question.name))
            if question.protocol == "dns" and name not in dialled and name not in {"", "."}:
                groups.setdefault(name, []).append(question)
        for name, questions in groups.items():
            public = self._hearsay.is_public(name)
            remote = Endpoint(name=name, scope="public" if public else "private")
            listed = self._allowlist.approves_public(name) if public else self._allowlist.covers_name(name)
            predicted = self._predictions.of(remote)
            reached = Reached(
                remote=remote,
                protocol="dns",
                allowed="yes" if listed else "no",
                who=_some(one.process.name for one in questions if one.process),
                occasions=_during(questions, visits),
                count=sum(one.count for one in questions),
                spoken=("dns",),
                ended=_some(one.status for one in questions),
                predicted=_some(one.by for one in predicted),
                role=next((one.role for one in predicted if one.role), None),
                first=_extreme(min, (one.first for one in questions)),
                last=_extreme(max, (one.last or one.first for one in questions)),
            )
            yield reached, replace(questions[0], count=reached.count)


def _destined(remote: Endpoint) -> Endpoint:
    """Leave out the address that was made up for a name."""
    return Endpoint(name=normal(remote.name), port=remote.port, scope=remote.scope) if remote.name else remote


def _who(encounter: Encounter) -> str | None:
    if encounter.seen == "browser":
        return _BROWSER
    return encounter.process.name if encounter.process else None


def _some(items: Iterable[_T | None]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(item for item in items if item))[:_SOME]


def _during(questions: Iterable[Question], visits: Sequence[Visit]) -> tuple[Occasion, ...]:
    """Return the visits within which a name was first and last asked for: of the times between nothing is known."""
    times = dict.fromkeys(time for one in questions for time in (one.first, one.last) if time)
    found = dict.fromkeys(_under_way(time, visits) for time in times)
    return tuple(Occasion(trigger=trigger, count=1) for trigger in found)[:_SOME]


def _under_way(time: datetime, visits: Iterable[Visit]) -> str | None:
    """Return the innermost visit of a moment."""
    began = [(one.first, one.label) for one in visits if one.first and one.last and one.first <= time < one.last]
    return max(began)[1] if began else None


def _extreme(choose: Callable[..., datetime], times: Iterable[datetime | None]) -> datetime | None:
    known = [time for time in times if time]
    return choose(known) if known else None


def _urgency(found: tuple[Reached, object]) -> tuple[int, bool, bool, str, int, str]:
    one = found[0]
    public = one.remote.scope in {"public", "metadata"}
    return (
        _WORST_FIRST.index(one.allowed), not public, one.seen == "browser", one.remote.name or one.remote.address or "",
        one.remote.port or 0, one.protocol,
    )  # fmt: skip


def connection_of(encounter: Encounter) -> Connection:
    """Return the connection that an encounter amounts to."""
    return Connection(
        netns=0,
        protocol=encounter.protocol,
        state="attempt",
        direction="outbound",
        local=Endpoint(),
        remote=encounter.remote,
        process=encounter.process,
        workload=encounter.workload,
        count=encounter.count,
        first=encounter.first,
        last=encounter.last,
        seen="sockets",  # the namespace of a rehearsal is known, whatever it is called
    )
