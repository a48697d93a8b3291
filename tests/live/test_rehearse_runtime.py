"""The real runtime, rehearsed: each case of what it contacts, and when, by one command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.live import runtime
from tests.live.lab_host import PATH
from tests.live.rehearsed import Rehearsal, rehearse
from tests.live.site import NAME_SERVER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CLOUD = "cloud.objectos.ai:443"
MARKETPLACE = "GET /api/v1/marketplace/packages"
SIGN_UP = "POST /api/v1/auth/sign-up/email"
RESET = "POST /api/v1/auth/request-password-reset"
REMARKS = {"artifact.mount-writable", "policy.unused-entry"}  # of where a test's files lie, and of its policy
BOOT = None  # what is reached for while nobody asked for anything
OFF = {"OS_CLOUD_URL": "off"}
MUST_BE_OFF = {"cloud_url": "must-be-off"}
APPLICATION: dict[str, Any] = json.loads((runtime.SOURCE / "artifact.json").read_text())
PARTNER = {
    "name": "partner_pg", "label": "Partner", "driver": "postgres",
    "config": {"host": "pg.partner.example", "port": 5432, "database": "dw", "username": "ro"},
    "active": True, "autoConnect": False, "schemaMode": "external", "origin": "code",
    "external": {
        "allowWrites": False, "queryTimeoutMs": 30000, "validation": {"onMismatch": "fail", "checkOnBoot": True}
    },
}  # fmt: skip
# Another application, as ``os package install FILE`` takes it.
PACKAGE = {
    "manifest": {**APPLICATION["manifest"], "id": "com.corp.inline", "namespace": "inline", "name": "Inline"},
    "objects": [{**APPLICATION["objects"][0], "name": "inline_item"}],
}
HOOKED = ["automation", "triggers", "webhooks", "realtime", "messaging", "job", "queue"]
WEBHOOK = {"name": "notes", "object": "demo_note", "triggers": ["create"], "url": "https://hooks.partner.example/notes"}
REQUESTS = f"""\
### an account, which is the first and so the administrator's
POST /api/v1/auth/sign-up/email
Content-Type: application/json

{{"email": "a@corp.example", "password": "Correct-horse-9", "name": "A"}}

### a webhook, which no file knows of
POST /api/v1/data/sys_webhook
Content-Type: application/json

{json.dumps({
    "name": "notes", "label": "Notes", "object_name": "demo_note", "triggers": ["create"], "url": WEBHOOK["url"],
    "method": "post", "active": True, "definition_json": json.dumps(WEBHOOK | {"method": "POST", "isActive": True}),
})}

### a note, which is what it tells of
# @wait 5s
POST /api/v1/data/demo_note
Content-Type: application/json

