"""A visitor to a server on this machine: requests over loopback, cookies kept, everything bounded."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import closing, contextmanager, suppress
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from http.client import HTTPConnection, HTTPResponse

_ADDRESSES = ("127.0.0.1", "::1")  # a server that binds *localhost* is often at the latter alone
NAME = "localhost"  # products trust the origin of this name, and not that of the address
SECONDS = 30.0  # a server that dials out into silence may take 10 s and more to say so
MOST_BYTES = 1 << 20
_CONNECT_SECONDS = 2.0
_MOST_COOKIES, _COOKIE_LENGTH = 64, 4096


class Answer(NamedTuple):
    """What a server said: its status, headers with lower-case names, and the body so far as it was read.

    Status 0 stands for no answer; ``reason`` is why, in words of ours.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    whole: bool = True
    reason: str = ""

    def json(self) -> Any:
        """Return the body as JSON; None where it is none, or not whole."""
        try:
            return json.loads(self.body) if self.whole else None
        except (ValueError, RecursionError):
            return None

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def detail(self) -> str:
        """The status, with the code that the server gives for a refusal: ``403 INVALID_ORIGIN``."""
        if not self.status:
            return self.reason
        code = _code(self.json()) if self.status >= 400 else ""
        return f"{self.status} {code}".rstrip()


def address(port: int) -> str:
    """Return the address of loopback, as a URL has it, at which somebody listens; that of IPv4 where nobody does."""
    with suppress(OSError), _reach(port, _CONNECT_SECONDS) as end:
        return "[::1]" if end.family == socket.AF_INET6 else _ADDRESSES[0]
    return _ADDRESSES[0]


def _reach(port: int, seconds: float) -> socket.socket:
    """Connect to a port of this machine. Raises OSError, about IPv4."""
    four, six = _ADDRESSES
    try:
        end = socket.create_connection((four, port), seconds)
    except ConnectionRefusedError as refused:
        try:
            end = socket.create_connection((six, port), seconds)
        except OSError:
            raise refused from None
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return end


def _code(answer: Any) -> str:
    """Return the code of an error as ObjectStack and better-auth tell it; nothing that is no single short word."""
    error = answer.get("error") if isinstance(answer, dict) else None
    for place in (error, answer):
        code = place.get("code") if isinstance(place, dict) else None
        if isinstance(code, str) and len(code) <= 64 and code.replace("_", "").isalnum():
            return printable(code)
    return ""


class Visitor:
    """One visitor of one server, with the cookies that it was given."""

    def __init__(self, port: int, name: str = NAME, *, seconds: float = SECONDS) -> None:
        self.port, self.name, self.seconds = port, name, seconds
        self.cookies: dict[str, str] = {}

    @property
    def origin(self) -> str:
        """The origin that the visitor's requests come from, which is the server's own."""
        return f"http://{self.name}:{self.port}"

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: Iterable[tuple[str, str]] = (),
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Make one request over a connection of its own; never raises for what the server does.

        ``target`` is a path with its query. Bytes and text are sent as they are, None is no body, else it is JSON.
        Redirections are not followed: the browser's business.
        """
        import http.client

        content, fields = self._request(body, headers)
        connection = http.client.HTTPConnection(self.name, self.port)
        try:
            connection.sock = _reach(self.port, self.seconds)
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in fields:
                connection.putheader(name, value)
            with self._hurry(connection) as late:
                connection.endheaders(content)
                with closing(http.client.HTTPResponse(connection.sock, method=method)) as response:
                    answer = self._receive(response, most_bytes)
                return answer._replace(whole=answer.whole and not late.is_set())
        except TimeoutError:
            return Answer(0, reason=f"no answer within {self.seconds:g} s")
        except http.client.InvalidURL:
            return Answer(0, reason="no path that HTTP can ask for")
        except http.client.RemoteDisconnected:
            return Answer(0, reason="it hung up without an answer")
        except (http.client.HTTPException, ValueError) as error:
            return Answer(0, reason=f"the answer is no HTTP ({type(error).__name__})")
        except OSError as error:
            return Answer(0, reason=error.strerror or type(error).__name__)
        finally:
            connection.close()

    @contextmanager
    def _hurry(self, connection: HTTPConnection) -> Iterator[threading.Event]:
        """End a conversation when time is up, which for the socket begins anew with every byte."""
        from http.client import HTTPException

        late, end = threading.Event(), connection.sock

        def interrupt() -> None:
            late.set()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

        clock = threading.Timer(self.seconds, interrupt)
        clock.daemon = True
        clock.start()
        try:
            yield late
        except (OSError, ValueError, HTTPException) as error:
            raise TimeoutError if late.is_set() else error from error
        finally:
            clock.cancel()
            clock.join()

    def _receive(self, response: HTTPResponse, most_bytes: int) -> Answer:
        from http.client import HTTPException

        try:
            response.begin()
        except OSError:  # such as the reset that our own end of a conversation leads to, while the server still speaks
            if not str(response.status).isdecimal():  # there is not even a first line
                raise
            return Answer(response.status, whole=False)
        self._keep(response.headers.get_all("set-cookie") or ())
        headers = {name.lower(): value for name, value in response.getheaders()}
        try:
            found = response.read(most_bytes + 1)
        except (OSError, HTTPException):  # what came before it is lost; that there is an answer is what counts
            return Answer(response.status, headers, whole=False)
        return Answer(response.status, headers, found[:most_bytes], len(found) <= most_bytes and not response.length)

    def _request(self, body: Any, headers: Iterable[tuple[str, str]]) -> tuple[bytes | None, list[tuple[str, str]]]:
        """Return the body and all headers; what the caller gives replaces what we would say."""
        content = body.encode() if isinstance(body, str) else body
        fields = {
            "host": f"{self.name}:{self.port}", "user-agent": "airgap-check-rehearsal", "accept": "*/*",
            "origin": self.origin, "connection": "close",
        }  # fmt: skip
        if body is not None and not isinstance(body, bytes | str):
            content = json.dumps(body).encode()
            fields["content-type"] = "application/json"
        if self.cookies:
            fields["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = [(name.lower(), value) for name, value in headers]
        for name, _ in given:
            fields.pop(name, None)
        if content is not None:
            given = [*((name, value) for name, value in given if name != "content-length")]
            fields["content-length"] = str(len(content))
        return content, [*fields.items(), *given]

    def _keep(self, lines: Iterable[str]) -> None:
        """Keep the cookies of an answer; one that has expired goes."""
        for line in lines:
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(line)
            except CookieError:
                continue
            for name, morsel in jar.items():
                if morsel["max-age"] == "0" or not morsel.coded_value:
                    self.cookies.pop(name, None)
                elif (name in self.cookies or len(self.cookies) < _MOST_COOKIES) and len(
                    morsel.coded_value
                ) <= _COOKIE_LENGTH:
                    self.cookies[name] = morsel.coded_value
