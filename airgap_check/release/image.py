"""Container images as they are delivered: which form a file or folder has, and whether everything in it holds.

Nothing is unpacked: an archive passes through once, in pieces, and of its content only small documents are kept.
"""

from __future__ import annotations

import os
import posixpath
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from airgap_check.errors import UsageError
from airgap_check.input import open_regular
from airgap_check.release import archive, docker_archive, machine, oci
from airgap_check.release.blob import BLOBS, Inventory
from airgap_check.release.delivered import Delivered, Examined, Form, Packaged
from airgap_check.release.flow import Flow, packing, unpacked
from airgap_check.release.folder import Folder
from airgap_check.release.layer import clean
from airgap_check.release.trouble import BrokenError, ExpiredError, HostileError, Ledger, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Delivered", "Examined", "Form", "Packaged", "Trouble", "examine", "recognise"]

_OCI_MEMBER = re.compile(r"(?:blobs|blobs/sha(?:256|512)(?:/.*)?|oci-layout)\Z")
_DOCKER_MEMBER = re.compile(r"(?:sha256:)?[0-9a-f]{64}(?:\.tar|\.json|\.tar\.gz|/.*)?\Z")
_ALWAYS = (
    "image-blob", "image-missing-blob", "image-diff-id", "image-unreferenced", "image-platform", "image-reference",
    "image-malformed", "image-foreign-layer", "image-digest-unprovable", "hostile-archive",
)  # fmt: skip


def recognise(path: str, deadline: float | None = None) -> Form | None:
    """Return the likely form of a file or folder by the first name that speaks for one, or None where none does.

    An archive of Docker 25 begins like any OCI archive; only `examine`, which sees it all, tells them apart. What is
    hostile, or compressed in a way that we cannot read, or too long for the time, may be one, and is for it to tell.
    """
    if os.path.isdir(path):
        return "oci-layout" if all(os.path.lexists(os.path.join(path, name)) for name in (oci.MARK, oci.ROOT)) else None
    try:
        with open(path, "rb", buffering=0, opener=open_regular) as file:
            return next(_forms(Flow(lambda most: file.read(most) or b""), Ledger(deadline)), None)
    except (OSError, BrokenError):
        return None
    except (HostileError, ImportError, ExpiredError):
        return "oci-archive"


def _forms(stored: Flow, ledger: Ledger) -> Iterator[Form]:
    """Yield what the names in a file speak for."""
    content = Flow(unpacked(stored, packing(stored.peek(archive.BLOCK))))
    if not content.peek(archive.BLOCK).strip(b"\0"):
        return  # zeros: the image of a disk, if anything
    for member in archive.members(content, marked=False):
        ledger.check_time()
        name = clean(member.name)
        if _OCI_MEMBER.match(name):
            yield "oci-archive"
        # a web application has a manifest.json too, but that is no list
        listed = name == docker_archive.ROOT and content.peek(archive.BLOCK).lstrip().startswith(b"[")
        if listed or _DOCKER_MEMBER.match(name):
            yield "docker-archive"


def examine(path: str, deadline: float | None = None, platform: str | None = None) -> Examined:
    """Examine an archive or layout; ``deadline`` in seconds of the monotonic clock, ``platform`` that of this host.

    Whatever is wrong with it is a finding, and what kept us from seeing everything is said in ``incomplete``.
    """
    ledger = Ledger(deadline)
    form: Form | None = None
    images: tuple[Delivered, ...] = ()
    try:
        inventory = _inventory(path, ledger)
        form = _form(inventory, folder=os.path.isdir(path))
        if form:
            images = _images(form, inventory, ledger, platform or machine.platform())
            if inventory.whole and not ledger.incomplete:
                _pass(path, inventory, ledger)
        elif inventory.whole and not ledger.mentions("hostile-archive"):
            ledger.fail("image-malformed", posixpath.basename(path), "holds no image of a form that we know")
    except ExpiredError:
        ledger.stop("no time was left to examine it")
        form = form or recognise(path)
    except (OSError, UsageError) as error:
        ledger.stop(getattr(error, "strerror", None) or str(error))
    return Examined(form, images, ledger.troubles(), ledger.incomplete)


def _inventory(path: str, ledger: Ledger) -> Inventory:
    """Take everything in. Raises `ExpiredError`, OSError and `UsageError`."""
    with ThreadPoolExecutor(1) as stored, ThreadPoolExecutor(1) as packed:
        inventory = Inventory(ledger, (stored, packed))
        if os.path.isdir(path):
            inventory.fill_from(Folder(path))
            return inventory
        with open(path, "rb", buffering=0, opener=open_regular) as file:
            flow = Flow(lambda most: file.read(most) or b"")
            try:
                inventory.fill(Flow(unpacked(flow, packing(flow.peek(archive.BLOCK)))))
            except ImportError:
                inventory.whole = False
                ledger.stop("the archive is compressed by zstd: install airgap-check[images]")
    return inventory


def _form(inventory: Inventory, *, folder: bool) -> Form | None:
    if inventory.find(oci.ROOT) and (
        inventory.find(oci.MARK) or any(name.startswith(BLOBS) for name in inventory.blobs)
    ):
        return "oci-layout" if folder else "docker-save" if inventory.find(docker_archive.ROOT) else "oci-archive"
    return "docker-archive" if inventory.find(docker_archive.ROOT) and not folder else None


def _images(form: Form, inventory: Inventory, ledger: Ledger, platform: str) -> tuple[Delivered, ...]:
    if form == "docker-archive":
        return docker_archive.examine(inventory, ledger, platform)
    lying = inventory.check_names()
    entries = docker_archive.saved(inventory, ledger) if form == "docker-save" else []
    tags = {blob.name: entry.repo_tags or [] for entry in entries if (blob := inventory.find(entry.config))}
    graph = oci.Graph(inventory, lying, ledger, platform, tags)
    docker_archive.agree(entries, inventory, graph, ledger)
    others = {oci.ROOT, oci.MARK}
    if form == "docker-save":
        docker_archive.check_tags(entries, inventory, ledger)
        others |= {docker_archive.ROOT, docker_archive.TAGS, *docker_archive.legacy_configurations(inventory)}
    graph.check_unreferenced(others, inside=BLOBS if form == "oci-layout" else "")
    return graph.delivered()


def _pass(path: str, inventory: Inventory, ledger: Ledger) -> None:
    """State what held, once an aspect: everything was seen, and nothing was found."""
    size = sum(blob.size for blob in inventory.blobs.values())
    detail = f"held for all {len(inventory.blobs):,} members, {size:,} bytes"
    for aspect in _ALWAYS:
        if not ledger.mentions(aspect):
            ledger.add(aspect, "passed", posixpath.basename(path), detail)