{{"title": "hello"}}
"""  # fmt: skip


def approve(host: str, port: int, role: str) -> dict[str, Any]:
    return {"name": host, "role": role, "host": host, "ports": [port]}


def run(
    folder: Path,
    env: Mapping[str, str],
    *options: str,
    approved: tuple[dict[str, Any], ...] = (),
    application: Mapping[str, Any] = APPLICATION,
    drive: str = "objectos",
) -> Rehearsal:
    """Rehearse ``os start`` with these settings."""
    modules = runtime.installed()
    artifact = folder / "artifact.json"
    artifact.write_text(json.dumps(application))
    settings = {
        "PATH": f"{modules}/node/bin:{PATH}",
        "HOME": str(folder),
        "NODE_ENV": "production",
        "OS_PORT": "8080",
        "OS_ARTIFACT_PATH": str(artifact),
        "OS_DATABASE_URL": f"file:{folder}/data.db",
        **env,
    }
    allowed = {"version": 1, "allow": [NAME_SERVER, *approved], "runtime": MUST_BE_OFF}
    command = [modules / ".bin" / "os", "start"]
    return rehearse(command, "--drive", drive, *options, folder=folder, policy=allowed, env=settings)


@pytest.mark.parametrize("settings", [{}, {"OS_CLOUD_URL": ""}], ids=["unset", "empty"])
def test_a_cloud_url_that_is_unset_or_empty_means_the_public_one_on_the_marketplace_request(
    tmp_path: Path, settings: dict[str, str]
) -> None:
    audit = run(tmp_path, settings)
    assert audit.names() == {CLOUD}, audit.summary()
    triggers = audit.triggers(CLOUD)
    assert MARKETPLACE in triggers
    assert all(trigger and trigger.startswith(MARKETPLACE) for trigger in triggers), triggers
    assert audit.exit_code == 1
    assert "connection.public-destination" in audit.failed()
    assert any("cloud.objectos.ai" in finding["message"] for finding in audit.findings("connection.public-destination"))


def test_switched_off_it_reaches_for_nobody_not_even_for_an_inline_package(tmp_path: Path) -> None:
    package = tmp_path / "package.json"
    package.write_text(json.dumps(PACKAGE))
    audit = run(tmp_path, OFF, drive=f"objectos:{package}")
    assert audit.names() == set(), audit.summary()
    assert audit.visits(MARKETPLACE) == {"skipped"}  # there is none, which the server was asked for
    assert audit.visits("POST /api/v1/marketplace/install-local") == {"done"}
    assert audit.visits("POST /api/v1/data/demo_note") == {"done"}
    assert audit.failed() - REMARKS == {"package.not-approved"}, audit.summary()


def test_an_explicit_internal_cloud_is_reached_on_the_same_request(tmp_path: Path) -> None:
    audit = run(tmp_path, {"OS_CLOUD_URL": "https://cloud.corp.example"})
    assert audit.names() == {"cloud.corp.example:443"}, audit.summary()
    assert MARKETPLACE in audit.triggers("cloud.corp.example:443")
    assert audit.exit_code == 1
    assert "environment.cloud-url-set" in audit.failed()


def test_telemetry_is_sent_every_ten_seconds_while_there_is_something_to_tell(tmp_path: Path) -> None:
    place = "otel.corp.example:4318"
    settings = OFF | {"OS_OBS_EXPORTER": "otlp", "OS_OTLP_ENDPOINT": f"http://{place}"}
    requests = tmp_path / "requests.http"
    requests.write_text("###\n# @wait 2s\nGET /api/v1/health\n\n" * 25)
    approved = (approve("otel.corp.example", 4318, "monitoring"),)
    audit = run(tmp_path, settings, approved=approved, drive=f"http:{requests}")
    assert audit.names() == {place}, audit.summary()
    assert "POST /v1/metrics" in audit.to(place)["requests"]
    assert audit.to(place)["count"] >= 3  # the first after at most 20 s, then every 10
    assert audit.to(place)["allowed"] == "yes"
    assert audit.exit_code == 0, audit.summary()


def test_mail_goes_to_the_approved_server_on_a_password_reset(tmp_path: Path) -> None:
    place = "mail.corp.example:587"
    settings = OFF | {
        "OS_EMAIL_PROVIDER": "smtp", "OS_EMAIL_SMTP_HOST": "mail.corp.example", "OS_EMAIL_SMTP_PORT": "587",
        "OS_EMAIL_FROM": "objectos@corp.example",
    }  # fmt: skip
    audit = run(tmp_path, settings, approved=(approve("mail.corp.example", 587, "smtp"),))
    assert audit.names() == {place}, audit.summary()
    assert RESET in audit.triggers(place)
    assert audit.to(place)["spoken"] == ["smtp"]
    assert audit.exit_code == 0, audit.summary()


PUBLIC = {
    "resend": ({"OS_EMAIL_PROVIDER": "resend", "OS_EMAIL_API_KEY": "re_1"}, "api.resend.com:443", RESET),
    "postmark": ({"OS_EMAIL_PROVIDER": "postmark", "OS_EMAIL_API_KEY": "pm-1"}, "api.postmarkapp.com:443", RESET),
    "breached": ({"OS_AUTH_PASSWORD_REJECT_BREACHED": "true"}, "api.pwnedpasswords.com:443", SIGN_UP),
    "google": (
        {"GOOGLE_CLIENT_ID": "client", "GOOGLE_CLIENT_SECRET": "s3cr3t-of-google"}, "oauth2.googleapis.com:443",
        "GET /api/v1/auth/callback/google",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", PUBLIC)
def test_a_public_service_is_reached_by_the_request_that_needs_it(tmp_path: Path, case: str) -> None:
    settings, place, trigger = PUBLIC[case]
    audit = run(tmp_path, OFF | {"OS_EMAIL_FROM": "objectos@corp.example"} | settings)
    assert audit.names() == {place}, audit.summary()
    assert trigger in audit.triggers(place)
    assert audit.exit_code == 1
    assert "connection.public-destination" in audit.failed()
    assert "s3cr3t-of-google" not in audit.stdout + audit.stderr


def test_a_webhook_that_was_made_over_rest_posts_when_a_record_is_made(tmp_path: Path) -> None:
    requests = tmp_path / "requests.http"
    requests.write_text(REQUESTS)
    audit = run(tmp_path, OFF, drive=f"http:{requests}", application={**APPLICATION, "requires": HOOKED})
    place = "hooks.partner.example:443"
    assert audit.names() == {place}, audit.summary()
    assert audit.triggers(place) == {"POST /api/v1/data/demo_note"}
    assert "POST /notes" in audit.to(place)["requests"]
    assert audit.exit_code == 1


def test_an_external_data_source_is_reached_while_it_boots(tmp_path: Path) -> None:
    audit = run(tmp_path, OFF, "--for", "60s", application={**APPLICATION, "datasources": [PARTNER]})
    place = "pg.partner.example:5432"
    assert audit.names() == {place}, audit.summary()
    assert audit.triggers(place) == {BOOT}
    assert audit.to(place)["spoken"] == ["postgresql"]
    assert audit.to(place)["predicted"]
    assert audit.exit_code == 1


def test_switched_off_the_browser_still_leaves(tmp_path: Path) -> None:
    audit = run(tmp_path, OFF, "--browser", "--for", "75s")
    assert audit.names() == set(), audit.summary()
    assert "cdn.jsdelivr.net:443" in audit.names(seen="browser"), audit.summary()
    assert "rehearse.browser-fetch" in audit.failed()
    assert audit.exit_code in {0, 4}, audit.summary()  # time may be up in the middle of a page, which is said then
