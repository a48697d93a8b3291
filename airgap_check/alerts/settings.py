"""The alerts file as types: whom to tell, of what, and how."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from airgap_check.alerts import fault
from airgap_check.errors import UsageError
from airgap_check.finding import Severity
from airgap_check.input import read_bytes, written_by_others
from airgap_check.policy import OneOrMany
from airgap_check.yamlfile import decode, parse

if TYPE_CHECKING:
    from airgap_check.yamlfile import Document

Event = Literal["appeared", "resolved", "verdict", "blinded"]
EVENTS: tuple[Event, ...] = ("appeared", "resolved", "verdict", "blinded")
Facility = Literal[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]  # fmt: skip
_HTTPS = 443


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an alerts file."""


class Goal(NamedTuple):
    """Where a destination is, as the policy has to approve it."""

    host: str
    port: int
    protocol: Literal["tcp", "udp"]
    role: str


class Webhook(_Part, frozen=True, kw_only=True):
    """An HTTPS URL that takes JSON, signed with a secret; ``header_files`` maps headers to files with their values."""

    url: str
    secret_file: str
    ca_file: str | None = None
    headers: dict[str, str] = {}
    header_files: dict[str, str] = {}

    @property
    def goal(self) -> Goal:
        """Return where it is."""
        parts = urlsplit(self.url)
        return Goal(parts.hostname or "", parts.port or _HTTPS, "tcp", "webhook")


class Smtp(_Part, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A mail relay."""

    host: str
    port: int
    from_: str
    to: OneOrMany
    starttls: Literal["required", "none"] = "required"
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None

    @property
    def goal(self) -> Goal:
        """Return where it is."""
        return Goal(self.host, self.port, "tcp", "smtp")


class Syslog(_Part, frozen=True, kw_only=True):
    """A syslog collector."""

    host: str
    port: int
    transport: Literal["udp", "tcp", "tls"]
    facility: Facility = "daemon"
    ca_file: str | None = None

    @property
    def goal(self) -> Goal:
        """Return where it is."""
        return Goal(self.host, self.port, "udp" if self.transport == "udp" else "tcp", "syslog")


class Command(_Part, frozen=True, kw_only=True):
    """A program of this host, run without a shell as a user who may do little."""

    argv: tuple[str, ...]
    user: str = "nobody"


class Destination(_Part, frozen=True, kw_only=True):
    """Whom to tell, of which events, of findings from which severity on; exactly one of the last four is given."""

    name: str
    on: tuple[Event, ...] = EVENTS
    min_severity: Severity = "medium"
    webhook: Webhook | None = None
    smtp: Smtp | None = None
    syslog: Syslog | None = None
    command: Command | None = None

    @property
    def goal(self) -> Goal | None:
        """Return where it is on the network; None for a command."""
        remote = self.webhook or self.smtp or self.syslog
        return remote.goal if remote else None


class _File(_Part, frozen=True, kw_only=True):
    version: Literal[1]
    destinations: tuple[Destination, ...]


class AlertFile(NamedTuple):
    """A checked alerts file; ``document`` knows the places in it."""

    destinations: tuple[Destination, ...]
    document: Document


def load(path: str) -> AlertFile:
    """Read an alerts file, and the files of secrets and authorities that it names.

    Raises `InvalidFileError` with every fault, `UsageError` where there is no such file, or others than root decide
    what root would do by it.
    """
    content = read_bytes(path)
    if os.geteuid() == 0 and (reason := written_by_others(path)):
        raise UsageError(f"{path}: {reason}, who could have programs run and nobody told: chown root, chmod go-w")
    document = parse(path, content)
    file = decode(document, _File)
    for index, destination in enumerate(file.destinations or ()):
        if destination is not None:
            fault.find(document, ("destinations", index), destination)
    fault.find_among(document, ("destinations",), file.destinations)
    document.refuse()
    return AlertFile(file.destinations, document)
