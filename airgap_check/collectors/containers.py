"""Knows which image a container was started from, out of the files of its engine; no daemon is asked.

Sources: docker's config.v2.json, containers/storage's containers.json (podman, CRI-O), containerd's config.json with
the annotations of its CRI plug-in. What no file tells is None.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from airgap_check.kernel import procfs
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.fact import Workload

_DOCKER = "var/lib/docker/containers"
_STORAGE = ("var/lib/containers/storage", "run/containers/storage")
_DRIVERS = ("overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers")
_CONTAINERD = "run/containerd/io.containerd.runtime.v2.task"
_NAMESPACES = ("k8s.io", "moby", "default")
_LIMIT, _MOST = 16 << 20, 10_000
_SHORT = re.compile(r"[0-9a-f]{12,64}\Z")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})\Z")


class Container(NamedTuple):
    """The reference that a container was started from, and the id of that image, ``sha256:...``."""

    image: str | None
    digest: str | None


NONE = Container(None, None)


def container_of(workload: Workload | None, root: str = "") -> Container:
    """Return the image of a container; ``root`` is where the host's files are, for a test."""
    # One inside something that names its own cgroups has a longer id, and may have made it up.
    identifier = workload.id if workload and workload.kind == "container" else ""
    if not _SHORT.match(identifier):
        return NONE
    for look in (_docker, _storage, _containerd):
        found = look(root or "", identifier)
        if found != NONE:
            return found
    return NONE


def _docker(root: str, identifier: str) -> Container:
    for name in _names(f"{root}/{_DOCKER}"):
        if name.startswith(identifier):
            stated = _json(f"{root}/{_DOCKER}/{name}/config.v2.json")
            return _container(_at(stated, "Config", "Image"), _at(stated, "Image"))
    return NONE


def _storage(root: str, identifier: str) -> Container:
    for path in (f"{root}/{storage}/{driver}/containers.json" for storage in _STORAGE for driver in _DRIVERS):
        stated = _json(path)
        for one in stated if isinstance(stated, list) else ():
            if str(_at(one, "id")).startswith(identifier):
                return _container(_at(_decoded(_at(one, "metadata")), "image-name"), _at(one, "image"))
    return NONE


def _containerd(root: str, identifier: str) -> Container:
    for folder in (f"{root}/{_CONTAINERD}/{namespace}" for namespace in _NAMESPACES):
        for name in _names(folder):
            if name.startswith(identifier):
                annotations = _at(_json(f"{folder}/{name}/config.json"), "annotations")
                return _container(_at(annotations, "io.kubernetes.cri.image-name"), None)
    return NONE


def _container(image: Any, digest: Any) -> Container:
    found = _DIGEST.match(digest) if isinstance(digest, str) else None
    shown = printable(image)[:512] if isinstance(image, str) and image else None
    return Container(shown, f"sha256:{found[1]}" if found else None)


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _names(folder: str) -> Iterator[str]:
    try:
        yield from procfs.names_in_root(os.getpid(), folder, _MOST)
    except OSError:  # not there, or not for us: what nobody tells is None
        return


def _json(path: str) -> Any:
    try:
        return _decoded(procfs.read_in_root(os.getpid(), path, _LIMIT))
    except OSError:
        return None


def _decoded(content: Any) -> Any:
    try:
        return msgspec.json.decode(content) if isinstance(content, bytes | str) else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
