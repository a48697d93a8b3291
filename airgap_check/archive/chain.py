"""Whether archives are all the runs of a host, in their order: each names the manifest of the one before.

What a chain alone cannot show is that its last ones are there: for that the head has to be known from elsewhere.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.archive.verification import Step
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.archive.manifest import Host, Manifest
    from airgap_check.archive.verification import Verified


class Known(NamedTuple):
    """Digests of manifests that are known from elsewhere: the one before the first archive, and the last one's."""

    before: str | None = None
    head: str | None = None


class Chain(NamedTuple):
    """What was shown of the chain of one host; ``anchored``: the manifests that a head known from elsewhere covers."""

    host: Host
    steps: tuple[Step, ...]
    anchored: frozenset[str]

    @property
    def failed(self) -> bool:
        """Tell whether runs are missing, or are not those that were chained."""
        return any(step.status == "failed" for step in self.steps)


class _Linked(NamedTuple):
    """An archive with a place in a chain."""

    path: str
    digest: str
    manifest: Manifest

    def __str__(self) -> str:
        return f"number {self.manifest.sequence} ({printable(self.path)})"


def check(archives: Sequence[Verified], known: Known, *, whole: bool = True) -> list[Chain]:
    """Check the chain of each host; those that failed by themselves are no part of one, and will be missed in it.

    ``whole``: all of a chain has to be there, from its first archive or from the one that follows what is known.
    """
    linked = [
        _Linked(one.path, one.digest, one.manifest)
        for one in archives
        if one.manifest and one.digest and not one.failed and one.manifest.sequence
    ]
    linked.sort(key=lambda one: (*_whose(one), one.manifest.sequence, one.digest, one.path))
    groups = [list(group) for _, group in groupby(linked, _whose)]
    # What is known is of one host: where it is the end, or the beginning, of one chain, it says nothing of the others.
    ends = [group[-1].digest == known.head for group in groups]
    begins = [group[0].manifest.previous == known.before for group in groups]
    return [
        _checked(
            group,
            Known(
                known.before if begun or not any(begins) else None,
                known.head if ended or not any(ends) else None,
            ),
            whole=whole,
        )
        for group, begun, ended in zip(groups, begins, ends, strict=True)
    ]


def _checked(ordered: Sequence[_Linked], known: Known, *, whole: bool) -> Chain:
    steps = tuple(_steps(ordered, known, whole=whole))
    proved = ordered[-1].digest == known.head and all(step.status != "failed" for step in steps)
    return Chain(ordered[0].manifest.host, steps, frozenset(one.digest for one in ordered if proved))


def _whose(one: _Linked) -> tuple[str, str]:
    """Tell hosts apart: by the machine id, which a new name does not change, or by the name where there is none."""
    host = one.manifest.host
    return (host.machine_id_hash, "") if host.machine_id_hash else ("", host.hostname)


def _steps(ordered: Sequence[_Linked], known: Known, *, whole: bool) -> Iterator[Step]:
    yield _beginning(ordered[0], known.before, whole=whole)
    faults = [fault for one, after in pairwise(ordered) if (fault := _between(one, after))]
    count = len(ordered)
    text = f"{count} archive{'s' if count > 1 else ''}, each named by the next"
    yield from [Step("links", "failed", fault) for fault in faults] or [Step("links", "shown", text)]
    yield _end(ordered, known.head)


def _beginning(first: _Linked, before: str | None, *, whole: bool) -> Step:
    if before is not None:
        follows = first.manifest.previous == before
        text = (
            f"{first} follows {before}"
            if follows
            else f"{first} does not follow {before}: archives between are missing"
        )
        return Step("beginning", "shown" if follows else "failed", text)
    if first.manifest.sequence == 1:
        return Step("beginning", "shown", f"{first} is the first: it names none before it")
    missing = _numbers(1, first.manifest.sequence - 1)
    if not whole:
        return Step("beginning", "open", f"{first} alone was to be verified, and not what it follows")
    return Step("beginning", "failed", f"{missing} missing before {first}, which follows {first.manifest.previous}")


def _between(one: _Linked, after: _Linked) -> str:
    """Say what is wrong between two archives, the second of which has no lower number than the first."""
    here, there = one.manifest.sequence, after.manifest.sequence
    if one.digest == after.digest:
        return f"{after} is the same archive as {printable(one.path)}"
    if here == there:
        both = f"{one} and {after}"
        if one.manifest.previous == after.manifest.previous:
            return f"the chain forks: {both} follow the same, {one.manifest.previous or 'nothing'}"
        return f"the number is there twice: {both}"
    if there > here + 1:
        return f"{_numbers(here + 1, there - 1)} missing between {one} and {after}"
    if after.manifest.previous != one.digest:
        return f"{after} follows {after.manifest.previous}, which is not {one}: reordered, replaced or of another chain"
    return ""


def _numbers(first: int, last: int) -> str:
    return f"number {first} is" if first == last else f"numbers {first} to {last} are"


def _end(ordered: Sequence[_Linked], head: str | None) -> Step:
    last = ordered[-1]
    if head is None:
        text = f"nobody knows whether {last} is the last: its manifest is {last.digest}; compare it by --expect-head"
        return Step("end", "open", text)
    if last.digest == head:
        return Step("end", "shown", f"{last} is the head that is known from elsewhere")
    for place, one in enumerate(ordered[:-1], start=1):
        if one.digest == head:
            more = len(ordered) - place
            text = f"{one} is the head that is known from elsewhere, and {more} more follow that nobody knows of"
            return Step("end", "failed", text)
    return Step("end", "failed", f"{last} is not the last: the head of the chain is {head}, and archives are missing")
