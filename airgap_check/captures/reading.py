"""Reads files one after the other, each by its format, and says how well that went."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from airgap_check.captures import conntrack, eve, pcap, zeek
from airgap_check.captures.account import Account
from airgap_check.captures.line import MalformedError
from airgap_check.captures.pcapng import Reader as Blocks
from airgap_check.captures.plain import Packets
from airgap_check.captures.source import STANDARD_INPUT, Source
from airgap_check.captures.speech import Speech
from airgap_check.captures.tally import MOST_FLOWS, MOST_NAMES, Tally
from airgap_check.captures.window import DamagedError
from airgap_check.dissect import link
from airgap_check.evidence import Connection, Evidence
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airgap_check.captures.log import Log
    from airgap_check.captures.plain import Reader
    from airgap_check.captures.window import Window

_WORTH_COLUMNS = 4 << 20  # bytes from which on the import of numpy pays
_MOST_UNREADABLE = 8  # link types that are named
_BAR = 20  # characters
_LOGS: dict[str, Callable[[Tally], Log]] = {"zeek": zeek.Log, "eve": eve.Log, "conntrack": conntrack.Log}
_BLIND = (
    "what did not pass the point of capture, and attempts that failed before a packet existed",
    "processes: neither packets nor these logs name them",
    "names in protocols that are not read, on unusual ports, and inside VXLAN, GENEVE and encrypted tunnels",
)


class Reading:
    """All files become one `Evidence`."""

    def __init__(self, progress: Callable[[str], None], deadline: float | None, *, columns: bool | None = None) -> None:
        """Tell ``progress`` how far it is; ``columns`` forces, or forbids, numpy, which else is a matter of size."""
        self._progress = progress
        self._deadline = deadline
        self._columns = columns
        self._tally = Tally()
        self._speech = Speech(self._tally)
        self._packets: Reader | None = None
        self._counts = Counter(dict.fromkeys(("files", "packets", "cut", "lines", "malformed", "skipped"), 0))
        self._unreadable: Counter[int] = Counter()
        self._reasons: list[str] = []
        self._dropped = 0

    def evidence(self, paths: Sequence[str]) -> Evidence:
        """Read the files, each once. Raises `UsageError`."""
        paths = list(dict.fromkeys(paths))
        for path in paths:
            self._file(path, paths)
        beyond = self._close() + self._tally.lost
        if beyond:
            self._reasons.append(
                f"only the first {MOST_FLOWS:,} distinct flows, and {MOST_NAMES:,} names of a kind, are judged:"
                " split the capture"
            )
        if self._dropped:
            self._reasons.append(f"the capturing host dropped {self._dropped:,} packets")
        self._reasons += self._strangers()
        records = tuple(Account(self._tally).records())
        if not records:
            self._reasons.append("nothing in it says who talks to whom")
        self._counts["flows"] = sum(record.count for record in records if isinstance(record, Connection))
        return Evidence(
            kind="capture",
            status="partial" if self._reasons else "complete",
            records=records,
            reason="; ".join(self._reasons),
            scope=", ".join(_shown(path) for path in paths),
            counts=dict(self._counts),
            lost=self._dropped + beyond,
            blind=_BLIND,
        )

    def _close(self) -> int:
        self._progress("pairing packets")
        self._speech.close()
        beyond = 0
        if self._packets is not None:
            beyond = self._packets.close()
            dissection = self._packets.dissection
            self._counts["other"], self._counts["cut"] = dissection.other, self._packets.cut
            self._reasons += filter(None, [dissection.reason()])
        return beyond

    def _file(self, path: str, paths: Sequence[str]) -> None:
        with Source(path, self._bar(path), self._deadline) as source:
            self._counts["files"] += 1
            damage = ""
            try:
                if source.format in _LOGS:
                    self._lines(source)
                else:
                    self._frames(source, paths)
            except DamagedError as error:
                damage = f"{error.reason} at byte {error.offset:,}"
            if source.damage:  # what came of it: a packet cut short, for instance
                damage = f"{source.damage} at byte {source.position:,}"
            if damage:
                self._reasons.append(f"{_shown(path)}: {damage}; it is judged up to there")

    def _frames(self, source: Source, paths: Sequence[str]) -> None:
        if self._packets is None:
            self._packets = self._reader(paths)
        blocks = Blocks(source.read) if source.format == "pcapng" else None
        try:
            for window in blocks.windows() if blocks else pcap.windows(source.read):
                self._window(window)
        finally:
            self._dropped += blocks.lost if blocks else 0

    def _window(self, window: Window) -> None:
        assert self._packets is not None
        self._counts["packets"] += len(window)
        for number, count in window.links().items():
            if number in self._unreadable or len(self._unreadable) < _MOST_UNREADABLE:
                self._unreadable[number] += count if link.unreadable(number) else 0
        self._packets.take(window)

    def _reader(self, paths: Sequence[str]) -> Reader:
        wanted = self._columns
        if wanted is None:
            wanted = STANDARD_INPUT in paths or sum(map(_size, paths)) >= _WORTH_COLUMNS
        if wanted:
            try:
                from airgap_check.captures.columns import Columns
            except ImportError:
                pass
            else:
                return Columns(self._tally, self._speech)
        return Packets(self._tally, self._speech)

    def _lines(self, source: Source) -> None:
        log = _LOGS[source.format](self._tally)
        number = malformed = first = 0
        for number, line in enumerate(source.lines(), 1):
            try:
                log.take(line)
            except MalformedError:
                malformed, first = malformed + 1, first or number
        self._counts.update(lines=number, malformed=malformed, skipped=log.skipped)
        if malformed:
            self._reasons.append(
                f"{_shown(source.path)}: {malformed:,} of {number:,} lines could not be read,"
                f" the first is line {first:,}"
            )

    def _strangers(self) -> list[str]:
        return [
            f"{count:,} packets could not be read: {link.unreadable(number)}"
            for number, count in self._unreadable.items()
            if count
        ]

    def _bar(self, path: str) -> Callable[[int], None]:
        size, name = _size(path), _shown(os.path.basename(path))[:40]

        def report(position: int) -> None:
            if not size:
                self._progress(f"{name}: {position >> 20:,} MiB")
                return
            share = min(1.0, position / size)
            done = round(share * _BAR)
            self._progress(f"{name} [{'#' * done}{'.' * (_BAR - done)}] {share:.0%} of {size >> 20:,} MiB")

        return report


def _size(path: str) -> int:
    """Return the bytes of a file; 0 where nobody knows."""
    return os.path.getsize(path) if path != STANDARD_INPUT and os.path.exists(path) else 0


def _shown(path: str) -> str:
    return "standard input" if path == STANDARD_INPUT else printable(path)
