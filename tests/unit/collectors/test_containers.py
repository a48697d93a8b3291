"""The image of a container, out of the files of its engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import containers
from airgap_check.evidence.fact import Workload

if TYPE_CHECKING:
    from pathlib import Path

IDENTIFIER = "0123456789ab" + "c" * 52
IMAGE = "d" * 64


def _workload(identifier: str = IDENTIFIER[:12], kind: Any = "container") -> Workload:
    return Workload(kind=kind, id=identifier, name=identifier)


def _write(root: Path, path: str, content: object) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content if isinstance(content, str) else json.dumps(content))


def test_docker_tells_reference_and_id(tmp_path: Path) -> None:
    stated = {"Image": f"sha256:{IMAGE}", "Config": {"Image": "registry.bank.example/objectos:4.2.0"}}
    _write(tmp_path, f"var/lib/docker/containers/{IDENTIFIER}/config.v2.json", stated)
    found = containers.container_of(_workload(), str(tmp_path))
    assert found == ("registry.bank.example/objectos:4.2.0", f"sha256:{IMAGE}")


@pytest.mark.parametrize("storage", ["var/lib/containers/storage", "run/containers/storage"])
def test_podman_and_cri_o_tell_it_in_their_storage(tmp_path: Path, storage: str) -> None:
    metadata = json.dumps({"image-name": "localhost/objectos:4.2.0"})
    stated = [{"id": "f" * 64}, 5, {"id": IDENTIFIER, "image": IMAGE, "metadata": metadata}]
    _write(tmp_path, f"{storage}/overlay-containers/containers.json", stated)
    assert containers.container_of(_workload(), str(tmp_path)) == ("localhost/objectos:4.2.0", f"sha256:{IMAGE}")


def test_containerd_tells_the_reference_only(tmp_path: Path) -> None:
    folder = f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{IDENTIFIER}"
    stated = {"annotations": {"io.kubernetes.cri.image-name": "registry.bank.example/objectos@sha256:x"}}
    _write(tmp_path, f"{folder}/config.json", stated)
    found = containers.container_of(_workload(), str(tmp_path))
    assert found == ("registry.bank.example/objectos@sha256:x", None)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"Image": 5, "Config": []}', '{"Image": "sha256:x"}', "[" * 99_999]
)
def test_what_no_file_tells_is_none(tmp_path: Path, content: str) -> None:
    _write(tmp_path, f"var/lib/docker/containers/{IDENTIFIER}/config.v2.json", content)
    assert containers.container_of(_workload(), str(tmp_path)) == containers.NONE


@pytest.mark.parametrize(
    "workload",
    [
        None,
        _workload("objectos.service", "unit"),
        _workload(f"user@1000.service/{IDENTIFIER[:12]}"),
        _workload("../../etc"),
        _workload(""),
    ],
)
def test_only_a_container_that_nobody_made_up_is_looked_for(tmp_path: Path, workload: Workload | None) -> None:
    _write(tmp_path, f"var/lib/docker/containers/{IDENTIFIER}/config.v2.json", {"Config": {"Image": "x"}})
    assert containers.container_of(workload, str(tmp_path)) == containers.NONE
