"""The closed vocabulary of rule conditions, and predicates that say why they hold.

A condition is a mapping of field to test, and all must hold; ``any``, ``all`` and ``not`` combine. A bare value means
*is*, a list means *in*. Answers are three-valued (Kleene): a field whose value is ``unknown`` leaves a test undecided
unless the test itself names ``unknown``; a field that is missing makes a test false.
"""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import reduce
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from airgap_check.address import parse
from airgap_check.finding import Reason
from airgap_check.rule.field import Field, fields
from airgap_check.yamlfile import Document, Path, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.view import View

Truth = bool | None  # None: cannot be decided
Test = Callable[[Any], bool]


class Condition:
    """A compiled condition."""

    def decide(self, view: View) -> Truth:
        """Tell whether the view meets the condition; None when that cannot be decided."""
        raise NotImplementedError

    def because(self, view: View) -> list[Reason]:
        """List the leaves that hold for a view that meets the condition."""
        raise NotImplementedError


class _Leaf(Condition):
    __slots__ = ("_field", "_names_unknown", "_read", "_test", "_text")

    def __init__(self, field: Field, test: Test, text: str, *, names_unknown: bool) -> None:
        self._field, self._test, self._text, self._names_unknown = field, test, text, names_unknown
        self._read = field.read

    def decide(self, view: View) -> Truth:
        value = self._read(view)
        if value is None:
            return False
        if value == "unknown" and not self._names_unknown:
            return None
        if type(value) is tuple:
            return any(map(self._test, value))
        return self._test(value)

    def because(self, view: View) -> list[Reason]:
        return [Reason(field=self._field.path, value=self._read(view), test=self._text)]


class _All(Condition):
    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Condition]) -> None:
        self._parts = tuple(parts)

    def decide(self, view: View) -> Truth:
        answer: Truth = True
        for part in self._parts:
            truth = part.decide(view)
            if truth is False:
                return False
            if truth is None:
                answer = None
        return answer

    def because(self, view: View) -> list[Reason]:
        return [reason for part in self._parts for reason in part.because(view)]


class _Any(Condition):
    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[Condition]) -> None:
        self._parts = tuple(parts)

    def decide(self, view: View) -> Truth:
        answer: Truth = False
        for part in self._parts:
            truth = part.decide(view)
            if truth:
                return True
            if truth is None:
                answer = None
        return answer

    def because(self, view: View) -> list[Reason]:
        return [reason for part in self._parts if part.decide(view) for reason in part.because(view)]


class _Not(Condition):
    __slots__ = ("_part",)

    def __init__(self, part: Condition) -> None:
        self._part = part

    def decide(self, view: View) -> Truth:
        truth = self._part.decide(view)
        return None if truth is None else not truth

    def because(self, view: View) -> list[Reason]:  # noqa: ARG002  # what does not hold has no value to show
        return []


def compile_condition(document: Document, path: Path, value: object, view_type: type[View]) -> Condition:
    """Compile the condition that stands at a path of a document, noting every fault there.

    Returns a condition in any case; it means nothing when the document has faults.
    """
    if not isinstance(value, dict) or not value:
        document.fault(path, "a condition is a mapping of field to test, and not an empty one")
        return _All(())
    return _All([_part(document, (*path, key), key, test, view_type) for key, test in value.items()])


def _part(document: Document, path: Path, key: str, test: object, view_type: type[View]) -> Condition:
    if key in {"any", "all"}:
        if not isinstance(test, list) or not test:
            document.fault(path, f"{key} takes a list of conditions")
            return _All(())
        parts = [compile_condition(document, (*path, index), item, view_type) for index, item in enumerate(test)]
        return _Any(parts) if key == "any" else _All(parts)
    if key == "not":
        return _Not(compile_condition(document, path, test, view_type))
    known = fields(view_type)
    if key not in known:
        document.fault(path, f"no such field {key}{suggest(key, known)}", at_key=True)
        return _All(())
    return _All(list(_tests(document, path, known[key], test)))


def _tests(document: Document, path: Path, field: Field, test: object) -> list[Condition]:
    if isinstance(test, dict):
        if not test:
            document.fault(path, f"no test; one of: {', '.join(_OPERATORS)}")
        return [leaf for name, operand in test.items() for leaf in _leaf(document, (*path, name), field, name, operand)]
    return _leaf(document, path, field, "in" if isinstance(test, list) else "is", test)


def _leaf(document: Document, path: Path, field: Field, name: str, operand: object) -> list[Condition]:
    build = _OPERATORS.get(name)
    if build is None:
        document.fault(path, f"unknown operator {name}{suggest(name, _OPERATORS)}", at_key=True)
        return []
    operands = operand if isinstance(operand, list) else [operand]
    wanted = int if name in {"min", "max"} else field.type
    if not operands:
        document.fault(path, "an empty list matches nothing")
    for index, item in enumerate(operands):
        where = (*path, index) if isinstance(operand, list) else path
        if type(item) is not wanted or wanted is not field.type or (name in _TEXT_ONLY and wanted is not str):
            document.fault(where, f"{field.path} is {_name(field.type)}: {name} cannot take {item!r}")
        elif name in {"is", "in"} and field.choices and item not in field.choices:
            document.fault(where, f"{field.path} is never {item}{suggest(item, field.choices)}")
        elif name == "cidr" and not _is_network(str(item)):
            document.fault(where, f"not a network, or host bits are set: {item}")
    if document.faults:
        return []
    if name in {"min", "max", "is"} and len(operands) > 1:
        document.fault(path, f"{name} takes one value")
        return []
    return [_Leaf(field, build(operands), _text(name, operands), names_unknown="unknown" in operands)]


def _name(leaf: type) -> str:
    return {str: "text", int: "a number", bool: "true or false"}.get(leaf, leaf.__name__)


def _text(name: str, operands: list[Any]) -> str:
    return f"{name} {', '.join(str(operand) for operand in operands)}"


def _is_network(text: str) -> bool:
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _in(operands: list[Any]) -> Test:
    return frozenset(operands).__contains__


def _glob(operands: list[Any]) -> Test:
    return lambda value: any(fnmatchcase(str(value), pattern) for pattern in operands)


def _iglob(operands: list[Any]) -> Test:
    lowered = [pattern.lower() for pattern in operands]
    return lambda value: any(fnmatchcase(str(value).lower(), pattern) for pattern in lowered)


def _cidr(operands: list[Any]) -> Test:
    networks = [ip_network(text) for text in operands]

    def test(value: object) -> bool:
        address = parse(str(value))
        return address is not None and any(address in network for network in networks)

    return test


def _domain(operands: list[Any]) -> Test:
    """Match a name that is one of the domains, or below one."""
    domains = [text.lower().strip(".") for text in operands]

    def test(value: object) -> bool:
        name = str(value).lower().rstrip(".")
        return any(name == domain or name.endswith("." + domain) for domain in domains)

    return test


def _min(operands: list[Any]) -> Test:
    bound = reduce(max, operands)
    return lambda value: bool(value >= bound)


def _max(operands: list[Any]) -> Test:
    bound = reduce(min, operands)
    return lambda value: bool(value <= bound)


_TEXT_ONLY = {"glob", "iglob", "cidr", "domain"}
_OPERATORS: dict[str, Callable[[list[Any]], Test]] = {
    "is": _in, "in": _in, "glob": _glob, "iglob": _iglob, "cidr": _cidr, "domain": _domain, "min": _min, "max": _max,
}  # fmt: skip
