"""OCSF events of what was seen on the network: Network Activity (4001) a connection, DNS Activity (4003) a name.

We watch and stop nothing, so that the action is *Observed* throughout. The disposition says what the policy says of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from airgap_check.address import PUBLIC
from airgap_check.redact import printable
from airgap_check.reporters.ocsf_event import INFORMATIONAL, SEVERITIES, actor, endpoint, milliseconds, read_time

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.finding import Finding, JudgedConnection, Report, RuleResult
    from airgap_check.reporters.ocsf_event import Envelope

_OPEN, _CLOSE, _FAIL, _REFUSE, _TRAFFIC = 1, 2, 4, 5, 6
_QUERY, _RESPONSE, _BOTH = 1, 2, 6
_STATES = {
    "ESTAB": _TRAFFIC, "SYN-SENT": _OPEN, "SYN-RECV": _OPEN, "attempt": _OPEN, "connect": _OPEN, "refused": _REFUSE,
    "TIME-WAIT": _CLOSE, "CLOSE-WAIT": _CLOSE, "FIN-WAIT-1": _CLOSE, "FIN-WAIT-2": _CLOSE, "LAST-ACK": _CLOSE,
    "CLOSING": _CLOSE, "closed": _CLOSE, "CLOSE": _CLOSE, "unreachable": _FAIL,
}  # fmt: skip
_OBSERVED = 3
_DIRECTIONS = {"inbound": 1, "outbound": 2}
_DISPOSITIONS = {"yes": 1, "no": 26, "unknown": 0}  # Allowed, Unauthorized, Unknown
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}  # IANA
_CODES = {
    "ok": (0, "NoError"), "nodata": (0, "NoError"), "nxdomain": (3, "NXDomain"), "servfail": (2, "ServError"),
    "refused": (5, "Refused"),
}  # fmt: skip
NAMES = frozenset({"question", "answer"})


def connection_event(envelope: Envelope, report: Report, judged: JudgedConnection) -> dict[str, Any]:
    """Describe one judged connection."""
    record: dict[str, Any] = msgspec.to_builtins(judged.record)
    remote, inbound = record.get("remote") or {}, record.get("direction") == "inbound"
    ends = endpoint(record.get("local") or {}), endpoint(remote)
    source, destination = reversed(ends) if inbound else ends
    public = remote.get("scope") in PUBLIC
    severity = SEVERITIES["critical" if public else "high"] if judged.allowed == "no" else INFORMATIONAL
    first, last = getattr(judged.record, "first", None), getattr(judged.record, "last", None)
    activity = _STATES.get(str(record.get("state")), _TRAFFIC)
    made = envelope.event(4001, activity, severity, first or report.started, judged.allowed, record)
    made |= _watched(judged.allowed, judged.by)
    made["connection_info"] = _info(record)
    if (count := record.get("count", 1)) > 1:
        made["count"] = count
    if source:
        made["src_endpoint"] = source
    made["dst_endpoint"] = destination or {"name": "unknown"}
    if who := actor(record):
        made["actor"] = who
    if first and last and first != last:
        made["start_time"], made["end_time"] = milliseconds(first), milliseconds(last)
    made["status_detail"] = printable(str(record.get("state") or ""))
    return made


def name_event(envelope: Envelope, report: Report, result: RuleResult, finding: Finding) -> dict[str, Any]:
    """Describe a question for a name, or an answer, that a rule found."""
    record = finding.record
    asked = record["kind"] == "question"
    activity = (_QUERY if record.get("status") == "asked" else _BOTH) if asked else _RESPONSE
    made = envelope.event(
        4003, activity, SEVERITIES[result.severity], report.started, result.rule, finding.fingerprint, finding.waived_by
    )
    made |= _watched("yes" if finding.waived_by else "no", finding.waived_by)
    if (first := read_time(record.get("first"))) is not None:
        made["time"] = made["start_time"] = first
    if (last := read_time(record.get("last"))) is not None:
        made["end_time"] = last
    made["message"] = printable(finding.message)
    made["count"] = finding.count
    made["query"] = {"hostname": printable(str(record.get("name")))}
    if record.get("type"):
        made["query"]["type"] = printable(str(record["type"]))
    if code := _CODES.get(str(record.get("status"))):
        made["rcode_id"], made["rcode"] = code
    made["src_endpoint"] = {"hostname": envelope.device["hostname"]}
    server = record.get("server")
    if server and (end := endpoint(server if isinstance(server, dict) else {"address": server})):
        made["dst_endpoint"] = end
    answers = [printable(str(one.get("address"))) for one in record.get("addresses") or () if one.get("address")]
    if answers:
        made["answers"] = [{"rdata": address} for address in answers]
    if who := actor(record):
        made["actor"] = who
    return made


def _watched(allowed: str, by: str | None) -> dict[str, Any]:
    """Say what the policy says, and that nobody here stopped anything."""
    made: dict[str, Any] = {
        "action_id": _OBSERVED,
        "disposition_id": _DISPOSITIONS[allowed],
        "is_alert": allowed == "no",
    }
    if by:
        made["policy"] = {"name": printable(by), "is_applied": allowed == "yes"}
    return made


def _info(record: Mapping[str, Any]) -> dict[str, Any]:
    protocol = str(record.get("protocol") or "")
    made: dict[str, Any] = {
        "direction_id": _DIRECTIONS.get(str(record.get("direction")), 0),
        "protocol_name": protocol,
    }
    if protocol in _PROTOCOLS:
        made["protocol_num"] = _PROTOCOLS[protocol]
    return made
