"""What tests of alerts share: changes to tell of, alert files, and an HTTPS receiver that can misbehave."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check import alerts
from airgap_check.evidence import Answer
from airgap_check.evidence.fact import endpoint
from airgap_check.finding import Known, Severity
from airgap_check.history.change import Change
from tests.building import policy
from tests.unit.probes.minting import Pair, mint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from airgap_check.address import Address

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TODAY = NOW.date()
AUTHORITY = mint("Bank Root", authority=True)
NAME = "siem.corp.example"
HERE = "127.0.0.1"
SECRET = b"canary-secret-0123456789abcdef"
POLICY = policy({"host": [NAME], "ports": ["1-65535"], "protocol": "any"})


def known(number: int = 1, severity: Severity = "high", **changes: str) -> Known:
    facts = {"rule": "connection.not-allowlisted", "subject": f"node {number}", "message": f"node -> 10.9.9.{number}"}
    return Known(severity=severity, fingerprint=f"{number:016x}", **{**facts, **changes})


def change(**facts: Any) -> Change:
    given: dict[str, Any] = {
        "hostname": "near", "started": NOW - timedelta(seconds=5), "finished": NOW,
        "previous": NOW - timedelta(minutes=1), "before": "compliant", "verdict": "not_compliant",
        "reasons": ("connection.not-allowlisted (high): 1 finding",), "appeared": (known(),),
    }  # fmt: skip
    return Change(**{**given, **facts})


def answer(address: Address, name: str = NAME, **facts: Any) -> Answer:
    given: dict[str, Any] = {"netns": 1, "source": "dns", "status": "ok", "addresses": (endpoint(address),)}
    return Answer(name=name, **{**given, **facts})


def secret_file(folder: Path, content: bytes = SECRET, name: str = "secret") -> str:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o600)
    return str(path)


def authority_file(folder: Path, authority: Pair = AUTHORITY) -> str:
    path = folder / "authority.pem"
    path.write_bytes(authority.pem)
    return str(path)


def write(folder: Path, *destinations: Mapping[str, Any]) -> str:
    path = folder / "alerts.yaml"
    named = [{"name": f"to {number}", **destination} for number, destination in enumerate(destinations)]
    path.write_text(json.dumps({"version": 1, "destinations": named}))
    return str(path)


def load(folder: Path, *destinations: Mapping[str, Any]) -> alerts.AlertFile:
    return alerts.load(write(folder, *destinations))


def webhook(folder: Path, port: int, host: str = HERE, **more: Any) -> dict[str, Any]:
    settings = {"url": f"https://{host}:{port}/hook?x=1", "secret_file": secret_file(folder)}
    return {"webhook": {**settings, "ca_file": authority_file(folder), **more}}


def pump(
    file: alerts.AlertFile, state: Path, answers: Sequence[Answer] = (), now: datetime = NOW, **how: Any
) -> list[str]:
    return alerts.pump(file, str(state), how.pop("policy", POLICY), answers, now, **how)


def spooled(state: Path) -> list[str]:
    return sorted(path.name for path in (state / "spool").glob("*.alert")) if (state / "spool").exists() else []


class Posted(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def alert(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


class Receiver:
    """What came in, and the statuses to answer with: one a request, then 204."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.posted: list[Posted] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.before_answer: Callable[[], None] | None = None


@contextmanager
def receiver(
    folder: Path, hosts: Sequence[str] = (HERE, NAME), authority: Pair = AUTHORITY, port: int = 0
) -> Iterator[Receiver]:
    """Serve HTTPS on loopback as a child thread, until the end of the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.posted.append(Posted(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            if received.before_answer:
                received.before_answer()
            status, headers = received.answers.pop(0) if received.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Say nothing: a client that refuses the certificate is what a test wants to see."""

    context = mint("siem", authority, hosts=hosts).context(folder)
    server = Server((HERE, port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    received = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
