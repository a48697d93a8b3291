"""The proof of sight as a table: a row for each attempt of our own, a column for each observer that should see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.evidence.inspection import Trial


class Sight(NamedTuple):
    """What one observer saw of one attempt; ``status`` is as of coverage, and empty where nothing was promised."""

    words: str
    status: str
    note: str = ""

    @property
    def text(self) -> str:
        """Say it with the note."""
        return f"{self.words}: {self.note}" if self.note else self.words


NOTHING = Sight("-", "")


def observers(trials: Sequence[Trial]) -> list[str]:
    """Name the columns."""
    return list(dict.fromkeys(trial.observer for trial in trials))


def rows(trials: Sequence[Trial]) -> list[tuple[str, list[Sight]]]:
    """Return the attempts and, in the order of `observers`, what was seen of each."""
    seen = {(trial.mode, trial.observer): _sight(trial) for trial in trials}
    columns = observers(trials)
    modes = dict.fromkeys(trial.mode for trial in trials)
    return [(mode, [seen.get((mode, name), NOTHING) for name in columns]) for mode in modes]


def _sight(trial: Trial) -> Sight:
    if trial.seen == "yes" and trial.process in {"right", "not promised"}:
        return Sight("seen" if trial.process == "not promised" else "seen, right process", "complete")
    words = {"yes": f"seen, process {trial.process}", "no": "NOT SEEN", "skipped": "skipped"}[trial.seen]
    note = trial.note if trial.note.lower() != words.lower() else ""
    return Sight(words, "unavailable" if trial.seen == "no" else "partial", note)
