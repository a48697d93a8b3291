"""Opens the pages that the rehearsed command serves, in a browser, and keeps what they would fetch from elsewhere.

The browser's own wishes never appear: only what pages, their frames and their workers ask for is looked at.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from airgap_check.drivers.chromium import Chromium, find
from airgap_check.drivers.devtools import BrowserError
from airgap_check.drivers.foreign import Fetched, origin
from airgap_check.drivers.tab import Tab

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping

    from airgap_check.drivers.diary import Diary, Remark

_TICK = 0.25
_MOST_QUERIES, _MOST_WAITING = 4, 1000
_LEAVING = re.compile(r"log-?out|sign-?out|log-?off", re.IGNORECASE)
_NO_PAGE = re.compile(
    r"\.(?:js|css|json|map|png|jpe?g|gif|svg|ico|woff2?|zip|gz|pdf|csv|xlsx?|ya?ml|txt)\Z", re.IGNORECASE
)
_LABEL = "browser"
_ABORTED = "net::ERR_ABORTED"  # what is left of a page that turned out to be a file, which is not kept


class Limits(NamedTuple):
    """Pages to open, seconds for one to load and then to come to rest, seconds in all, and requests to keep."""

    pages: int = 60
    load: float = 15.0
    rest: float = 5.0
    seconds: float = 900.0
    requests: int = 5000


_LIMITS = Limits()


def browse(
    base: str,
    diary: Diary,
    profile_dir: str,
    *,
    cookies: Mapping[str, str],
    stop: threading.Event,
    limits: Limits = _LIMITS,
    pages: Iterable[str] = ("/",),
) -> list[Fetched]:
    """Open pages of ``base`` (http://localhost:8080), breadth first along their links, and return what they wanted.

    ``cookies`` are those of somebody who has signed in, ``pages`` where to begin. Each page is a visit *browser /path*;
    what goes wrong stands there. Raises `UsageError` where there is no browser, and nothing else.
    """
    program = find()
    tab = Tab(base, limits.requests)
    try:
        with Chromium(program, profile_dir, tab.hear) as chromium:
            diary.own_pids.add(chromium.pid)
            tab.begin(chromium.tools, cookies)
            _Crawl(tab, diary, stop, limits).walk(pages)
    except BrowserError as error:
        with diary.visiting(_LABEL) as remark:
            remark.say("failed", str(error))
    return tab.fetched


class _Crawl:
    """The way from page to page."""

    def __init__(self, tab: Tab, diary: Diary, stop: threading.Event, limits: Limits) -> None:
        self._tab, self._diary, self._stop, self._limits = tab, diary, stop, limits
        self._until = time.monotonic() + limits.seconds
        self._waiting: deque[str] = deque()
        self._known: set[str] = set()
        self._opened = 0
        self._queries: Counter[str] = Counter()

    def walk(self, pages: Iterable[str]) -> None:
        """Open page after page, until there are no more, or enough, or time is up."""
        self._note(pages)
        while self._waiting and self._opened < self._limits.pages and not self._is_over():
            path = self._waiting.popleft()
            self._opened += 1
            with self._diary.visiting(f"{_LABEL} {path.partition('?')[0]}") as remark:
                self._open(path, remark)
        if left := len(self._known) - self._opened:
            self._diary.omitted.append(f"pages that are linked and were not opened ({left}; opened: {self._opened})")

    def _open(self, path: str, remark: Remark) -> None:
        try:
            failed = self._tab.navigate(path)
            if failed:
                download = failed == _ABORTED
                remark.say("skipped" if download else "failed", "no page: a download" if download else failed)
                return
            began = time.monotonic()
            self._wait(began + self._limits.load, lambda: self._tab.loaded)
            if self._is_over():
                remark.say("skipped", "time was up")
                return
            if not self._tab.loaded:
                remark.say("failed", f"not loaded within {self._limits.load:g} s")
            self._wait(time.monotonic() + self._limits.rest, self._tab.is_at_rest)
            self._note(self._tab.links())
            opening = self._tab.open_tabs()
            self._wait(time.monotonic() + opening, lambda: False)
            self._wait(time.monotonic() + self._limits.rest, self._tab.is_at_rest)
            self._note(self._tab.links())
        except BrowserError as error:
            remark.say("failed", str(error))
            self._tab.open_tab()

    def _wait(self, deadline: float, enough: Callable[[], bool]) -> None:
        """Let things happen until it is enough, or time is up."""
        while time.monotonic() < deadline and not self._is_over() and not enough():
            self._tab.listen(min(_TICK, deadline - time.monotonic()))

    def _note(self, urls: Iterable[str]) -> None:
        """Note pages of the same server that are new, of each path a few queries."""
        for url in urls:
            whole = urljoin(self._tab.base + "/", url)
            if origin(whole) != self._tab.served:
                continue
            parts = urlsplit(whole)
            path = parts.path or "/"
            whole = f"{path}?{parts.query}" if parts.query else path
            if whole in self._known or _LEAVING.search(whole) or _NO_PAGE.search(path):
                continue
            self._known.add(whole)
            self._queries[path] += 1
            if self._queries[path] <= _MOST_QUERIES and len(self._waiting) < _MOST_WAITING:
                self._waiting.append(whole)

    def _is_over(self) -> bool:
        return self._stop.is_set() or time.monotonic() > self._until
