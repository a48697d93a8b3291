"""Lets drivers exercise the rehearsed command while it is watched, and says afterwards what they did and saw."""

from __future__ import annotations

import tempfile
import threading
from typing import TYPE_CHECKING

from airgap_check.address import parse
from airgap_check.drivers.where import Driven, await_server
from airgap_check.evidence import Evidence
from airgap_check.evidence.fact import Endpoint, endpoint
from airgap_check.evidence.rehearsed import Encounter, Visit
from airgap_check.result import some

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from airgap_check.drivers.diary import Diary
    from airgap_check.drivers.foreign import Fetched
    from airgap_check.drivers.where import Where
    from airgap_check.rehearsal.wish import Wish

_BROWSER_BLIND = (
    "whom pages would reach by WebRTC beyond the servers that they name for it, and from workers and foreign frames",
)
_UNANSWERED = frozenset({"Preconnect", "WebRTC", "WebSocket", "WebTransport"})
_DATAGRAMS = frozenset({"stun", "turn"})
_LINGER = 2.0  # seconds in which the command may still act on the last visit


class Exercise:
    """The drivers at work, in a thread of their own; ``drives`` is False where there is none."""

    def __init__(self, wish: Wish, where: Where, diary: Diary, stop: threading.Event) -> None:
        """Begin; the drivers end by themselves, or soon after ``stop``."""
        self.drives = wish.driver is not None or wish.browser
        self._wish, self._where, self._diary, self._stop = wish, where, diary, stop
        self._fetched: list[Fetched] = []
        self._failure: BaseException | None = None
        self._has_done_all = False
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._thread.start()

    def is_done(self) -> bool:
        """Tell whether there is nothing more to do. Raises what a driver failed of."""
        if self._failure:
            raise self._failure
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Wait for the end. Raises what a driver failed of."""
        self._thread.join()
        self.is_done()

    def evidence(self, wall: Callable[[int], datetime]) -> list[Evidence]:
        """Say what was done, and how well that went; nothing where there was no driver."""
        if not self.drives:
            return []
        visits = [
            Visit(
                label=entry.label, outcome=entry.outcome, detail=entry.detail, first=wall(entry.began_ns),
                last=wall(entry.ended_ns),
            )
            for entry in self._diary.visits
        ]  # fmt: skip
        failed = [f"{visit.label} ({visit.detail})" for visit in visits if visit.outcome == "failed"]
        done = sum(visit.outcome == "done" for visit in visits)
        reasons = [] if done else ["nothing was exercised: no visit succeeded"]
        reasons += [] if self._has_done_all else ["the driver had not done all when time was up"]
        reasons += [f"failed: {some(failed)}"] if failed else []
        reasons += [f"{self._diary.lost} visits were not kept"] if self._diary.lost else []
        return [
            Evidence(
                kind="drive",
                status="partial" if reasons else "complete",
                records=tuple(visits),
                reason="; ".join(reasons),
                scope="what the driver did over loopback",
                counts={"visits": len(visits), "done": done, "failed": len(failed)},
                lost=self._diary.lost,
                blind=(*(_BROWSER_BLIND if self._wish.browser else ()), *self._diary.omitted),
            )
        ]

    def fetched(self, wall: Callable[[int], datetime], known: Callable[[Endpoint], Endpoint]) -> list[Encounter]:
        """Return what pages wanted a browser to fetch from elsewhere."""
        return [_of_fetch(fetched, wall, known) for fetched in self._fetched]

    def _run(self) -> None:
        try:
            self._drive()
        except BaseException as error:  # noqa: BLE001  (handed over to the main thread, not swallowed)
            self._failure = error

    def _drive(self) -> None:
        driven = self._wish.driver(self._where, self._diary, self._stop) if self._wish.driver else Driven()
        if self._wish.browser:
            from airgap_check.drivers import browser

            port = driven.port or await_server(self._where, self._stop)
            if port is None:
                self._diary.skip("browser", "nobody served")
                return
            base = f"http://localhost:{port}"
            with tempfile.TemporaryDirectory(dir="/run/airgap-check") as profile:
                self._fetched += browser.browse(
                    base, self._diary, profile, cookies=driven.cookies, stop=self._stop, pages=driven.pages
                )
        self._has_done_all = not self._stop.is_set()
        if self.drives:
            self._stop.wait(_LINGER)


def _of_fetch(fetched: Fetched, wall: Callable[[int], datetime], known: Callable[[Endpoint], Endpoint]) -> Encounter:
    address = parse(fetched.host)
    remote = endpoint(address, fetched.port) if address else Endpoint(name=fetched.host, port=fetched.port)
    at = wall(fetched.at_ns)
    return Encounter(
        protocol="udp" if fetched.scheme in _DATAGRAMS or fetched.kind == "WebTransport" else "tcp",
        remote=known(remote),
        spoken="browser",
        encrypted=fetched.scheme in {"https", "wss", "stuns", "turns"},
        name=fetched.host,
        request=f"{fetched.method} {fetched.url}".strip(),
        ended=f"{'not let out' if fetched.kind in _UNANSWERED else 'answered for the browser'} ({fetched.kind})",
        trigger=f"browser {fetched.page}",
        first=at,
        last=at,
        seen="browser",
    )
