"""Sends an alert to a syslog collector: RFC 5424 messages with structured data.

A datagram holds one (RFC 5426); on TCP and TLS its length goes before it (RFC 6587 3.4.1, RFC 5425), as only that keeps
a line break in a message from ending it. Nothing in these protocols says that a message was taken.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, get_args

from airgap_check.alerts import line, message
from airgap_check.alerts.failure import DeliveryError
from airgap_check.alerts.settings import Facility

if TYPE_CHECKING:
    from airgap_check.alerts.line import Way
    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import Syslog

# What receivers should be able to take: RFC 5426 3.2, RFC 5425 4.3.1.
_LIMITS = {"udp": 2048, "tcp": 8192, "tls": 8192}
_SEVERITIES = {"critical": 2, "high": 3, "medium": 4, "low": 5}  # critical, error, warning, notice (RFC 5424 6.2.1)
_FACILITIES: tuple[str, ...] = get_args(Facility)
_GAP = 4  # cron is 9, authpriv 10 and ftp 11; 12 to 15 have no name here, and local0 is 16
_ENTERPRISE = 32473  # for examples and documents (RFC 5612): we have no number of our own
_QUESTION = 0.2  # seconds to wait for word that nobody listens


def send(settings: Syslog, alert: Alert, way: Way) -> None:
    """Deliver an alert. Raises `DeliveryError`."""
    content = write(settings, alert)
    context = line.trust(settings.ca_file) if settings.transport == "tls" else None
    with line.connect(way) as wire:
        if context:
            wire.secure(context, way.goal.host)
        try:
            if settings.transport == "udp":
                wire.sendall(content)
                wire.assert_taken(_QUESTION)
            else:
                wire.sendall(b"%d %b" % (len(content), content))
                wire.finish()
        except OSError as error:
            raise DeliveryError(line.reason(error)) from error


def write(settings: Syslog, alert: Alert) -> bytes:
    """Return the message: the line for people, then the JSON, as much of it as fits."""
    head = f"{_head(settings, alert)} ".encode() + b"\xef\xbb\xbf" + f"{alert.subject} ".encode()
    return head + message.body(alert, _LIMITS[settings.transport] - len(head))


def _head(settings: Syslog, alert: Alert) -> str:
    number = _FACILITIES.index(settings.facility)
    priority = (number if number < 12 else number + _GAP) * 8 + _SEVERITIES[alert.gravity]
    moment = alert.finished.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    facts: dict[str, object] = {
        "id": alert.id, "verdict": alert.verdict, "before": alert.before or "unknown",
        "appeared": alert.counts.appeared, "resolved": alert.counts.resolved, "blinded": alert.counts.blinded,
        "dropped": alert.dropped,
    }  # fmt: skip
    data = "".join(f' {name}="{_escaped(str(value))}"' for name, value in facts.items())
    return f"<{priority}>1 {moment} {_word(alert.host)} airgap-check - alert [alert@{_ENTERPRISE}{data}]"


def _word(text: str) -> str:
    """Return text as a header field: visible ASCII (RFC 5424 6.2.4)."""
    return "".join(sign if "!" <= sign <= "~" else "?" for sign in text)[:255] or "-"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")
