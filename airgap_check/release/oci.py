"""Images in an OCI layout: from `index.json` to the layers, everything is there and fits.

After the OCI image specification 1.1, image-layout.md.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from airgap_check import redact
from airgap_check.release import configuration, machine, manifest, reference
from airgap_check.release.manifest import INDEXES, MANIFESTS, Descriptor, Index, Layout, Manifest
from airgap_check.release.trouble import BrokenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from airgap_check.release.blob import Blob, Inventory
    from airgap_check.release.delivered import Delivered
    from airgap_check.release.trouble import Ledger

ROOT = "index.json"
MARK = "oci-layout"
_DEEPEST = 4
_MOST_DESCRIPTORS = 20_000
_NAMES = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


class _Image(NamedTuple):
    """An image as its manifest describes it."""

    stated: manifest.Configuration
    configuration: Blob
    stack: tuple[Blob | None, ...]


class Graph:
    """What `index.json` leads to. ``whole`` is False where a part could not be followed."""

    def __init__(
        self,
        inventory: Inventory,
        lying: set[str],
        ledger: Ledger,
        platform: str,
        tags: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Follow it all. ``lying`` names the blobs whose content is not what they are called.

        ``tags`` holds names that another document gives to a configuration, by the name of its blob.
        """
        self.referenced: set[str] = set()
        self.whole = inventory.whole
        self.images: dict[str, _Image] = {}
        self._references: dict[str, dict[str, None]] = {}
        self._above: dict[str, dict[str, None]] = {}
        self._inventory = inventory
        self._lying = lying
        self._ledger = ledger
        self._platform = platform
        self._tags = tags
        self._left = _MOST_DESCRIPTORS
        try:
            self._follow()
        except BrokenError as error:
            self.whole = False
            ledger.fail("image-malformed", ROOT, str(error))

    def delivered(self) -> tuple[Delivered, ...]:
        """Return the images, in the order in which they were found."""
        return tuple(
            configuration.deliver(
                image.stated, image.configuration, image.stack, self.references(digest), digest
            )._replace(digests=(digest, *self._above.get(digest, ())))
            for digest, image in self.images.items()
        )

    def references(self, digest: str) -> tuple[str, ...]:
        """Return the names of an image, those that another document gives it last."""
        own = self._references.get(digest, {})
        return tuple(own | dict.fromkeys(self._tags.get(self.images[digest].configuration.name, ())))

    def named(self, digest: str) -> tuple[str, ...]:
        """Return the names that the index itself gives an image."""
        return tuple(self._references.get(digest, ()))

    def _follow(self) -> None:
        self._check_mark()
        index = self._index(self._document(ROOT))
        for descriptor in index.manifests:
            found = self._visit(descriptor, ())
            names = _names(descriptor)
            for digest in found:
                self._references.setdefault(digest, {}).update(dict.fromkeys(names))
            if found:
                self._check_names(descriptor, names, found)
                self._check_platform(names[0] if names else descriptor.digest, found)
        if not self.images and self.whole and not self._lying:
            self.whole = False
            self._ledger.fail("image-malformed", ROOT, "leads to no image")

    def _check_mark(self) -> None:
        try:
            stated = manifest.convert(self._document(MARK), Layout)
        except BrokenError as error:
            self._ledger.fail("image-malformed", MARK, str(error))
            return
        if stated.imageLayoutVersion != "1.0.0":
            self._ledger.fail("image-malformed", MARK, f"version {stated.imageLayoutVersion} of the layout is unknown")

    def _document(self, name: str) -> object:
        blob = self._inventory.find(name)
        if blob is None:
            raise BrokenError("is missing")
        return manifest.read(blob.document)

    def _index(self, content: object) -> Index:
        index = manifest.convert(content, Index)
        if isinstance(content, dict) and ("layers" in content or "config" in content):
            raise BrokenError("is an index and a manifest at once, so that readers do not agree")
        if index.schemaVersion != 2:
            raise BrokenError(f"schema version {index.schemaVersion} is none that we know")
        return index

    def _visit(self, descriptor: Descriptor, trail: tuple[str, ...]) -> list[str]:
        """Follow a descriptor of an index, and return the digests of the images that it leads to."""
        if self._is_foreign(descriptor, trail):
            return []
        blob = self._fetch(descriptor)
        if blob is None:
            self.whole = False
            return []
        if descriptor.digest in trail or len(trail) >= _DEEPEST:
            raise BrokenError(f"{descriptor.digest}: indexes within indexes without end")
        try:
            content = manifest.read(blob.document)
            kind = _kind(content, descriptor)
            if kind == "manifest":
                return self._manifest(descriptor, content, trail)
            inner = self._index(content)
        except BrokenError as error:
            self.whole = False
            if blob.name not in self._lying:
                self._ledger.fail("image-malformed", blob.name, str(error))
            return []
        return [found for below in inner.manifests for found in self._visit(below, (*trail, descriptor.digest))]

    def _is_foreign(self, descriptor: Descriptor, trail: tuple[str, ...]) -> bool:
        """Tell whether a part of an index for several machines was left out because it is for another one."""
        stated = str(descriptor.platform or "")
        if not trail or not stated or machine.runs(stated, self._platform) or self._inventory.find(descriptor.blob):
            return False
        self._ledger.add("image-missing-blob", "passed", descriptor.blob, f"not delivered: it is for {stated}")
        return True

    def _manifest(self, descriptor: Descriptor, content: object, trail: tuple[str, ...]) -> list[str]:
        stated = manifest.convert(content, Manifest)
        if stated.schemaVersion != 2:
            raise BrokenError(f"schema version {stated.schemaVersion} is none that we know")
        known = descriptor.digest in self.images
        if not stated.is_image:
            for part in (stated.config, *stated.layers):
                self._fetch(part)
            return []
        self._above.setdefault(descriptor.digest, {}).update(dict.fromkeys(trail))
        return [descriptor.digest] if known or self._image(descriptor, stated) else []

    def _image(self, descriptor: Descriptor, stated: Manifest) -> bool:
        """Examine an image; False where its configuration cannot be read."""
        stack = tuple(self._layer(part) for part in stated.layers)
        blob = self._fetch(stated.config)
        if blob is None:
            self.whole = False
            return False
        try:
            said = configuration.read(blob)
        except BrokenError as error:
            if blob.name not in self._lying:
                self._ledger.fail("image-malformed", blob.name, f"the configuration {error}")
            return False
        configuration.check_layers(said, stack, self._lying, blob.name, self._ledger)
        if descriptor.platform and not _agree(descriptor.platform, said.platform):
            self._ledger.fail(
                "image-platform", descriptor.digest, f"the index says {descriptor.platform}, the image {said.platform}"
            )
        self.images[descriptor.digest] = _Image(said, blob, stack)
        return True

    def _layer(self, descriptor: Descriptor) -> Blob | None:
        """Fetch a layer; one that an unpacker would fetch from elsewhere is told instead of its absence."""
        packing = manifest.packing_of(descriptor.mediaType) if manifest.is_layer(descriptor.mediaType) else None
        there = self._inventory.find(descriptor.blob)
        if not there and manifest.stays_elsewhere(descriptor.mediaType) and not descriptor.urls:
            self._ledger.fail("image-foreign-layer", descriptor.digest, "is of a type that is not delivered")
            return None
        blob = self._fetch(descriptor)
        if packing is None:
            self._ledger.fail("image-malformed", descriptor.blob, f"{descriptor.mediaType!r} is no type of a layer")
        elif blob and blob.layer and blob.name not in self._lying and blob.layer.packing != packing:
            said, found = (how or "no compression" for how in (packing, blob.layer.packing))
            self._ledger.fail("image-malformed", blob.name, f"its type says {said}, its content has {found}")
        return blob

    def _fetch(self, descriptor: Descriptor) -> Blob | None:
        """Return the blob of a descriptor, which counts as referenced; None where it is missing, which is told."""
        self._ledger.check_time()
        self._left -= 1
        if self._left < 0:
            raise BrokenError(f"refers to more than {_MOST_DESCRIPTORS:,} blobs")
        name = descriptor.blob
        if descriptor.urls:
            urls = ", ".join(redact.url(url) for url in descriptor.urls[:3])
            self._ledger.fail("image-foreign-layer", descriptor.digest, f"would be fetched from {urls}")
        blob = self._inventory.find(name)
        self.referenced |= {name, blob.name} if blob else {name}
        if blob is None:
            if self._inventory.whole and not descriptor.urls:
                self._ledger.fail("image-missing-blob", name, "is referred to, but not there")
        elif blob.size != descriptor.size and name not in self._lying:
            self._ledger.fail("image-blob", name, f"has {blob.size:,} bytes, its descriptor says {descriptor.size:,}")
        return blob

    def _check_names(self, descriptor: Descriptor, names: list[str], found: list[str]) -> None:
        if not any(self.references(digest) for digest in found):
            self._ledger.fail("image-reference", descriptor.digest, "has no name, so that nothing can ask for it")
        for name in names:
            if reference.parse(name) is None and not reference.is_tag(name):
                self._ledger.fail("image-reference", descriptor.digest, f"{name!r} is no name of an image")

    def _check_platform(self, subject: str, found: list[str]) -> None:
        platforms = sorted({str(self.images[digest].stated.platform) for digest in found})
        if not any(machine.runs(platform, self._platform) for platform in platforms):
            self._ledger.fail("image-platform", subject, f"is for {', '.join(platforms)}, this host {self._platform}")

    def check_unreferenced(self, others: AbstractSet[str], *, inside: str) -> None:
        """State what nothing leads to of what stands ``inside``; who could not follow everything cannot tell."""
        if not self.whole or self._ledger.mentions("image-missing-blob"):
            return
        for blob in self._inventory.blobs.values():
            if blob.name.startswith(inside) and blob.name not in self.referenced and blob.name not in others:
                self._ledger.fail("image-unreferenced", blob.name, f"nothing leads to these {blob.size:,} bytes")


def _names(descriptor: Descriptor) -> list[str]:
    return [name for key in _NAMES if (name := (descriptor.annotations or {}).get(key))]


def _kind(content: object, descriptor: Descriptor) -> str:
    """Tell an index from a manifest. Raises `BrokenError` where its type and its content disagree."""
    if not isinstance(content, dict):
        raise BrokenError("is neither an index nor a manifest")
    own = str(content.get("mediaType") or "")
    said = {kind for kind in (own, descriptor.mediaType) if kind}
    if len(said) > 1:
        raise BrokenError(f"is said to be {descriptor.mediaType!r}, and says itself to be {own!r}")
    kind = "index" if "manifests" in content else "manifest"
    if kind == "manifest" and "layers" not in content:
        raise BrokenError("is neither an index nor a manifest")
    if said and not said <= (INDEXES if kind == "index" else MANIFESTS):
        raise BrokenError(f"is of a type that no {kind} has: {said.pop()!r}")
    if kind == "manifest" and "manifests" in content:
        raise BrokenError("is an index and a manifest at once, so that readers do not agree")
    return kind


def _agree(said: manifest.Platform, found: manifest.Platform) -> bool:
    return (said.os, said.architecture) == (found.os, found.architecture) or str(said) == "unknown/unknown"
