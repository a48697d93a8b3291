"""Units and quadlets are read with their drop-ins, as systemd and podman would take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.deployment.written import checks, places, reading, service, variables

if TYPE_CHECKING:
    from pathlib import Path


def test_a_drop_in_overrides_and_files_override_both(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("B=file\n")
    found = reading(
        tmp_path,
        app__service=f'[Service]\nEnvironment=A=1 "B=x y"\nEnvironmentFile={tmp_path}/one.conf\nExecStart=os start\n',
        app__service__d___10__conf="[Service]\nEnvironment=A=2 C=3\nUnsetEnvironment=C\n",
    )
    assert variables(found, "app.service") == {"A": "2", "B": "file"}
    (unset,) = found.settings
    assert (unset.name, unset.posture, unset.place.kind, unset.place.unit) == (
        "OS_CLOUD_URL",
        "unset",
        "unit",
        "app.service",
    )


def test_a_file_that_is_missing_is_said_unless_it_may_be(tmp_path: Path) -> None:
    assert not reading(tmp_path, a__service="[Service]\nEnvironmentFile=-/nonexistent/x\n").failures
    assert reading(tmp_path, a__service="[Service]\nEnvironmentFile=/nonexistent/x\n").failures


@pytest.mark.parametrize(
    "line",
    [
        "ExecStart=/usr/bin/docker run --privileged x", "ExecStart=podman run --network=host x",
        "ExecStart=/usr/bin/docker run --net host x", "AmbientCapabilities=CAP_NET_ADMIN",
    ],
)  # fmt: skip
def test_each_way_out_of_its_own_network_is_found_at_its_line(tmp_path: Path, line: str) -> None:
    found = reading(tmp_path, a__service=f"[Unit]\nX=1\n[Service]\n{line}\n")
    assert places(checks(found, "privileges")) == [("a.service", 4)]


@pytest.mark.parametrize(
    ("lines", "outcomes"),
    [
        ("IPAddressDeny=any\nIPAddressAllow=10.20.0.0/28", ["passed"]),
        ("IPAddressDeny=0.0.0.0/0 ::/0", ["passed"]),
        ("IPAddressDeny=any\nIPAddressAllow=any", ["failed"]),
        ("PrivateNetwork=yes", ["passed"]),
        ("IPAddressDeny=10.0.0.0/8", []),
        ("Type=simple", []),
    ],
)
def test_what_a_unit_says_of_its_own_network(tmp_path: Path, lines: str, outcomes: list[str]) -> None:
    found = reading(tmp_path, a__service=f"[Service]\n{lines}\n")
    assert [one.outcome for one in found.checks if one.aspect == "network-isolation"] == outcomes


def test_a_quadlet_is_a_container(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        app__container="""
        [Container]
        Image=r.bank.example/objectos:latest
        Pull=newer
        Environment=OS_CLOUD_URL=off OS_ARTIFACT_PATH=/srv/app/objectstack.json
        Volume=/srv/dist:/srv/app
        Network=back.network
        AddCapability=NET_RAW
        """,
        back__network="[Network]\nInternal=true\n",
    )
    failed = {one.aspect for one in found.checks if one.outcome == "failed"}
    assert failed == {"image-floating", "pull-policy", "artifact-mount", "privileges"}
    assert [one.detail for one in checks(found, "network-isolation", "passed")] == ["is on internal networks only"]
    assert service(found, "app.container").image == "r.bank.example/objectos:latest"


@pytest.mark.parametrize(
    ("network", "aspect", "outcome"),
    [
        ("", "network-isolation", "failed"), ("Network=none", "network-isolation", "passed"),
        ("Network=other.network", "network-isolation", "unknown"), ("Network=pub", "network-isolation", "failed"),
        ("PublishPort=8080:8080", "network-published", "failed"),
    ],
)  # fmt: skip
def test_the_networks_of_a_quadlet(tmp_path: Path, network: str, aspect: str, outcome: str) -> None:
    found = reading(tmp_path, a__container=f"[Container]\nImage=x:1\n{network}\n")
    assert [(one.aspect, one.outcome) for one in found.checks if one.aspect.startswith("network-")] == [
        (aspect, outcome)
    ]
