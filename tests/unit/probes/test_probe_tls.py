"""TLS with a server that shows anything: it is reached all the same, and what a client should have minded is said."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgap_check.probes import certificate, tls
from airgap_check.probes.conversation import Target, converse
from tests.live.servers import free_port
from tests.unit.probes.minting import ISSUERS, NOW, OCSP, REVOKED, Pair, mint
from tests.unit.probes.other_side import PATIENCE, Script, detail, outcomes, secured, talk, until_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "db.bank.example"
AUTHORITY = mint("Bank Root", authority=True)
TARGET = Target("tls", HOST, 443, "required", at=NOW)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the system trust the bank's authority."""
    store = tmp_path / "authorities.pem"
    store.write_bytes(AUTHORITY.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    tls._context.cache_clear()
    yield
    tls._context.cache_clear()


def shown(folder: Path, pair: Pair, *chain: Pair, target: Target = TARGET) -> dict[str, str]:
    told = talk(secured(pair.context(folder, *chain), until_end), target)
    assert (told.outcome, told.stage) == ("reached", "done"), told
    return outcomes(told)


@pytest.mark.usefixtures("trusted")
def test_a_server_of_a_trusted_authority_is_in_order(tmp_path: Path) -> None:
    server = mint(HOST, AUTHORITY, hosts=[HOST, "10.20.0.5"])
    good = {"tls-version": "passed", "certificate-trust": "passed", "certificate-name": "passed"}
    assert shown(tmp_path, server) == good
    assert shown(tmp_path, server, target=TARGET._replace(host="10.20.0.5")) == good
    assert shown(tmp_path, server, target=TARGET._replace(host="DB.bank.example.")) == good


@pytest.mark.usefixtures("trusted")
def test_an_authority_in_between_is_followed(tmp_path: Path) -> None:
    between = mint("Bank Issuing", AUTHORITY, authority=True)
    server = mint(HOST, between, hosts=[HOST])
    assert shown(tmp_path, server, between)["certificate-trust"] == "passed"
    assert shown(tmp_path, server)["certificate-trust"] == "failed", "the server forgot to send it"


@pytest.mark.usefixtures("trusted")
def test_who_signed_is_looked_at_not_who_is_named(tmp_path: Path) -> None:
    forger = mint("Bank Root", authority=True)
    told = talk(secured(mint(HOST, AUTHORITY, hosts=[HOST], signer=forger.key).context(tmp_path), until_end), TARGET)
    assert outcomes(told)["certificate-trust"] == "failed"


@pytest.mark.usefixtures("trusted")
def test_whoever_is_no_authority_cannot_vouch(tmp_path: Path) -> None:
    clerk = mint("clerk", AUTHORITY, hosts=["clerk.bank.example"])
    assert shown(tmp_path, mint(HOST, clerk, hosts=[HOST]), clerk)["certificate-trust"] == "failed"


@pytest.mark.usefixtures("trusted")
def test_dates_are_judged_by_the_time_of_the_run(tmp_path: Path) -> None:
    day = timedelta(days=1)
    ended = mint(HOST, AUTHORITY, hosts=[HOST], begins=NOW - 9 * day, ends=NOW - day)
    told = talk(secured(ended.context(tmp_path), until_end), TARGET)
    assert told.expires == NOW - day
    # the authority itself began yesterday, so a path that was good on the last day of the server's cannot be shown
    early = mint(HOST, AUTHORITY, hosts=[HOST], begins=NOW + day, ends=NOW + 9 * day)
    told = talk(secured(early.context(tmp_path), until_end), TARGET)
    assert "is not valid before" in detail(told, "certificate-trust")
    faded = mint("Bank Old", AUTHORITY, authority=True, begins=NOW - 9 * day, ends=NOW - day)
    told = talk(secured(mint(HOST, faded, hosts=[HOST]).context(tmp_path, faded), until_end), TARGET)
    assert "ended on" in detail(told, "certificate-trust")


def test_a_certificate_of_nobody_we_know_is_reached_and_said_so(tmp_path: Path) -> None:
    told = talk(secured(mint(HOST, AUTHORITY, hosts=[HOST]).context(tmp_path), until_end), TARGET)
    assert told.outcome == "reached"
    assert detail(told, "certificate-trust") == (
        "the system knows no way to an authority from its issuer, CN=Bank Root"
    )
    told = talk(secured(mint(HOST, hosts=[HOST]).context(tmp_path), until_end), TARGET)
    assert detail(told, "certificate-trust") == "it is signed by itself, and the system does not know it"


@pytest.mark.parametrize(
    ("names", "host", "outcome"),
    [
        (["*.bank.example"], HOST, "passed"),
        (["*.bank.example"], "a.db.bank.example", "failed"),
        (["*.bank.example"], "bank.example", "failed"),
        (["other.example"], HOST, "failed"),
        (["10.20.0.5"], "10.20.0.6", "failed"),
        (["fd00::5"], "fd00:0::5", "passed"),
        (["10.20.0.5"], HOST, "failed"),
        ([], HOST, "unknown"),
        ([], "elsewhere.example", "failed"),
    ],
)
def test_the_name_must_be_one_of_the_certificate(tmp_path: Path, names: list[str], host: str, outcome: str) -> None:
    server = mint(HOST, AUTHORITY, hosts=names)
    assert shown(tmp_path, server, target=TARGET._replace(host=host))["certificate-name"] == outcome


def test_the_hosts_of_every_certificate_shown_are_named(tmp_path: Path) -> None:
    between = mint("Bank Issuing", AUTHORITY, authority=True, services=True)
    server = mint(HOST, between, hosts=[HOST], services=True)
    told = talk(secured(server.context(tmp_path, between), until_end), TARGET)
    fields = ["AIA.OCSP", "AIA.CAIssuers", "CRL"]
    assert [named.pointer for named in told.named] == [
        f"certificate[{at}].{field}" for at in (0, 1) for field in fields
    ]
    assert [named.text for named in told.named] == [OCSP, ISSUERS, REVOKED] * 2
    assert {named.role for named in told.named} == {"pki"}
    ends = [named.endpoint for named in told.named if named.endpoint]
    assert [(end.name, end.port) for end in ends[:3]] == [
        ("ocsp.pki.example", 80), ("aia.pki.example", 80), ("crl.pki.example", 8080),
    ]  # fmt: skip
    assert told.expires == server.certificate.not_valid_after_utc


@pytest.mark.parametrize(("version", "outcome"), [("-tls1_1", "failed"), ("-tls1_2", "passed"), ("-tls1_3", "passed")])
def test_the_version_agreed_on_is_told(tmp_path: Path, version: str, outcome: str) -> None:
    paths = mint(HOST, AUTHORITY, hosts=[HOST]).write(tmp_path)
    port = free_port()
    argv = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(paths[0]), "-key", str(paths[1]),
            "-quiet", "-cipher", "DEFAULT:@SECLEVEL=0", version]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            with _connected(port) as end:
                told = converse(end, TARGET, time.monotonic() + PATIENCE)
        finally:
            server.kill()
    assert told.outcome == "reached"
    assert outcomes(told)["tls-version"] == outcome
    assert told.tls is not None
    assert told.tls.startswith(version.replace("-tls", "TLSv").replace("_", "."))


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=1)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_name_is_asked_for_and_an_address_is_not(tmp_path: Path) -> None:
    asked: list[str | None] = []
    context = mint(HOST, AUTHORITY, hosts=[HOST]).context(tmp_path)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)
    for host in (HOST, "10.20.0.5"):
        talk(secured(context, until_end), TARGET._replace(host=host))
    assert asked == [HOST, None]


