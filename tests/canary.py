"""Reports and evidence with a canary in every string, found by walking the types: a new field is in it by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import msgspec

from airgap_check.evidence import AnyRecord, Evidence
from airgap_check.evidence.fact import Instant
from airgap_check.evidence.inspection import Inspection
from airgap_check.finding import Finding, Report
from airgap_check.recording import collector_of
from airgap_check.view import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

_WHEN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Planting:
    """Builds values of any type. Each string is another canary; ``places`` tells where it was put."""

    def __init__(self, canary: Callable[[int], str]) -> None:
        self._canary = canary
        self.places: dict[str, str] = {}

    def text(self, place: str) -> str:
        planted = self._canary(len(self.places) + 1)
        self.places[planted] = place
        return planted

    def value(self, kind: Any, place: str) -> Any:
        if kind in _PLAIN:
            return _PLAIN[kind]
        if kind in {str, Any}:
            return self.text(place)
        if isinstance(kind, type) and issubclass(kind, Finding):
            raise TypeError("findings are made by `findings`")
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.structure(kind, place)
        return self._generic(kind, place)

    def _generic(self, kind: Any, place: str) -> Any:
        origin, members = get_origin(kind), get_args(kind)
        if origin is Literal:
            return members[0]
        if origin in {Union, UnionType}:
            return self.value(next(one for one in members if one is not type(None)), place)
        if place.endswith(".approved"):
            return {word: self.text(f"{place}.{word}") for word in ("by", "on")}
        if origin is dict:
            return {self.text(f"{place} key"): self.value(members[1], place)}
        assert origin is tuple, kind
        if members[0] == Finding:
            return self.findings()
        if members[0] == AnyRecord:
            return tuple(self.structure(one, one.__name__) for one in get_args(AnyRecord))
        return (
            (self.value(members[0], place),) if members[-1] is ... else tuple(self.value(one, place) for one in members)
        )

    def structure(self, kind: type[Any], place: str) -> Any:
        return kind(
            **{
                field.name: self.value(field.type, f"{place}.{field.name}")
                for field in msgspec.structs.fields(kind)
                if field.name != "schema"
            }
        )

    def findings(self) -> tuple[Finding, ...]:
        """Make a finding of every view that there is, with its record as a report holds it."""
        return tuple(self._finding(kind, view) for kind, (view, _) in KINDS.items())

    def _finding(self, kind: str, view: type[Any]) -> Finding:
        shown = msgspec.to_builtins(self.structure(view, kind))
        record = shown.pop("record", {})
        facts = {
            field.name: self.value(field.type, f"Finding.{field.name}")
            for field in msgspec.structs.fields(Finding)
            if field.name != "record"
        }
        return Finding(**facts, record={**record, **shown})

    def report(self) -> Report:
        return self.structure(Report, "Report")  # type: ignore[no-any-return]

    def inspection(self) -> Inspection:
        """Make an inspection whose records stand under their collectors, as in any recording."""
        whole: Inspection = self.structure(Inspection, "Inspection")
        (pattern,) = whole.evidence
        kinds = dict.fromkeys(collector_of(record) for record in pattern.records)
        evidence = tuple(
            Evidence(
                kind=kind,
                status="complete",
                records=tuple(record for record in pattern.records if collector_of(record) == kind),
                reason=pattern.reason,
                scope=pattern.scope,
                counts=pattern.counts,
                blind=pattern.blind,
            )
            for kind in kinds
        )
        return msgspec.structs.replace(whole, evidence=evidence)


_PLAIN: dict[Any, Any] = {int: 1, float: 1.0, bool: True, datetime: _WHEN, Instant: _WHEN, type(None): None}
