from __future__ import annotations

import json
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING

from tests.live.lab import NOBODY, PUBLIC, Lab, checker_environment
from tests.live.names import serve_dnsmasq
from tests.live.site import PASSWORD, UNIT, assert_compliant, assert_violation, policy

if TYPE_CHECKING:
    from pathlib import Path

AUDIT = [sys.executable, "-m", "airgap_check", "audit"]
NAMED = {"name": "app", "role": "webhook", "host": "app.corp.example", "ports": [443]}


def test_an_audit_sends_nothing_where_no_entry_names_a_host(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, cgroup=UNIT)
    site.near.write("/run/lab/objectos/.env", "OS_EMAIL_SMTP_HOST=mail.corp.example\nOS_CLOUD_URL=https://x.example\n")
    before = site.near.counters()
    audit = site.audit(policy=policy())
    assert audit.exit_code == 1, audit.summary()
    assert site.near.counters() == before


def test_an_audit_sends_name_queries_and_nothing_else(site: Lab) -> None:
    serve_dnsmasq(site, {"app.corp.example": "10.30.0.7"})
    before = site.near.counters()
    assert_compliant(site.audit(policy=policy(NAMED)))
    after = site.near.counters()
    sent = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert set(sent) == {"Udp.OutDatagrams", "Ip.OutRequests"}
    assert sent["Udp.OutDatagrams"] == sent["Ip.OutRequests"] <= 2 * 3  # A and AAAA, a retry or two


def test_an_audit_leaves_the_host_as_it_was(site: Lab) -> None:
    def state() -> list[str]:
        commands = (["ip", "address"], ["ip", "route"], ["ip", "rule"], ["ss", "-Htuanp"], ["ps", "-eo", "pid="])
        said = [site.near.check(command) for command in commands]
        said[-1] = "\n".join(said[-1].split()[:-1])  # without ps itself
        return said

    before = state()
    assert_compliant(site.audit(policy=policy()))
    assert state() == before


def test_no_secret_leaves_the_host(site: Lab, tmp_path: Path) -> None:
    secrets = {
        "OS_AUTH_SECRET": "s3cr3t-of-auth",
        "OS_EMAIL_SMTP_PASSWORD": "s3cr3t-of-mail",
        "OPENAI_API_KEY": "sk-s3cr3t-of-ai",
        "OS_REDIS_URL": "redis://:s3cr3t-of-redis@10.20.0.9:6379/0",
        "OS_CLOUD_URL": "https://robot:s3cr3t-of-cloud@cloud.objectos.ai/?token=s3cr3t-of-query",
        "HTTPS_PROXY": "http://user:s3cr3t-of-proxy@10.40.0.3:3128",
    }
    arguments = [
        "--password", "s3cr3t-of-option", "-ps3cr3t-of-short", "--token=s3cr3t-of-token",
        "postgres://o:s3cr3t-of-line@10.1.1.1/d",
    ]  # fmt: skip
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, 1, name="node", cgroup=UNIT, env=secrets, cwd="/run/lab/objectos")
    site.near.plant("idle", name="psql", unused=arguments)
    site.near.write("/run/lab/objectos/.env", "OS_DATABASE_URL='mysql://o:s3cr3t-of-dotenv@10.20.0.6/o'\n")
    site.near.write(
        "/etc/systemd/system/objectos.service", "[Service]\nEnvironment=OS_REDIS_URL=redis://:s3cr3t-of-unit@10.2.2.2\n"
    )
    files = [tmp_path / name for name in ("report.json", "report.txt", "evidence.jsonl")]
    audit = site.audit(
        "-v", "--report", f"json={files[0]}", "--report", f"console={files[1]}", "--record", str(files[2]),
        policy=policy(),
    )  # fmt: skip
    assert audit.exit_code == 1, audit.summary()
    console = site.check("audit")
    everything = "".join(
        [audit.stdout, audit.stderr, console.stdout, console.stderr, *(file.read_text() for file in files)]
    )
    assert "cloud.objectos.ai" in everything
    assert PASSWORD not in everything
    assert "s3cr3t" not in everything, everything[everything.index("s3cr3t") - 200 :][:400]


