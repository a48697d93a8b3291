"""The way through ObjectOS, on a server that has only some of it. The real one is in tests/live."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check import drivers
from airgap_check.drivers import metadata, objectos, record
from airgap_check.errors import UsageError
from tests.unit.drivers.serving import Asked, Said, serving

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.drivers import Diary, Driven
    from tests.unit.drivers.serving import Server

NOTE = {
    "name": "note", "isSystem": False,
    "fields": {
        "title": {"type": "text", "required": True, "maxLength": 4},
        "owner": {"type": "lookup", "required": True, "system": True},
        "kind": {"type": "select", "required": True, "options": [{"value": "a"}, {"value": "b"}]},
        "body": {"type": "textarea"},
    },
}  # fmt: skip
PLATFORMS = {"manifest": {"id": "com.objectstack.a"}}
PLAIN: dict[str, tuple[int, Any]] = {
    "GET /api/v1/health": (200, {}),
    "GET /_console/": (200, '<script src="./assets/a.js"></script><link href="//e.example/x.css"><a href="../up.js">'),
    "GET /_console/assets/a.js": (200, ""),
    "GET /api/v1/auth/config": (200, {"data": {"socialProviders": [{"id": "google"}, {"id": "../x"}, 7]}}),
    "GET /api/v1/marketplace/packages": (502, {"error": {"code": "MARKETPLACE_PROXY_FAILED"}}),
    "POST /api/v1/auth/sign-up/email": (403, {"code": "SIGN_UP_CLOSED"}),
    "POST /api/v1/auth/sign-in/email": (200, {}),
    "POST /api/v1/auth/sign-in/social": (200, {"url": "https://accounts.google.com/o?state=s%2Ft&x=1"}),
    "GET /api/v1/auth/callback/google": (302, ""),
    "GET /api/v1/meta/object": (200, {"items": [NOTE, {"name": "sys_x", "fields": {}}, {"name": 7}]}),
    "POST /api/v1/data/note": (201, {"record": {"id": "n1"}}),
    "PATCH /api/v1/data/note/n1": (422, {"code": "NOPE"}),
    "GET /api/v1/auth/get-session": (200, {"user": {"id": "u1"}}),
    "PATCH /api/v1/data/sys_user/u1": (403, {}),
    "GET /api/v1/packages": (200, {"data": {"packages": [{"manifest": {"id": "demo"}}, PLATFORMS]}}),
    "GET /api/v1/meta/app": (200, {"items": [{"name": "crm"}, {"name": "setup"}]}),
    "POST /api/v1/marketplace/install-local": (200, {}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _without_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objectos, "_LINGER", 0)
    monkeypatch.setattr(objectos, "_LONG_LINGER", 0)


def answer(asked: Asked) -> Said:
    status, body = PLAIN.get(f"{asked.method} {asked.path.partition('?')[0]}", (404, {}))
    return Said(status, body.encode() if isinstance(body, str) else json.dumps(body).encode())


def drive(server: Server, kind: str = "objectos", stop: threading.Event | None = None) -> tuple[Diary, Driven]:
    diary = drivers.Diary()
    where = drivers.Where(server.port, os.getpid(), {}, "/")
    return diary, drivers.prepare(kind)(where, diary, stop or threading.Event())


def test_what_the_server_has_is_done_and_what_it_has_not_is_skipped() -> None:
    with serving(answer) as server:
        diary, _ = drive(server)
    told = {entry.label: entry[1:3] for entry in diary.visits}
    absent = ("skipped", "404: this server has no such thing")
    assert told["GET /api/v1/health"] == ("done", "200")
    assert told["GET /api/v1/ready"] == absent
    assert told["GET /api/v1/marketplace/packages"] == ("done", "502 MARKETPLACE_PROXY_FAILED")
    assert told["GET /api/v1/marketplace/packages/com.example.rehearsal"] == absent
    assert told["POST /api/v1/auth/sign-up/email"] == ("failed", "403 SIGN_UP_CLOSED")
    assert told["POST /api/v1/data/note"] == ("done", "201")
    assert told["PATCH /api/v1/data/note/{id}"] == ("failed", "422 NOPE")
    assert told["PATCH /api/v1/data/sys_user/{id}"] == ("done", "403")
    assert told["GET /api/v1/auth/callback/google"] == ("done", "302")
    assert [label for label in told if "console" in label] == ["GET /_console/", "GET /_console/assets/a.js"]


def test_only_what_is_the_servers_own_is_asked_for_and_the_state_is_brought_back() -> None:
    with serving(answer) as server:
        drive(server)
    paths = [asked.path for asked in server.asked]
    assert not [path for path in paths if ".." in path or path.startswith("//")]
    callback = next(path for path in paths if "callback" in path)
    assert callback.endswith("&state=s%2Ft")
    assert all(asked.headers["host"] == f"localhost:{server.port}" for asked in server.asked)


def test_one_user_signs_up_and_signs_in_and_the_password_is_in_no_visit() -> None:
    with serving(answer) as server:
        diary, driven = drive(server)
        again, _ = drive(server)
    entrances = ("sign-up/email", "sign-in/email")
    accounts = [json.loads(asked.body) for asked in server.asked if asked.path.endswith(entrances)]
    assert accounts[0]["password"] == accounts[1]["password"] != accounts[2]["password"]
    assert len(accounts[0]["password"]) >= 32
    assert not [entry for entry in (*diary.visits, *again.visits) if accounts[0]["password"] in str(entry)]
    assert accounts[0]["password"] not in str(driven)


def test_a_record_is_made_up_from_what_the_object_wants() -> None:
    with serving(answer) as server:
        drive(server)
    created, changed = (asked for asked in server.asked if asked.path.startswith("/api/v1/data/note"))
    assert json.loads(created.body) == {"title": "rehe", "kind": "a"}
    assert json.loads(changed.body) == {"title": "rehearsed"}


def test_the_pages_worth_opening_are_those_of_the_application() -> None:
    with serving(answer) as server:
        _, driven = drive(server)
    assert driven.port == server.port
    assert set(driven.pages) >= {
        "/", "/api/v1/docs", "/_console/apps/setup/metadata/object/note", "/_console/apps/crm",
        "/_console/apps/crm/note", "/_console/studio/demo/automations",
    }  # fmt: skip
    assert not [page for page in driven.pages if "com.objectstack" in page]


def test_a_package_is_installed_as_the_command_line_does(tmp_path: Path) -> None:
    package = tmp_path / "package.json"
    package.write_text(json.dumps({"manifest": {"id": "com.a", "version": "1.0.0"}, "objects": []}))
    with serving(answer) as server:
        diary, _ = drive(server, f"objectos:{package}")
    sent = next(asked for asked in server.asked if asked.method == "POST" and "install-local" in asked.path)
    assert json.loads(sent.body)["manifest"] == {
        "manifest": {"id": "com.a", "version": "1.0.0"}, "objects": [], "id": "com.a", "version": "1.0.0",
    }  # fmt: skip
    assert ("POST /api/v1/marketplace/install-local", "done", "200") in [entry[:3] for entry in diary.visits]


@pytest.mark.parametrize("content", ["no json", "[]", "[" * 100_000])
def test_what_is_no_package_is_a_mistake_of_the_user(tmp_path: Path, content: str) -> None:
    package = tmp_path / "package.json"
    package.write_text(content)
    with pytest.raises(UsageError, match="no package"):
        drivers.prepare(f"objectos:{package}")


def test_where_nobody_serves_that_is_the_one_visit_and_it_failed() -> None:
    stop = threading.Event()
    stop.set()
    with serving(answer) as server:
        diary, driven = drive(server, stop=stop)
    assert [entry[:3] for entry in diary.visits] == [("GET /api/v1/health", "failed", "told to stop")]
    assert driven.port is None


def test_when_time_is_up_what_is_left_is_skipped() -> None:
    stop = threading.Event()

    def stopping(asked: Asked) -> Said:
        if asked.path == "/api/v1/openapi.json":
            stop.set()
        return answer(asked)

    with serving(stopping) as server:
        diary, _ = drive(server, stop=stop)
    at = [entry.label for entry in diary.visits].index("GET /api/v1/openapi.json")
    assert {entry[1:3] for entry in diary.visits[at + 1 :]} == {("skipped", "time was up")}
    assert server.asked[-1].path == "/api/v1/openapi.json"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "number", "min": 5}, 5),
        ({"type": "number", "max": 0.5}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "multiselect", "options": ["a"]}, ["a"]),
        ({"type": "email"}, "rehearsal@airgap-check.example"),
    ],
)
def test_a_value_fits_its_field(field: dict[str, Any], value: object) -> None:
    assert record.fill({"f": {**field, "required": True}}) == {"f": value}


@pytest.mark.parametrize(
    "field", [{"type": "lookup"}, {"type": "select"}, {"type": "select", "options": "a"}, {"type": []}, {}]
)
def test_a_field_that_nothing_can_be_made_up_for_is_named(field: dict[str, Any]) -> None:
    assert record.fill({"f": {**field, "required": True}}) == "f"


def test_what_the_server_fills_itself_is_left_to_it() -> None:
    fields = {name: {"type": "text", "required": True, name: True} for name in ("system", "readonly", "defaultValue")}
    assert record.fill({**fields, "odd": 7}) == {}
    assert record.change({"system": fields["system"]}, {"n": 1}) == {"n": 1}


@pytest.mark.parametrize(
    ("listing", "name"),
    [
        ({"data": {"items": [{"id": "com.a"}]}}, "com.a"),
        ({"packages": [{"manifestId": "com.b"}]}, "com.b"),
        ([{"name": "c"}], "c"),
        ({"data": {"items": [{"id": "../../x"}]}}, "com.example.rehearsal"),
        (None, "com.example.rehearsal"),
        ({"items": 7}, "com.example.rehearsal"),
    ],
)
def test_a_package_to_look_at_is_taken_from_the_listing(listing: object, name: str) -> None:
    assert metadata.package_name(listing) == name


@pytest.mark.parametrize(
    "odd", [None, 7, [], {"items": 7}, {"items": [7, {}]}, {"data": {"packages": [{"manifest": 7}]}}]
)
def test_answers_of_another_shape_are_nothing(odd: object) -> None:
    assert metadata.custom_objects(odd) == []
    assert metadata.custom_packages(odd) == []
    assert metadata.custom_applications(odd) == []
