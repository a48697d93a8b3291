"""Hands an alert to a mail relay: SMTP with STARTTLS, which is insisted upon unless the file says otherwise.

Source: RFC 5321, RFC 3207; RFC 3834 for the header that keeps out-of-office replies away.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from airgap_check.alerts import line, message, secret
from airgap_check.alerts.failure import DeliveryError
from airgap_check.errors import UsageError
from airgap_check.policy import is_host_name, many

if TYPE_CHECKING:
    import smtplib
    from email.message import EmailMessage

    from airgap_check.alerts.line import Line, Way
    from airgap_check.alerts.message import Alert
    from airgap_check.alerts.settings import Smtp

_LIMIT = 1 << 18  # bytes


def send(settings: Smtp, alert: Alert, way: Way) -> str:
    """Deliver an alert, and say which recipients the relay turned down; "" for none. Raises `DeliveryError`."""
    import smtplib

    mail = compose(settings, alert)
    with line.connect(way) as wire:
        # Without a name of ours the library would look one up.
        relay = smtplib.SMTP(local_hostname=_own_name(alert.host))
        relay.sock = cast("Any", wire)
        try:
            _greet(relay, settings, wire, way.goal.host)
            refused = relay.send_message(mail)
        except smtplib.SMTPDataError as error:
            # What it says after the content is about this very message.
            raise DeliveryError(_status(error), final=500 <= error.smtp_code < 600) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise DeliveryError(f"no recipient is accepted: SMTP status {_codes(error.recipients)}") from error
        except smtplib.SMTPException as error:
            raise DeliveryError(_status(error)) from error
        except (OSError, ValueError) as error:
            raise DeliveryError(f"SMTP failed: {line.reason(error)}") from error
        with suppress(OSError, smtplib.SMTPException):  # it has the message
            relay.quit()
    return f"{len(refused)} of {len(many(settings.to))} recipients were refused" if refused else ""


def _greet(relay: smtplib.SMTP, settings: Smtp, wire: Line, host: str) -> None:
    code, _ = relay.getreply()
    if code != 220:
        raise DeliveryError(f"SMTP status {code}")
    relay.ehlo_or_helo_if_needed()
    if settings.starttls == "required":
        if not relay.has_extn("starttls"):
            raise DeliveryError("it offers no STARTTLS, which is required")
        # The library drops what came in clear after the reply, and forgets what was offered before.
        relay.starttls(context=cast("Any", _Wrapping(settings, wire, host)))
        relay.ehlo_or_helo_if_needed()
    if settings.username is not None and settings.password_file is not None:
        try:
            password = secret.read_text(settings.password_file)
        except UsageError as error:
            raise DeliveryError(str(error)) from error
        # One attempt, as relays count them; the library's login would try every mechanism in turn.
        relay.user, relay.password = settings.username, password
        plain = "PLAIN" in relay.esmtp_features.get("auth", "").upper().split()
        relay.auth(*(("PLAIN", relay.auth_plain) if plain else ("LOGIN", relay.auth_login)))


class _Wrapping:
    """What the library takes for a TLS context: it secures our line in place."""

    def __init__(self, settings: Smtp, wire: Line, host: str) -> None:
        self._context = line.trust(settings.ca_file)
        self._wire, self._host = wire, host

    def wrap_socket(self, *_: object, **__: object) -> Line:
        """Put TLS on the line."""
        self._wire.secure(self._context, self._host)
        return self._wire


def compose(settings: Smtp, alert: Alert) -> EmailMessage:
    """Write the mail: the news as text, and the whole as an attachment in JSON; ASCII, whatever it quotes."""
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime

    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.from_
    mail["To"] = ", ".join(many(settings.to))
    mail["Subject"] = alert.subject
    mail["Date"] = format_datetime(alert.finished)
    mail["Message-ID"] = f"<{alert.id}@{_own_name(alert.host)}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Airgap-Id"] = alert.id
    mail.set_content("\n".join(_text(alert)) + "\n", cte="quoted-printable")
    mail.add_attachment(message.body(alert, _LIMIT), "application", "json", filename="alert.json")
    return mail


def _text(alert: Alert) -> list[str]:
    lines = [alert.subject, "", f"verdict: {message.shown(alert.verdict)}", f"run: {alert.started} to {alert.finished}"]
    lines += [f"  {reason}" for reason in alert.reasons]
    for title, findings, count in (
        ("new", alert.appeared, alert.counts.appeared),
        ("resolved", alert.resolved, alert.counts.resolved),
    ):
        if count:
            lines += ["", f"{title} ({count}):"]
            lines += [f"  {finding.severity}: {finding.rule}: {finding.message}" for finding in findings]
            lines += [f"  ... and {count - len(findings)} more"] if count > len(findings) else []
    if alert.blinded:
        lines += ["", "sees less than before:", *(f"  {text}" for text in alert.blinded)]
    if alert.dropped:
        lines += ["", f"{alert.dropped} older alerts to you were given up"]
    if alert.undelivered:
        lines += ["", "not delivered elsewhere:", *(f"  {text}" for text in alert.undelivered)]
    return lines


def _own_name(host: str) -> str:
    return host if is_host_name(host) else "airgap-check.invalid"


def _status(error: smtplib.SMTPException) -> str:
    """Return the number of a reply; its text is the relay's, and might repeat what it was told."""
    code = getattr(error, "smtp_code", None)
    if isinstance(code, int) and code > 0:
        return f"SMTP status {code}"
    cause = error.__context__  # the library calls every failure of the line a disconnection
    return f"SMTP failed: {line.reason(cause) if isinstance(cause, OSError) else 'it hung up'}"


def _codes(replies: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(sorted({str(code) for code, _ in replies.values()}))
