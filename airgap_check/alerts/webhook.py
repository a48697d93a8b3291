"""Posts an alert as signed JSON over HTTPS; no redirect is followed, and no proxy is asked.

The signature is as well-known webhooks make it: ``X-Airgap-Signature: t=SECONDS,v1=HEX`` with the HMAC-SHA256 (RFC
2104) of ``SECONDS.BODY`` under the shared secret, so that a receiver can refuse old ones.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from airgap_check import __version__
from airgap_check.alerts import line, message, secret
from airgap_check.alerts.failure import DeliveryError
from airgap_check.alerts.fault import LEAST_SECRET
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime
    from http.client import HTTPResponse

    from airgap_check.alerts.line import Way
    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import Webhook

_LIMIT = 1 << 18  # bytes
_LONGEST_PAUSE = 3600  # seconds that a receiver may ask for
# The receiver has looked at this very body and will never take it; any other status may be mended by somebody.
_FINAL = frozenset({400, 413, 415, 422})


def send(webhook: Webhook, alert: Alert, way: Way, now: datetime) -> None:
    """Deliver an alert. Raises `DeliveryError` for anything but a status of 2xx."""
    from http.client import HTTPConnection, HTTPException

    content = message.body(alert, _LIMIT)
    headers = _headers(webhook, alert, content, now)
    context = line.trust(webhook.ca_file)
    parts = urlsplit(webhook.url)
    with line.connect(way) as wire:
        wire.secure(context, way.goal.host)
        connection = HTTPConnection(way.goal.host, way.goal.port)
        connection.auto_open = 0  # it is to dial nowhere by itself
        connection.sock = cast("Any", wire)
        try:
            connection.putrequest("POST", parts._replace(scheme="", netloc="").geturl() or "/", skip_host=True)
            for name, value in {"Host": parts.netloc, **headers}.items():
                connection.putheader(name, value)
            connection.endheaders(content)
            response = connection.getresponse()
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(f"HTTPS failed: {line.reason(error)}") from error
        _judge(response)


def _headers(webhook: Webhook, alert: Alert, content: bytes, now: datetime) -> dict[str, str]:
    try:
        key = secret.read(webhook.secret_file, LEAST_SECRET)
        confidential = {name: secret.read_text(file) for name, file in webhook.header_files.items()}
    except UsageError as error:
        raise DeliveryError(str(error)) from error
    return {
        **webhook.headers,
        **confidential,
        "User-Agent": f"airgap-check/{__version__}",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Connection": "close",
        "X-Airgap-Id": alert.id,
        "X-Airgap-Signature": signature(key, content, int(now.timestamp())),
    }


def signature(key: bytes, content: bytes, seconds: int) -> str:
    """Return the value of the header that signs a body at a time, in seconds since the epoch."""
    return f"t={seconds},v1={hmac.new(key, b'%d.%b' % (seconds, content), 'sha256').hexdigest()}"


def _judge(response: HTTPResponse) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        raise DeliveryError(f"HTTP status {status}: redirects are not followed")
    wait = response.getheader("Retry-After", "") if status in {429, 503} else ""
    pause = min(int(wait), _LONGEST_PAUSE) if wait.isascii() and wait.isdigit() and len(wait) < 10 else 0
    raise DeliveryError(f"HTTP status {status}", final=status in _FINAL, pause=pause)
