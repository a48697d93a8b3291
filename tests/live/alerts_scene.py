"""A site that tells of changes, and those who are told: a webhook, a mail relay, a syslog collector, a command."""

from __future__ import annotations

import hmac
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.live import names
from tests.live.site import policy
from tests.unit.alerts.alerting import AUTHORITY
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.live.lab import Audit, Lab
    from tests.live.lab_host import Running
    from tests.live.wiretap import Wiretap

CENTRE, NAME = "10.30.0.30", "soc.corp.example"
ROGUE = "10.9.9.9"
FILE, STATE, TOLD = "/run/lab/alerts.yaml", "/run/lab/state", "/run/lab/told"
SECRET, PASSWORD = "canary-hmac-0123456789", "canary-mail-password"
WEBHOOK = {
    "name": "siem",
    "webhook": {
        "url": f"https://{NAME}/hooks/canary-path",
        "secret_file": "/run/lab/hmac",
        "ca_file": "/run/lab/ca.pem",
    },
}
MAIL = {
    "name": "mail",
    "smtp": {
        "host": NAME, "port": 587, "from": "airgap@bank.example", "to": "soc@bank.example", "username": "airgap",
        "password_file": "/run/lab/password", "ca_file": "/run/lab/ca.pem",
    },
}  # fmt: skip
SYSLOG = {"name": "collector", "syslog": {"host": CENTRE, "port": 601, "transport": "tcp"}}
COMMAND = {"name": "pager", "command": {"argv": ["/bin/sh", "-c", f"id -un >> {TOLD}/told; cat >> {TOLD}/told"]}}
CENTRE_ENTRY = {"name": "operations centre", "role": "monitoring", "host": [NAME], "ports": [443, 587]}
COLLECTOR_ENTRY = {"name": "collector", "role": "syslog", "cidr": [f"{CENTRE}/32"], "ports": [601]}
APPROVED = policy(CENTRE_ENTRY, COLLECTOR_ENTRY)
_RSYSLOG = f"""
global(workDirectory="/run/lab" net.enableDNS="off")
module(load="imptcp")
template(name="whole" type="string" string="%syslogtag% %structured-data% %msg%\\n")
ruleset(name="keep") {{ action(type="omfile" file="/run/lab/logged" template="whole" flushOnTXEnd="on") }}
input(type="imptcp" address="{CENTRE}" port="601" ruleset="keep")
"""


class Scene:
    """The near host's alerts file and state, and what the far host's receivers wrote down."""

    def __init__(self, lab: Lab, folder: Path, *destinations: dict[str, Any]) -> None:
        self.lab = lab
        self.names = names.serve_dnsmasq(lab, {NAME: CENTRE})
        lab.assign(CENTRE)
        certificate, key = mint("soc", AUTHORITY, hosts=[NAME]).write(folder)
        lab.far.write("/run/lab/server.crt", certificate.read_text())
        lab.far.write("/run/lab/server.key", key.read_text())
        lab.near.write("/run/lab/ca.pem", AUTHORITY.pem.decode())
        for name, text in (("hmac", SECRET), ("password", PASSWORD)):
            lab.near.write(f"/run/lab/{name}", f"{text}\n")
            lab.near.path(f"/run/lab/{name}").chmod(0o600)
        lab.near.check(["install", "-d", "-o", "nobody", "-m", "0700", TOLD])
        self.tell(*destinations)

    def tell(self, *destinations: dict[str, Any]) -> None:
        """Write the alerts file."""
        self.lab.near.write(FILE, json.dumps({"version": 1, "destinations": destinations}))

    def receive(self) -> Running:
        """Start the webhook's server and the mail relay."""
        program = str(Path(__file__).with_name("alerts_receiver.py"))
        running = self.lab.far.run([sys.executable, program, "/run/lab", CENTRE, "443", "587"])
        running.expect("ready")
        return running

    def collect(self) -> None:
        """Start rsyslog."""
        self.lab.far.write("/run/lab/rsyslog.conf", _RSYSLOG)
        self.lab.far.run(["rsyslogd", "-n", "-f", "/run/lab/rsyslog.conf", "-i", "/run/lab/rsyslog.pid"])
        until(lambda: ":0259 " in self.lab.far.path("/proc/1/net/tcp").read_text())

    def audit(self, *options: str, **how: Any) -> Audit:
        how.setdefault("policy", APPROVED)
        return self.lab.audit("--alerts", FILE, "--state", STATE, *options, **how)

    def violate(self) -> Running:
        """Let a process try to reach what nobody approved, until it is ended: then nothing is left of it."""
        return self.lab.near.plant("pending", ROGUE, 5432, name="rogue")

    def end(self, process: Running) -> None:
        process.signal(9)
        process.wait()

    def posted(self) -> list[dict[str, Any]]:
        """Return what the webhook was told since the beginning, after a look at each signature."""
        found = []
        for one in self._lines("posted"):
            seconds, signature = (part.partition("=")[2] for part in one["headers"]["X-Airgap-Signature"].split(","))
            mac = hmac.new(SECRET.encode(), f"{seconds}.{one['body']}".encode(), "sha256").hexdigest()
            assert hmac.compare_digest(signature, mac)
            found.append(json.loads(one["body"]))
        return found

    def mailed(self) -> list[dict[str, Any]]:
        return self._lines("mailed")

    def _lines(self, name: str) -> list[dict[str, Any]]:
        file = self.lab.far.path(f"/run/lab/{name}")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def logged(self) -> list[str]:
        file = self.lab.far.path("/run/lab/logged")
        return file.read_text().splitlines() if file.exists() else []

    def spooled(self) -> list[Path]:
        return sorted(self.lab.near.path(f"{STATE}/spool").glob("*.alert"))

    def wait_for_the_next_attempt(self) -> None:
        """Let the pause after a failure be over: nobody can set the clock of a host alone."""
        for path in self.lab.near.path(f"{STATE}/spool").glob("*.standing"):
            standing = json.loads(path.read_text())
            if standing.get("again"):
                standing["again"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
                path.write_text(json.dumps(standing))


def until(holds: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def sent(wire: Wiretap) -> set[tuple[str, str, int]]:
    """Return where packets went to, but for a rogue's."""
    return {(one.protocol, *one.target) for one in wire.heard() if one.target[0] != ROGUE}


def about(alerts: Sequence[dict[str, Any]]) -> list[tuple[set[str], set[str]]]:
    """Return the rules of what appeared, and of what was resolved."""
    return [tuple({known["rule"] for known in alert[kind]} for kind in ("appeared", "resolved")) for alert in alerts]  # type: ignore[misc]
