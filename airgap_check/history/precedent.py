"""What went before a run: when this host was last heard of, and which runs never came to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import convert

from airgap_check.evidence.fact import Instant  # noqa: TC001  (msgspec reads the annotations)

if TYPE_CHECKING:
    from sqlite3 import Connection

    from airgap_check.history.presence import Presence


class Moment(NamedTuple):
    """A point in time by two clocks: the wall's, and the seconds since this boot, time asleep included."""

    at: Instant
    boot: str | None = None
    uptime: float | None = None

    def since(self, other: Moment) -> float | None:
        """Return the seconds from another moment of the same boot, which no wall clock can bend; None of another."""
        if not self.boot or self.boot != other.boot or self.uptime is None or other.uptime is None:
            return None
        gone = self.uptime - other.uptime
        return gone if gone >= 0 else None  # in another time namespace

    def least_since(self, other: Moment) -> float:
        """Return the seconds that have gone since at the least, whatever the wall clock says: of another boot, ours."""
        measured = self.since(other)
        if measured is not None:
            return measured
        return self.uptime or 0.0 if self.boot and other.boot and self.boot != other.boot else 0.0


class Precedent(NamedTuple):
    """What a run finds when it begins.

    ``heard`` is when an earlier run last delivered a report; ``killed`` says of each run that never delivered its last
    one from when on it is unknown what it saw; ``company`` when the earliest began of those that are still at work.
    ``mishap`` says that there was another memory before this one. ``runs`` counts those that are remembered.
    """

    now: Moment
    heard: Moment | None = None
    killed: tuple[Moment, ...] = ()
    company: Instant | None = None
    mishap: str = ""
    runs: int = 0

    @property
    def elapsed(self) -> float | None:
        """Return the seconds since an earlier run was heard of, as well as a clock can tell; None for the first."""
        if self.heard is None:
            return None
        measured = self.now.since(self.heard)
        if measured is not None:
            return measured
        return max((self.now.at - self.heard.at).total_seconds(), self.now.least_since(self.heard))


class Found(NamedTuple):
    """A precedent, and the numbers of the killed runs and the mishap in it: once it is reported they are history."""

    precedent: Precedent
    killed: tuple[int, ...]
    mishap: int


class _Row(NamedTuple):
    id: int
    started: Instant
    heard: Instant | None
    boot: str | None
    uptime: float | None


def look_back(connection: Connection, now: Moment, presence: Presence) -> Found:
    """Find out what went before. Raises sqlite3.Error; ValueError for rows that nobody wrote."""
    columns = "SELECT id, started, heard, boot, uptime FROM run"
    last = connection.execute(f"{columns} WHERE turn IS NOT NULL ORDER BY turn DESC LIMIT 1").fetchone()
    heard = convert(last, _Row) if last else None
    killed, company = [], []
    for row in connection.execute(f"{columns} WHERE finished IS NULL AND told = 0 ORDER BY id DESC"):
        open_ = convert(row, _Row)
        if presence.is_alive(open_.id):
            company.append(open_.started)
        else:
            killed.append(open_)
    (runs,) = connection.execute("SELECT count(*) FROM run").fetchone()
    number, text = connection.execute("SELECT coalesce(max(id), 0), group_concat(body, '; ') FROM mishap").fetchone()
    precedent = Precedent(
        now,
        Moment(heard.heard or heard.started, heard.boot, heard.uptime) if heard else None,
        tuple(Moment(one.heard or one.started, one.boot, one.uptime) for one in killed),
        min(company, default=None),
        convert(text, str) if text else "",
        runs,
    )
    return Found(precedent, tuple(one.id for one in killed), convert(number, int))
