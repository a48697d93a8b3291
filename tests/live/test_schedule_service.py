"""What `schedule` installs, as its operator lives with it: evidence, alerts, the journal, failures, silence."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.scheduled import POLICY, TOOL, entries, journal, machine_with_runtime
from tests.unit.alerts.alerting import AUTHORITY
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.live.booted import Booted

AUDIT, TIMER, WATCH = "airgap-check.service", "airgap-check.timer", "airgap-check-watch.service"
SCHEDULE = (*TOOL, "schedule", "--systemd")
STRICT = POLICY + "inbound: []\n"  # the runtime listens on every address, and nobody may come
REPORT = "/var/log/airgap/report.json"


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    """A machine with a runtime in it."""
    with machine_with_runtime() as machine:
        yield machine


@pytest.fixture
def machine(booted: Booted) -> Iterator[Booted]:
    """The machine without anything that is scheduled or remembered."""
    booted.write("/etc/airgap-check/policy.yaml", POLICY)
    booted.output("rm", "-rf", "/var/lib/airgap-check", "/srv/evidence", REPORT)
    yield booted
    for watch in ([], ["--watch"]):
        booted.output(*SCHEDULE, "--remove", *watch)


def installed(machine: Booted, *options: str) -> str:
    done = machine.run(*SCHEDULE, "--install", *options)
    assert done.returncode == 0, done.stderr + machine.output("journalctl", "--no-pager", "-n", "40")
    return done.stderr


def audited(machine: Booted) -> dict[str, Any]:
    machine.run("systemctl", "start", AUDIT)
    found: dict[str, Any] = json.loads(machine.output("cat", REPORT))
    return found


def test_evidence_of_each_run_is_signed_and_follows_the_one_before(machine: Booted) -> None:
    machine.output("rm", "-f", "/etc/airgap-check/site.key", "/etc/airgap-check/site.key.pub")
    machine.output(*TOOL, "keygen", "--out", "/etc/airgap-check/site.key")
    installed(
        machine, "--record", "/srv/evidence", "--sign", "/etc/airgap-check/site.key", "--report", f"json={REPORT}"
    )
    for _ in range(2):
        audited(machine)
    assert len(machine.output("ls", "/srv/evidence").split()) == 2
    verify = (*TOOL, "verify", "/srv/evidence", "--key", "/etc/airgap-check/site.key.pub", "--state",
              "/var/lib/airgap-check")  # fmt: skip
    done = machine.run(*verify)
    assert done.returncode == 0, done.stdout + done.stderr
    installed(machine, "--watch", "--record", "/srv/evidence", "--sign", "/etc/airgap-check/site.key")
    machine.output("systemctl", "stop", WATCH)
    assert len(machine.output("ls", "/srv/evidence").split()) == 3
    done = machine.run(*verify)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("watches", [False, True], ids=["audit", "watch"])
def test_a_confined_run_alerts_from_its_spool_and_by_a_command_of_nobody(
    machine: Booted, tmp_path: Path, *, watches: bool
) -> None:
    certificate, key = mint("soc", AUTHORITY, hosts=["127.0.0.1"]).write(tmp_path)
    machine.output("rm", "-rf", "/srv/told", "/srv/web")
    machine.output("install", "-d", "-o", "nobody", "-m", "0700", "/srv/told")
    machine.write("/srv/web/server.crt", certificate.read_text())
    machine.write("/srv/web/server.key", key.read_text())
    machine.write("/srv/web/ca.pem", AUTHORITY.pem.decode())
    machine.write("/srv/web/server.py", SERVER)
    machine.write("/srv/web/secret", "canary-hmac-0123456789\n", mode="0600")
    webhook = {"url": "https://127.0.0.1:8443/x", "ca_file": "/srv/web/ca.pem", "secret_file": "/srv/web/secret"}
    pager = {"argv": ["/bin/sh", "-c", "{ id; grep -E '^(Cap|NoNewPrivs)' /proc/self/status; } >> /srv/told/told"]}
    alerts = [{"name": "siem", "webhook": webhook}, {"name": "pager", "command": pager}]
    machine.write("/etc/airgap-check/alerts.yaml", json.dumps({"version": 1, "destinations": alerts}))
    machine.write("/etc/airgap-check/policy.yaml", STRICT)
    # A command is as confined as who starts it: what it writes to has to be opened for it.
    unit = WATCH if watches else AUDIT
    machine.write(f"/run/systemd/system/{unit}.d/told.conf", "[Service]\nReadWritePaths=/srv/told\n")
    every = ["--watch", "--every", "2s"] if watches else []
    installed(machine, *every, "--alerts", "/etc/airgap-check/alerts.yaml", "--report", f"json={REPORT}")
    if not watches:
        audited(machine)
    machine.until(lambda: machine.run("test", "-s", "/srv/told/told").returncode == 0)
    told = machine.output("cat", "/srv/told/told")
    assert "(nobody)" in told
    assert "root" not in told
    assert {line.split()[1] for line in told.splitlines() if line.startswith("Cap")} == {"0" * 16}
    assert "NoNewPrivs:\t1" in told
    machine.until(lambda: "siem" in journal(machine, unit))
    assert machine.output("sh", "-c", "ls /var/lib/airgap-check/spool/*.alert")

    server = ["systemd-run", "--quiet", "--unit", "siem", "/usr/bin/python3", "/srv/web/server.py"]
    machine.output(*server)
    try:
        machine.until(lambda: machine.run("test", "-e", "/srv/web/ready").returncode == 0)
        # The pause after a failure is a minute: nobody can set the clock of a host alone.
        machine.output("sh", "-c", "rm /var/lib/airgap-check/spool/*.standing")
        if not watches:
            audited(machine)
        machine.until(lambda: machine.run("test", "-s", "/srv/web/told").returncode == 0)
        first = json.loads(machine.output("head", "-n", "1", "/srv/web/told"))
        assert first["schema"] == "airgap-check/alert/1"
    finally:
        machine.run("systemctl", "stop", "siem")
        machine.output("rm", f"/run/systemd/system/{unit}.d/told.conf")


SERVER = """
import http.server, ssl
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/srv/web/told", "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 8443), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/web/server.crt", "/srv/web/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("/srv/web/ready", "w").close()
server.serve_forever()
"""


def test_the_journal_holds_lines_with_priorities_and_no_table(machine: Booted) -> None:
    machine.write("/etc/airgap-check/policy.yaml", STRICT)
    installed(machine, "--report", f"json={REPORT}")
    since = machine.output("date", "+%s.%N").strip()
    report = audited(machine)
    assert report["verdict"] == "not_compliant"
    lines = [line for line in entries(machine, AUDIT, since) if line["_COMM"].startswith("python")]
    assert lines[0]["PRIORITY"] == "4"
    assert lines[0]["MESSAGE"].startswith("not compliant (snapshot")
    failing = [reason.partition(" ")[0] for reason in report["reasons"]]
    assert all(any(f"  {rule}  " in line["MESSAGE"] for line in lines) for rule in failing)
    assert {line["PRIORITY"] for line in lines[1:]} <= {"3", "4"}

    machine.write("/etc/airgap-check/policy.yaml", "version: 2\n")
    since = machine.output("date", "+%s.%N").strip()
    machine.run("systemctl", "start", AUDIT)
    assert machine.show(AUDIT, "ExecMainStatus") == "2"
    (fault, *_) = [line for line in entries(machine, AUDIT, since) if "policy.yaml:1:" in line["MESSAGE"]]
    assert fault["PRIORITY"] == "4"


def test_what_cannot_be_started_is_not_left_half_installed(machine: Booted) -> None:
    drop_in = f"/run/systemd/system/{WATCH}.d/fail.conf"
    machine.write(drop_in, "[Service]\nExecStartPre=/bin/sh -c 'exit 3'\nRestart=no\n")
    done = machine.run(*SCHEDULE, "--watch", "--install")
    assert done.returncode == 2
    assert "the files are gone again" in done.stderr
    assert machine.run("ls", f"/etc/systemd/system/{WATCH}").returncode != 0
    assert machine.run("find", "/etc/systemd/system", "-lname", f"*{WATCH}").stdout == ""
    machine.output("rm", drop_in)

    installed(machine, "--watch")
    before = machine.output("cat", f"/etc/systemd/system/{WATCH}")
    machine.write(drop_in, "[Service]\nExecStartPre=/bin/sh -c 'exit 3'\nRestart=no\n")
    done = machine.run(*SCHEDULE, "--watch", "--every", "2h", "--install", "--force")
    assert done.returncode == 2
    assert "the files are as they were" in done.stderr
    assert machine.output("cat", f"/etc/systemd/system/{WATCH}") == before
    machine.output("rm", drop_in)


@pytest.mark.parametrize(
    ("policy", "options", "reason"),
    [
        ("version: 2\n", [], "policy.yaml:1:"),
        (POLICY, ["--alerts", "/nowhere"], "/nowhere"),
        (POLICY, ["--record", "/srv/evidence", "--sign", "/nowhere"], "/nowhere"),
        (POLICY, ["--report", "json=/nowhere/x"], "/nowhere"),
        (POLICY, ["--deployment", "/nowhere"], "/nowhere"),
    ],
)
def test_a_run_that_would_be_refused_each_time_is_not_installed(
    machine: Booted, policy: str, options: list[str], reason: str
) -> None:
    machine.write("/etc/airgap-check/policy.yaml", policy)
    done = machine.run(*SCHEDULE, "--install", *options)
    assert done.returncode == 2
    assert reason in done.stderr
    assert machine.run("ls", f"/etc/systemd/system/{TIMER}").returncode != 0


def test_a_path_with_spaces_and_signs_stays_what_it_is(machine: Booted) -> None:
    folder = "/opt/50% of $HOME"
    machine.output("rm", "-rf", folder)
    machine.output("install", "-d", "-m", "0700", f"{folder}/bin", f'{folder}/a "b" %n $x \\')
    machine.output("ln", "-s", f"{sys.prefix}/lib", f"{folder}/lib")
    machine.output("cp", f"{sys.prefix}/pyvenv.cfg", folder)
    machine.output(
        "ln", "-s", machine.output("readlink", "-f", f"{sys.prefix}/bin/python").strip(), f"{folder}/bin/python"
    )
    report = f'{folder}/a "b" %n $x \\/report.json'
    done = machine.run(f"{folder}/bin/python", "-I", "-m", "airgap_check", "schedule", "--systemd", "--install",
                       "--report", f"json={report}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    machine.run("systemctl", "start", AUDIT)
    found = json.loads(machine.output("cat", report))
    assert machine.show(AUDIT, "ExecMainStatus") == str(found["exit_code"])


def test_a_watch_that_is_killed_comes_back_and_says_so(machine: Booted) -> None:
    installed(machine, "--watch", "--report", f"json={REPORT}")
    before = machine.show(WATCH, "MainPID")
    machine.output("systemctl", "kill", "--kill-whom=main", "--signal=KILL", WATCH)
    machine.until(lambda: machine.show(WATCH, "SubState") == "running" and machine.show(WATCH, "MainPID") != before)
    machine.output("systemctl", "stop", WATCH)
    report = json.loads(machine.output("cat", REPORT))
    (killed,) = [result for result in report["results"] if result["rule"] == "continuity.killed-run"]
    assert killed["outcome"] == "fail"


def test_a_timer_that_stood_still_is_told_by_the_next_run(machine: Booted) -> None:
    installed(machine, "--every", "1s", "--report", f"json={REPORT}")
    machine.output("systemctl", "stop", TIMER)
    first = audited(machine)
    assert outcome(first, "continuity.missed-run") != "fail"
    machine.output("sleep", "50")
    machine.output("sleep", "15")  # a distance of a second has a minute's grace
    second = audited(machine)
    assert outcome(second, "continuity.missed-run") == "fail"
    assert second["verdict"] == "not_compliant"
    (missed,) = [finding for result in second["results"] if result["rule"] == "continuity.missed-run"
                 for finding in result["findings"]]  # fmt: skip
    assert missed["record"]["first"] == first["finished"]
    assert outcome(audited(machine), "continuity.missed-run") != "fail", "it is told once"


def outcome(report: dict[str, Any], rule: str) -> str:
    (found,) = [result["outcome"] for result in report["results"] if result["rule"] == rule]
    return str(found)


def test_cron_runs_its_line(machine: Booted) -> None:
    machine.write("/usr/sbin/sendmail", "#!/bin/sh\ncat >> /var/log/mail\n", mode="0755")
    machine.output("rm", "-rf", "/etc/crontab", "/var/spool/cron/crontabs", "/var/log/mail", "/srv/50% off")
    machine.output("install", "-d", "-m", "0700", "/srv/50% off")
    machine.write("/etc/airgap-check/policy.yaml", STRICT)
    schedule = (*TOOL, "schedule", "--cron", "--every", "1m", "--report", "json=/srv/50% off/it's.json")
    assert machine.run(*schedule, "--install").returncode == 0
    machine.output("systemd-run", "--quiet", "--unit", "cron-of-ours", "/usr/sbin/cron", "-f")
    try:
        machine.output("sleep", "55")
        machine.until(lambda: "NOT COMPLIANT" in machine.output("cat", "/var/log/mail"))
    finally:
        machine.run("systemctl", "stop", "cron-of-ours")
    report = json.loads(machine.output("cat", "/srv/50% off/it's.json"))
    assert report["exit_code"] == 1
    assert report["run"]["uid"] == 0
    assert machine.run(*schedule, "--remove").stderr == "removed /etc/cron.d/airgap-check\n"
