"""What a green preflight was for: this boot, this policy, these images and artifacts. Anything else was not cleared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airgap_check.evidence import Runtime
from airgap_check.evidence.asset import Artifact
from airgap_check.evidence.fact import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airgap_check.evidence import Evidence

_TITLES = {"boot_id": "the boot", "policy": "the policy", "images": "an image", "artifacts": "an artifact"}


class Clearance(Fact, frozen=True, kw_only=True):
    """The digests that a preflight vouches for; images and artifacts sorted, each once."""

    boot_id: str | None
    policy: str
    images: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it as canonical JSON."""
        return msgspec.json.encode(self, order="deterministic").decode()

    def changed_since(self, text: str) -> list[str]:
        """Name what is another one than in an earlier clearance."""
        try:
            earlier = msgspec.json.decode(text, type=Clearance)
        except msgspec.DecodeError:
            return ["all of it: it cannot be read"]
        return [title for name, title in _TITLES.items() if getattr(earlier, name) != getattr(self, name)]


def clearance(boot_id: str | None, policy: str, seen: Sequence[Evidence]) -> Clearance:
    """Gather what runs, out of the evidence; ``policy`` is the digest of the policy in force."""
    images = (runtime.digest or runtime.image for evidence in seen for runtime in evidence.of(Runtime))
    artifacts = (artifact.sha256 for evidence in seen for artifact in evidence.of(Artifact))
    return Clearance(boot_id=boot_id, policy=policy, images=_set(images), artifacts=_set(artifacts))


def _set(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
