"""Alerts across a wire: what was approved is dialled, nothing else leaves the host, and not a packet without news."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.lab import PUBLIC, Lab, checker_environment
from tests.unit.alerts.alerting import AUTHORITY, SECRET
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.live
SIEM, NAME = "10.30.0.30", "siem.corp.example"
_SERVE = f"""
import http.server, ssl
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/run/lab/posted", "ab").write(body + b"\\n")
        self.send_response(204); self.end_headers()
    def log_message(self, *_): pass
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/run/lab/server.crt", "/run/lab/server.key")
server = http.server.HTTPServer(("{SIEM}", 443), Hook)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
"""
_TELL = f"""
import json, sys
from airgap_check import alerts
from airgap_check.address import parse
from airgap_check.errors import InvalidFileError
from tests.building import policy
from tests.unit.alerts.alerting import NOW, TODAY, answer, change
entries, addresses, news = json.loads(sys.argv[1])
approved, file = policy(*entries), alerts.load("/run/lab/alerts.yaml")
lines = []
try:
    alerts.check(file, approved, TODAY)
    alerts.post(file, change(**news), "/run/lab/state")
    answers = [answer(parse(address), "{NAME}") for address in addresses]
    lines = alerts.pump(file, "/run/lab/state", approved, answers, NOW)
except InvalidFileError as error:
    lines = error.faults
print(json.dumps(lines))
"""
QUIET = {"before": "not_compliant", "appeared": []}
ENTRY = {"name": "siem", "host": [NAME], "ports": [443], "role": "webhook"}


def serve(lab: Lab, folder: Path) -> None:
    certificate, key = mint("siem", AUTHORITY, hosts=[NAME]).write(folder)
    lab.far.write("/run/lab/server.crt", certificate.read_text())
    lab.far.write("/run/lab/server.key", key.read_text())
    lab.assign(SIEM)
    lab.far.run(["python3", "-c", _SERVE]).expect("ready")
    lab.near.write("/run/lab/authority.pem", AUTHORITY.pem.decode())
    lab.near.write("/run/lab/secret", SECRET.decode())
    lab.near.path("/run/lab/secret").chmod(0o600)
    webhook = {"url": f"https://{NAME}/", "secret_file": "/run/lab/secret", "ca_file": "/run/lab/authority.pem"}
    lab.near.write(
        "/run/lab/alerts.yaml", json.dumps({"version": 1, "destinations": [{"name": "siem", "webhook": webhook}]})
    )


def tell(
    lab: Lab, *entries: dict[str, Any], addresses: Sequence[str] = (SIEM,), news: dict[str, Any] | None = None
) -> tuple[list[str], int]:
    """Tell of a change from inside the near host; return what was said, and how many packets left it."""
    before = lab.near.counters()["Ip.OutRequests"]
    argv = [sys.executable, "-c", _TELL, json.dumps([entries, addresses, news or {}])]
    code, said, errors = lab.near.output(argv, env=checker_environment(), user=None)
    assert code == 0, errors
    return json.loads(said), lab.near.counters()["Ip.OutRequests"] - before


def posted(lab: Lab) -> list[dict[str, Any]]:
    file = lab.far.path("/run/lab/posted")
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def test_only_what_is_approved_hears_of_a_change_and_only_of_a_change(lab: Lab, tmp_path: Path) -> None:
    serve(lab, tmp_path)
    assert tell(lab, ENTRY, news=QUIET) == ([], 0)
    lines, packets = tell(lab)
    assert f'alerts to "siem" go to {NAME}:443/tcp, which no entry of the policy approves' in lines[0]
    assert packets == 0
    lines, packets = tell(lab, ENTRY)
    assert (lines, packets > 0) == ([], True)
    assert tell(lab, ENTRY, news=QUIET) == ([], 0)
    (alert,) = posted(lab)
    assert (alert["host"], alert["verdict"]) == ("near", "not_compliant")


def test_an_address_that_nobody_approved_is_sent_nothing(lab: Lab, tmp_path: Path) -> None:
    serve(lab, tmp_path)
    lab.assign(PUBLIC)
    lines, packets = tell(lab, ENTRY, addresses=[PUBLIC])
    assert f"{NAME} is {PUBLIC}, which the policy does not approve" in lines[0]
    assert packets == 0
    lines, packets = tell(lab, ENTRY, addresses=[])
    assert packets == 0
    assert posted(lab) == []
