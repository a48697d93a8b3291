"""What only the business database knows: a webhook made over REST, read from SQLite while the runtime writes to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import runtime
from tests.live.lab import DATABASE, Lab, checker_environment
from tests.live.lab_host import CHECKOUT, PYTHON
from tests.live.site import UNIT
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "/run/lab/objectos"
SQLITE = f"file:{FOLDER}/data.db"
HOOK = "https://hooks.partner.example/in"
_CLIENT = """
import http.cookiejar, json, sys, urllib.request
base = "http://localhost:8080"
opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
def ask(path, body, method="POST"):
    head = {"content-type": "application/json", "origin": base}
    request = urllib.request.Request(base + path, json.dumps(body).encode(), head, method=method)
    with opener.open(request, timeout=20) as answer:
        return json.load(answer)
person = {"email": "admin@bank.example", "password": "Corr3ct-horse-9", "name": "Admin"}
if sys.argv[1] == "webhook":
    ask("/api/v1/auth/sign-up/email", person)
    ask("/api/v1/data/sys_webhook", {
        "name": "partner", "label": "Partner", "object_name": "demo_note", "triggers": ["create"], "url": sys.argv[2],
        "method": "post", "active": True, "definition_json": "{}",
    })
else:
    ask("/api/v1/auth/sign-in/email", person)
    ask("/api/v1/data/demo_note", {"title": "still alive"})
"""
# Runs the collector as the audit does, inside of the host; prints what it says as JSON.
_COLLECT = """
import json, os, sys
import msgspec
from airgap_check.collectors import database
from airgap_check.collectors.installations import Installation
from airgap_check.kernel import procfs
given = json.loads(sys.argv[1])
installation = Installation(
    given["pid"], procfs.describe(given["pid"]), None, "@objectstack/cli", "17.4.0", given["folder"], given["folder"],
    given["settings"], os.stat(f"/proc/{given['pid']}/ns/net").st_ino,
)
found = database.collect([installation], lambda end: end.address in given["approved"], None)
print(msgspec.json.encode(found).decode())
"""


def collect(lab: Lab, pid: int, url: str, *approved: str) -> dict[str, Any]:
    given = {"pid": pid, "folder": FOLDER, "settings": {"OS_DATABASE_URL": url}, "approved": approved}
    argv = [sys.executable, "-c", _COLLECT, json.dumps(given)]
    told: dict[str, Any] = json.loads(lab.near.check(argv, env=checker_environment()))
    return told


def references(told: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (record["path"], record["endpoint"]["name"] or record["endpoint"]["address"], record["dialer"])
        for record in told["records"]
        if record["kind"] == "reference"
    ]


def moments(lab: Lab) -> dict[str, tuple[int, int, int, int]]:
    folder = lab.near.path(FOLDER)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "log"]
    stats = {str(path.relative_to(folder)): path.stat() for path in files}
    return {name: (one.st_mtime_ns, one.st_ctime_ns, one.st_size, one.st_uid) for name, one in stats.items()}


@pytest.fixture(scope="module")
def with_webhook() -> Iterator[tuple[Lab, int]]:
    modules = runtime.installed()
    artifact = json.loads((CHECKOUT / "tests" / "runtime" / "artifact.json").read_text())
    artifact["requires"].append("webhooks")
    with Lab() as lab:
        lab.near.write(f"{FOLDER}/with-webhooks.json", json.dumps(artifact))
        settings = {
            "OS_CLOUD_URL": "off", "OS_DATABASE_URL": SQLITE, "OS_ARTIFACT_PATH": f"{FOLDER}/with-webhooks.json",
        }  # fmt: skip
        pid = runtime.start(lab, modules, settings)
        lab.near.check([PYTHON, "-I", "-c", _CLIENT, "webhook", HOOK])
        yield lab, pid


def test_a_webhook_made_over_rest_is_found_while_the_runtime_runs(with_webhook: tuple[Lab, int]) -> None:
    lab, pid = with_webhook
    assert lab.near.path(f"{FOLDER}/data.db-wal").stat().st_size > 0, "the rows stand in the log, or this shows nothing"
    told = collect(lab, pid, SQLITE)
    assert told["status"] == "complete", told["reason"]
    assert references(told) == [("sys_webhook", "hooks.partner.example", "server-event")]
    assert HOOK not in Path(lab.near.path(f"{FOLDER}/with-webhooks.json")).read_text()


def test_reading_changes_no_file_of_the_runtime_and_does_not_disturb_it(with_webhook: tuple[Lab, int]) -> None:
    lab, pid = with_webhook
    freezer = lab.cgroup / UNIT / "cgroup.freeze"  # what changes meanwhile, nobody else has changed
    freezer.write_text("1")
    try:
        before = moments(lab)
        assert references(collect(lab, pid, SQLITE))
        assert moments(lab) == before
    finally:
        freezer.write_text("0")
    lab.near.check([PYTHON, "-I", "-c", _CLIENT, "note"])
    assert lab.near.path(f"/proc/{pid}").exists()


_TABLES = f"""
create table sys_webhook (id varchar(255) primary key, name text, url text, active boolean default true,
    definition_json text, headers_secret text);
