"""The probes talk to the real servers: what they say back, what those write down, and whom they lock out."""

from __future__ import annotations

import pwd
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from airgap_check.probes.conversation import Target, Told, converse
from tests.live import runtime, servers
from tests.live.lab import FAR, NEAR, Lab
from tests.live.servers import LOOPBACK
from tests.unit.probes.minting import NOW, mint
from tests.unit.probes.other_side import detail, outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airgap_check.probes.account import Protocol

AUTHORITY = mint("Bank Root", authority=True)
SERVER = mint("server", AUTHORITY, hosts=[LOOPBACK], services=True)
PATIENCE = 20.0
MOST_ERRORS = 10
MALFORMED = "invalid length of startup packet"


def ask(protocol: Protocol, port: int, tls: str = "opportunistic", detail: str = "", address: str = LOOPBACK) -> Told:
    target = Target(protocol, address, port, tls, detail, NOW)  # type: ignore[arg-type]
    with socket.create_connection((address, port), timeout=PATIENCE) as end:
        return converse(end, target, time.monotonic() + PATIENCE)


def assert_shown(told: Told) -> None:
    """Assert that the certificate of `SERVER` was shown through TLS of today."""
    assert (told.outcome, told.stage) == ("reached", "done"), told
    assert told.tls is not None
    assert told.tls.startswith("TLSv1.3 ")
    assert told.expires == SERVER.certificate.not_valid_after_utc
    assert outcomes(told) == {"tls-version": "passed", "certificate-trust": "failed", "certificate-name": "passed"}
    assert {named.pointer for named in told.named if named.role == "pki"} == {
        "certificate[0].AIA.OCSP", "certificate[0].AIA.CAIssuers", "certificate[0].CRL",
    }  # fmt: skip


@pytest.fixture(scope="module", params=["in clear", "with TLS"])
def postgresql(request: pytest.FixtureRequest) -> Iterator[tuple[bool, int, Path]]:
    secure = request.param == "with TLS"
    with servers.postgresql(SERVER if secure else None) as (port, log):
        yield secure, port, log


def test_postgresql_answers_and_writes_nothing_down(postgresql: tuple[bool, int, Path]) -> None:
    secure, port, log = postgresql
    before = _log_after(log, "ready to accept connections")
    for tls in ("opportunistic", "required", "none"):
        told = ask("postgresql", port, tls)
        if tls == "required" and not secure:
            assert (told.outcome, told.detail) == ("failed", "it offers no TLS")
            continue
        assert told.detail == "it asks for credentials"
        if secure and tls != "none":
            assert_shown(told)
        else:
            assert (told.outcome, told.tls) == ("reached", None)
    with socket.create_connection((LOOPBACK, port)) as end:
        end.sendall(b"\0\0\0\1")  # this, it writes down
    written = _log_after(log, MALFORMED).removeprefix(before).splitlines()
    assert len(written) == 1, written


def _log_after(log: Path, words: str) -> str:
    """Wait until a server has written something down, and return all that it has."""
    deadline = time.monotonic() + PATIENCE
    while words not in (text := log.read_text()) or not text.endswith("\n"):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


@pytest.mark.parametrize("secure", [False, True])
def test_mariadb_answers(secure: bool) -> None:  # noqa: FBT001 # a parameter of the test
    with servers.mariadb(SERVER if secure else None) as port:
        told = ask("mysql", port)
        assert "Access denied for user 'airgap-check'" in told.detail
        assert told.outcome == "reached"
        if secure:
            assert_shown(told)
        else:
            assert ask("mysql", port, "required").detail == "it offers no TLS"


def test_two_hundred_probes_do_not_lock_a_host_out_of_mariadb_and_broken_handshakes_do(lab: Lab) -> None:
    """From another host: a server never locks out its own loopback."""
    lab.far.write("/etc/hosts", f"127.0.0.1 localhost\n{NEAR} near.bank.example\n{FAR} far\n")
    owner = pwd.getpwnam("mysql")

    def probe() -> Told:
        with servers.connected_in(lab.near, FAR, 3306) as end:
            return converse(end, Target("mysql", FAR, 3306, "none"), time.monotonic() + PATIENCE)

    with servers.folder_of("mysql") as folder:
        command = servers.mariadb_command(folder, FAR, 3306, f"--max-connect-errors={MOST_ERRORS}")
        server = lab.far.run(command, user=(owner.pw_uid, owner.pw_gid))
        assert {probe().outcome for _ in range(200)} == {"reached"}
        for _ in range(MOST_ERRORS + 1):
            with servers.connected_in(lab.near, FAR, 3306) as end:
                end.recv(100)
        deadline = time.monotonic() + PATIENCE
        while (told := probe()).outcome == "reached" and time.monotonic() < deadline:
            time.sleep(0.1)  # a hang-up is counted a moment after it happened
        server.signal(signal.SIGTERM)
        server.wait()
    assert told.outcome == "failed"
    assert "is blocked because of many connection errors" in told.detail


