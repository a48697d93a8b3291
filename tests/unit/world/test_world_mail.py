from __future__ import annotations

import smtplib
from email.message import EmailMessage
from typing import TYPE_CHECKING

import pytest

from airgap_check.world import greeting
from tests.unit.world.beyond import Beyond, trusting

if TYPE_CHECKING:
    from airgap_check.world.meeting import Met


@pytest.fixture(autouse=True)
def _hurried(_unhurried: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greet a client that waits for it as soon as it does."""
    monkeypatch.setattr(greeting, "PATIENCE", 0.2)


LETTER = EmailMessage()
LETTER["Subject"] = "the secret of hunter2"
LETTER.set_content("hunter2\n.\n" + "x" * 300_000)


def lines(met: Met) -> list[str]:
    return [asked.line for asked in met.requests]


def test_mail_is_taken_with_tls_and_a_password_and_only_domains_are_kept(beyond: Beyond) -> None:
    with smtplib.SMTP(*beyond.tcp, local_hostname="app.bank.example", timeout=10) as client:  # greeted after a silence
        client.starttls(context=trusting())
        client.login("bob", "hunter2")
        client.send_message(LETTER, "noreply@bank.example", ["alice@gmail.example", "carol@other.example"])
        client.send_message(LETTER, "noreply@bank.example", ["dave@gmail.example"])
    met = beyond.only()
    assert (met.spoken, met.encrypted) == ("smtp", True)
    assert met.opening.upper().startswith("EHLO APP.BANK.EXAMPLE")
    assert lines(met) == [
        "EHLO app.bank.example", "STARTTLS", "EHLO app.bank.example", "AUTH PLAIN", "MAIL FROM:<…@bank.example>",
        "RCPT TO:<…@gmail.example>", "RCPT TO:<…@other.example>", "MAIL FROM:<…@bank.example>",
        "RCPT TO:<…@gmail.example>",
    ]  # fmt: skip
    assert met.ended == "closed after QUIT"
    assert not any(b"hunter2" in line or b"alice" in line for line in beyond._lines)


def test_a_login_in_steps_is_let_in(beyond: Beyond) -> None:
    with smtplib.SMTP(*beyond.tcp, local_hostname="a.example", timeout=10) as client:
        client.ehlo()
        client.user, client.password = "bob", "hunter2"
        assert client.auth("LOGIN", client.auth_login, initial_response_ok=False)[0] == 235
        assert client.noop()[0] == 250
        assert client.verify("bob")[0] == 252
        assert client.docmd("XYZ")[0] == 500
    assert "AUTH LOGIN" in lines(beyond.only())


def test_mail_may_come_in_chunks(beyond: Beyond) -> None:
    with smtplib.SMTP(*beyond.tcp, local_hostname="a.example", timeout=10) as client:
        client.ehlo()
        assert client.has_extn("chunking")
        client.mail("a@b.example")
        client.rcpt("c@d.example")
        client.send(b"BDAT 5\r\nhelloBDAT 3 LAST\r\nend")
        assert client.getreply()[0] == 250
        assert client.getreply()[0] == 250


@pytest.mark.parametrize("port", [25, 2525])
def test_at_the_ports_of_mail_the_server_speaks_first(port: int) -> None:
    with Beyond(port=port) as beyond:
        with beyond.dial() as end:
            assert end.recv(100).startswith(b"220 ")
        met = beyond.only()
    assert (met.spoken, met.sent, met.ended) == ("nothing", 0, "closed by the client")


def test_at_the_port_of_mail_within_tls_it_speaks_there() -> None:
    with Beyond(port=465) as beyond:
        with smtplib.SMTP_SSL(*beyond.tcp, local_hostname="a.example", context=trusting(), timeout=10) as client:
            client.ehlo()
            assert not client.has_extn("starttls")
        met = beyond.only()
    assert (met.spoken, met.encrypted, met.name) == ("smtp", True, None)
