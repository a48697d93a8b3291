"""Two looks at one host are one piece of evidence, and it is as good as the worse of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from airgap_check import engine
from airgap_check.evidence import Answer, Connection, Evidence
from airgap_check.policy import file as policyfile
from airgap_check.snapshot import joined, trust
from tests.building import RULES, connection, inspection

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _sockets(*records: Connection, **changes: Any) -> Evidence:
    return Evidence(**{"kind": "sockets", "status": "complete", "records": records, **changes})


def _join(first: Evidence, later: Evidence) -> Evidence:
    (evidence,) = joined(first.kind, [first], later)
    return evidence


def test_what_was_seen_at_either_moment_was_seen() -> None:
    both = _join(_sockets(connection("10.0.0.1")), _sockets(connection("10.0.0.2")))
    assert both.records == (connection("10.0.0.1"), connection("10.0.0.2"))


def test_what_was_seen_twice_is_one_fact_with_its_greater_count() -> None:
    more, fewer = connection("10.0.0.1", count=9), connection("10.0.0.1", count=2)
    assert _join(_sockets(more), _sockets(fewer)).records == (more,)
    assert _join(_sockets(fewer), _sockets(more)).records == (more,)


def test_a_name_that_led_elsewhere_later_led_to_both() -> None:
    first = Answer(name="db", netns=1, source="dns", status="ok")
    later = Answer(name="db", netns=1, source="dns", status="nxdomain")
    both = _join(_sockets(records=(first,), kind="resolution"), _sockets(records=(first, later), kind="resolution"))
    assert both.records == (first, later)


def test_how_well_was_seen_is_the_worse_of_the_two() -> None:
    partial = _sockets(status="partial", reason="EPERM", blind=("vsock",))
    for both in (_join(partial, _sockets()), _join(_sockets(), partial)):
        assert (both.status, both.reason, both.blind) == ("partial", "EPERM", ("vsock",))


def test_evidence_of_another_kind_is_left_alone() -> None:
    first = _sockets()
    assert joined("resolution", [first], _sockets(kind="resolution", status="partial")) == [first]


def test_a_policy_file_that_is_gone_since_leaves_undecided_who_could_have_written_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch keeps the policy that it has: its rounds go on, and are inconclusive."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    text = b"{version: 1, allow: [{name: db, role: database, cidr: 10.0.0.0/24, ports: [5432]}]}"
    policy = policyfile.load(str(tmp_path / "gone.yaml"), text, {})
    seen = inspection(connection("10.0.0.5", 5432))
    seen = replace(seen, evidence=(*(one for one in seen.evidence if one.kind != "policy"), trust(policy)))
    report = engine.judge(seen, RULES, policy, engine.Terms())
    assert report.verdict == "inconclusive"
    (reason,) = report.reasons
    assert "policy.untrusted-file" in reason
    assert "No such file or directory" in reason
