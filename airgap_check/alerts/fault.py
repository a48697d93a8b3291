"""The faults of an alerts file that types alone do not show, each noted at its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airgap_check.address import parse
from airgap_check.alerts import account, line, secret
from airgap_check.alerts.failure import DeliveryError
from airgap_check.errors import UsageError
from airgap_check.input import written_by_others
from airgap_check.policy import is_host_name, many
from airgap_check.redact import is_secret_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airgap_check.alerts.settings import Command, Destination, Smtp, Webhook
    from airgap_check.yamlfile import Document, Path

KINDS = ("webhook", "smtp", "syslog", "command")
_MOST_DESTINATIONS = 16
_MOST_RECIPIENTS = 50
_LONGEST_NAME = 64
_LONGEST_ADDRESS = 254  # RFC 5321 4.5.3.1.3, without the brackets
LEAST_SECRET = 16  # bytes; what can be guessed signs nothing
# What the message itself decides, and what would change how it is framed (RFC 9112).
_OURS = frozenset({
    "host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "expect",
    "upgrade", "te", "trailer", "user-agent", "proxy-authorization", "proxy-connection",
})  # fmt: skip
_TOKEN = frozenset("!#$%&'*+-.^_`|~")  # RFC 9110 5.6.2, besides letters and digits
_ATEXT = frozenset("!#$%&'*+-/=?^_`{|}~.")  # RFC 5322 3.2.3, besides letters and digits


def find_among(document: Document, path: Path, destinations: Sequence[Destination | None] | None) -> None:
    """Note what is wrong with the destinations together."""
    if destinations == ():
        document.fault(path, "no destinations: an alerts file that tells nobody")
    if destinations and len(destinations) > _MOST_DESTINATIONS:
        document.fault(path, f"{len(destinations)} destinations: at most {_MOST_DESTINATIONS}")
    known: set[str] = set()
    for index, destination in enumerate(destinations or ()):
        if destination and destination.name in known and destination.name is not None:
            document.fault((*path, index, "name"), f"name {destination.name} is used twice")
        known.add(destination.name if destination else "")


def find(document: Document, path: Path, destination: Destination) -> None:
    """Note what is wrong with one destination, which may have holes."""
    name = destination.name
    if name is not None and not (name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME):
        document.fault((*path, "name"), f"a name is 1 to {_LONGEST_NAME} printable characters")
    if destination.on == ():
        document.fault((*path, "on"), "an empty list: nothing would ever be told")
    given = [kind for kind in KINDS if (*path, kind) in document.keys]
    if len(given) != 1:
        document.fault(path, f"needs exactly one of {', '.join(KINDS)}", at_key=True)
    if destination.webhook:
        _webhook(document, (*path, "webhook"), destination.webhook)
    if destination.smtp:
        _smtp(document, (*path, "smtp"), destination.smtp)
    for kind, remote in (("smtp", destination.smtp), ("syslog", destination.syslog)):
        if remote:
            _host(document, (*path, kind, "host"), remote.host)
            _port(document, (*path, kind, "port"), remote.port)
            _authorities(document, (*path, kind, "ca_file"), remote.ca_file)
    if destination.syslog and destination.syslog.ca_file and destination.syslog.transport in {"udp", "tcp"}:
        document.fault((*path, "syslog", "ca_file"), f"means nothing with transport {destination.syslog.transport}")
    if destination.command:
        _command(document, (*path, "command"), destination.command)


def _webhook(document: Document, path: Path, webhook: Webhook) -> None:
    if webhook.url is not None:
        _url(document, (*path, "url"), webhook.url)
    _secret(document, (*path, "secret_file"), webhook.secret_file, LEAST_SECRET)
    _authorities(document, (*path, "ca_file"), webhook.ca_file)
    _headers(document, (*path, "headers"), webhook.headers)
    for name, value in webhook.headers.items():
        if is_secret_name(name) or name.lower() == "cookie":
            place = (*path, "headers", name)
            document.fault(place, f"{name} may be a secret: write it to a file, and name that under header_files")
        elif not value.isprintable() or not value.isascii():
            document.fault((*path, "headers", name), f"the value of {name} is not one line of ASCII")
    _headers(document, (*path, "header_files"), webhook.header_files)
    for name, file in webhook.header_files.items():
        _secret(document, (*path, "header_files", name), file, text=True)


def _headers(document: Document, path: Path, headers: Mapping[str, str]) -> None:
    for name in headers:
        if not name.isascii() or not name or not all(sign.isalnum() or sign in _TOKEN for sign in name):
            document.fault((*path, name), f"not the name of a header: {name}", at_key=True)
        elif name.lower() in _OURS or name.lower().startswith("x-airgap-"):
            document.fault((*path, name), f"{name} is set by the message itself", at_key=True)


def _url(document: Document, path: Path, text: str) -> None:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        document.fault(path, "not a URL")
        return
    # Nothing of it is quoted: many services put their secret into the path.
    if not text.isascii() or not text.isprintable() or any(sign in text for sign in ' "<>\\^`{|}'):
        document.fault(path, "a URL is printable ASCII without blanks")
    elif parts.scheme != "https":
        document.fault(path, "write https://...: alerts are not sent in clear")
    elif parts.username is not None or parts.password is not None:
        document.fault(path, "credentials do not belong into a URL: use header_files")
    elif parts.fragment:
        document.fault(path, "a fragment is never sent: leave it out")
    else:
        _host(document, path, host)
        if port is not None:
            _port(document, path, port)


def _smtp(document: Document, path: Path, smtp: Smtp) -> None:
    recipients = many(smtp.to)
    if smtp.from_ is not None and not _is_mailbox(smtp.from_):
        document.fault((*path, "from"), f"not a mail address: {smtp.from_}")
    if smtp.to is not None and not 1 <= len(recipients) <= _MOST_RECIPIENTS:
        document.fault((*path, "to"), f"1 to {_MOST_RECIPIENTS} recipients, not {len(recipients)}")
    for index, text in enumerate(recipients):
        if not _is_mailbox(text):
            document.fault((*path, "to", index), f"not a mail address: {text}")
    if (smtp.username is None) != (smtp.password_file is None):
        document.fault(path, "username and password_file go together", at_key=True)
    if smtp.username is not None and not (smtp.username.isprintable() and smtp.username.isascii() and smtp.username):
        document.fault((*path, "username"), "not one line of ASCII")
    if smtp.password_file is not None:
        _secret(document, (*path, "password_file"), smtp.password_file, text=True)
    if smtp.starttls == "none" and smtp.password_file is not None:
        document.fault((*path, "starttls"), "a password is not sent in clear: use starttls: required")
    if smtp.starttls == "none" and smtp.ca_file is not None:
        document.fault((*path, "ca_file"), "means nothing with starttls: none")


def _is_mailbox(text: str) -> bool:
    """Tell whether text is an address of the plain kind: no quoting, no comments, no display name, ASCII."""
    local, at, domain = text.rpartition("@")
    plain = bool(local) and text.isascii() and all(sign.isalnum() or sign in _ATEXT for sign in local)
    return plain and bool(at) and len(text) <= _LONGEST_ADDRESS and is_host_name(domain)


def _command(document: Document, path: Path, command: Command) -> None:
    argv = command.argv
    if argv == ():
        document.fault((*path, "argv"), "an empty list runs nothing")
    elif argv is not None and None not in argv:
        if any("\0" in argument for argument in argv):
            document.fault((*path, "argv"), "no argument can hold a zero byte")
        elif not os.path.isabs(argv[0]):
            document.fault((*path, "argv", 0), f"{argv[0]}: write the whole path; no PATH is searched")
        elif not os.path.isfile(argv[0]):
            document.fault((*path, "argv", 0), f"{argv[0]}: no such program")
        else:
            _program(document, (*path, "argv", 0), argv[0], command.user)
    _user(document, (*path, "user"), command.user)


def _program(document: Document, path: Path, program: str, name: str) -> None:
    """Refuse, as root, to run as a user what neither he nor root decides."""
    user = account.find(name)
    if os.geteuid() == 0 and user and (reason := written_by_others(program, user.uid)):
        document.fault(path, f"{program}: {reason}, who would act as {name}")


def _user(document: Document, path: Path, name: str) -> None:
    user = account.find(name)
    if user is None:
        document.fault(path, f"no user {name} in /etc/passwd")
    elif 0 in user:
        document.fault(path, f"{name} is root, or of its group: name a user who may do little")
    elif os.geteuid() not in {0, user.uid}:
        document.fault(path, f"only root can run a command as {name}")


def _host(document: Document, path: Path, host: str | None) -> None:
    if host is None:
        return
    if host.rstrip(".").lower() == "localhost":
        document.fault(path, "localhost is a name that would have to be looked up: write 127.0.0.1 or [::1]")
    elif parse(host) is None and (not is_host_name(host.rstrip(".")) or host.replace(".", "").isdigit()):
        document.fault(path, "names no host, by name or address")


def _port(document: Document, path: Path, port: int | None) -> None:
    if port is not None and not 1 <= port <= 65535:
        document.fault(path, f"not a port from 1 to 65535: {port}")


def _is_whole(document: Document, path: Path, file: str) -> bool:
    """Tell whether it is an absolute path, and note where it is not."""
    if not os.path.isabs(file):
        document.fault(path, f"{file}: write the whole path")
    return os.path.isabs(file)


def _secret(document: Document, path: Path, file: str | None, least: int = 1, *, text: bool = False) -> None:
    if file is None or not _is_whole(document, path, file):
        return
    try:
        if text:
            secret.read_text(file)
        else:
            secret.read(file, least)
    except UsageError as error:
        document.fault(path, str(error))


def _authorities(document: Document, path: Path, file: str | None) -> None:
    if file is None or not _is_whole(document, path, file):
        return
    try:
        line.trust(file)
    except DeliveryError as error:
        document.fault(path, str(error))