@pytest.mark.parametrize("host", ["", ".", "a" * 70 + ".example", "a..b"])
def test_a_host_that_is_no_name_is_a_failure_and_no_crash(host: str) -> None:
    assert talk(until_end, TARGET._replace(host=host), 0.3).outcome in {"failed", "timeout"}


def test_a_protocol_goes_on_inside_of_tls_and_says_good_bye(tmp_path: Path) -> None:
    farewell: list[bytes] = []

    def serve(end: socket.socket) -> None:
        end.recv(100)
        end.sendall(b"+PO")
        end.sendall(b"NG\r\n")
        farewell.append(end.recv(100))  # b"" is a close_notify; without one it would raise

    server = mint(HOST, AUTHORITY, hosts=[HOST])
    told = talk(secured(server.context(tmp_path), serve), Target("redis", HOST, 6380, "opportunistic"))
    assert (told.outcome, told.detail, farewell) == ("reached", "it answers PONG", [b""])
    assert told.tls is not None


def test_a_good_bye_ends_an_answer_though_the_line_stays_open(tmp_path: Path) -> None:
    def serve(end: ssl.SSLSocket) -> None:
        end.recv(1000)
        end.sendall(b"HTTP/1.1 200 OK\r\n\r\n<EntityDescriptor/>")
        end.unwrap()  # waits for the other side's

    server = mint(HOST, AUTHORITY, hosts=[HOST])
    told = talk(secured(server.context(tmp_path), serve), Target("saml", HOST, 443, "required"))  # type: ignore[arg-type]
    assert (told.outcome, told.detail) == ("failed", "what it shows is no SAML metadata")


