"""What a rule sees of what is delivered, installed and reached."""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence import Allowed, Runtime
from airgap_check.evidence.asset import Artifact, Check, Image, Opening, Package, Probe, Reference
from airgap_check.evidence.fact import Endpoint
from airgap_check.view.base import WHO, View


class RuntimeView(View, frozen=True, kw_only=True):
    """A process of the product.

    ``open`` tells whether it would talk to the public control plane: *yes* where nothing was said and that means
    public; *unknown* where the product or version is, or where the policy wants a word that may have no meaning here.
    ``approved`` tells whether the policy lists its image, *none* where the policy lists no images, or it has none.
    """

    identity = ("record.product", "record.image", "record.digest", *WHO)

    record: Runtime
    open: Literal["yes", "no", "unknown"]
    approved: Literal["yes", "no", "unknown", "none"]


class ArtifactView(View, frozen=True, kw_only=True):
    """An artifact; ``approved`` tells whether the policy lists its digest, *none* where it lists none."""

    identity = ("record.path", "record.state", "record.sha256")

    record: Artifact
    where: str
    approved: Literal["yes", "no", "unknown", "none"]


class ReferenceView(View, frozen=True, kw_only=True):
    """A destination that something names, and what the allowlist says of it.

    ``target`` is as people write it, ``remote`` its worst known address; of a template both are what stands there.
    ``public`` tells whether it belongs to the public internet, by its address, or by its name where none is known.
    """

    identity = ("record.path", "record.pointer", "target", *WHO)

    record: Reference
    where: str
    target: str
    remote: Endpoint
    public: Literal["yes", "no", "unknown"]
    allowed: Allowed


class CheckView(View, frozen=True, kw_only=True):
    """One thing that had to be so; ``where`` is its place as people write it."""

    identity = ("record.aspect", "record.subject", "record.path", "record.pointer")

    record: Check
    where: str


class PackageView(View, frozen=True, kw_only=True):
    """An installed package; ``listed`` tells whether the policy names it, ``intact`` whether it has a listed digest."""

    identity = ("record.id", "record.path", "record.sha256", *WHO)

    record: Package
    listed: Literal["yes", "no"]
    intact: Literal["yes", "no", "unknown"]


class ImageView(View, frozen=True, kw_only=True):
    """An image; ``approved`` tells whether the policy lists its id or digest, *none* where it lists none."""

    identity = ("record.reference", "record.id", "record.digest", "record.path", *WHO)

    record: Image
    where: str
    approved: Literal["yes", "no", "unknown", "none"]


class OpeningView(View, frozen=True, kw_only=True):
    """What a network policy lets pass; ``allowed`` only where the allowlist approves every address and port of it."""

    identity = ("record.subject", "record.network", "record.peer", "record.ports", "record.protocol", "record.path")

    record: Opening
    where: str
    target: str
    allowed: Allowed


class ProbeView(View, frozen=True, kw_only=True):
    """An attempt of ours; ``target`` as people write it, ``days_left`` of the certificate shown."""

    identity = ("record.purpose", "record.protocol", "target", *WHO)

    record: Probe
    target: str
    days_left: int | None = None
