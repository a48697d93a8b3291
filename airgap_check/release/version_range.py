"""Knows whether a version lies in a range as npm writes ranges: ``^17``, ``~1.2 || >=2.0.0 <3``, ``1.x``, ``1 - 2``.

Sources: Semantic Versioning 2.0.0, and the grammar and the rule on pre-releases of node-semver's README.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST = 256  # characters, as node-semver
_NUMBER = r"0|[1-9]\d{0,15}"
_TAIL = r"(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"[v=\s]*({_NUMBER})\.({_NUMBER})\.({_NUMBER}){_TAIL}\Z", re.ASCII)
_X = rf"{_NUMBER}|[xX*]"
_COMPARATOR = re.compile(rf"(\^|~>?|[<>]=?|=|)\s*[v=\s]*(?:({_X})(?:\.({_X})(?:\.({_X}){_TAIL})?)?)?\Z", re.ASCII)
_HYPHEN = re.compile(r"\s+-\s+")
_OPERATOR_GAP = re.compile(r"(\^|~>?|[<>]=?|=)\s+")


class _Version(NamedTuple):
    """A version as a key that sorts: one without pre-release comes after those with."""

    major: int
    minor: int = 0
    patch: int = 0
    final: bool = True
    pre: tuple[tuple[int, int, str], ...] = ()


class _Bound(NamedTuple):
    """One comparison that a version must meet."""

    operator: str
    version: _Version


class _Partial(NamedTuple):
    """What stands behind an operator; None where it says x, or nothing."""

    major: int | None
    minor: int | None
    patch: int | None
    pre: str | None

    def lowest(self) -> _Version:
        return _version(self.major or 0, self.minor or 0, self.patch or 0, self.pre)

    def after(self, *, major: bool = False) -> _Version:
        """Return the first version, pre-releases included, beyond all that this stands for."""
        if self.minor is None or major:
            return _version((self.major or 0) + 1, 0, 0, "0")
        return _version(self.major or 0, self.minor + 1, 0, "0")


def holds(range_: str, version: str) -> bool | None:
    """Tell whether a version lies in a range; None where one of them cannot be read."""
    found = _VERSION.match(version.strip()) if len(version) <= _LONGEST else None
    sets = _sets(range_)
    if found is None or sets is None:
        return None
    mine = _version(int(found[1]), int(found[2]), int(found[3]), found[4])
    return any(_meets(mine, bounds) for bounds in sets)


def _version(major: int, minor: int, patch: int, pre: str | None) -> _Version:
    parts = tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in (pre or "").split(".")
    )
    return _Version(major, minor, patch, final=not pre, pre=parts if pre else ())


def _meets(version: _Version, bounds: list[_Bound]) -> bool:
    tests = {
        "<": version.__lt__, "<=": version.__le__, ">": version.__gt__, ">=": version.__ge__, "=": version.__eq__,
    }  # fmt: skip
    if not all(tests[bound.operator](bound.version) for bound in bounds):
        return False
    # Who asks for 1.2.3-beta.1 has seen that pre-release; who asks for ^1.2 has not asked for any.
    return version.final or any(not bound.version.final and bound.version[:3] == version[:3] for bound in bounds)


def _sets(range_: str) -> list[list[_Bound]] | None:
    """Return the alternatives of a range, each a list of bounds that all must hold; None where it makes no sense."""
    if len(range_) > _LONGEST:
        return None
    sets = []
    for text in range_.split("||"):
        bounds = _set(text.strip())
        if bounds is None:
            return None
        sets.append(bounds)
    return sets


def _set(text: str) -> list[_Bound] | None:
    ends = _HYPHEN.split(text)
    if len(ends) == 2:
        low, high = _partial(ends[0]), _partial(ends[1])
        if low is None or high is None or low[0] or high[0]:
            return None
        return [*_bounds(">=", low[1]), *_bounds("<=", high[1])]
    bounds: list[_Bound] = []
    for word in _OPERATOR_GAP.sub(r"\1", text).split() or [""]:
        read = _partial(word)
        if read is None:
            return None
        bounds += _bounds(*read)
    return bounds


def _partial(word: str) -> tuple[str, _Partial] | None:
    found = _COMPARATOR.match(word)
    if found is None or (found[2] is None and word):  # an operator alone is no range, nothing at all is any version
        return None
    numbers: list[int | None] = []
    for text in found.group(2, 3, 4):
        known = text is not None and text.isdigit() and None not in numbers
        numbers.append(int(text) if known else None)
    return found[1], _Partial(numbers[0], numbers[1], numbers[2], None if None in numbers else found[5])


def _bounds(operator: str, part: _Partial) -> Iterator[_Bound]:
    """Say what an operator and a version, of which the end may be missing, mean as plain comparisons."""
    if part.major is None:
        if operator in {"<", ">"}:  # less than anything: nothing
            yield _Bound("<", _version(0, 0, 0, "0"))
        return
    whole = part.patch is not None
    if operator == "^":
        yield _Bound(">=", part.lowest())
        yield _Bound("<", _beyond_caret(part))
    elif operator in {"~", "~>"} or (operator in {"", "="} and not whole):
        yield _Bound(">=", part.lowest())
        yield _Bound("<", part.after())
    elif operator in {"", "="}:
        yield _Bound("=", part.lowest())
    elif whole or operator == ">=":
        yield _Bound(operator, part.lowest())
    elif operator == "<":  # <1.2 is <1.2.0-0
        yield _Bound("<", _version(part.major, part.minor or 0, 0, "0"))
    else:  # >1.2 is >=1.3.0, and <=1.2 is <1.3.0-0
        after = part.after()
        yield _Bound("<", after) if operator == "<=" else _Bound(">=", after._replace(final=True, pre=()))


def _beyond_caret(part: _Partial) -> _Version:
    """Return where a caret ends: the leftmost number that is not zero may not change."""
    if part.major or part.minor is None:
        return part.after(major=True)
    if part.minor or part.patch is None:
        return part.after()
    return _version(0, 0, part.patch + 1, "0")
