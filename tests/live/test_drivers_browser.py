"""What pages want from elsewhere, in a real browser on a machine whose only wire would show every frame."""

from __future__ import annotations

from typing import Any

import pytest

from tests.live import driver_scenes


@pytest.fixture(scope="module")
def crawled() -> dict[str, Any]:
    return driver_scenes.perform("crawl", "10")


def wanted(crawled: dict[str, Any]) -> dict[str, set[tuple[str, str, str]]]:
    found: dict[str, set[tuple[str, str, str]]] = {}
    for entry in crawled["fetched"]:
        found.setdefault(entry["host"], set()).add((entry["scheme"], entry["kind"], entry["page"]))
    return found


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("fonts.cdn.example", ("https", "Font", "/")),
        ("tiles.map.example", ("https", "Image", "/")),
        ("192.0.2.77", ("http", "Image", "/")),
        ("code.cdn.example", ("https", "Script", "/")),
        ("lazy.cdn.example", ("https", "Script", "/")),
        ("api.cdn.example", ("https", "XHR", "/")),
        ("beacon.cdn.example", ("https", "Ping", "/")),
        ("socket.cdn.example", ("wss", "WebSocket", "/")),
        ("192.0.2.78", ("ws", "WebSocket", "/")),
        ("transport.cdn.example", ("https", "WebTransport", "/")),
        ("192.0.2.79", ("stun", "WebRTC", "/")),
        ("frame.cdn.example", ("https", "Document", "/")),
        ("inframe.cdn.example", ("https", "Script", "/")),
        ("moved.cdn.example", ("https", "Image", "/")),
        ("below.cdn.example", ("https", "Image", "/")),
        ("worker.cdn.example", ("https", "XHR", "/")),
        ("imported.cdn.example", ("https", "Script", "/")),
        ("shared.cdn.example", ("https", "XHR", "/")),
        ("service.cdn.example", ("https", "XHR", "/")),
        ("preconnected.cdn.example", ("https", "Preconnect", "/")),
        ("prefetched.cdn.example", ("http", "Preconnect", "/")),
        ("tab.cdn.example", ("https", "XHR", "/tabs")),
        ("window.cdn.example", ("https", "Document", "/second")),
    ],
)
def test_each_way_of_wanting_something_from_elsewhere_is_seen(
    crawled: dict[str, Any], host: str, what: tuple[str, str, str]
) -> None:
    assert what in wanted(crawled)[host]


def test_an_answer_lets_the_page_go_on_to_the_next_step(crawled: dict[str, Any]) -> None:
    assert {"module.cdn.example", "events.cdn.example", "next.cdn.example"} <= wanted(crawled).keys()


def test_nothing_is_seen_that_no_page_wants(crawled: dict[str, Any]) -> None:
    own = ("cdn.example", "map.example", "192.0.2.77", "192.0.2.78", "192.0.2.79")
    assert [host for host in wanted(crawled) if not host.endswith(own)] == []


def test_values_of_a_query_are_not_told(crawled: dict[str, Any]) -> None:
    assert "hush" not in str(crawled["fetched"])


def test_not_one_frame_leaves(crawled: dict[str, Any]) -> None:
    assert crawled["frames"] == []


def test_links_of_the_same_server_are_followed_and_no_others(crawled: dict[str, Any]) -> None:
    opened = [visit["label"] for visit in crawled["visits"]]
    assert opened == ["browser /", "browser /second", "browser /second", "browser /tabs", "browser /third"]
    assert {visit["outcome"] for visit in crawled["visits"]} == {"done"}
    assert not [asked for asked in crawled["asked"] if asked.startswith(("/logout", "/file.zip"))]


def test_it_is_signed_in_by_the_cookies_it_was_given(crawled: dict[str, Any]) -> None:
    assert {asked.partition(" ")[2] for asked in crawled["asked"]} == {"session=s3cret"}


def test_its_processes_are_told_and_gone(crawled: dict[str, Any]) -> None:
    assert len(crawled["own"]) == 1
    assert crawled["left"] == []


def test_pages_that_are_left_out_are_counted(crawled: dict[str, Any]) -> None:
    assert crawled["omitted"] == []
    few = driver_scenes.perform("crawl", "1")
    assert len(few["visits"]) == 1
    (omitted,) = few["omitted"]
    assert omitted == "pages that are linked and were not opened (3; opened: 1)"
