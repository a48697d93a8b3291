"""What the end of sockets tells: each test plays a scene of `counter_scenes` in namespaces of its own."""

from __future__ import annotations

import pytest

from tests.live.test_counters_live import play

pytestmark = pytest.mark.live


def test_every_attempt_that_had_a_socket_is_seen() -> None:
    scene = play("events")
    number = scene["number"]
    assert scene["seen"] == {
        "udp 10.0.0.3 4242": 1,
        "inbound 7001": number,
        "inbound 7002": number,
        "tcp 10.0.0.3 7001": number,
        "tcp fd99::3 7002": number,
        "tcp 10.0.0.3 None": number,  # refused: the port is gone
        "tcp fd99::3 None": number,
        "tcp 10.1.0.9 7005": number,
        "udp 10.1.0.9 7006": number,
        "udp fd99::3 7007": number,
    }
    assert (scene["status"], scene["lost"]) == ("complete", 0)
    assert scene["counts"]["without_peer"] == 2 * number  # no route, and unconnected UDP
    assert scene["owner"]


def test_an_overrun_is_said_and_never_looks_clean() -> None:
    scene = play("overrun")
    assert scene["status"] == "partial"
    assert scene["lost"] == scene["counts"]["overruns"] >= 1
    assert "how many is unknown" in scene["reason"]
    assert scene["counts"]["events"] < 9 * scene["number"]
    # what was accepted and closed stands in TIME-WAIT still
    assert scene["seen"]["tcp 10.0.0.3 7001"] >= 1


def test_nothing_stays_open() -> None:
    scene = play("nothing_open_afterwards")
    assert scene["after"] == scene["before"]
    assert scene["threads"] == 1
