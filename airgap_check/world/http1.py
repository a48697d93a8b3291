"""Answers HTTP/1: requests to a server, to a proxy, for a tunnel, and for a WebSocket (RFC 9112, RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING

import h11

from airgap_check.world import request_line, response
from airgap_check.world.line import ROOM

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3


async def converse(line: Line, account: Account, host: Host) -> Line | None:
    """Answer one request after the other; return the line where something else begins on it: a tunnel."""
    talk = _Talk(line, account, host)
    try:
        return await talk.go_on()
    except h11.RemoteProtocolError as error:
        account.ended = f"no proper HTTP: {_fault(error)}"
        if talk.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await talk.say(h11.Response(status_code=400, headers=[("content-length", "0"), ("connection", "close")]))
        return None
    except h11.LocalProtocolError as error:
        account.ended = f"the world had no proper answer: {_fault(error)}"
        return None
    finally:
        talk.note_begun()


def _fault(error: h11.ProtocolError) -> str:
    """Say what is wrong; behind a colon stands what the client said, credentials and all."""
    return str(error).partition(":")[0]


class _Talk:
    def __init__(self, line: Line, account: Account, host: Host) -> None:
        self._line, self._account, self._host = line, account, host
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=ROOM)
        self._head = b""  # of a request that is not read yet

    async def say(self, *events: h11.Response | h11.InformationalResponse | h11.Data | h11.EndOfMessage) -> None:
        """Send what the events are on the wire, in one piece."""
        pieces = [self.connection.send(event) or b"" for event in events]
        await self._line.send(b"".join(pieces))

    async def go_on(self) -> Line | None:
        """Answer until the client closes, or something else begins."""
        while True:
            request = await self._next()
            if not isinstance(request, h11.Request):
                return None
            read, where = self._read(request)
            if read.method == "CONNECT":
                self._account.seek(request_line.host_of(where.authority or ""))
                await self.say(h11.Response(status_code=200, headers=[]))
                return self._left()
            if read.fields.get("upgrade", "").lower() == "websocket":
                await self._open_socket(read)
                return None
            asked = await self._hear(keep=response.asks_name(read))
            if asked is None:
                return None
            await self._respond(read, asked)
            if self.connection.our_state is not h11.DONE or self.connection.their_state is not h11.DONE:
                return None
            self.connection.start_next_cycle()
            self._head = self.connection.trailing_data[0][:ROOM]

    def note_begun(self) -> None:
        """Note the request that never became one: who it was for is told all the same."""
        begun = request_line.begun(self._head)
        if begun is not None:
            self._account.ask(request_line.line(*begun), begun[1].authority)
            self._account.seek(begun[1].host)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while True:
            event = self.connection.next_event()
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type) or event is h11.PAUSED
                return event
            if self.connection.they_are_waiting_for_100_continue:
                await self.say(h11.InformationalResponse(status_code=100, headers=[]))
            if not self._line.said:
                await self._line.more()
            heard = self._line.take()
            if self.connection.their_state is h11.IDLE:
                self._head = (self._head + heard)[:ROOM]
            self.connection.receive_data(heard)

    def _read(self, request: h11.Request) -> tuple[response.Request, request_line.Target]:
        self._head = b""
        fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
        method = request.method.decode("latin-1")
        host_field = fields.get("host", "").encode("latin-1")
        if method == "CONNECT":
            where = request_line.target(b"", request.target)
            said = f"CONNECT {where.authority}"
        else:
            where = request_line.target(request.target, host_field)
            said = request_line.line(method, where)
            if where.proxied:
                said += f" (to a proxy, for {where.authority})"
            self._account.seek(where.host)
        self._account.ask(said, where.authority)
        return response.Request(method, where.path, fields), where

    async def _hear(self, *, keep: bool) -> bytes | None:
        """Hear the body out; return it as far as it is kept, None where the client goes away."""
        kept = bytearray()
        while True:
            event = await self._next()
            if isinstance(event, h11.Data):
                kept += bytes(event.data) if keep and len(kept) < response.MOST_ASKED else b""
            elif isinstance(event, h11.EndOfMessage):
                return bytes(kept)
            else:
                return None

    async def _respond(self, request: response.Request, asked: bytes) -> None:
        answer = response.make(request, asked, self._account, self._host)
        await self.say(
            h11.Response(
                status_code=answer.status, headers=list(answer.fields), reason=HTTPStatus(answer.status).phrase.encode()
            ),
            *([h11.Data(data=answer.body)] if answer.body else []),
            h11.EndOfMessage(),
        )

    async def _open_socket(self, request: response.Request) -> None:
        """Agree to a WebSocket, and hear what comes over it."""
        key = request.fields.get("sec-websocket-key", "").encode("latin-1")
        accept = base64.b64encode(hashlib.sha1(key + _WEBSOCKET, usedforsecurity=False).digest()).decode()
        fields = [("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)]
        offered = request.fields.get("sec-websocket-protocol", "").partition(",")[0].strip()
        fields += [("sec-websocket-protocol", offered)] if offered else []
        await self.say(h11.InformationalResponse(status_code=101, headers=fields))
        await self._line.listen()

    def _left(self) -> Line:
        """Give back what the client said already behind its last request."""
        self._line.said[:0] = self.connection.trailing_data[0]
        return self._line
