"""Answers HTTP/2, with and without TLS, gRPC included (RFC 9113)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from airgap_check.world import request_line, response

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_PREFACE, _HEAD = 24, 9  # bytes that a connection begins with, and those before a frame
_LARGEST = 1 << 14  # RFC 9113 6.5.2


async def converse(line: Line, account: Account, host: Host) -> Line | None:
    """Answer requests until the client closes."""
    talk = _Talk(account, host)
    heard = await line.exactly(_PREFACE)
    try:
        while heard is not None:
            going = talk.hear(heard)
            await line.send(talk.connection.data_to_send())
            if not going:
                break
            heard = await _frame(line)
    except h2.exceptions.ProtocolError as error:
        account.ended = f"no proper HTTP/2: {type(error).__name__}"
        await line.send(talk.connection.data_to_send())
    return None


async def _frame(line: Line) -> bytes | None:
    """Take one frame. The library would wait for one of 16 MiB, and keep it, before it says that this is too much."""
    head = await line.exactly(_HEAD)
    if head is None:
        return None
    size = int.from_bytes(head[:3], "big")
    if size > _LARGEST:
        raise h2.exceptions.FrameTooLargeError("more than was agreed on")
    body = await line.exactly(size)
    return None if body is None else head + body


class _Talk:
    def __init__(self, account: Account, host: Host) -> None:
        self._account, self._host = account, host
        config = h2.config.H2Configuration(client_side=False, header_encoding="latin-1")
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self._requests: dict[int, response.Request] = {}
        self._asked: dict[int, bytearray] = {}

    def hear(self, data: bytes) -> bool:
        """Take what the client said; False where it says good-bye. Raises h2.exceptions.ProtocolError."""
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._begin(event)
            elif isinstance(event, h2.events.DataReceived):
                self._add(event)
            elif isinstance(event, h2.events.StreamEnded):
                self._respond(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self._requests.pop(event.stream_id, None)
                self._asked.pop(event.stream_id, None)
            elif isinstance(event, h2.events.ConnectionTerminated):
                return False
        return True

    def _begin(self, event: h2.events.RequestReceived) -> None:
        fields = {str(name).lower(): str(value) for name, value in event.headers}
        method, path = fields.get(":method", ""), fields.get(":path", "")
        authority = fields.get(":authority") or fields.get("host", "")
        where = request_line.target(path.encode("latin-1", "replace"), authority.encode("latin-1", "replace"))
        said = f"CONNECT {where.authority}" if method == "CONNECT" else request_line.line(method, where)
        self._account.ask(said, where.authority)
        self._account.seek(where.host)
        self._requests[event.stream_id] = response.Request(method, where.path, fields)

    def _add(self, event: h2.events.DataReceived) -> None:
        self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        request = self._requests.get(event.stream_id)
        if request is not None and response.asks_name(request):
            kept = self._asked.setdefault(event.stream_id, bytearray())
            kept += event.data[: response.MOST_ASKED - len(kept)]

    def _respond(self, stream: int) -> None:
        request = self._requests.pop(stream, None)
        if request is None:
            return
        answer = response.make(request, bytes(self._asked.pop(stream, b"")), self._account, self._host)
        fields = [(":status", str(answer.status)), *answer.fields]
        body = answer.body[: self.connection.local_flow_control_window(stream)]
        self.connection.send_headers(stream, fields, end_stream=not body and not answer.trailers)
        if body:
            self.connection.send_data(stream, body, end_stream=not answer.trailers)
        if answer.trailers:
            self.connection.send_headers(stream, answer.trailers, end_stream=True)