def test_recorded_evidence_is_judged_the_same_when_it_is_replayed(site: Lab, tmp_path: Path) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, name="curl", cgroup="sync.service")
    evidence = tmp_path / "evidence.jsonl"
    audit = site.audit("--record", str(evidence), policy=policy())
    replayed = site.check("replay", "--format", "json", str(evidence))
    assert_violation(replayed, "connection.public-destination", process="curl", workload="sync.service")
    assert replayed.report["claim"] == "replayed"
    for part in ("verdict", "exit_code", "results", "connections", "started", "subject"):
        assert replayed.report[part] == audit.report[part], part
    header = json.loads(evidence.read_text().splitlines()[0])
    assert header["schema"] == "airgap-check/evidence/1"
    assert evidence.stat().st_mode & 0o777 == 0o600


def test_an_unprivileged_run_is_inconclusive_and_names_what_it_could_not_read(site: Lab) -> None:
    audit = site.audit(policy=policy(), user=NOBODY)
    assert audit.exit_code == 4, audit.summary()
    assert audit.report["verdict"] == "inconclusive"
    assert audit.report["run"]["uid"] == NOBODY[0]
    assert audit.coverage("environment")["status"] == "partial"
    # Two: the runtime, and the first process of the laboratory host.
    reason = audit.coverage("environment")["reason"]
    assert re.search(r"may not read the environment of 2 processes, such as \d+ \(\w+", reason), reason
    assert any(reason in text for text in audit.report["reasons"])
    assert "Traceback" not in audit.stderr


def test_an_unprivileged_run_still_finds_what_it_can_see(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, user=NOBODY, name="curl")
    audit = site.audit(policy=policy(), user=NOBODY)
    assert audit.exit_code == 1, audit.summary()
    assert audit.finding("connection.public-destination")["record"]["process"]["name"] == "curl"


def test_ctrl_c_ends_an_audit_with_130_and_no_traceback(site: Lab) -> None:
    site.assign("10.20.0.53")
    site.far.plant("listener", "10.20.0.53", 53, "udp")  # never answers: the audit waits for it
    site.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy(NAMED)))
    before = site.near.counters()["Udp.OutDatagrams"]
    audit = site.near.run(["bash", "-c", f"exec {shlex.join(AUDIT)} 2>/run/lab/errors"], env=checker_environment())
    while site.near.counters()["Udp.OutDatagrams"] == before:
        assert site.near.path(f"/proc/{audit.pid}").exists()
    audit.signal(signal.SIGINT)
    assert audit.wait() == 130
    assert "Traceback" not in site.near.path("/run/lab/errors").read_text()


def test_an_unwritable_report_is_refused_before_the_audit_starts(site: Lab) -> None:
    asked = serve_dnsmasq(site, {"app.corp.example": "10.30.0.7"})
    for option in (["--report", "json=/run/lab/missing/report.json"], ["--record", "/run/lab/missing/evidence.jsonl"]):
        audit = site.audit(*option, policy=policy(NAMED))
        assert audit.exit_code == 2, audit.summary()
        assert "/run/lab/missing" in audit.stderr
        assert len(audit.stderr.strip().splitlines()) == 1
    assert asked() == set()


def test_a_closed_standard_output_is_no_reason_for_a_traceback(site: Lab) -> None:
    site.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy()))
    for name in ("console", "json"):
        for command in ("{} --format {} | true", "{} --format {} >&-"):
            line = command.format(shlex.join(AUDIT), name)
            code, _, errors = site.near.output(["bash", "-o", "pipefail", "-c", line], env=checker_environment())
            assert "Traceback" not in errors, errors
            assert "Exception ignored" not in errors, errors
            assert code in {0, 2, 141}, (line, code, errors)
