"""Images in an archive of `docker save`: the old form, and the `manifest.json` that the new one carries along.

After Docker's image specification v1.2, "Combined Image JSON + Filesystem Changeset Format". The old form holds no
manifest, so that no digest of one, and no pin, can be proven by it; the id of an image is that of its configuration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.release import configuration, machine, manifest, reference
from airgap_check.release.trouble import BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airgap_check.release.blob import Blob, Inventory
    from airgap_check.release.delivered import Delivered
    from airgap_check.release.manifest import Saved
    from airgap_check.release.oci import Graph
    from airgap_check.release.trouble import Ledger

ROOT = "manifest.json"
TAGS = "repositories"
_MOST_IMAGES = 1_000
_CONFIGURATION = re.compile(r"(?:blobs/sha256/|sha256:)?([0-9a-f]{64})(?:\.json)?\Z")
_ID = re.compile(r"[0-9a-f]{64}\Z")
_COMPANION = re.compile(r"[0-9a-f]{64}/(?:VERSION|json)\Z")  # of each layer, for Docker before 1.10


def saved(inventory: Inventory, ledger: Ledger) -> list[Saved]:
    """Read `manifest.json`; what is wrong with it is told, and gives none."""
    blob = inventory.find(ROOT)
    try:
        return _entries(manifest.read(blob.document if blob else None))
    except BrokenError as error:
        ledger.fail("image-malformed", ROOT, str(error))
        return []


def _entries(content: object) -> list[Saved]:
    if not isinstance(content, list):
        raise BrokenError("is no list of images")
    if not 0 < len(content) <= _MOST_IMAGES:
        raise BrokenError(f"names {len(content):,} images")
    return [manifest.convert(entry, manifest.Saved) for entry in content]


def examine(inventory: Inventory, ledger: Ledger, platform: str) -> tuple[Delivered, ...]:
    """Examine the images of an archive in the old form."""
    entries = saved(inventory, ledger)
    referenced = {ROOT, TAGS}
    images = [image for entry in entries if (image := _image(entry, inventory, ledger, platform, referenced))]
    check_tags(entries, inventory, ledger)
    if entries and inventory.whole and not ledger.mentions("image-missing-blob"):
        for blob in inventory.blobs.values():
            if blob.name not in referenced and not _COMPANION.match(blob.name):
                ledger.fail("image-unreferenced", blob.name, f"nothing leads to these {blob.size:,} bytes")
    return tuple(images)


def _image(entry: Saved, inventory: Inventory, ledger: Ledger, platform: str, referenced: set[str]) -> Delivered | None:
    stack = [_fetch(name, inventory, ledger, referenced) for name in entry.layers or ()]
    blob = _fetch(entry.config, inventory, ledger, referenced)
    if blob is None:
        return None
    lying = _check_id(entry.config, blob, ledger)
    try:
        stated = configuration.read(blob)
    except BrokenError as error:
        if not lying:
            ledger.fail("image-malformed", blob.name, f"the configuration {error}")
        return None
    names = entry.repo_tags or []
    subject = names[0] if names else blob.name
    configuration.check_layers(stated, stack, set(), subject, ledger)
    check_names(names, subject, ledger)
    if not machine.runs(str(stated.platform), platform):
        ledger.fail("image-platform", subject, f"is for {stated.platform}, this host {platform}")
    ledger.fail("image-digest-unprovable", subject, "the archive holds no manifest, so that no pin can be compared")
    return configuration.deliver(stated, blob, stack, names, None)


def _fetch(name: str, inventory: Inventory, ledger: Ledger, referenced: set[str]) -> Blob | None:
    blob = inventory.find(name)
    referenced |= {name, blob.name} if blob else {name}
    if blob is None and inventory.whole:
        ledger.fail("image-missing-blob", name, "is referred to, but not there")
    return blob


def _check_id(name: str, blob: Blob, ledger: Ledger) -> bool:
    """Compare a configuration with the digest that is its name, and tell whether it lies."""
    match = _CONFIGURATION.match(name)
    if not match:
        ledger.fail("image-malformed", name, "a configuration is called by its digest")
    elif blob.digest != f"sha256:{match[1]}":
        ledger.fail("image-blob", name, f"its content has the digest {blob.digest}")
        return True
    return False


def check_names(names: Iterable[str], subject: str, ledger: Ledger) -> None:
    """State an image without a name, and names that are none."""
    names = list(names)
    if not names:
        ledger.fail("image-reference", subject, "has no name, so that nothing can ask for it")
    for name in names:
        parsed = reference.parse(name)
        if parsed is None or not parsed.tag:
            ledger.fail("image-reference", subject, f"{name!r} is no name and tag of an image")


def check_tags(entries: Iterable[Saved], inventory: Inventory, ledger: Ledger) -> None:
    """Compare the names in `repositories`, which old readers believe, with those in `manifest.json`."""
    blob = inventory.find(TAGS)
    if blob is None:
        return
    try:
        content = manifest.read(blob.document)
    except BrokenError as error:
        ledger.fail("image-malformed", TAGS, str(error))
        return
    listed = {
        f"{name}:{tag}"
        for name, tags in (content.items() if isinstance(content, dict) else ())
        for tag in (tags if isinstance(tags, dict) else ())
    }
    named = {name for entry in entries for name in entry.repo_tags or ()}
    for name in sorted(listed ^ named):
        where = (TAGS, ROOT) if name in listed else (ROOT, TAGS)
        ledger.fail("image-reference", name, f"stands in {where[0]}, but not in {where[1]}")


def agree(entries: Iterable[Saved], inventory: Inventory, graph: Graph, ledger: Ledger) -> None:
    """Compare `manifest.json`, which Docker loads from, with what `index.json` leads to, which others do."""
    if not graph.whole:
        return
    images = {image.configuration.name: (digest, image) for digest, image in graph.images.items()}
    for entry in entries:
        blob = inventory.find(entry.config)
        digest, image = images.get(blob.name, ("", None)) if blob else ("", None)
        if image is None:
            ledger.fail("image-malformed", ROOT, f"has an image that the index does not lead to: {entry.config}")
            continue
        stack = [found.name if (found := inventory.find(name)) else name for name in entry.layers or ()]
        if stack != [layer.name if layer else "" for layer in image.stack] and None not in image.stack:
            ledger.fail("image-malformed", ROOT, f"has other layers than the manifest of {entry.config}")
        tags = entry.repo_tags or []
        names = graph.named(digest)
        for name in [name for name in names if not any(reference.fits(name, tag) for tag in tags)]:
            ledger.fail("image-reference", name, f"stands in the index, but {ROOT} says {', '.join(tags) or 'none'}")
        for tag in [tag for tag in tags if names and not any(reference.fits(name, tag) for name in names)]:
            ledger.fail("image-reference", tag, f"stands in {ROOT}, but the index says {', '.join(names)}")


def legacy_configurations(inventory: Inventory) -> set[str]:
    """Name the blobs that Docker 25 adds for readers before 1.10: a configuration of each layer, in the oldest form."""
    names = set()
    for blob in inventory.blobs.values():
        if blob.document is None or not blob.name.startswith("blobs/"):
            continue
        try:
            content = manifest.read(blob.document)
        except BrokenError:
            continue
        if isinstance(content, dict) and "created" in content and _ID.match(str(content.get("id"))):
            names.add(blob.name)
    return names
