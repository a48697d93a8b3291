"""Fits findings into the number of results that consumers of SARIF accept, and loses none: what is too many is summed.

The limits are those that GitHub publishes for uploads ("SARIF support for code scanning"): 25,000 results a run, 25,000
rules, 1,000 locations a result, 20 tags a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.finding import Finding, Known, RuleResult

MOST_RESULTS: Final = 25_000
MOST_RULES: Final = 25_000
MOST_LOCATIONS: Final = 1_000
MOST_TAGS: Final = 20
_T = TypeVar("_T")


class Group(NamedTuple):
    """Findings of one rule that are alike to a consumer: all accepted by the same one, or all gone since a baseline."""

    rule: str
    result: RuleResult | None
    items: Sequence[Finding | Known]


def shares(sizes: Sequence[int], most: int) -> list[int]:
    """Share out a number of results: small groups get all they need, and the large ones the same number each.

    Nobody gets none, so that more groups than results get more than there are.
    """
    left, shared = most, [0] * len(sizes)
    order = sorted(range(len(sizes)), key=sizes.__getitem__)
    for position, index in enumerate(order):
        shared[index] = max(1, min(sizes[index], left // (len(sizes) - position)))
        left -= shared[index]
    return shared


def pieces(items: Sequence[_T], share: int, most: int = MOST_LOCATIONS) -> Iterator[Sequence[_T]]:
    """Cut items into at most ``share`` pieces: single ones first, then as few large ones as there must be.

    A piece has at most ``most`` items, unless even the share in such pieces would not hold them all.
    """
    if len(items) <= share:
        singles, large, size = len(items), 0, 1
    else:
        size = max(most, -(-len(items) // share))
        large = min(share, -(-(len(items) - share) // (size - 1)))
        singles = share - large
    yield from (items[index : index + 1] for index in range(singles))
    yield from (items[begin : begin + size] for begin in range(singles, len(items), size or 1) if large)
