"""The facts about an image that was delivered: what it is called, what it runs, and what it brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from airgap_check.release.trouble import Trouble

Form = Literal["oci-layout", "oci-archive", "docker-archive", "docker-save"]


class Packaged(NamedTuple):
    """A package of Node found inside an image; ``version`` is None where its package.json could not be read.

    ``path`` is that of the package.json, without a leading slash; ``engines`` are the pairs of the field of that name.
    """

    path: str
    name: str
    version: str | None
    engines: tuple[tuple[str, str], ...] = ()


class Delivered(NamedTuple):
    """One image of an archive.

    ``id`` is the digest of its configuration, ``digest`` that of its manifest, None where the form cannot prove it;
    both as ``sha256:...``. ``digests`` also holds those of the indexes that lead to it, which a pin may name instead.
    ``platform`` is ``os/architecture[/variant]``. ``environment`` holds the values as they are, secrets included:
    redact before they are shown.
    """

    references: tuple[str, ...]
    id: str
    digest: str | None
    platform: str
    environment: tuple[tuple[str, str], ...]
    user: str
    working_directory: str
    command: tuple[str, ...]
    created: str | None
    packages: tuple[Packaged, ...]
    digests: tuple[str, ...] = ()


class Examined(NamedTuple):
    """What an archive or folder holds; ``form`` is None where it holds no image that we know how to read.

    ``incomplete`` says why not all of it was examined, and is empty where all was.
    """

    form: Form | None
    images: tuple[Delivered, ...]
    findings: tuple[Trouble, ...]
    incomplete: str
