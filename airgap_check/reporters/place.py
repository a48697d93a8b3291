"""Where a finding stands: the file and line that its record names, and who or what else it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_STORED = frozenset({"database", "probes"})  # examiners whose ``path`` is a table or a host, and no file


class Spot(NamedTuple):
    """A place in a file; ``line`` counts from 1."""

    path: str
    line: int | None


class Party(NamedTuple):
    """Somebody or something that a finding is about, and of which kind: process, workload, endpoint ..."""

    kind: str
    name: str


def spot_of(rule: str, record: Mapping[str, Any], policy: str | None) -> Spot | None:
    """Return the place in a file that a finding is about; what is said of the policy stands in the policy file."""
    place = _part(record.get("place"))
    named: tuple[tuple[Any, Any], ...] = (
        (place.get("path"), place.get("line")),
        (record.get("path"), record.get("line")),
        (record.get("source") if record.get("kind") == "resolver" else None, None),
    )
    for path, line in named:
        if isinstance(path, str) and _is_file(path) and record.get("seen") not in _STORED:
            return Spot(printable(path), _line(line))
    return Spot(printable(policy), _line(record.get("line"))) if policy and rule.startswith("policy.") else None


def parties_of(record: Mapping[str, Any]) -> Iterator[Party]:
    """Yield who a finding is about and what it leads to, the innermost first; without pids, which change."""
    process, workload, place = (_part(record.get(name)) for name in ("process", "workload", "place"))
    if process:
        yield Party("process", printable(str(process.get("name") or "unknown process")))
    if workload:
        yield Party(str(workload.get("kind") or "workload"), printable(str(workload.get("name"))))
    elif place.get("unit"):
        yield Party(str(place.get("kind") or "unit"), printable(str(place["unit"])))
    ends = (end_of(_part(record.get(name))) for name in ("remote", "server", "endpoint"))
    yield from (Party("endpoint", end) for end in dict.fromkeys(ends) if end)
    if not process and not workload and (name := record.get("name") or record.get("subject")):
        yield Party(str(record.get("kind") or "entry"), printable(str(name)))


def end_of(end: Mapping[str, Any]) -> str | None:
    """Write an endpoint as host and port; None where there is neither name nor address."""
    host = end.get("name") or end.get("address")
    if not host:
        return None
    host = printable(str(host))
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{end['port']}" if end.get("port") else host


def uri_of(path: str) -> str:
    """Write a path as a URI (RFC 8089, RFC 3986), so that nothing in its name reads as another part of one."""
    return f"file://{quote(path)}" if path.startswith("/") else quote(path)


def _is_file(path: str) -> bool:
    return bool(path) and "://" not in path


def _line(value: Any) -> int | None:
    return value if isinstance(value, int) and value > 0 else None


def _part(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
