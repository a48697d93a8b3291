"""What a deployment needs: entries that leave nothing open, settings that an entry approves, and nothing else."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from airgap_check.evidence import Evidence, Setting
from airgap_check.evidence.asset import Reference
from airgap_check.evidence.fact import Place, Process, Workload
from airgap_check.kernel.netns import Namespace
from airgap_check.objectos.endpoint import parse
from airgap_check.preflight import needs
from airgap_check.probes.vantage_point import Owner, VantagePoint
from tests.building import policy

if TYPE_CHECKING:
    from airgap_check.preflight.needs import Needs

TODAY = date(2026, 11, 23)
NODE = Owner(Process(pid=7, name="node"), Workload(kind="unit", id="objectos.service", name="objectos.service"))
POINT = VantagePoint(Namespace(1, "process"), (NODE,))


def _setting(text: str, role: str, **changes: Any) -> Setting:
    place = Place(kind="process", pid=7)
    return Setting(
        name="X", value=text, posture="url", role=role, endpoints=parse(text), place=place, **changes
    )  # fmt: skip


def _of(*entries: dict[str, Any], settings: tuple[Setting, ...] = (), references: tuple[Reference, ...] = ()) -> Needs:
    evidence = [
        Evidence(kind="environment", status="complete", records=settings),
        Evidence(kind="database", status="complete", records=references),
    ]
    return needs.of(policy(*entries), evidence, POINT, TODAY)


def _spoken(found: Needs) -> list[tuple[str, int, str, str]]:
    return [(need.host, need.port, need.protocol, need.tls) for need, _ in found.needs]


@pytest.mark.parametrize(
    ("role", "port", "protocol", "tls"),
    [
        ("database", 5432, "postgresql", "opportunistic"), ("database", 3306, "mysql", "opportunistic"),
        ("database", 27017, "mongodb", "opportunistic"), ("database", 6379, "redis", "opportunistic"),
        ("database", 9999, "tcp", "opportunistic"), ("cluster", 6379, "redis", "opportunistic"),
        ("smtp", 25, "smtp", "opportunistic"), ("smtp", 465, "smtp", "opportunistic"),
        ("smtp", 587, "smtp", "opportunistic"), ("object-storage", 443, "s3", "required"),
        ("object-storage", 9000, "tcp", "opportunistic"), ("idp", 443, "oidc", "required"),
        ("idp", 8080, "oidc", "none"), ("idp", 636, "tcp", "opportunistic"), ("webhook", 443, "tcp", "opportunistic"),
        ("monitoring", 9090, "tcp", "opportunistic"), ("syslog", 6514, "tcp", "opportunistic"),
    ],
)  # fmt: skip
def test_role_and_port_tell_the_protocol(role: str, port: int, protocol: str, tls: str) -> None:
    found = _of({"role": role, "cidr": "10.1.1.1/32", "ports": [port]})
    assert _spoken(found) == [("10.1.1.1", port, protocol, tls)]
    assert found.omissions == ()


def test_every_host_and_address_is_tried_at_every_single_port() -> None:
    entry = {"role": "other", "host": ["a.bank.example", "B.bank.example."], "cidr": ["10.1.1.1/32", "fd00::1/128"]}
    found = _of({**entry, "ports": [1, "2-2"]})
    hosts = ("a.bank.example", "b.bank.example", "10.1.1.1", "fd00::1")
    assert {place[:2] for place in _spoken(found)} == {(host, port) for host in hosts for port in (1, 2)}


@pytest.mark.parametrize(
    ("text", "role", "protocol", "tls", "detail"),
    [
        ("postgres://u:***@10.1.1.1:7000/db", "database", "postgresql", "opportunistic", ""),
        ("postgres://10.1.1.1:7000/db?sslmode=require", "database", "postgresql", "required", ""),
        ("mysql://10.1.1.1:7000/db", "database", "mysql", "opportunistic", ""),
        ("mongodb://10.1.1.1:7000/db", "database", "mongodb", "opportunistic", ""),
        ("mongodb://10.1.1.1:7000/db?replicaSet=a&tls=true", "database", "mongodb", "required", ""),
        ("mysql://10.1.1.1:7000/db?ssl-mode=REQUIRED", "database", "mysql", "required", ""),
        ("rediss://10.1.1.1:7000", "cluster", "redis", "required", ""),
        ("redis://10.1.1.1:7000", "cluster", "redis", "none", ""),
        ("smtps://10.1.1.1:7000", "smtp", "smtp", "required", ""),
        ("https://10.1.1.1:7000/realms/bank/", "idp", "oidc", "required", "/realms/bank"),
        ("http://10.1.1.1:7000/realms/bank", "idp", "oidc", "none", "/realms/bank"),
        ("https://10.1.1.1:7000/bucket/x", "object-storage", "s3", "required", "bucket"),
        ("http://10.1.1.1:7000", "object-storage", "s3", "none", ""),
        ("https://10.1.1.1:7000/hook", "webhook", "tls", "required", ""),
        ("http://10.1.1.1:7000/hook", "webhook", "tcp", "none", ""),
        ("http://10.1.1.1:7000/v1/metrics", "monitoring", "tcp", "none", ""),
    ],
)
def test_a_setting_tells_protocol_and_place_inside_a_range(
    text: str, role: str, protocol: str, tls: str, detail: str
) -> None:
    entry = {"role": role, "cidr": "10.1.1.0/24", "ports": ["7000-7010"]}
    found = _of(entry, settings=(_setting(text, role),))
    assert _spoken(found) == [("10.1.1.1", 7000, protocol, tls)]
    assert found.needs[0][0].detail == detail
    assert found.omissions == ()


def test_a_row_of_the_database_names_a_provider_by_its_issuer() -> None:
    (end,) = parse("https://sso.bank.example/realms/x")
    row = Reference(
        path="sys_sso_provider", pointer="issuer", text="https://sso.bank.example/realms/x", role="idp",
        dialer="server-event", endpoint=end, seen="database",
    )  # fmt: skip
    entry = {"role": "idp", "host": "*.bank.example", "ports": [443]}
    found = _of(entry, references=(row,))
    assert [(need.protocol, need.host, need.detail) for need, _ in found.needs] == [
        ("oidc", "sso.bank.example", "/realms/x")
    ]


def test_what_no_entry_approves_is_never_tried() -> None:
    entry = {"role": "database", "cidr": "10.1.1.0/24", "ports": [5432]}
    found = _of(entry, settings=(_setting("postgres://1.1.1.1:5432/x", "database"), _setting("10.1.2.1:5432", "other")))
    assert found.needs == ()
    assert "10.1.1.0/24" in str(found.omissions)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"role": "ntp", "cidr": "10.1.1.1/32", "ports": [123], "protocol": "udp"}, "TCP"),
        ({"role": "syslog", "cidr": "10.1.1.1/32", "ports": [514], "protocol": "any"}, "TCP"),
        ({"role": "dns", "cidr": "10.1.1.1/32", "ports": [53], "protocol": "any"}, "names"),
        ({"role": "other", "cidr": "10.1.1.1/32"}, "no port"),
        ({"role": "other", "cidr": "10.1.1.1/32", "ports": ["1-2"]}, "range"),
        ({"role": "other", "host": "*.bank.example", "ports": [1]}, "holds many"),
        ({"role": "other", "cidr": "10.1.1.0/30", "ports": [1]}, "holds many"),
        ({"role": "other", "cidr": "10.1.1.1/32", "ports": [1], "for": {"unit": "backup.service"}}, "is not for"),
    ],
)
def test_what_cannot_be_tried_is_left_out_with_the_reason(entry: dict[str, Any], reason: str) -> None:
    found = _of(entry)
    assert found.needs == ()
    assert [omission for omission in found.omissions if reason in omission.reason]


def test_an_entry_for_the_runtime_is_tried_for_it() -> None:
    entry = {"role": "other", "cidr": "10.1.1.1/32", "ports": [1], "for": {"unit": "objectos.service"}}
    assert [owner for _, owner in _of(entry).needs] == [NODE]


def test_an_expired_entry_asks_for_nothing() -> None:
    assert _of({"role": "other", "cidr": "10.1.1.1/32", "ports": [1], "expires": "2020-01-01"}) == needs.Needs((), ())


def test_the_bucket_of_an_object_store_is_that_of_the_same_process() -> None:
    store = _setting("http://10.1.1.1:9000", "object-storage")
    place = Place(kind="process", pid=7)
    bucket = Setting(
        name="OS_STORAGE_S3_BUCKET", value="backups", posture="other", role="object-storage", place=place
    )  # fmt: skip
    entry = {"role": "object-storage", "cidr": "10.1.1.1/32", "ports": [9000]}
    ((need, _),) = _of(entry, settings=(store, bucket)).needs
    assert (need.protocol, need.detail) == ("s3", "backups")
    other = msgspec.structs.replace(bucket, place=Place(kind="process", pid=8))
    ((need, _),) = _of(entry, settings=(store, other)).needs
    assert need.detail == ""
