"""Reads Zeek's logs, as columns (with their ``#fields``) or as JSON: conn, dns, ssl, http, quic.

Source: the Zeek manual, "Log Files" and "Zeek Log Formats and Inspection"; base/protocols/conn/main.zeek.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airgap_check.captures import line as value
from airgap_check.captures import log
from airgap_check.captures.line import MalformedError
from airgap_check.captures.window import SECOND

if TYPE_CHECKING:
    from airgap_check.captures.tally import Tally

_MOST_FIELDS = 500
_MIDSTREAM = "OTH"  # conn_state: no SYN was seen
_NAMED: dict[str, tuple[Literal["tls", "http", "quic"], str]] = {
    "ssl": ("tls", "server_name"),
    "http": ("http", "host"),
    "quic": ("quic", "server_name"),
}
# what tells JSON logs apart, which do not say their path
_SIGNS = (
    ("conn", "conn_state"),
    ("dns", "qtype_name"),
    ("dns", "rcode"),
    ("dns", "rtt"),
    ("quic", "client_initial_dcid"),
)
_LATER_SIGNS = (("ssl", "cipher"), ("ssl", "server_name"), ("ssl", "ssl_history"), ("http", "status_code"))
_FINAL_SIGNS = (("http", "host"), ("dns", "query"), ("dns", "trans_id"), ("conn", "history"), ("conn", "proto"))


def recognises(line: bytes) -> bool:
    """Tell whether a line begins a log of Zeek's."""
    if line.startswith((b"#separator", b"#fields")):
        return True
    if not line.startswith(b"{"):
        return False
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(fields, dict) and "id.orig_h" in fields and "event_type" not in fields


class Log:
    """Reads lines; what a header says holds for the lines after it."""

    def __init__(self, tally: Tally) -> None:
        """Tell everything to a tally."""
        self._tally = tally
        self._separator, self._comma = "\t", ","
        self._unset, self._empty = "-", "(empty)"
        self._path = ""
        self._fields: list[str] = []
        self.skipped = 0

    def take(self, line: bytes) -> None:
        """Take a line. Raises `MalformedError`."""
        try:
            text = line.rstrip(b"\r").decode()
        except UnicodeDecodeError as error:
            raise MalformedError from error
        if not text:
            return
        if text.startswith("#"):
            self._header(text)
        elif text.startswith("{"):
            fields = _json(text)
            self._record(str(fields.get("_path") or _path(fields)), fields)
        else:
            self._record(self._path, self._columns(text))

    def _header(self, text: str) -> None:
        if text.startswith("#separator "):
            coded = text.removeprefix("#separator ")
            try:
                self._separator = bytes.fromhex(coded.replace("\\x", "")).decode() if "\\x" in coded else coded
            except ValueError as error:
                raise MalformedError from error
            self._separator = self._separator or "\t"
            return
        name, _, rest = text.partition(self._separator)
        if name == "#fields":
            self._fields = rest.split(self._separator)[:_MOST_FIELDS]
        elif name == "#path":
            self._path = rest
        elif name == "#unset_field":
            self._unset = rest
        elif name == "#empty_field":
            self._empty = rest
        elif name == "#set_separator":
            self._comma = rest or ","

    def _columns(self, text: str) -> dict[str, Any]:
        cells = text.split(self._separator)
        if not self._fields or len(cells) != len(self._fields):
            raise MalformedError
        return {
            name: cell for name, cell in zip(self._fields, cells, strict=True) if cell not in {self._unset, self._empty}
        }

    def _record(self, path: str, fields: dict[str, Any]) -> None:
        if path not in {"conn", "dns", *_NAMED}:
            self.skipped += 1
            return
        time = value.seconds(fields.get("ts"))
        ends = log.Tuple(
            value.address(fields.get("id.orig_h")), value.port(fields.get("id.orig_p")),
            value.address(fields.get("id.resp_h")), value.port(fields.get("id.resp_p")),
            value.protocol(fields.get("proto", "udp" if path == "quic" else "tcp")),
        )  # fmt: skip
        if path == "conn":
            self._conn(ends, fields, time)
            return
        log.flow(self._tally, ends, (time, time), 0)
        if path == "dns":
            self._dns(ends, fields, time)
        else:
            source, field = _NAMED[path]
            log.request(self._tally, ends, source, fields.get(field), time)

    def _conn(self, ends: log.Tuple, fields: dict[str, Any], time: int) -> None:
        try:
            duration = round(float(fields.get("duration") or 0) * SECOND)
        except (TypeError, ValueError, OverflowError) as error:
            raise MalformedError from error
        state = str(fields.get("conn_state") or "captured")
        log.flow(self._tally, ends, (time, time + max(0, duration)), 1, state, began=state != _MIDSTREAM)

    def _dns(self, ends: log.Tuple, fields: dict[str, Any], time: int) -> None:
        name, kind = fields.get("query"), str(fields.get("qtype_name") or fields.get("qtype") or "?")
        if name is None:
            return
        if not isinstance(name, str):
            raise MalformedError
        log.question(self._tally, ends, (name, kind), time)
        rcode = fields.get("rcode_name", fields.get("rcode"))
        if rcode is not None:
            ttls = [int(float(ttl)) for ttl in self._list(fields.get("TTLs")) if ttl.replace(".", "", 1).isdecimal()]
            answers = self._list(fields.get("answers"))
            said = log.Answered(str(rcode), answers, min(ttls, default=0))
            log.answer(self._tally, ends, (name, kind), said, time)

    def _list(self, cell: object) -> list[str]:
        if isinstance(cell, list):
            return [str(item) for item in cell]
        return cell.split(self._comma) if isinstance(cell, str) else []


def _json(text: str) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedError from error
    if not isinstance(fields, dict):
        raise MalformedError
    return fields


def _path(fields: dict[str, Any]) -> str:
    for path, sign in (*_SIGNS, *_LATER_SIGNS, *_FINAL_SIGNS):
        if sign in fields:
            return path
    return ""
