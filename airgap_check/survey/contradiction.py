"""Finds where the configuration of a rehearsed command says one thing, and what it did says another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence.fact import Endpoint
from airgap_check.finding import Unseen
from airgap_check.survey.place import target_of
from airgap_check.survey.prediction import Prediction, fits, hosts
from airgap_check.view import ContradictionView

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Reached
    from airgap_check.survey.prediction import Off, Predictions
    from airgap_check.survey.reached import Reach
    from airgap_check.view import PolicyTerms

_FEW = 3


class Contradictions:
    """What contradicts itself in one inspection."""

    def __init__(self, inspection: Inspection, terms: PolicyTerms, reach: Reach, predictions: Predictions) -> None:
        """Take what was reached for, and what was predicted."""
        self._terms, self._predictions = terms, predictions
        self._complete = inspection.of("world").status == "complete"
        self._dialled = [(one, record) for one, record in reach.firsts() if one.seen == "world"]

    def views(self) -> Iterator[ContradictionView]:
        """Yield each contradiction: the gravest kind first."""
        for one, record in self._dialled:
            off = self._off(one)
            if off is not None:
                yield ContradictionView(
                    policy=self._terms,
                    record=record,
                    aspect="dialled-though-off",
                    target=target_of(one.remote),
                    by=off.by,
                    detail=f"{off.by} says that it is off, and {_deed(one)}",
                    allowed=one.allowed,
                )
            elif not one.predicted and one.allowed != "yes":
                yield ContradictionView(
                    policy=self._terms,
                    record=record,
                    aspect="unpredicted",
                    target=target_of(one.remote),
                    by="nothing",
                    detail=f"nothing that was read leads there, and {_deed(one)}",
                    allowed=one.allowed,
                )
        for first, others in self._missed():
            yield ContradictionView(
                policy=self._terms,
                record=first.record,
                aspect="never-seen",
                target=target_of(first.end),
                by=first.by,
                detail=f"{_joined(others)} leads to {target_of(first.end)}, and nothing was seen to dial it",
                allowed="unknown",
            )

    def unseen(self) -> tuple[Unseen, ...] | None:
        """Return what was predicted and never seen; None where what was seen is not all."""
        if not self._complete:
            return None
        return tuple(
            Unseen(remote=_plain(first.end), predicted=tuple(dict.fromkeys(one.by for one in others)))
            for first, others in self._missed()
        )

    def _off(self, reached: Reached) -> Off | None:
        """Return what says that a destination is off, unless something else that is not off leads there too."""
        for off in self._predictions.off:
            if any(fits(end, reached.remote) for end in off.ends) and not any(
                getattr(one.record, "name", None) not in off.names for one in self._predictions.of(reached.remote)
            ):
                return off
        return None

    def _missed(self) -> Iterator[tuple[Prediction, list[Prediction]]]:
        """Yield each destination that was due and never seen, with everything that leads there."""
        if not self._complete:
            return
        seen: dict[str, list[Endpoint]] = {}
        for one, _ in self._dialled:
            for host in hosts(one.remote):
                seen.setdefault(host, []).append(one.remote)
        groups: dict[tuple[tuple[str, ...], int | None], list[Prediction]] = {}
        for prediction in self._predictions.all:
            reached = [end for host in hosts(prediction.end) for end in seen.get(host, ())]
            if prediction.due and not any(fits(prediction.end, end) for end in reached):
                groups.setdefault((hosts(prediction.end), prediction.end.port), []).append(prediction)
        for members in groups.values():
            yield members[0], members


def _deed(one: Reached) -> str:
    """Say who did what, and during what."""
    verb = "asked for" if one.protocol == "dns" else "dialled"
    who = ", ".join(one.who[:_FEW]) or "something"
    triggers = [occasion.trigger for occasion in one.occasions if occasion.trigger]
    during = f" (on {triggers[0]})" if triggers else ""
    return f"{who} {verb} {target_of(one.remote)}{during}"


def _joined(predictions: list[Prediction]) -> str:
    """Name the first few of what leads to one place."""
    said = list(dict.fromkeys(one.by for one in predictions))
    more = f" and {len(said) - _FEW} more" if len(said) > _FEW else ""
    return ", ".join(said[:_FEW]) + more


def _plain(end: Endpoint) -> Endpoint:
    return Endpoint(name=end.name, port=end.port, scope=end.scope) if end.name else end
