"""What the configuration of an image says, and whether the layers are the ones that it was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.redact import printable
from airgap_check.release import layer as layers
from airgap_check.release import manifest
from airgap_check.release.delivered import Delivered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airgap_check.release.blob import Blob
    from airgap_check.release.manifest import Configuration
    from airgap_check.release.trouble import Ledger


def read(blob: Blob) -> Configuration:
    """Read the configuration of an image. Raises `BrokenError`."""
    return manifest.convert(manifest.read(blob.document), manifest.Configuration)


def check_layers(
    stated: Configuration, stack: Sequence[Blob | None], lying: set[str], subject: str, ledger: Ledger
) -> None:
    """Compare the layers, the lowest first, with the digests that the configuration holds of them unpacked.

    Of a layer that is missing, or whose bytes are not those of its name, that was said already.
    """
    promised = stated.rootfs.diff_ids
    if len(promised) != len(stack):
        ledger.fail("image-diff-id", subject, f"{len(stack)} layers, but {len(promised)} digests of layers")
        return
    for blob, diff_id in zip(stack, promised, strict=True):
        if blob is None or blob.name in lying:
            continue
        held = blob.layer
        if held is None:
            ledger.fail("image-malformed", blob.name, "is a layer, but holds no archive")
        elif held.unread:
            ledger.add("image-diff-id", "unknown", blob.name, f"the layer {held.unread}")
        elif held.diff_id != diff_id and held.diff_id is not None:
            ledger.fail("image-diff-id", blob.name, f"unpacks to {held.diff_id}, the configuration says {diff_id}")
        elif held.fault:
            ledger.fail("image-malformed", blob.name, f"the layer makes no sense: {held.fault}")


def deliver(
    stated: Configuration, blob: Blob, stack: Sequence[Blob | None], references: Sequence[str], digest: str | None
) -> Delivered:
    """Put together what is known of an image."""
    process = stated.config or manifest.Process()
    contents = [blob.layer.contents for blob in stack if blob and blob.layer and blob.layer.contents]
    return Delivered(
        references=tuple(references),
        id=blob.digest,
        digest=digest,
        platform=printable(str(stated.platform)),
        environment=tuple(_pair(entry) for entry in process.env or ()),
        user=printable(process.user or ""),
        working_directory=printable(process.working_dir or ""),
        command=(*(process.entrypoint or ()), *(process.cmd or ())),
        created=printable(stated.created) if stated.created else None,
        packages=layers.merged(contents),
    )


def _pair(entry: str) -> tuple[str, str]:
    name, _, value = entry.partition("=")
    return name, value
