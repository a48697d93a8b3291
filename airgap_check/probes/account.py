"""What a conversation is asked for, and what it tells: the target, and the account of what was heard there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.redact import printable

if TYPE_CHECKING:
    from datetime import datetime

    from airgap_check.evidence.asset import Dialer, Outcome
    from airgap_check.evidence.fact import Endpoint

Protocol = Literal[
    "postgresql", "mysql", "mongodb", "redis", "smtp", "s3", "http", "oidc", "saml", "tls", "tcp", "runtime"
]
Stage = Literal["tls", "protocol", "done"]
_LONGEST_TEXT = 200


class Target(NamedTuple):
    """Whom to talk to. ``host`` is the name or address that a client would verify, not necessarily the peer's address.

    ``tls``: *required* ends the conversation where there is none, *opportunistic* takes it where the protocol offers
    it, or where the port is one that is TLS by convention. ``detail`` is the bucket of *s3*, the database of
    *postgresql*, the path of *http*, *oidc* (of the issuer, or of the document) and *saml*, and ``implicit`` for an
    *smtp* that begins with TLS at a port other than 465. ``at`` is when the run began: the dates of certificates are
    judged by it, and by nothing where it is missing.
    """

    protocol: Protocol
    host: str
    port: int
    tls: Literal["required", "opportunistic", "none"]
    detail: str = ""
    at: datetime | None = None


class Named(NamedTuple):
    """A destination that the other side names: ``pointer`` is the field, ``text`` what stands there, without secrets.

    ``endpoint`` is None where the text names no host that could be dialled.
    """

    pointer: str
    text: str
    role: str
    endpoint: Endpoint | None
    dialer: Dialer = "server-event"


class Checked(NamedTuple):
    """One thing that had to be so, and whether it was: the outcome of a Check, without its subject."""

    aspect: str
    outcome: Outcome
    detail: str = ""
    pointer: str | None = None


class Heard(NamedTuple):
    """What one side said, once its protocol was spoken to the end."""

    detail: str = ""
    named: tuple[Named, ...] = ()
    checks: tuple[Checked, ...] = ()


class Told(NamedTuple):
    """The account of a conversation. ``stage`` is how far it came; ``tls`` the version and cipher, None without TLS.

    ``expires`` is of the certificate shown.
    """

    outcome: Literal["reached", "failed", "timeout"]
    stage: Stage
    detail: str
    tls: str | None = None
    expires: datetime | None = None
    named: tuple[Named, ...] = ()
    checks: tuple[Checked, ...] = ()


class ConversationError(Exception):
    """The other side does not speak the protocol, or refuses to; the message is one line for a person."""


def quoted(text: str | bytes) -> str:
    """Return foreign text as it may be shown: printable, one line, not long."""
    shown = printable(text if isinstance(text, str) else text.decode("utf-8", "replace")).strip()
    return shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 3] + "..."
