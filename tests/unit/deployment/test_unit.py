"""Units and quadlets are read with their drop-ins, as systemd and podman would take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.deployment import engine_command
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
    assert [one.detail for one in checks(found, "network-internal", "passed")] == ["is on internal networks only"]
    assert service(found, "app.container").image == "r.bank.example/objectos:latest"


@pytest.mark.parametrize(
    ("network", "outcome"),
    [
        ("", "failed"), ("Network=none", "passed"), ("Network=other.network", "unknown"), ("Network=pub", "failed"),
        ("PublishPort=8080:8080", "failed"),
    ],
)  # fmt: skip
def test_the_networks_of_a_quadlet(tmp_path: Path, network: str, outcome: str) -> None:
    found = reading(tmp_path, a__container=f"[Container]\nImage=x:1\n{network}\n")
    assert [(one.aspect, one.outcome) for one in found.checks if one.aspect.startswith("network-")] == [
        ("network-internal", outcome)
    ]


def test_a_unit_that_starts_a_container_is_that_container(tmp_path: Path) -> None:
    (tmp_path / "run.env").write_text('OS_PROJECT_ID="quoted"\nOS_CLOUD_URL=lost\n')
    found = reading(
        tmp_path,
        app__service=f"""
        [Service]
        Environment=CLOUD=https://cloud.example TAG=latest LOST=1
        ExecStartPre=-/usr/bin/docker pull objectos
        ExecStart=/usr/bin/docker run --rm -it --env-file {tmp_path}/run.env -e OS_CLOUD_URL=${{CLOUD}} \\
          -e TAG --name app -v /srv/dist:/srv/app --cap-add NET_ADMIN -w /srv/app objectos:${{TAG}} os start
        """,
    )
    assert variables(found, "app.service") == {
        "OS_PROJECT_ID": '"quoted"', "OS_CLOUD_URL": "https://cloud.example", "TAG": "latest",
    }  # fmt: skip
    one = service(found, "app.service")
    assert (one.image, one.command, one.directory) == ("objectos:latest", ("os", "start"), "/srv/app")
    failed = {check.aspect: check.line for check in found.checks if check.outcome == "failed"}
    assert failed == {"image-floating": 5, "pull-policy": 4, "privileges": 5, "network-internal": 5}


@pytest.mark.parametrize(
    "command",
    [
        "/bin/sh -c 'exec docker run --network host -e A=1 x:1'", "docker --debug run --net=host -eA=1 x:1 -e B=2",
        "/usr/bin/podman container run -d --pid host --env=A=1 x:1", "-!nerdctl create --privileged -dite A=1 x:1",
    ],
)  # fmt: skip
def test_however_the_engine_is_called(tmp_path: Path, command: str) -> None:
    found = reading(tmp_path, a__service=f"[Service]\nExecStart={command}\n")
    assert service(found, "a.service").image == "x:1"
    assert variables(found, "a.service") == {"A": "1"}
    assert len(checks(found, "privileges")) == 1


@pytest.mark.parametrize(
    "command", ["docker", "docker run", "docker run -e", "docker ps", "sh -c", "sh -c '\\'", "os start"]
)
def test_what_starts_no_container_is_none(tmp_path: Path, command: str) -> None:
    assert service(reading(tmp_path, a__service=f"[Service]\nExecStart={command}\n"), "a.service").image is None


@given(
    st.lists(st.sampled_from(["docker", "run", "-e", "--env", "A=1", "-", "--", "-v", "x", "sh", "-c", "--rm", "-d"]))
)
def test_any_words_are_read(words: list[str]) -> None:
    engine_command.read(words)
    engine_command.is_pull(words)


def test_a_quadlet_takes_its_image_and_its_network_from_other_files(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        app__container="[Container]\nImage=app.image\nPod=site.pod\nAutoUpdate=registry\nVolume=/run:/run\n",
        app__image="[Image]\nImage=docker.io/objectos:latest\n",
        site__pod="[Pod]\nNetwork=host\n",
    )
    assert service(found, "app.container").image == "docker.io/objectos:latest"
    assert places(checks(found, "image-floating")) == [("app.image", 2)]
    assert places(checks(found, "pull-policy")) == [("app.container", 4)]
    assert sorted(places(checks(found, "privileges"))) == [("app.container", 5), ("site.pod", 2)]
    assert found.files == 2


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ("IPAddressDeny=0.0.0.0/0", None), ("IPAddressDeny=any\nIPAddressDeny=", None),
        ("IPAddressDeny=any\nIPAddressAllow=0.0.0.0/1 128.0.0.0/1", "failed"),
        ("IPAddressDeny=any\nIPAddressAllow=any\nIPAddressAllow=\nIPAddressAllow=localhost", "passed"),
    ],
)  # fmt: skip
def test_half_of_the_addresses_are_not_all_and_two_halves_are(tmp_path: Path, lines: str, outcome: str | None) -> None:
    found = reading(tmp_path, a__service=f"[Service]\n{lines}\n")
    said = [one.outcome for one in found.checks if one.aspect == "network-isolation"]
    assert said == ([outcome] if outcome else [])
