"""What moves which counter: each test plays a scene of `counter_scenes` in namespaces of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live
CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 90


def play(scene: str, **environment: str) -> dict[str, Any]:
    argv = [
        "unshare",
        "-nmpf",
        "--kill-child",
        "--mount-proc",
        sys.executable,
        "-m",
        "tests.live.counter_scenes",
        scene,
    ]
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, cwd=CHECKOUT, timeout=PATIENCE, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_only_attempts_without_any_route_count_as_that() -> None:
    scene = play("without_a_route")
    four, six = {"Ip OutNoRoutes": 3}, {"Ip6OutNoRoutes": 3}
    assert scene["none"] == {
        "tcp": four, "tcp6": six, "mapped": four, "udp": four, "udp6": six, "udp connected": four,
    }  # fmt: skip
    for kind in ("prohibit", "unreachable", "blackhole"):
        assert set(map(str, scene[kind].values())) == {"{}"}, kind
    assert scene["idle"]["grown"] == {}
    assert scene["idle"]["status"] == "complete"


def test_each_rule_that_refuses_counts_what_it_refused() -> None:
    scene = play("nftables")
    by_name = {name.partition(" handle ")[0]: increase for name, increase in scene["grown"].items()}
    assert by_name == {
        "nft inet f jumped": 2,
        "nft inet f counter refused": 2,
        "nft inet f mapped": 2,
        "nft netdev n e": 2,
    }
    # the policy, port 10 (counted before its condition), port 12, and the map
    assert "4 rules and policies that refuse packets and have no counter for the outgoing ones alone" in scene["blind"]
    assert scene["status"] == "complete"


def test_iptables_on_nftables_is_read_with_them() -> None:
    scene = play("iptables_on_nftables")
    words = {(*name.split()[:4], name.split()[-1]): increase for name, increase in scene["grown"].items()}
    assert words == {
        ("nft", "ip", "filter", "OUTPUT", "reject"): 1,
        ("nft", "ip", "filter", "sub", "drop"): 1,
        ("nft", "ip6", "filter", "OUTPUT", "reject"): 1,
    }


def test_legacy_iptables_is_read_where_it_is_in_use() -> None:
    scene = play("iptables_legacy")
    assert scene["with"]["grown"] == {
        "iptables filter OUTPUT rule 2 REJECT": 1,
        "iptables filter sub rule 1 DROP": 1,
        "ip6tables filter OUTPUT rule 1 DROP": 1,
    }
    assert scene["with"]["status"] == "complete"
    assert scene["without"]["grown"] == {}
    assert "the counters of legacy iptables: iptables-legacy-save is not installed" in scene["without"]["blind"]


def test_looking_makes_no_legacy_tables() -> None:
    assert play("no_legacy_tables_are_made") == {"iptables": False, "ip6tables": False}


def test_a_ruleset_that_was_replaced_is_a_gap_and_one_that_grew_is_none() -> None:
    scene = play("a_ruleset_replaced")
    for name in ("replaced", "again"):
        assert scene[name]["status"] == "partial", name
        assert "a rule that refuses packets went away" in scene[name]["reason"]
        assert list(scene[name]["grown"].values()) == [1]
    assert scene["added"]["status"] == "complete"
    assert sorted(scene["added"]["grown"].values()) == [1, 1]


def test_a_namespace_that_vanishes_is_no_gap() -> None:
    scene = play("a_namespace_that_vanishes")
    assert (scene["status"], scene["counts"]["vanished"], scene["counts"]["namespaces"]) == ("complete", 1, 1)


def test_every_namespace_has_counters_of_its_own() -> None:
    assert play("somebody_elses_namespace")["records"] == [[True, "Ip OutNoRoutes", 1]]
