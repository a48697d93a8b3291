"""Mail through a real relay (aiosmtpd) on loopback: STARTTLS insisted upon, logins only inside it."""

from __future__ import annotations

import email
import json
import socket
import threading
from contextlib import contextmanager
from datetime import timedelta
from email.policy import SMTP
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from airgap_check import alerts
from tests.live.servers import free_port
from tests.unit.alerts.alerting import (
    AUTHORITY,
    HERE,
    NOW,
    authority_file,
    change,
    load,
    pump,
    secret_file,
    spooled,
)  # fmt: skip
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiosmtpd.smtp import Envelope

PASSWORD = "canary password"


class Mailbox:
    """What a relay took, and what it says to recipients, content and logins."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.refused: set[str] = set()
        self.verdict = "250 OK"
        self.port = 0

    async def handle_RCPT(  # noqa: N802  (aiosmtpd calls it)
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address in self.refused:
            return "550 no such canary"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802  (as above)
        self.envelopes.append(envelope)
        return self.verdict

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@contextmanager
def relay(folder: Path, *, secure: bool = True, host: str = HERE) -> Iterator[Mailbox]:
    box = Mailbox()
    box.port = free_port()
    context = mint("mail", AUTHORITY, hosts=[host]).context(folder) if secure else None
    server = Controller(
        box, hostname=HERE, port=box.port, tls_context=context, require_starttls=secure,
        authenticator=box.authenticate, auth_require_tls=True,
    )  # fmt: skip
    server.start()
    try:
        yield box
    finally:
        server.stop()


def settings(folder: Path, port: int, **more: Any) -> dict[str, Any]:
    given = {"host": HERE, "port": port, "from": "airgap@corp.example", "to": ["soc@corp.example", "cto@corp.example"]}
    if more.get("starttls") != "none":
        given["ca_file"] = authority_file(folder)
    return {"smtp": {**given, **more}}


def test_a_mail_with_the_news_and_the_json_arrives_once_inside_tls(tmp_path: Path) -> None:
    password = secret_file(tmp_path, PASSWORD.encode() + b"\n", "password")
    with relay(tmp_path) as box:
        file = load(tmp_path, settings(tmp_path, box.port, username="airgap", password_file=password))
        alerts.post(file, change(), str(tmp_path / "state"))
        assert pump(file, tmp_path / "state") == []
        assert pump(file, tmp_path / "state") == []
    (envelope,) = box.envelopes
    assert box.logins == [(b"airgap", PASSWORD.encode())]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("airgap@corp.example", ["soc@corp.example", "cto@corp.example"])
    assert isinstance(envelope.content, bytes)
    read = email.message_from_bytes(envelope.content, policy=SMTP)
    assert read["Subject"] == "airgap-check near: not compliant (was compliant): 1 new"
    text = read.get_body()
    assert text is not None
    assert "high: connection.not-allowlisted: node -> 10.9.9.1" in text.get_content()
    (attached,) = read.iter_attachments()
    assert json.loads(attached.get_content())["id"] == read["X-Airgap-Id"]
    assert not spooled(tmp_path / "state")


@pytest.mark.parametrize(
    ("secure", "host", "why"),
    [
        (False, HERE, "it offers no STARTTLS, which is required"),
        (True, "other.corp.example", "its certificate is not accepted"),
    ],
)
def test_nothing_is_said_without_tls_to_the_right_one(tmp_path: Path, secure: bool, host: str, why: str) -> None:  # noqa: FBT001  (a case)
    password = secret_file(tmp_path, PASSWORD.encode(), "password")
    with relay(tmp_path, secure=secure, host=host) as box:
        file = load(tmp_path, settings(tmp_path, box.port, username="airgap", password_file=password))
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
    assert why in line
    assert (box.envelopes, box.logins) == ([], [])
    assert len(spooled(tmp_path / "state")) == 1


def test_who_says_so_gets_it_in_clear_and_no_name_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def getfqdn(name: str = "") -> str:
        if threading.current_thread() is threading.main_thread():  # the relay asks for its own name
            looked_up.append(name)
        return "near"

    monkeypatch.setattr(socket, "getfqdn", getfqdn)
    with relay(tmp_path, secure=False) as box:
        file = load(tmp_path, settings(tmp_path, box.port, starttls="none"))
        alerts.post(file, change(), str(tmp_path / "state"))
        assert pump(file, tmp_path / "state") == []
    assert len(box.envelopes) == 1
    assert looked_up == []


def test_a_wrong_password_is_neither_shown_nor_the_end(tmp_path: Path) -> None:
    password = secret_file(tmp_path, b"canary wrong", "password")
    with relay(tmp_path) as box:
        file = load(tmp_path, settings(tmp_path, box.port, username="airgap", password_file=password))
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
        assert "SMTP status 535" in line
        assert "canary" not in line
        secret_file(tmp_path, PASSWORD.encode(), "password")
        assert pump(file, tmp_path / "state", now=NOW + timedelta(hours=1)) == []
    assert len(box.envelopes) == 1


def test_one_recipient_who_is_refused_does_not_keep_it_from_the_other(tmp_path: Path) -> None:
    with relay(tmp_path) as box:
        box.refused = {"soc@corp.example"}
        file = load(tmp_path, settings(tmp_path, box.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        assert pump(file, tmp_path / "state") == ['alerts: "to 0": 1 of 2 recipients were refused']
        box.refused.add("cto@corp.example")
        alerts.post(file, change(finished=NOW + timedelta(seconds=1)), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
        assert "no recipient is accepted: SMTP status 550" in line
        assert "canary" not in line
    assert [envelope.rcpt_tos for envelope in box.envelopes] == [["cto@corp.example"]]
    assert len(spooled(tmp_path / "state")) == 1


@pytest.mark.parametrize(("verdict", "kept"), [("451 later", 1), ("554 no canary here", 0)])
def test_content_that_is_refused_for_good_is_given_up(tmp_path: Path, verdict: str, kept: int) -> None:
    with relay(tmp_path) as box:
        box.verdict = verdict
        file = load(tmp_path, settings(tmp_path, box.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
    assert f"SMTP status {verdict[:3]}" in line
    assert "canary" not in line
    assert len(spooled(tmp_path / "state")) == kept
