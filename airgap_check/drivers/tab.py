"""One tab of a browser that is told what to open: lets through what is the server's, answers for everybody else.

It holds all that a page opens, its frames, workers and windows, from before they run. Source: the domains Fetch,
Network, Target and Page of chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airgap_check.drivers import foreign
from airgap_check.drivers.devtools import BrowserError, Event
from airgap_check.drivers.foreign import Fetched, origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.drivers.devtools import Devtools

_ATTACH: dict[str, Any] = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
_QUIET = 0.75  # seconds without a request under way, after which a page is taken to be complete
_LONG = 3.0  # seconds until a request counts no more: of some the browser never tells the end
_MOST_TABS, _TAB_MILLISECONDS = 12, 200
_START_SECONDS = 60.0
# Tabs are opened one after the other: what lies behind them is often loaded only then (editors, maps).
_TABS = f"""(() => {{
  const tabs = [...document.querySelectorAll('[role=tab]:not([aria-selected=true])')].slice(0, {_MOST_TABS});
  const tell = (tab, what) => tab.dispatchEvent(new MouseEvent(what, {{bubbles: true, cancelable: true, button: 0}}));
  tabs.forEach((tab, index) => setTimeout(
    () => ['mousedown', 'mouseup', 'click'].forEach((what) => tell(tab, what)), index * {_TAB_MILLISECONDS}));
  return tabs.length;
}})()"""
_LINKS = """(() => {
  window.scrollTo(0, document.documentElement.scrollHeight);
  const all = (what) => [...document.querySelectorAll(what)].slice(0, 2000).map((e) => String(e.href).slice(0, 2048));
  return [all('a[href], area[href]'), all('link[rel~=preconnect], link[rel~=dns-prefetch]')];
})()"""


_MARK = "airgap-check: peers by"
_EAVESDROP = f"""(() => {{
  const Real = window.RTCPeerConnection, say = console.debug.bind(console);
  if (!Real) return;
  window.RTCPeerConnection = new Proxy(Real, {{construct(target, given, self) {{
    try {{
      const urls = (given[0]?.iceServers ?? []).flatMap((server) => server.urls ?? server.url ?? []);
      if (urls.length) say({_MARK!r}, ...urls.slice(0, 16).map((url) => String(url).slice(0, 256)));
    }} catch {{ /* then the page's own call says so */ }}
    return Reflect.construct(target, given, self);
  }}}});
}})()"""


class Tab:
    """The one tab; ``fetched`` is what its pages wanted from elsewhere, at most so many."""

    def __init__(self, base: str, most: int) -> None:
        served = origin(base)
        assert served is not None
        self.served = served
        self.base = base.rstrip("/")
        self.page = "/"
        self.fetched: list[Fetched] = []
        self._windows: list[str] = []
        self._under_way: dict[tuple[str | None, str], float] = {}
        self.quiet_since = time.monotonic()
        self.loaded = False
        self._most = most
        self._announced: set[str] = set()
        self._tools: Devtools
        self._session: str | None = None
        self._target: str | None = None
        self._context: str | None = None

    def begin(self, tools: Devtools, cookies: Mapping[str, str]) -> None:
        """Take hold of everything that the browser opens, and open a tab. Raises `BrowserError`."""
        self._tools = tools
        self._context = tools.call("Target.createBrowserContext", None, _START_SECONDS).get("browserContextId")
        tools.call("Target.setAutoAttach", **_ATTACH)
        kept = [{"name": name, "value": value, "url": self.base + "/"} for name, value in cookies.items()]
        tools.call("Storage.setCookies", cookies=kept, browserContextId=self._context)
        tools.tell("Browser.setDownloadBehavior", behavior="deny")
        self.open_tab()

    def open_tab(self) -> None:
        """Open a new tab, in place of the old one."""
        if self._target is not None:
            self._tools.tell("Target.closeTarget", targetId=self._target)
        self._session = None
        self._target = self._tools.call("Target.createTarget", url="about:blank", browserContextId=self._context)[
            "targetId"
        ]
        deadline = time.monotonic() + 15
        while self._session is None:
            if not self._tools.listen(deadline):
                raise BrowserError("the browser opened no page")

    def navigate(self, path: str) -> str:
        """Begin to load a page; return what went wrong, or nothing."""
        self.page, self.loaded = path.partition("?")[0], False
        self._under_way.clear()
        while self._windows:
            self._tools.tell("Target.closeTarget", targetId=self._windows.pop())
        self._announced.clear()
        self.quiet_since = time.monotonic()
        answer = self._tools.call("Page.navigate", self._session, 30.0, url=self.base + path)
        return str(answer.get("errorText", ""))

    def listen(self, seconds: float) -> None:
        """Let things happen for so long, at most."""
        self._tools.listen(time.monotonic() + seconds)

    def is_at_rest(self) -> bool:
        """Tell whether the page has loaded and asks for nothing any more."""
        now = time.monotonic()
        waits = any(now - began < _LONG for began in self._under_way.values())
        return self.loaded and not waits and now - self.quiet_since > _QUIET

    def open_tabs(self) -> float:
        """Begin to open what lies behind the tabs of the page; return how many seconds that takes."""
        count = self._evaluate(_TABS)
        self.quiet_since = time.monotonic()
        return min(count, _MOST_TABS) * _TAB_MILLISECONDS / 1000 if isinstance(count, int) else 0.0

    def links(self) -> list[str]:
        """Return where the page leads to, having scrolled to its end; what it announces to need is kept."""
        found = self._evaluate(_LINKS)
        if not isinstance(found, list) or len(found) != 2:
            return []
        for url in set(map(str, found[1])) - self._announced:
            self._announced.add(url)
            self._keep(url, "", "Preconnect")
        return [str(url) for url in found[0]]

    def _evaluate(self, expression: str) -> Any:
        answer = self._tools.call("Runtime.evaluate", self._session, expression=expression, returnByValue=True)
        return answer.get("result", {}).get("value")

    def hear(self, event: Event) -> None:
        """Take note of an event, and answer for those who are not there."""
        parameters, session = event.parameters, event.session
        match event.method:
            case "Fetch.requestPaused":
                self._decide(parameters, session)
            case "Target.attachedToTarget":
                self._take_hold(parameters)
            case "Target.detachedFromTarget":
                gone = parameters.get("sessionId")
                self._under_way = {one: began for one, began in self._under_way.items() if one[0] != gone}
            case "Network.requestWillBeSent" if _is_awaited(parameters):
                self._under_way[session, str(parameters.get("requestId"))] = time.monotonic()
            case "Network.loadingFinished" | "Network.loadingFailed":
                self._under_way.pop((session, str(parameters.get("requestId"))), None)
                self.quiet_since = time.monotonic()
            case "Network.webSocketCreated" | "Network.webTransportCreated" as created:
                kind = "WebSocket" if "Socket" in created else "WebTransport"
                self._keep(str(parameters.get("url")), "CONNECT" if kind == "WebTransport" else "GET", kind)
            case "Runtime.consoleAPICalled":
                self._listen_to_console(parameters)
            case "Page.loadEventFired" if session == self._session:
                self.loaded = True
                self.quiet_since = time.monotonic()
            case "Page.javascriptDialogOpening":
                self._tools.tell("Page.handleJavaScriptDialog", session, accept=True)
            case _:
                pass

    def _listen_to_console(self, parameters: dict[str, Any]) -> None:
        """Hear of servers that a page wants to find its way to others by: no event of the network tells of those."""
        words = [str(argument.get("value")) for argument in parameters.get("args", ())]
        if words[:1] == [_MARK]:
            for url in words[1:]:
                name, _, place = url.partition(":")
                self._keep(f"{name}://{place}", "", "WebRTC")

    def _take_hold(self, parameters: dict[str, Any]) -> None:
        """See and decide all that a new page, frame or worker asks for, before it runs."""
        session, target = parameters.get("sessionId"), parameters.get("targetInfo", {})
        kind = target.get("type")
        if target.get("browserContextId") != self._context:  # the browser's own pages
            self._tools.tell("Runtime.runIfWaitingForDebugger", session)
            self._tools.tell("Target.detachFromTarget", sessionId=session)
            return
        if target.get("targetId") == self._target or (kind == "page" and self._session is None):
            self._session = session
        elif kind == "page":  # a window that the page has opened; it may stay as long as that
            self._windows.append(str(target.get("targetId")))
        self._tools.tell("Fetch.enable", session, patterns=[{"urlPattern": "*"}])
        self._tools.tell("Network.enable", session)
        if kind in {"page", "iframe"}:
            self._tools.tell("Page.enable", session)
            self._tools.tell("Runtime.enable", session)
            self._tools.tell("Page.addScriptToEvaluateOnNewDocument", session, source=_EAVESDROP, runImmediately=True)
        self._tools.tell("Target.setAutoAttach", session, **_ATTACH)
        self._tools.tell("Runtime.runIfWaitingForDebugger", session)

    def _decide(self, parameters: dict[str, Any], session: str | None) -> None:
        """Let a request go to the server, or answer it in the place of the one that it was for."""
        request, number = parameters.get("request", {}), parameters.get("requestId")
        url, kind = str(request.get("url")), str(parameters.get("resourceType"))
        goal = origin(url)
        if goal is None or goal == self.served:
            self._tools.tell("Fetch.continueRequest", session, requestId=number)
            return
        self._keep(url, str(request.get("method")), kind)
        answer = foreign.answer(kind, request.get("headers", {}))
        self._tools.tell("Fetch.fulfillRequest", session, requestId=number, **answer)

    def _keep(self, url: str, method: str, kind: str) -> None:
        goal = origin(url)
        if goal is None or goal[1:] == self.served[1:] or len(self.fetched) >= self._most:
            return
        where = foreign.describe(url)
        self.fetched.append(
            Fetched(where, goal.host, goal.port, goal.scheme, method, kind, self.page, time.monotonic_ns())
        )


def _is_awaited(parameters: dict[str, Any]) -> bool:
    """Tell whether a page is incomplete for as long as a request is under way."""
    url = str(parameters.get("request", {}).get("url"))
    return origin(url) is not None and parameters.get("type") not in {"EventSource", "Ping"}
