"""The documents of an image: descriptors, indexes, manifests and configurations, read as strictly as they can be meant.

After the OCI image specification 1.1 (descriptor.md, image-index.md, manifest.md, config.md) and Docker's image
manifest V2, schema 2. What two readers could read as two things is refused.
"""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from airgap_check.release.trouble import BrokenError

INDEXES = {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
MANIFESTS = {"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}
CONFIGURATIONS = {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
_OCI_LAYER = "application/vnd.oci.image.layer."
_DOCKER_LAYER = "application/vnd.docker.image.rootfs."
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})\Z")

_D = TypeVar("_D", bound=msgspec.Struct)


class Platform(msgspec.Struct, frozen=True):
    """What a descriptor says of the machine that an image is for."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        """Write it as people do: ``linux/arm/v7``."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(msgspec.Struct, frozen=True):
    """A reference to a blob by what it holds."""

    digest: str
    size: int
    mediaType: str = ""  # noqa: N815  # the name in the document
    urls: list[str] | None = None
    annotations: dict[str, str] | None = None
    platform: Platform | None = None

    @property
    def blob(self) -> str:
        """The name of the blob in a layout. Raises `BrokenError` for a digest that is none."""
        if not _DIGEST.match(self.digest):
            raise BrokenError(f"{self.digest[:80]!r} is no digest")
        return f"blobs/{self.digest.replace(':', '/')}"


class Index(msgspec.Struct, frozen=True):
    """An index: one image for several machines, or the images of a layout."""

    manifests: list[Descriptor]
    schemaVersion: int = 0  # noqa: N815  # the name in the document
    mediaType: str = ""  # noqa: N815  # as above


class Manifest(msgspec.Struct, frozen=True):
    """One image, or anything else that is delivered as one."""

    config: Descriptor
    layers: list[Descriptor]
    schemaVersion: int = 0  # noqa: N815  # the name in the document
    mediaType: str = ""  # noqa: N815  # as above

    @property
    def is_image(self) -> bool:
        """Tell an image from a signature, an attestation or a chart, which are stored like one."""
        layers = [layer for layer in self.layers if is_layer(layer.mediaType)]
        return bool(layers) or (self.config.mediaType in CONFIGURATIONS and not self.layers)


class Process(msgspec.Struct, frozen=True, rename="pascal"):
    """How the process of an image is started."""

    env: list[str] | None = None
    user: str | None = None
    working_dir: str | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the unpacked layers, the lowest first."""

    type: str
    diff_ids: list[str]


class Configuration(msgspec.Struct, frozen=True):
    """The configuration of an image."""

    rootfs: RootFs
    os: str
    architecture: str
    variant: str = ""
    config: Process | None = None
    created: str | None = None

    @property
    def platform(self) -> Platform:
        """The machine that the image is for."""
        return Platform(self.os, self.architecture, self.variant)


class Layout(msgspec.Struct, frozen=True):
    """The file `oci-layout`."""

    imageLayoutVersion: str  # noqa: N815  # the name in the document


class Saved(msgspec.Struct, frozen=True, rename="pascal"):
    """One image in the `manifest.json` of Docker."""

    config: str
    layers: list[str] | None = None
    repo_tags: list[str] | None = None


def is_layer(media_type: str) -> bool:
    """Tell whether a blob of this type is a part of the file system."""
    return media_type.startswith((_OCI_LAYER, _DOCKER_LAYER))


def packing_of(media_type: str) -> str | None:
    """Return how a layer of this type is compressed; None where the type is unknown."""
    if media_type.endswith((".tar+gzip", "diff.tar.gzip")):
        return "gzip"
    if media_type.endswith((".tar+zstd", "diff.tar.zstd")):
        return "zstd"
    return "" if media_type.endswith((".tar", "diff.tar")) else None


def stays_elsewhere(media_type: str) -> bool:
    """Tell whether a layer of this type is not distributed with its image."""
    return "nondistributable" in media_type or "foreign" in media_type


def read(document: bytes | None) -> Any:
    """Read JSON in which no key stands twice, in whatever case. Raises `BrokenError`."""
    if document is None:
        raise BrokenError("is no JSON document of an acceptable size")
    try:
        return json.loads(document, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise BrokenError("is not written in UTF-8") from error
    except json.JSONDecodeError as error:
        raise BrokenError(f"is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise BrokenError("is JSON of a kind that is not meant to be read: numbers too long, or too deep") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Go, in which the consumers are written, reads keys in any case, and the last one wins
    if len({key.casefold() for key, _ in pairs}) < len(pairs):
        raise BrokenError("says the same key twice, so that readers do not agree")
    return dict(pairs)


def convert(content: Any, shape: type[_D]) -> _D:
    """Give a document its shape. Raises `BrokenError`."""
    try:
        return msgspec.convert(content, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BrokenError(f"is not what it should be: {error}") from error
