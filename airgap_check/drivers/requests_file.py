"""Files of requests to play to a rehearsed command, written as the ``.http`` files of editors are.

    # a comment, as is a line that begins with //
    ### create a note                          begins a request; the text is a remark
    # @wait 2s                                 look on for this long after the answer (default 0.3s)
    POST /api/v1/data/note HTTP/1.1            the method may be left out (GET), as may the version
    Content-Type: application/json

    {"title": "hello"}                         the body, up to the next ### or the end

A target is a path with its query, or an http URL of this machine (127.0.0.1, [::1], localhost), whose port counts then.
Cookies are kept from one request to the next. There are no variables.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from airgap_check import input as given
from airgap_check.errors import InvalidFileError
from airgap_check.redact import printable

MOST_REQUESTS = 1000
LINGER = 0.3  # seconds
_MOST_FAULTS = 100
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HERE = frozenset({"127.0.0.1", "::1", "localhost"})
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)  # RFC 9110 5.6.2
_WAIT = re.compile(r"(?:#|//)\s*@wait\b\s*(.*)", re.DOTALL)
_SECONDS = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s", re.ASCII)
_VERSION = re.compile(r"HTTP/\d(?:\.\d)?", re.ASCII)


class Request(NamedTuple):
    """One request; ``port`` None is the command's own, ``linger`` the seconds to look on after its answer."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    port: int | None = None
    linger: float = LINGER
    line: int = 0

    @property
    def label(self) -> str:
        """How visits name it: the method, and the path without its query."""
        return f"{self.method} {self.target.partition('?')[0]}"


def load(path: str) -> list[Request]:
    """Read a file of requests. Raises `UsageError`; with all faults, each with its line, where it is not well made."""
    return parse(path, given.read_bytes(path))


def parse(path: str, content: bytes) -> list[Request]:
    """Parse requests; ``path`` is for messages only. Raises `InvalidFileError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidFileError([f"{path}:{line}: this is no UTF-8"]) from error
    faults: list[tuple[int, str]] = []
    requests = [request for block in _blocks(text) if (request := _Block(*block, faults).request()) is not None]
    if len(requests) > MOST_REQUESTS:
        faults.append((requests[MOST_REQUESTS].line, f"more than {MOST_REQUESTS:,} requests"))
    if not requests and not faults:
        faults.append((1, "there is no request in it"))
    if faults:
        raise InvalidFileError(
            [f"{path}:{line}: {printable(text)[:300]}" for line, text in sorted(faults)[:_MOST_FAULTS]]
        )
    return requests


def _blocks(text: str) -> list[tuple[int, list[str]]]:
    """Return what stands between lines of ``###``, each with the number of its first line."""
    blocks: list[tuple[int, list[str]]] = [(1, [])]
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("###"):
            blocks.append((number + 1, []))
        else:
            blocks[-1][1].append(line.removesuffix("\r"))
    return blocks


class _Block:
    """The lines of one request, read one after the other."""

    def __init__(self, first: int, lines: list[str], faults: list[tuple[int, str]]) -> None:
        self._first, self._lines, self._faults = first, lines, faults
        self._linger = LINGER

    def request(self) -> Request | None:
        """Return the request; None where there is none, or one with faults, which are noted."""
        before = len(self._faults)
        at = self._find_request()
        if at is None:
            return None
        method, target = self._first_line(at)
        place = self._place(at, target)
        headers, begin = self._headers(at + 1)
        body = "\n".join(self._lines[begin:]).rstrip("\n")
        if len(self._faults) > before:
            return None
        content = body.encode() if body.strip() else None
        return Request(method, place[1], headers, content, place[0], self._linger, self._first + at)

    def _fault(self, index: int, text: str) -> None:
        self._faults.append((self._first + index, text))

    def _find_request(self) -> int | None:
        for index, line in enumerate(self._lines):
            if wait := _WAIT.match(line.strip()):
                seconds = _SECONDS.fullmatch(wait[1])
                if seconds:
                    self._linger = float(seconds[1])
                else:
                    self._fault(index, f"@wait wants seconds, as in 2s, not {wait[1]!r}")
            elif line.strip() and not line.lstrip().startswith(("#", "//")):
                return index
        return None

    def _first_line(self, index: int) -> tuple[str, str]:
        words = self._lines[index].split()
        if len(words) > 1 and _VERSION.fullmatch(words[-1]):
            words.pop()
        if len(words) == 1 and words[0].upper() not in _METHODS:
            words.insert(0, "GET")
        if len(words) != 2:
            self._fault(index, "a request is METHOD and a path (blanks in it are %20)")
            return "", ""
        if words[0] not in _METHODS:
            known = ", ".join(sorted(_METHODS))
            self._fault(index, f"unknown method {words[0]!r} (known: {known})")
        return words[0], words[1]

    def _place(self, index: int, target: str) -> tuple[int | None, str]:
        """Split a target into port and path."""
        if target.startswith("/"):
            path = target.partition("#")[0]
            if not path.isascii() or not path.isprintable():
                self._fault(index, "what is not ASCII is percent-encoded in a path")
            return None, path
        if not target:
            return None, ""
        try:
            url = urlsplit(target)
            port, host = url.port or 80, url.hostname
        except ValueError:
            self._fault(index, "that is no URL")
            return None, ""
        if url.scheme != "http" or host not in _HERE or url.username is not None:
            self._fault(index, "the target is a path, or an http URL of 127.0.0.1, [::1] or localhost")
            return None, ""
        _, path = self._place(index, (url.path or "/") + (f"?{url.query}" if url.query else ""))
        return port, path

    def _headers(self, index: int) -> tuple[tuple[tuple[str, str], ...], int]:
        """Return the headers, and the index of the body's first line."""
        headers: list[tuple[str, str]] = []
        for at in range(index, len(self._lines)):
            line = self._lines[at]
            if not line.strip():
                return tuple(headers), at + 1
            if line.lstrip().startswith(("#", "//")):
                continue
            name, colon, value = line.partition(":")
            if not colon or not _TOKEN.fullmatch(name):
                self._fault(at, "a header is NAME: VALUE; before a body there is an empty line")
            elif not value.isprintable() or not value.isascii():
                self._fault(at, f"the value of {name} holds what no header may hold")
            else:
                headers.append((name, value.strip()))
        return tuple(headers), len(self._lines)
