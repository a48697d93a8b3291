"""What every observer can do, and the clock by which all of them tell time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

from airgap_check.errors import AirgapError

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord, Evidence


class UnobservableError(AirgapError):
    """This observer cannot run here; the text is one line that says why, and by what that could be changed."""


class Epoch(NamedTuple):
    """The wall clock at one moment, beside the kernel's clocks at the same moment (nanoseconds)."""

    wall: datetime
    monotonic: int
    boottime: int

    def at_monotonic(self, nanoseconds: int) -> datetime:
        """Return the wall time of a CLOCK_MONOTONIC reading, as bpf_ktime_get_ns() gives it."""
        return self.wall + timedelta(microseconds=(nanoseconds - self.monotonic) / 1000)

    def at_boottime(self, nanoseconds: int) -> datetime:
        """Return the wall time of a CLOCK_BOOTTIME reading, as the kernel keeps the start of a process."""
        return self.wall + timedelta(microseconds=(nanoseconds - self.boottime) / 1000)

    @staticmethod
    def at_realtime(seconds: int, nanoseconds: int) -> datetime:
        """Return the wall time of a packet's time stamp."""
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=nanoseconds / 1000)


class Observer(Protocol):
    """Something that watches from its construction on, until `finish` or `close`.

    ``kind`` names the collector in the coverage. All methods are called by one thread at a time.
    """

    kind: str

    def filenos(self) -> tuple[int, ...]:
        """Return the descriptors that become readable when something waits; empty where there is nothing to poll."""
        ...

    def drain(self) -> None:
        """Take what waits in the kernel, without blocking; memory stays bounded whatever arrives."""
        ...

    def fresh(self) -> list[AnyRecord]:
        """Return the records that are new since the last call, for whoever watches; their counts may still grow."""
        ...

    def finish(self) -> Evidence:
        """Drain once more, stop watching and return everything that was seen, each fact once with its count."""
        ...

    def close(self) -> None:
        """Stop watching and give everything back to the kernel; may be called more than once."""
        ...
