"""The driver of ObjectOS, against the real runtime on a machine whose only wire leads nowhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.live import driver_scenes, runtime

ARTIFACT = str(runtime.SOURCE / "artifact.json")


def perform(pages: int = 0, **environ: str) -> dict[str, Any]:
    order = {"kind": "objectos", "artifact": ARTIFACT, "environ": {"OS_PORT": "8080", **environ}, "pages": pages}
    return driver_scenes.perform("drive", json.dumps(order))


def told(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(visit["label"], visit["outcome"], visit["detail"]) for visit in result["visits"]]


@pytest.fixture(scope="module")
def off() -> dict[str, Any]:
    return perform(8, OS_CLOUD_URL="off")


@pytest.fixture(scope="module")
def cloudy() -> dict[str, Any]:
    """Drive one whose cloud is a port of this machine that nobody listens on, with Google to sign in with."""
    return perform(OS_CLOUD_URL="http://127.0.0.1:9", GOOGLE_CLIENT_ID="id", GOOGLE_CLIENT_SECRET="s")


@pytest.mark.parametrize(
    "visit",
    [
        ("GET /api/v1/health", "done", "200"),
        ("GET /api/v1/ready", "done", "200"),
        ("GET /_console/", "done", "200"),
        ("GET /api/v1/runtime/config", "done", "200"),
        ("GET /api/v1/auth/config", "done", "200"),
        ("GET /api/v1/openapi.json", "done", "200"),
        ("GET /api/v1/docs", "done", "200"),
        ("POST /api/v1/auth/sign-up/email", "done", "200"),
        ("POST /api/v1/auth/sign-in/email", "done", "200"),
        ("POST /api/v1/auth/request-password-reset", "done", "200"),
        ("GET /api/v1/packages", "done", "200"),
        ("POST /api/v1/data/demo_note", "done", "201"),
        ("PATCH /api/v1/data/demo_note/{id}", "done", "200"),
        ("PATCH /api/v1/data/sys_user/{id}", "done", "200"),
    ],
)
def test_what_every_runtime_has_is_done(off: dict[str, Any], visit: tuple[str, str, str]) -> None:
    assert visit in told(off), off["log"]


def test_without_a_cloud_its_routes_are_skipped(off: dict[str, Any]) -> None:
    absent = "404: this server has no such thing"
    for path in ("marketplace/packages", "cloud-connection/status"):
        assert [visit for visit in told(off) if visit[0] == f"GET /api/v1/{path}"] == [
            (f"GET /api/v1/{path}", "skipped", absent)
        ] * 2


def test_with_a_cloud_the_marketplace_is_asked_before_and_after_signing_in(cloudy: dict[str, Any]) -> None:
    visits = told(cloudy)
    asked = [index for index, visit in enumerate(visits) if visit[0] == "GET /api/v1/marketplace/packages"]
    entered = visits.index(("POST /api/v1/auth/sign-in/email", "done", "200"))
    assert asked[0] < entered < asked[1]
    assert visits[asked[0]][1:] == ("done", "502 MARKETPLACE_PROXY_FAILED")
    assert ("GET /api/v1/cloud-connection/status", "done", "200") in visits


def test_google_is_come_back_from(cloudy: dict[str, Any]) -> None:
    assert ("GET /api/v1/auth/callback/google", "done", "302") in told(cloudy)
    assert "oauth2.googleapis.com" in cloudy["log"]  # it looked that up, which is what the callback is for


def test_what_is_seen_in_the_browser_is_what_the_products_pages_want(off: dict[str, Any]) -> None:
    fetched = {(entry["page"], entry["host"], entry["kind"]) for entry in off["fetched"]}
    assert fetched == {
        ("/api/v1/docs", "cdn.jsdelivr.net", "Script"),
        ("/_console/apps/setup/metadata/object/demo_note", "cdn.jsdelivr.net", "Script"),
    }
    assert off["frames"] == []


def test_no_password_is_told(off: dict[str, Any]) -> None:
    assert "Aa1-" not in str(off["visits"])
    assert off["cookies"].keys() == {"better-auth.session_token"}