insert into sys_webhook values ('k1', 'partner', '{HOOK}', true, '{{}}', 'secret:x'),
    ('k2', 'old', '{HOOK}', false, '{{}}', null);
create table sys_setting (id varchar(255) primary key, namespace varchar(64), key varchar(128), scope varchar(255),
    value text, encrypted boolean default false, value_enc text);
insert into sys_setting values ('s1', 'mail', 'smtp_host', 'global', 'mail.partner.example', false, null),
    ('s2', 'mail', 'smtp_port', 'global', '2525', false, null);
create table sys_metadata (id varchar(255) primary key, type varchar(100), name text, state text, metadata jsonb);
create view sys_http_delivery as select 'https://nowhere.example/'::text as url, 'pending'::text as status;
"""


def test_the_rows_of_a_postgresql_are_read_and_nothing_else_is_done(lab: Lab) -> None:
    lab.assign(DATABASE)
    runtime.serve_postgresql(lab.far)
    lab.far.check(["psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", DATABASE, "-U", "objectos", "objectos"], stdin=_TABLES)
    server = lab.near.run(["sleep", "600"])
    told = collect(lab, server.pid, runtime.DATABASE_URL, DATABASE)
    assert ("sys_webhook", "hooks.partner.example", "server-event") in references(told)
    assert ("sys_webhook", "hooks.partner.example", "nobody") in references(told)
    assert ("sys_setting", "mail.partner.example", "server-event") in references(told)
    assert told["status"] == "partial"
    assert "sys_http_delivery is no ordinary table" in told["reason"]
    assert runtime.PASSWORD not in json.dumps(told)


def test_a_password_and_a_certificate_are_taken_from_the_settings_of_the_runtime(lab: Lab, tmp_path: Path) -> None:
    """The runtime's tables lie in a schema that only the options of its URL name."""
    lab.assign(DATABASE)
    runtime.serve_postgresql(lab.far)
    data = "/run/lab/postgresql/data"
    authority = mint("authority", authority=True)
    certificate, key = mint("database", authority, hosts=[DATABASE]).write(tmp_path)
    for path in (certificate, key):
        lab.far.write(f"{data}/{path.name}", path.read_text())
    lab.far.check(["chmod", "600", f"{data}/server.key"])
    lab.far.check(["chown", "postgres:", f"{data}/server.crt", f"{data}/server.key"])
    lab.far.write(f"{data}/pg_hba.conf", "local all all trust\nhostssl all all 0.0.0.0/0 scram-sha-256\n")
    tables = (
        f"create schema crm; set search_path = crm; {_TABLES} alter role objectos nosuperuser password 'p@ss w0rd';"
    )
    superuser = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-h", "/run/postgresql", "-U", "postgres", "objectos"]
    lab.far.check(superuser, stdin=f"{tables} grant usage on schema crm to objectos;"
                  "grant select on all tables in schema crm to objectos;"
                  "alter system set ssl = on;\nselect pg_reload_conf();")  # fmt: skip
    lab.near.write(f"{FOLDER}/ca.pem", authority.pem.decode())
    lab.near.write(f"{FOLDER}/other.pem", mint("other", authority=True).pem.decode())
    server = lab.near.run(["sleep", "600"])

    def with_password(password: str, query: str) -> dict[str, Any]:
        return collect(lab, server.pid, f"postgres://objectos:{password}@{DATABASE}/objectos?{query}", DATABASE)

    verified = f"sslmode=verify-full&sslrootcert={FOLDER}/ca.pem"
    told = with_password("p%40ss%20w0rd", f"{verified}&options=-c%20search_path%3Dcrm")
    assert ("sys_webhook", "hooks.partner.example", "server-event") in references(told), told["reason"]
    elsewhere = with_password("p%40ss%20w0rd", verified)
    assert elsewhere["status"] == "partial"
    assert "none of the tables that a runtime makes" in elsewhere["reason"]
    refused = with_password("guessed-wrong", verified)
    assert (refused["status"], references(refused)) == ("partial", [])
    assert "FATAL" in refused["reason"]
    assert "guessed-wrong" not in json.dumps(refused)
    for query in (f"sslmode=verify-full&sslrootcert={FOLDER}/other.pem", "sslmode=disable"):
        unread = with_password("p%40ss%20w0rd", query)
        assert (unread["status"], references(unread)) == ("partial", [])


def test_a_server_that_is_not_approved_is_not_dialled(lab: Lab) -> None:
    lab.assign(DATABASE)
    server = lab.near.run(["sleep", "600"])
    before = lab.near.counters()["Tcp.OutSegs"]
    told = collect(lab, server.pid, runtime.DATABASE_URL)
    assert told["status"] == "partial"
    assert "does not approve" in told["reason"]
    assert lab.near.counters()["Tcp.OutSegs"] == before


def test_a_server_that_says_nothing_costs_no_more_than_the_limit(lab: Lab) -> None:
    lab.serve(DATABASE, 5432)
    server = lab.near.run(["sleep", "600"])
    told = collect(lab, server.pid, runtime.DATABASE_URL, DATABASE)
    assert told["status"] == "partial"
    assert "did not answer in time" in told["reason"]
    assert runtime.PASSWORD not in json.dumps(told)
