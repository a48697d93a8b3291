"""What a page wanted from elsewhere: how it is told, and how it is answered."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.drivers import chromium, devtools, foreign
from airgap_check.drivers.devtools import BrowserError, Devtools, Event
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://cdn.example/a.js", "https://cdn.example/a.js"),
        ("https://cdn.example/a?family=Inter&v=1#top", "https://cdn.example/a?family=…&v=…"),
        ("https://cdn.example/a?hush", "https://cdn.example/a?…"),
        ("https://cdn.example/\x1b[31mred", "https://cdn.example/red"),
        ("https://cdn.example/" + "a" * 1000, "https://cdn.example/" + "a" * 280),
    ],
)
def test_a_url_is_told_without_the_values_of_its_query(url: str, told: str) -> None:
    assert foreign.describe(url) == told


def test_credentials_and_tokens_are_not_told() -> None:
    assert "hush" not in foreign.describe("https://user:hush@cdn.example/a?token=hush&x=hush")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://CDN.example./a", ("https", "cdn.example", 443)),
        ("http://127.0.0.1:8080/", ("http", "127.0.0.1", 8080)),
        ("wss://[2001:db8::1]/live", ("wss", "2001:db8::1", 443)),
        ("data:text/plain,x", None),
        ("blob:https://cdn.example/1", None),
        ("about:blank", None),
        ("https://", None),
        ("https://a:99999/", None),
        ("https://[::1", None),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, place: tuple[str, str, int] | None) -> None:
    assert foreign.origin(url) == place


@pytest.mark.parametrize("kind", ["Script", "Stylesheet", "Image", "Font", "XHR", "Document", "Unheard"])
def test_an_answer_is_polite_to_whoever_asks(kind: str) -> None:
    answer = foreign.answer(kind, {"Origin": "http://localhost:8080"})
    headers = {field["name"]: field["value"] for field in answer["responseHeaders"]}
    assert answer["responseCode"] == 200
    assert headers["Access-Control-Allow-Origin"] == "http://localhost:8080"
    assert headers["Access-Control-Allow-Credentials"] == "true"
    body = base64.b64decode(answer["body"])
    if kind == "XHR":
        assert json.loads(body)["layers"] == []


@given(st.text(max_size=100))
def test_no_url_upsets_it(url: str) -> None:
    foreign.origin(url)
    assert foreign.describe(url).isprintable()


@pytest.fixture
def ends() -> Iterator[tuple[int, int, int, int]]:
    """Make two pipes: what we read from, what we write to, and the browser's ends of them."""
    (ours_in, theirs_out), (theirs_in, ours_out) = os.pipe(), os.pipe()
    yield ours_in, ours_out, theirs_out, theirs_in
    for end in (ours_in, ours_out, theirs_out, theirs_in):
        os.close(end)


def talk(ends: tuple[int, int, int, int], said: bytes) -> tuple[Devtools, list[Event]]:
    heard: list[Event] = []
    os.write(ends[2], said)
    return Devtools(ends[0], ends[1], heard.append), heard


def test_a_command_is_answered_whatever_happens_meanwhile(ends: tuple[int, int, int, int]) -> None:
    said: list[dict[str, Any]] = [
        {"method": "Page.loadEventFired", "params": {"timestamp": 1}, "sessionId": "s"},
        {"id": 9, "result": {}}, {"id": 1, "result": {"targetId": "t"}},
    ]  # fmt: skip
    tools, heard = talk(ends, b"".join(json.dumps(one).encode() + b"\0" for one in said))
    assert tools.call("Target.createTarget", "s", url="about:blank") == {"targetId": "t"}
    assert heard == [Event("Page.loadEventFired", {"timestamp": 1}, "s")]
    sent = json.loads(os.read(ends[3], 1000).rstrip(b"\0"))
    assert sent == {"id": 1, "method": "Target.createTarget", "params": {"url": "about:blank"}, "sessionId": "s"}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b'{"id": 1, "error": {"message": "no"}}\0', "Page.enable was refused"),
        (b"nonsense\0", "says what is no JSON"),
        (b"", "no answer to Page.enable within 0.05 s"),
    ],
)
def test_a_browser_that_does_not_as_it_is_told_is_a_browser_error(
    ends: tuple[int, int, int, int], said: bytes, reason: str
) -> None:
    tools, _ = talk(ends, said)
    with pytest.raises(BrowserError, match=reason):
        tools.call("Page.enable", None, 0.05)


def test_a_browser_that_says_too_much_is_a_browser_error(
    ends: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devtools, "_MOST_BYTES", 10)
    tools, _ = talk(ends, b'{"id": 1, "result": {}}')
    with pytest.raises(BrowserError, match="too much"):
        tools.call("Page.enable")


def test_a_browser_that_is_not_there_is_named_with_its_package(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Debian package: chromium"):
        chromium.find(str(tmp_path))
    (tmp_path / "google-chrome").write_text("#!/bin/sh\n")
    (tmp_path / "google-chrome").chmod(0o700)
    assert chromium.find(str(tmp_path)) == str(tmp_path / "google-chrome")


def test_a_browser_that_ends_at_once_is_a_browser_error_and_leaves_nothing(tmp_path: Path) -> None:
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o700)
    open_before = len(os.listdir("/proc/self/fd"))
    with (
        chromium.Chromium(str(program), str(tmp_path), lambda _: None) as browser,
        pytest.raises(BrowserError, match="ended"),
    ):
        browser.tools.call("Browser.getVersion")
    assert len(os.listdir("/proc/self/fd")) == open_before
