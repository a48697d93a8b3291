"""Finds the items of a release among its files: images, artifact, database guide, environment template, checklist.

Names decide where they are plain, contents where they are not; the modules of each item say which.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.objectos import artifact
from airgap_check.release import checklist, checksums, guidance, image, template
from airgap_check.release.document import is_unreadable
from airgap_check.release.flow import packing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.objectos.artifact import Scan
    from airgap_check.release.folder import Folder

_ARCHIVE_NAME = re.compile(
    r".*\.(?:tar|oci|ociarchive|docker)(?:\.\w{1,4})?\Z|.*\.(?:tgz|tzst|txz|tbz2?)\Z", re.IGNORECASE
)
_LAYOUT = re.compile(r"oci-layout\Z|index\.json\Z|manifest\.json\Z|repositories\Z|blobs(?:/|\Z)")
_ARTIFACT_NAME = re.compile(r"(?:.*[._-])?objectstack\.json\Z", re.IGNORECASE)
_DEPLOYMENT = re.compile(
    r".*\.ya?ml\Z|.*\.(?:service|container|network|pod|kube|volume)\Z|(?:Docker|Container)file(?:[._-].+)?\Z"
)
_TEXT_LIMIT = 1 << 20
_OBJECT = re.compile(r'"apiVersion"\s*:')
_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]+ ){0,2}PRIVATE KEY-----\s+(?:[A-Za-z-]+: .*\s+)*[A-Za-z0-9+/]{40}")


class Items(NamedTuple):
    """The members of a folder by what they are; ``images`` may be folders, ``.`` for the whole of it."""

    images: tuple[str, ...]
    artifacts: dict[str, Scan]
    guides: tuple[str, ...]
    templates: dict[str, str]
    checklists: dict[str, str]
    deployment: tuple[str, ...]
    private_keys: tuple[str, ...]
    unreadable: tuple[str, ...]


def find(folder: Folder, deadline: float | None = None) -> Items:
    """Look at every file once; what cannot be read is noted in the folder."""
    layouts = _layouts(folder)
    rest = [name for name in sorted(folder.files) if not _in_layout(name, layouts)]
    archives = [name for name in rest if _is_archive(folder, name, deadline)]
    rest = [name for name in rest if name not in set(archives)]
    documents = {name: text for name in rest if _is_short(folder, name) and (text := folder.text(name)) is not None}
    scans = dict(_artifacts(folder, rest))
    templates = _templates(documents)
    checklists = _checklists(documents)
    return Items(
        images=tuple(sorted([*(name or "." for name in layouts), *archives])),
        artifacts=scans,
        guides=tuple(name for name, text in documents.items() if guidance.is_database_guide(name, text)),
        templates=templates,
        checklists=checklists,
        deployment=tuple(name for name in rest if name not in scans and _is_deployment(folder, name)),
        private_keys=tuple(name for name, text in documents.items() if _PRIVATE_KEY.search(text)),
        unreadable=tuple(name for name in rest if is_unreadable(name)),
    )


def _is_short(folder: Folder, name: str) -> bool:
    return folder.files[name].size <= _TEXT_LIMIT and not name.lower().endswith((".json", ".mjs", ".js"))


def _layouts(folder: Folder) -> list[str]:
    """Return the folders that hold an image as its blobs."""
    found = {posixpath.dirname(name) for name in folder.files if posixpath.basename(name) == "oci-layout"}
    for name in folder.files:
        above, blobs, _ = name.rpartition("blobs/sha256/")
        if blobs and (not above or above.endswith("/")):
            found.add(above.rstrip("/"))
    outermost = [name for name in found if not any(_in_layout(name, [other]) for other in found if other != name)]
    return sorted(outermost)


def _in_layout(name: str, layouts: list[str]) -> bool:
    """Tell whether a file is a part of one of these layouts, and nothing that only lies beside."""
    prefixes = (f"{layout}/" if layout else "" for layout in layouts)
    return any(name.startswith(prefix) and _LAYOUT.match(name.removeprefix(prefix)) for prefix in prefixes)


def _is_archive(folder: Folder, name: str, deadline: float | None) -> bool:
    if folder.members[name].kind == "link":  # what it leads to is looked at under its own name
        return False
    head = folder.head(name)
    like = head[257:262] == b"ustar" or packing(head) or _ARCHIVE_NAME.match(name)
    return bool(like) and image.recognise(folder.at(name), deadline) is not None


def _is_deployment(folder: Folder, name: str) -> bool:
    """Tell whether a file may say what is deployed: by its name, or as JSON by what manifests of Kubernetes hold."""
    if not name.lower().endswith(".json"):
        return _DEPLOYMENT.match(posixpath.basename(name)) is not None
    return _OBJECT.search(folder.text(name) or "") is not None


def _artifacts(folder: Folder, names: list[str]) -> Iterator[tuple[str, Scan]]:
    """Yield what is called an artifact, and any other JSON file that says it is an application."""
    for name in names:
        called = _ARTIFACT_NAME.match(posixpath.basename(name)) is not None
        if not called and not name.lower().endswith(".json"):
            continue
        try:
            descriptor = folder.open(name)
        except OSError as error:
            folder.failures.append(f"{name}: {error.strerror}")
            continue
        try:
            scan = artifact.scan(descriptor)
        finally:
            os.close(descriptor)
        if called or (scan.state == "intact" and (scan.protocol or scan.name)):
            yield name, scan


def _templates(documents: dict[str, str]) -> dict[str, str]:
    return {
        name: text
        for name, text in documents.items()
        if template.is_named(name) or (template.may_be_one(name) and template.sets_product(text))
    }


def _checklists(documents: dict[str, str]) -> dict[str, str]:
    """Return what is called a checklist and says something, and what reads like one."""
    documents = {name: text for name, text in documents.items() if name not in checksums.NAMES}
    return {
        name: text
        for name, text in documents.items()
        if (checklist.is_named(name) and text.strip()) or checklist.is_checklist(name, text)
    }
