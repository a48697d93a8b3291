"""The flat facts of a finding's record, for formats that know columns only: who, from where, to where, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED = frozenset({"question", "request"})  # records whose own name is that of the destination


class Facets(NamedTuple):
    """What a record says, None where it says nothing; times are RFC 3339, texts are fit for a terminal."""

    kind: str | None
    direction: str | None
    protocol: str | None
    local_address: str | None
    local_port: int | None
    remote_address: str | None
    remote_port: int | None
    remote_name: str | None
    process: str | None
    pid: int | None
    user: str | None
    workload: str | None
    path: str | None
    line: int | None
    first: str | None
    last: str | None


def facets(record: Mapping[str, Any]) -> Facets:
    """Flatten a record; of the ends that a setting names, the first is shown."""
    process, workload, place = (_part(record.get(name)) for name in ("process", "workload", "place"))
    local = _part(record.get("local"))
    remote = _remote(record)
    name = record.get("name") if record.get("kind") in _NAMED else remote.get("name")
    return Facets(
        kind=_text(record.get("kind")),
        direction=_text(record.get("direction")),
        protocol=_text(record.get("protocol")),
        local_address=_text(local.get("address")),
        local_port=_number(local.get("port")),
        remote_address=_text(remote.get("address")),
        remote_port=_number(remote.get("port")),
        remote_name=_text(name),
        process=_text(process.get("name")),
        pid=_number(process.get("pid")),
        user=_text(process.get("user") or record.get("user")),
        workload=_text(f"{workload.get('kind')} {workload.get('name')}") if workload else None,
        path=_text(record.get("path") or place.get("path")),
        line=_number(record.get("line") or place.get("line")),
        first=_text(record.get("first")),
        last=_text(record.get("last")),
    )


def _remote(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the other end, however the kind of record calls it; a resolver is one itself."""
    for name in ("remote", "server", "endpoint"):
        if record.get(name):
            return _part(record[name])
    if record.get("kind") == "resolver":
        return {"address": record.get("address"), "port": 53}
    ends = record.get("endpoints")
    return _part(ends[0]) if ends else {}


def _part(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return printable(value) if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
