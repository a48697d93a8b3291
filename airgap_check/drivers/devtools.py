"""The pipe that a browser is told over what to do: JSON messages that end in NUL, commands and events.

Source: chromedevtools.github.io/devtools-protocol, and content/public/browser/devtools_agent_host.h of Chromium for the
two descriptors (3 to read from, 4 to write to).
"""

from __future__ import annotations

import json
import os
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.errors import AirgapError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_BYTES = 1 << 26  # of one message
_READ = 1 << 16
_ANSWER_SECONDS = 15.0


class BrowserError(AirgapError):
    """The browser does not do as it is told; the text is a clause that says how."""


class Event(NamedTuple):
    """Something that has happened in a page, a worker or the browser; the session says in which."""

    method: str
    parameters: dict[str, Any]
    session: str | None


class Devtools:
    """One conversation; ``hear`` is called with each event, and may `tell`, but must not `call`."""

    def __init__(self, reading: int, writing: int, hear: Callable[[Event], None]) -> None:
        self._reading, self._writing, self._hear = reading, writing, hear
        self._poll = select.poll()
        self._poll.register(reading, select.POLLIN)
        self._buffer = bytearray()
        self._number = 0
        self._waited_for: dict[int, dict[str, Any] | None] = {}

    def tell(self, method: str, session: str | None = None, **parameters: Any) -> int:
        """Send a command without waiting for its answer; return its number. Raises `BrowserError`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        try:
            while data:
                data = data[os.write(self._writing, data) :]
        except OSError as error:
            raise BrowserError("the browser has ended") from error
        return self._number

    def call(
        self, method: str, session: str | None = None, seconds: float = _ANSWER_SECONDS, **parameters: Any
    ) -> dict[str, Any]:
        """Send a command and return its result. Raises `BrowserError`, also where the answer is a refusal."""
        number = self.tell(method, session, **parameters)
        self._waited_for[number] = None
        deadline = time.monotonic() + seconds
        try:
            while (answer := self._waited_for[number]) is None:
                if not self.listen(deadline):
                    raise BrowserError(f"no answer to {method} within {seconds:g} s")
        finally:
            del self._waited_for[number]
        if "error" in answer:
            raise BrowserError(f"{method} was refused")
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    def listen(self, deadline: float) -> bool:
        """Wait for something to be said, until a time.monotonic(), and pass it on; False where nothing was."""
        if not self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            return False
        data = os.read(self._reading, _READ)
        if not data:
            raise BrowserError("the browser has ended")
        self._buffer += data
        if len(self._buffer) > _MOST_BYTES:
            raise BrowserError("the browser says too much at once")
        for message in self._messages():
            number = message.get("id")
            if number is None:
                self._hear(_event(message))
            elif number in self._waited_for:
                self._waited_for[number] = message
        return True

    def _messages(self) -> Iterator[dict[str, Any]]:
        *whole, rest = self._buffer.split(b"\0")
        self._buffer = rest
        for text in whole:
            try:
                message = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise BrowserError("the browser says what is no JSON") from error
            if isinstance(message, dict):
                yield message


def _event(message: dict[str, Any]) -> Event:
    return Event(str(message.get("method")), message.get("params") or {}, message.get("sessionId"))
