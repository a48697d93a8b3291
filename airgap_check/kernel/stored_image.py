"""Tells what the stores of container engines on this host hold: no daemon is asked.

Sources: docker's image/*/imagedb and repositories.json, containerd's content
store, containers/storage's *-images with their images.json (podman, CRI-O); that names a file by the base64 of its key
where that is not all plain characters (makeBigDataBaseName).
"""

from __future__ import annotations

import base64
import errno
import glob
import os
from typing import TYPE_CHECKING, Any

import msgspec

from airgap_check.kernel import procfs, stored_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_STORES = (
    "/var/lib/docker/image/*/imagedb/content/sha256",
    "/var/lib/containerd/io.containerd.content.v1.content/blobs/sha256",
    "/var/lib/docker/containerd/daemon/io.containerd.content.v1.content/blobs/sha256",
    "/var/lib/containers/storage/*-images",
)
_DOCKER_NAMES = "/var/lib/docker/image/*/repositories.json"
_STORAGE_NAMES = "/var/lib/containers/storage/*-images/images.json"
_LIMIT = 16 << 20


def named(reference: str) -> str | None:
    """Return the id of the image that a name with a tag stands for on this host now, None where no store says."""
    name = reference.removeprefix("docker.io/").removeprefix("library/")
    if "@" in name:
        return None
    wanted = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    for found, identifier in (*_docker_names(), *_storage_names()):
        if found == wanted:
            return f"sha256:{identifier.removeprefix('sha256:')}"
    return None


def _docker_names() -> Iterator[tuple[str, str]]:
    for whole in _decoded(_DOCKER_NAMES):
        repositories = whole.get("Repositories") if isinstance(whole, dict) else None
        for names in repositories.values() if isinstance(repositories, dict) else ():
            for name, identifier in names.items() if isinstance(names, dict) else ():
                yield str(name), str(identifier)


def _storage_names() -> Iterator[tuple[str, str]]:
    for whole in _decoded(_STORAGE_NAMES):
        for one in whole if isinstance(whole, list) else ():
            names = one.get("names") if isinstance(one, dict) else None
            for name in names if isinstance(names, list) else ():
                yield str(name).removeprefix("docker.io/").removeprefix("library/"), str(one.get("id"))


def _decoded(pattern: str) -> Iterator[Any]:
    for path in glob.glob(pattern):
        try:
            yield msgspec.json.decode(procfs.read_in_root(os.getpid(), path, _LIMIT))
        except (OSError, msgspec.DecodeError, RecursionError):
            continue  # what no store says, nobody compares


def trouble(digest: str) -> str | None:
    """Say what is wrong with an image, None where its configuration, or its manifest, is there as it was.

    ``digest`` is its id or that of its manifest, ``sha256:`` and hexadecimal digits, and so is that of the file.
    """
    stores = [folder for pattern in _STORES for folder in glob.glob(pattern)]
    if not stores:
        return "cannot be looked for: no store of a container engine is known here"
    hexadecimal = digest.removeprefix("sha256:")
    encoded = "=" + base64.b64encode(digest.encode()).decode()
    for folder in stores:
        for path in (os.path.join(folder, hexadecimal), os.path.join(folder, hexadecimal, encoded)):
            try:
                found = stored_file.digest(os.getpid(), path)
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EINVAL}:  # EINVAL: the folder of an image
                    continue
                return f"cannot be read: {error.strerror}"
            return None if found == hexadecimal else "has another content now"
    return "is gone"
