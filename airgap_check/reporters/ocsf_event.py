"""What every OCSF event shares, and the objects that events are made of: device, process, workload, endpoint.

Numbers and names are those of the Open Cybersecurity Schema Framework, release 1.8.0. Where a number says it all its
optional caption is left out: a report may have 200,000 events.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airgap_check.redact import printable
from airgap_check.reporters.json_text import identity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.finding import Report

VERSION: Final = "1.8.0"
SEVERITIES = {"low": 2, "medium": 3, "high": 4, "critical": 5}
INFORMATIONAL = 1
_CATEGORIES = {2003: 2, 4001: 4, 4003: 4}  # Findings, Network Activity
_SERVER, _ADDRESS_LENGTH = 1, 40  # device.type_id; characters of ip_t


class Envelope:
    """The part of an event that is the same for all events of one report."""

    def __init__(self, report: Report) -> None:
        """Describe the tool and the host once."""
        subject = report.subject
        run = identity("run", subject.hostname, report.finished, report.policy.sha256, report.rules_sha256)
        self._metadata = {
            "version": VERSION,
            "product": {"name": report.tool.name, "version": report.tool.version},
            "profiles": ["host", "security_control"],
            "correlation_uid": run,
        }
        self.device: dict[str, Any] = {"hostname": printable(subject.hostname), "type_id": _SERVER}
        if subject.machine_id_hash:
            self.device["uid"] = printable(subject.machine_id_hash)

    def event(
        self,
        class_uid: int,
        activity: int,
        severity: int,
        moment: datetime,
        *identified: object,
    ) -> dict[str, Any]:
        """Begin an event; what identifies it within the run makes its own id."""
        return {
            "class_uid": class_uid,
            "category_uid": _CATEGORIES[class_uid],
            "activity_id": activity,
            "type_uid": class_uid * 100 + activity,
            "severity_id": severity,
            "time": milliseconds(moment),
            "metadata": {
                **self._metadata,
                "uid": identity(self._metadata["correlation_uid"], class_uid, activity, *identified),
            },
            "device": self.device,
        }


def milliseconds(moment: datetime) -> int:
    """Return a time in milliseconds since 1970, as timestamp_t wants it."""
    return round(moment.timestamp() * 1000)


def read_time(text: Any) -> int | None:
    """Read a time of a record, RFC 3339; None where there is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return milliseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def actor(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe the process that did it, or its user, with its workload as the application; None for nobody known."""
    process, workload = _part(record.get("process")), _part(record.get("workload"))
    made: dict[str, Any] = {}
    if process:
        made["process"] = _process(process)
    user = process.get("user") or record.get("user")
    if user and not process:
        made["user"] = {"name": printable(str(user))}
    if workload:
        made["app_name"] = printable(str(workload.get("name")))
    return made or None


def _process(process: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"pid": process["pid"]}
    for ours, theirs in (("name", "name"), ("command", "cmd_line")):
        if process.get(ours):
            made[theirs] = printable(str(process[ours]))
    if path := process.get("executable"):
        shown = printable(str(path))
        made["file"] = {"name": shown.rpartition("/")[2] or shown, "path": shown, "type_id": 1}
    if process.get("user"):
        made["user"] = {"name": printable(str(process["user"]))}
    if started := read_time(process.get("started")):
        made["created_time"] = started
    return made


def endpoint(end: Mapping[str, Any]) -> dict[str, Any] | None:
    """Describe one end; None where neither address nor name is known."""
    made: dict[str, Any] = {}
    address, name, port = end.get("address"), end.get("name"), end.get("port")
    if address:
        shown = printable(str(address))
        made["ip" if len(shown) <= _ADDRESS_LENGTH else "name"] = shown
    if name:
        made["hostname"] = printable(str(name))
    if made and port is not None:
        made["port"] = port
    return made or None


def _part(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
