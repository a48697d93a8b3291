"""A site whose every name tells of it: with `--pseudonymize` none is left in whatever a run prints or writes."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs for one call
import pytest

from airgap_check import reporters
from airgap_check.pseudonyms.token import TOKEN
from tests.formats import REPORT_SCHEMA
from tests.live.lab import DATABASE, NEAR, PUBLIC, RESOLVER
from tests.live.site import OPEN_RUNTIME
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.live.lab import Audit, Lab

KEY = "/run/lab/key"
FOLDER, OUT = "/run/lab/quokkasite", "/run/lab/out"
HOME = f"{FOLDER}/quokkahome"
ADDRESSES = (DATABASE, RESOLVER, PUBLIC, NEAR, "10.20.0.77", "10.77.3.4")
# A name is one of ours, so that no dictionary saves it, or is made of words of ours alone, which stay in our texts.
MARK = re.compile(r"qu[o0]kka[a-z]*", re.IGNORECASE)
OF_OUR_WORDS = ("archive[", "archive ->", "core archive", "core.archive", "archive-core")
POLICY: dict[str, Any] = {
    "version": 1,
    "approved": {"by": "Quokkaboss", "on": "2026-01-01"},
    "allow": [
        {"name": "core archive", "role": "database", "cidr": [f"{DATABASE}/32"], "ports": [5432],
         "owner": "quokkadba@quokkabank.example"},
        {"name": "quokkaentry", "role": "webhook", "host": "api.quokkahost.example", "ports": [443]},
        {"name": "name server", "role": "dns", "cidr": [f"{RESOLVER}/32"], "ports": [53], "protocol": "any"},
    ],
    "waivers": [{
        "rule": "connection.not-allowlisted", "match": {"remote.address": "10.20.0.77"},
        "reason": "Quokkareason until spring", "owner": "quokkaowner@quokkabank.example", "expires": "2099-01-01",
    }],
}  # fmt: skip
PLAIN = {"version": 1, "allow": [{"name": "ftp", "role": "other", "cidr": ["10.0.0.1/32"], "ports": [21]}]}
SETTINGS = {
    "OS_ARTIFACT_PATH": f"{FOLDER}/quokkaapp.json",
    "OS_DATABASE_URL": f"file:{FOLDER}/quokka.db",
    "OS_AI_OPENAI_BASE_URL": "https://svc.quokkavalue.example:8443/quokkaurlpath?token=quokkaquery",
    "OS_CLOUD_URL": "https://cloud.quokkacloud.example",
    "HTTPS_PROXY": "http://quokkaproxyuser:quokkapassword@proxy.quokkaproxy.example:3128",
}
ARTIFACT = {
    "manifest": {"id": "com.quokkacorp.core", "name": "Quokkaproduct", "version": "1.0.0"},
    "webhooks": [{"name": "quokkahook", "url": "https://10.77.3.4/quokkahookpath"}],
    "flows": [{"name": "quokkaflow", "nodes": [
        {"id": "quokkanode", "type": "http", "config": {"url": "https://flow.quokkaflowhost.example/x"}},
    ]}],
}  # fmt: skip
COMPOSE = """\
services:
  quokkaservice:
    image: registry.quokkaregistry.example:5000/quokkateam/objectos:latest
    environment:
      OS_CLOUD_URL: https://cloud.quokkacompose.example
      OS_ARTIFACT_PATH: /srv/quokkamount/objectstack.json
    volumes: ["./quokkamount:/srv/quokkamount"]
    networks: [quokkanet]