def test_what_was_shown_is_told_even_when_the_protocol_fails_inside(tmp_path: Path) -> None:
    server = mint(HOST, AUTHORITY, hosts=[HOST], services=True)
    told = talk(secured(server.context(tmp_path), Script(b"nonsense\r\n\r\n")), Target("redis", HOST, 6380, "required"))
    assert (told.outcome, told.stage) == ("failed", "protocol")
    assert told.expires is not None
    assert len(told.named) == 3


def test_a_server_that_wants_our_certificate_is_not_reached(tmp_path: Path) -> None:
    context = mint(HOST, AUTHORITY, hosts=[HOST]).context(tmp_path)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    told = talk(secured(context, until_end), Target("redis", HOST, 6380, "required"))
    assert (told.outcome, told.stage) == ("failed", "protocol")


def test_a_server_without_tls_is_told_apart_from_a_silent_one() -> None:
    told = talk(Script(b"HTTP/1.1 400 Bad Request\r\n\r\n"), TARGET)
    assert (told.outcome, told.stage) == ("failed", "tls")
    assert told.detail.startswith("TLS: ")


DER = mint(HOST, AUTHORITY, hosts=[HOST], services=True).der


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@pytest.mark.filterwarnings("ignore")
def test_a_certificate_with_any_byte_changed_is_read_or_said_to_be_unreadable(changes: list[tuple[int, int]]) -> None:
    der = bytearray(DER)
    for at, byte in changes:
        der[at] = byte
    told = certificate.examine([bytes(der)], [bytes(der), AUTHORITY.der], HOST, NOW)
    assert all(check.detail.isprintable() for check in told.checks)
    assert "certificate-trust" in {check.aspect for check in told.checks}


@given(st.lists(st.binary(max_size=64), max_size=12))
def test_anything_for_a_chain_is_undecided(chain: list[bytes]) -> None:
    told = certificate.examine(chain, [], HOST, None)
    assert {check.outcome for check in told.checks} == {"unknown"}


def test_a_stream_of_broken_records_is_ended() -> None:
    def babble(end: socket.socket) -> None:
        with suppress(OSError):
            while True:
                end.sendall(b"\x17\x03\x03\x40\x00" + b"\0" * 0x4000)

    assert talk(babble, TARGET).outcome == "failed"
