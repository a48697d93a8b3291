from __future__ import annotations

from datetime import UTC, datetime

import pytest

from airgap_check.evidence import Answer, Connection
from airgap_check.evidence.fact import Endpoint, Process, Workload
from airgap_check.rule.field import fields
from airgap_check.view import KINDS, AnswerView, ConnectionView, DeploymentView, MentionView, View

FAR = Endpoint(address="10.9.9.9", scope="private", port=443)


def connection(**changes: object) -> ConnectionView:
    parts = {
        "netns": 1, "protocol": "tcp", "state": "ESTAB", "direction": "outbound", "local": Endpoint(), "remote": FAR,
    }  # fmt: skip
    return ConnectionView(record=Connection(**{**parts, **changes}), remote=FAR, allowed="no")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("process.name", "node"),
        ("process.pid", 7),
        ("workload.name", "a.service"),
        ("remote.port", 443),
        ("allowed", "no"),
        ("policy.cloud_url", "must-be-unset"),
        ("ownerless", False),
        ("first", datetime(2026, 11, 23, tzinfo=UTC)),
    ],
)
def test_a_field_is_read_from_the_view_or_from_its_record(path: str, value: object) -> None:
    view = connection(
        process=Process(pid=7, name="node"),
        workload=Workload(kind="unit", id="/a", name="a.service"),
        first=datetime(2026, 11, 23, tzinfo=UTC),
    )
    assert fields(ConnectionView)[path].read(view) == value


@pytest.mark.parametrize("path", ["process.name", "process.pid", "workload.kind", "remote.name", "first"])
def test_a_field_that_is_missing_at_any_step_is_none(path: str) -> None:
    assert fields(ConnectionView)[path].read(connection()) is None


def test_a_field_of_the_view_stands_before_one_of_the_record() -> None:
    view = connection(remote=Endpoint(address="1.1.1.1", scope="public"))
    assert fields(ConnectionView)["remote.scope"].read(view) == "private"


def test_a_closed_vocabulary_is_known_and_an_open_one_is_not() -> None:
    known = fields(ConnectionView)
    assert known["protocol"].choices == ("tcp", "udp", "raw", "packet", "icmp")
    assert known["workload.kind"].choices == ("unit", "container", "cgroup", "unknown")
    assert known["process.name"].choices == ()


def test_a_list_counts_as_its_items_and_a_list_of_structs_is_no_field() -> None:
    known = fields(AnswerView)
    assert known["chain"].type is str
    assert "addresses" not in known
    view = AnswerView(record=Answer(name="a", netns=1, source="dns", status="ok", chain=("b", "c")))
    assert known["chain"].read(view) == ("b", "c")


def test_of_a_record_that_may_be_of_several_types_what_they_have_alike_is_a_field() -> None:
    known = fields(MentionView)
    assert {"netns", "process.name", "workload.name", "count", "seen", "name", "means", "remote.scope"} <= set(known)
    assert not {"type", "status", "source", "hidden", "protocol"} & set(known)


def test_a_view_without_a_record_has_its_own_fields_and_the_policy() -> None:
    assert set(fields(DeploymentView)) == {"runtimes", "policy.cloud_url", "policy.expected", "policy.inbound"}
    assert set(fields(View)) == {"policy.cloud_url", "policy.expected", "policy.inbound"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_makes_a_finding_the_same_tomorrow_is_made_of_known_fields_without_pids_and_times(kind: str) -> None:
    view_type = KINDS[kind][0]
    paths = {path.removeprefix("record.") for path in view_type.identity}
    assert paths <= set(fields(view_type))
    assert not paths & {"process.pid", "process.started", "place.pid", "first", "last", "count", "netns", "where"}
