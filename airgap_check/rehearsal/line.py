"""What a rehearsal tells the tool outside: one JSON object a line, the outcome last."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from airgap_check.evidence import Evidence
from airgap_check.evidence.inspection import Trial

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage(msgspec.Struct, frozen=True, tag_field="kind", tag="stage"):
    """What is being done."""

    text: str


class Refused(msgspec.Struct, frozen=True, tag_field="kind", tag="refused"):
    """The rehearsal cannot be, for a reason that whoever asked for it can change."""

    reason: str


class Unseen(msgspec.Struct, frozen=True, tag_field="kind", tag="unseen"):
    """Nothing was rehearsed, as nobody could have seen it."""

    reason: str


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="failed"):
    """A fault of ours, with its traceback."""

    traceback: str


class Outcome(msgspec.Struct, frozen=True, tag_field="kind", tag="outcome"):
    """Everything that was seen."""

    evidence: tuple[Evidence, ...]
    trials: tuple[Trial, ...]
    cut: str | None = None


Line = Stage | Refused | Unseen | Failed | Outcome
_DECODER = msgspec.json.Decoder(Line)


def write(descriptor: int, line: Line) -> None:
    """Tell a line, whole; a reader that has gone is told nothing."""
    data = memoryview(msgspec.json.encode(line) + b"\n")
    with suppress(BrokenPipeError):
        while data:
            data = data[os.write(descriptor, data) :]


def read(descriptor: int) -> Iterator[Line]:
    """Iterate over the lines that are told, until the other end closes; one that it was killed in is none."""
    with open(descriptor, "rb", closefd=False) as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _DECODER.decode(line)