networks: {quokkanet: {}}
"""
ZEEK = """\
#separator \\x09
#path\tdns
#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tquery\tqtype_name\trcode_name\tanswers
#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tstring\tstring\tvector[string]
1764000000.0\tC1\t10.77.3.4\t40000\t10.20.0.53\t53\tudp\tquokkazeek.quokkabank.example\tA\tNOERROR\t10.20.0.77
"""


@pytest.fixture
def named(lab: Lab, tmp_path: Path) -> Lab:
    """A laboratory in which whatever has a name tells of the site."""
    near = lab.near
    near.check(["hostname", "quokkahostname"])
    near.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nquokkauser:x:7777:7777::/:/bin/sh\n")
    near.write("/etc/resolv.conf", f"nameserver {RESOLVER}\nsearch quokkasearch.example\n")
    near.write("/etc/hosts", f"127.0.0.1 localhost\n{NEAR} quokkahostname\n{PUBLIC} api.quokkahost.example\n")
    near.write(KEY, "11" * 32)
    near.path(KEY).chmod(0o600)
    near.path(OUT).mkdir(parents=True)
    near.write("/etc/airgap-check/policy.yaml", json.dumps(POLICY))
    near.write(f"{FOLDER}/quokkaapp.json", json.dumps(ARTIFACT))
    near.write(f"{HOME}/{OPEN_RUNTIME[0]}", OPEN_RUNTIME[1])
    near.write(f"{HOME}/.env", "OS_BASE_URL=https://www.quokkadotenv.example\nAPI_KEY=quokkadotenvsecret\n")
    near.write(f"{FOLDER}/quokkadeploy/compose.yaml", COMPOSE)
    _store(lab, tmp_path)
    for address in (DATABASE, PUBLIC, "10.20.0.77"):
        lab.serve(address, 5432)
    secret = ["--password=quokkaargsecret", "--tenant", "quokkatenant", "--name=archive"]
    near.plant("idle", cgroup="quokkaunit.service", cwd=HOME, env=SETTINGS, unused=secret)
    near.plant("tcp", DATABASE, 5432, cgroup="quokkaunit.service", cwd=HOME, env=SETTINGS)
    near.plant("tcp", PUBLIC, 5432, name="quokkaproc", cgroup=f"docker-{'c0ffee' * 10}abcd.scope")
    near.plant("tcp", PUBLIC, 5432, name="archive", cgroup="core.archive.service")
    near.plant("tcp", "10.20.0.77", 5432, name="quokkawaived", user=(7777, 7777))
    return lab


def _store(lab: Lab, folder: Path) -> None:
    """Leave a business database whose rows name a destination."""
    made = folder / "made.db"
    connection = sqlite3.connect(made)
    connection.execute("CREATE TABLE sys_webhook (id, url, active)")
    connection.execute("INSERT INTO sys_webhook VALUES ('quokkarow', 'https://row.quokkarowhost.example/in', 1)")
    connection.commit()
    connection.close()
    lab.near.path(f"{FOLDER}/quokka.db").write_bytes(made.read_bytes())


def told_by(lab: Lab, command: str, *options: str) -> dict[str, str]:
    """Run a command with a report in every format; return all that it printed and wrote."""
    reports = [option for name in reporters.FORMATS for option in ("--report", f"{name}={OUT}/{command}.{name}")]
    run = lab.check(command, *options, *reports, "--verbose")
    assert run.exit_code in {0, 1, 4}, run.stderr
    written = {name: lab.near.path(f"{OUT}/{command}.{name}").read_text() for name in reporters.FORMATS}
    return written | {"standard output": run.stdout, "standard error": run.stderr}


def hidden(lab: Lab, command: str, *options: str) -> dict[str, str]:
    """Do so with `--pseudonymize`, and record the evidence."""
    recording = f"{OUT}/{command}.jsonl"
    texts = told_by(lab, command, *options, "--pseudonymize", KEY, "--record", recording)
    return texts | {"recording": lab.near.path(recording).read_text()}


def leaks(texts: dict[str, str], names: Iterable[str] = OF_OUR_WORDS) -> set[tuple[str, str]]:
    """Return what of the site is left, and in which of the texts."""
    found = set()
    for place, text in texts.items():
        rest = TOKEN.sub("", text)
        found |= {(place, word) for word in MARK.findall(rest)}
        found |= {(place, name) for name in names if name in rest}
        found |= {(place, one) for one in ADDRESSES if re.search(rf"(?<![\d.]){re.escape(one)}(?![\d.])", rest)}
        found |= {(place, "container") for _ in re.findall("c0ffee", rest)}
    return found


def marks(text: str) -> set[str]:
    return {word.lower() for word in MARK.findall(text)}


def test_nothing_of_the_site_is_left_in_what_an_audit_prints_and_writes(named: Lab) -> None:
    options = ("--observe", "2s", "--cgroup", str(named.cgroup), "--database", "--deployment", f"{FOLDER}/quokkadeploy")
    clear = named.check("audit", "--format", "json", *options, "--record", f"{OUT}/clear.jsonl")
    told = marks(clear.stdout + named.near.path(f"{OUT}/clear.jsonl").read_text())
    secrets = {"quokkapassword", "quokkaargsecret", "quokkadotenvsecret", "quokkaquery"}
    assert not told & secrets
    assert len(told) > 30, " ".join(sorted(told))
    texts = hidden(named, "audit", *options)
    assert not leaks(texts)
    schema = json.loads(REPORT_SCHEMA.read_text())
    report = json.loads(texts["json"])
    jsonschema.validate(report, schema)
    assert report["verdict"] == clear.report["verdict"]
    assert {one["rule"]: one["outcome"] for one in report["results"]} == {
        one["rule"]: one["outcome"] for one in clear.report["results"]
    }
    revealed = named.check("reveal", "-", "--key", KEY, stdin="\n" + texts["json"] + texts["recording"]).stdout
    assert told <= marks(revealed)
    replayed_under_a_plain_policy(named)


def replayed_under_a_plain_policy(named: Lab) -> None:
    """Judge the hidden recording again, where nobody hides anything: what is not in it cannot be told."""
    named.near.write("/run/lab/plain.yaml", json.dumps(PLAIN))
    texts = told_by(named, "replay", f"{OUT}/audit.jsonl", "--policy", "/run/lab/plain.yaml")
    assert not leaks(texts)
    assert {name for name, text in texts.items() if "pseudonyms (key" not in text} <= {"prometheus", "standard error"}


def test_nor_in_what_a_preflight_or_a_judgement_of_captures_says(named: Lab) -> None:
    assert not leaks(hidden(named, "preflight", "--cgroup", str(named.cgroup)))
    named.near.write(f"{FOLDER}/dns.log", ZEEK)
    assert not leaks(hidden(named, "inspect", f"{FOLDER}/dns.log"))


def test_nor_in_what_is_said_of_a_bundle(named: Lab) -> None:
    named.near.write(f"{FOLDER}/quokkabundle/objectstack.json", json.dumps(ARTIFACT))
    named.near.write(f"{FOLDER}/quokkabundle/compose.yaml", COMPOSE)
    assert not leaks(hidden(named, "bundle", f"{FOLDER}/quokkabundle"))


def test_a_failure_tells_no_name_either_and_reveal_says_what_it_was(named: Lab) -> None:
    named.near.write(
        f"{FOLDER}/quokkapolicy.yaml", "version: 1\nallow:\n  - {name: quokkaentry, hots: quokka.example}\n"
    )
    cases: tuple[tuple[str, ...], ...] = (
        ("audit", "--policy", f"{FOLDER}/quokkapolicy.yaml"),
        ("audit", "--policy", f"{FOLDER}/quokkapolicy.yaml", "--format", "nagios"),
        ("audit", "--report", f"json={FOLDER}/quokkanowhere/x.json"),
        ("audit", "--report", "quokkaformat=x.json"),
        ("audit", "--format", "quokkaformat"),
        ("inspect", f"{FOLDER}/quokkanone.pcap"),
        ("replay", f"{FOLDER}/quokkanone.jsonl", "--verbose"),
    )
    for case in cases:
        run = named.check(*case, "--pseudonymize", KEY)
        assert run.exit_code == (3 if "nagios" in case else 2), run.stderr
        assert not leaks({"standard output": run.stdout, "standard error": run.stderr}), case
        assert "reveal TOKEN --key KEYFILE" in run.stderr
        assert "quokka" in named.check("reveal", "-", "--key", KEY, stdin=run.stderr).stdout


def test_what_would_tell_names_beside_the_report_is_refused(named: Lab) -> None:
    for case in (("audit", "--alerts", "x.yaml"), ("preflight", "--dry-run"), ("audit", "--record", f"{OUT}/x.zip")):
        run = named.check(*case, "--pseudonymize", KEY)
        assert run.exit_code == 2, run.stderr
        assert "--pseudonymize" in run.stderr


def test_a_watch_hides_its_lines_as_they_come(named: Lab) -> None:
    with Vigil(named, "--pseudonymize", KEY, "--every", "1h", policy=POLICY) as vigil:
        named.near.plant("attempt", PUBLIC, 443, name="archive", cgroup="core.archive.service", until=None)
        named.near.plant("attempt", PUBLIC, 443, name="quokkalive", cgroup="quokkaunit.service", until=None)
        vigil.hear("connection.public-destination")
        run: Audit = vigil.end(signal.SIGTERM)
    assert "connection.public-destination" in run.stderr
    assert not leaks({"standard output": run.stdout, "standard error": run.stderr})
