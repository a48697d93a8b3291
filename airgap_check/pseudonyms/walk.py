"""Goes through structures, and through the mappings that findings keep of them, to every text and what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from airgap_check.evidence.fact import Endpoint, Place, Process, Workload
from airgap_check.finding import Finding, Reason
from airgap_check.pseudonyms.meaning import NAMING, PARTS, RECORDS, fields, listed, meaning, naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airgap_check.pseudonyms.meaning import Meaning

    Hiding = Mapping[Meaning, Callable[[str], str]]

_S = TypeVar("_S", bound=msgspec.Struct)
_SHARED = (Process, Workload, Place, Endpoint)  # the same ones stand in many records
_WHOLE = frozenset(PARTS.values())  # which have no parts themselves
_SHARED_NAMES = frozenset({"Process", "Workload", "Place"})  # as mappings, which take more room to remember


class _Memory(dict[Any, Any]):
    """What was hidden already; a report says the same thing often."""

    def __init__(self, hide: Callable[[Any], Any]) -> None:
        super().__init__()
        self._hide = hide

    def __missing__(self, text: Any) -> Any:
        hidden = self[text] = self._hide(text)
        return hidden


class _Leaf(NamedTuple):
    """What a field of a mapping is called when hidden, the words that it may show, who hides it, and what is inside."""

    name: str
    words: frozenset[str]
    hide: _Memory
    part: str


class Walk:
    """Hides what it comes by; each text is given to who knows its meaning."""

    def __init__(self, hiding: Hiding) -> None:
        """Take who hides what."""
        self._hide = hiding
        self._hiding = {what: _Memory(hide) for what, hide in hiding.items()}
        self._text = self._hiding["text"]
        self._leaves: dict[tuple[str, str], _Leaf] = _Memory(self._leaf)
        self._shared: dict[Any, Any] = {}

    def structure(self, whole: _S) -> _S:
        """Return a structure with every text in it hidden."""
        if not isinstance(whole, _SHARED):
            return self._structure(whole)
        if (hidden := self._shared.get(whole)) is None:
            hidden = self._shared[whole] = self._structure(whole)
        return hidden

    def _structure(self, whole: _S) -> _S:
        changes = {}
        for name, what in fields(type(whole)):
            value = getattr(whole, name)
            if value:
                changes[name] = self._value(value, what)
        return replace(whole, **changes) if changes else whole

    def _value(self, value: Any, what: Meaning) -> Any:
        if isinstance(value, str):
            return self._hiding[what][value]
        if isinstance(value, Finding):
            return self._finding(value)
        if isinstance(value, msgspec.Struct):
            return self.structure(value)
        if isinstance(value, tuple):
            return tuple(self._value(item, what) for item in value)
        if isinstance(value, dict):
            return {self._text[key]: self._value(item, what) for key, item in value.items()}
        return value

    def _finding(self, finding: Finding) -> Finding:
        structure = RECORDS.get(finding.record.get("kind", ""), "")
        return Finding(
            subject=self._hide["text"](finding.subject),  # nearly every finding has its own: not worth remembering
            message=self._hide["text"](finding.message),
            because=tuple(self._reason(reason, structure) for reason in finding.because),
            record=self._mapping(finding.record, structure),
            count=finding.count,
            fingerprint=self._hide["fingerprint"](finding.fingerprint),
            waived_by=finding.waived_by and self._hiding["acceptance"][finding.waived_by],
        )

    def _reason(self, reason: Reason, structure: str) -> Reason:
        *above, last = reason.field.split(".")
        leaf = self._leaves[PARTS.get(above[-1], structure) if above else structure, last]
        return Reason(
            field=self._text[reason.field], value=self._fact(reason.value, leaf), test=self._text[reason.test]
        )

    def _leaf(self, place: tuple[str, str]) -> _Leaf:
        structure, name = place
        known = listed()
        shown = name if name in known else self._text[name]
        return _Leaf(shown, known.get(name, frozenset()), self._hiding[meaning(structure, name)], PARTS.get(name, ""))

    def _mapping(self, record: dict[str, Any], structure: str) -> dict[str, Any]:
        leaves, hidden = self._leaves, {}
        for name, value in record.items():
            leaf = leaves[structure, name]
            hidden[leaf.name] = value if value is None or isinstance(value, int) else self._fact(value, leaf)
        return hidden

    def _fact(self, value: Any, leaf: _Leaf) -> Any:
        """Hide what a field of a record holds that has become a plain mapping."""
        if isinstance(value, str):
            return value if value in leaf.words else leaf.hide[value]
        if isinstance(value, dict):
            return self._part(value, leaf.part) if leaf.part in _SHARED_NAMES else self._mapping(value, leaf.part)
        if isinstance(value, tuple | list):
            return [self._fact(item, leaf) for item in value]
        return value

    def _part(self, part: dict[str, Any], structure: str) -> dict[str, Any]:
        """Hide a part that many records share; where its values cannot be looked up, it is no such part."""
        try:
            place = (structure, *part, *part.values())
            if (hidden := self._shared.get(place)) is None:
                hidden = self._shared[place] = self._mapping(part, structure)
        except TypeError:
            return self._mapping(part, structure)
        return hidden


def names(whole: Any) -> Iterator[tuple[Meaning, str]]:
    """Yield what things, people and hosts are called, anywhere in a structure; what stands in many records, once."""
    seen: set[Any] = set()
    waiting: list[tuple[Meaning, Any]] = [("text", whole)]
    while waiting:
        what, value = waiting.pop()
        if isinstance(value, str):
            if what in NAMING:
                yield what, value
        elif isinstance(value, Finding):
            yield from _names_in(value.record, RECORDS.get(value.record.get("kind", ""), ""))
        elif not isinstance(value, _SHARED) or value not in seen:
            if isinstance(value, _SHARED):
                seen.add(value)
            waiting.extend(_inside(value, what))


def _inside(value: Any, what: Meaning) -> list[tuple[Meaning, Any]]:
    """List what a structure, a mapping or a list holds."""
    if isinstance(value, msgspec.Struct):
        return [(held, item) for name, held in fields(type(value)) if (item := getattr(value, name))]
    if isinstance(value, dict):
        return [(what, item) for item in value.values()]
    return [(what, item) for item in value] if isinstance(value, tuple | list) else []


def _names_in(record: dict[str, Any], structure: str) -> Iterator[tuple[Meaning, str]]:
    for name, what in naming(structure):
        value = record.get(name)
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, str):
                yield what, item
    for name, part in () if structure in _WHOLE else PARTS.items():
        value = record.get(name)
        for item in value if isinstance(value, tuple | list) else (value,):
            if isinstance(item, dict):
                yield from _names_in(item, part)