def test_redis_answers_with_and_without_a_password() -> None:
    with servers.redis() as port:
        assert ask("redis", port).detail == "it answers PONG"
    with servers.redis("--requirepass", "correct-horse") as port:
        told = ask("redis", port)
        assert (told.outcome, told.detail) == ("reached", "it answers: NOAUTH Authentication required.")


def test_redis_answers_through_tls(tmp_path: Path) -> None:
    paths = SERVER.write(tmp_path)
    port = servers.free_port()
    options = ["--tls-port", str(port), "--tls-cert-file", str(paths[0]), "--tls-key-file", str(paths[1])]
    with servers.redis(*options, "--tls-auth-clients", "no"):
        assert_shown(ask("redis", port, "required"))


def test_a_mail_server_answers_in_clear_by_starttls_and_from_the_first_byte(tmp_path: Path) -> None:
    context = SERVER.context(tmp_path)
    with servers.mail_server() as port:
        assert ask("smtp", port).outcome == "reached"
        assert ask("smtp", port, "required").detail == "it offers no TLS"
    with servers.mail_server(context) as port:
        assert_shown(ask("smtp", port))
        assert ask("smtp", port, "none").tls is None
    with servers.mail_server(context, implicit=True) as port:
        assert_shown(ask("smtp", port, "required", "implicit"))


def test_an_object_store_answers_for_a_bucket() -> None:
    with servers.object_store() as port:
        told = ask("s3", port, "none", "backups")
        assert (told.outcome, told.detail) == ("reached", "HTTP 404, there is no such bucket")


def test_an_identity_provider_names_its_endpoints() -> None:
    with servers.identity_provider() as port:
        told = ask("oidc", port, "none")
        assert ask("oidc", port, "none", "/realms/bank").outcome == "failed"
    assert told.outcome == "reached"
    assert outcomes(told) == {"idp-discovery": "passed", "idp-issuer": "passed"}
    assert {"$.token_endpoint", "$.jwks_uri", "$.authorization_endpoint"} <= {named.pointer for named in told.named}
    assert {named.endpoint.port for named in told.named if named.endpoint} == {port}


def test_a_webhook_is_shaken_hands_with_and_never_asked_for_anything(tmp_path: Path) -> None:
    asked: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            asked.append(self.rfile.readline().decode("latin-1"))
            self.close_connection = True

    with ThreadingHTTPServer((LOOPBACK, 0), Receiver) as server:
        server.socket = SERVER.context(tmp_path).wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        told = ask("tls", server.server_address[1])
        server.shutdown()
        thread.join()
    assert_shown(told)
    assert asked in ([""], [])


@pytest.mark.parametrize(
    ("env", "mounted"),
    [
        ({"OS_CLOUD_URL": "off"}, "passed"),
        ({}, "failed"),
        ({"OS_CLOUD_URL": "off", "OS_AUTH_EMAIL_PASSWORD_ENABLED": "false"}, "passed"),
    ],
)
def test_the_real_runtime_tells_how_it_stands(lab: Lab, env: dict[str, str], mounted: str) -> None:
    settings = {"OS_DATABASE_URL": "file:/run/lab/objectos/data.db", **env}
    runtime.start(lab, runtime.installed(), settings)
    sent = lab.near.counters()
    with servers.connected_in(lab.near, LOOPBACK, 8080) as end:
        told = converse(end, Target("runtime", LOOPBACK, 8080, "none"), time.monotonic() + PATIENCE)
    assert told.outcome == "reached"
    assert outcomes(told)["control-plane-mounted"] == mounted, told
    closed = "OS_AUTH_EMAIL_PASSWORD_ENABLED" in env
    assert outcomes(told)["login-path"] == ("failed" if closed else "passed")
    assert detail(told, "login-path") == (
        "local passwords are off, and there is no identity provider" if closed else "local password"
    )
    assert lab.near.counters()["Udp.OutDatagrams"] == sent["Udp.OutDatagrams"], "it asked for no name"
