"""Compares what the deployment files of a bundle ask for with the images that it delivers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.deployment import image_reference
from airgap_check.release.remark import check, either

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.deployment import Service
    from airgap_check.deployment.image_reference import Reference
    from airgap_check.evidence.asset import Check, Outcome
    from airgap_check.release.delivered import Delivered

_FETCHING = frozenset({"always", "build", "daily", "weekly", "newer"})
_DEFAULT_PREFIXES = ("index.docker.io/", "docker.io/", "localhost/")  # what tools write in front of a bare name


def checks(services: Sequence[Service], images: Sequence[Delivered], *, complete: bool) -> Iterator[Check]:
    """Say of each service whether the bundle brings what it needs; ``complete``: these are all images."""
    for service in services:
        if service.kind not in {"compose", "kubernetes", "unit"}:
            continue
        at = service.image_at[0] or service.path
        line = service.image_at[1] or service.line
        if service.complete or service.builds:
            detail = "is built where it runs" if service.builds else "is not built here"
            yield check(
                "service-build", service.name, either(not service.builds), detail, path=service.path, line=service.line
            )
        unknown = service.kind == "compose" and service.complete and not service.builds
        if service.image is not None or unknown:
            for aspect, (outcome, text) in _image(service.image or "", images, complete=complete).items():
                yield check(aspect, service.name, outcome, text, path=at, line=line)
            outcome, text = _pull(service.pull_policy)
            path, line = service.pull_at if service.pull_at[0] else (at, line)
            yield check("service-pull", service.name, outcome, text, path=path, line=line)


def ambiguous(images: Sequence[Delivered]) -> Iterator[Check]:
    """Say of each name whether it stands for one image alone: of two, the one that is loaded last has it."""
    bearers: dict[tuple[str, str], dict[str, str]] = {}
    for image in images:
        for text in image.references:
            named = image_reference.parse(text)
            if named and not named.digest:
                key = (f"{_name(named.name)}:{named.tag or 'latest'}", image.platform)
                bearers.setdefault(key, {})[image.id] = text
    for (_, platform), ids in bearers.items():
        if len(ids) > 1:
            detail = f"is the name of {len(ids)} different images for {platform}: {', '.join(sorted(ids))}"
            yield check("image-name", next(iter(ids.values())), "failed", detail)
    if all(len(ids) == 1 for ids in bearers.values()):
        yield check("image-name", "images", "passed", "every name stands for one image")


def _pull(policy: str | None) -> tuple[Outcome, str]:
    word = (policy or "").strip().lower()
    if word in _FETCHING or word.startswith("every_"):
        return "failed", f"the pull policy {word} asks a registry at every start"
    return "passed", f"pull policy: {word or 'none, so that a loaded image is used'}"


def _image(text: str, images: Sequence[Delivered], *, complete: bool) -> dict[str, tuple[Outcome, str]]:
    """Judge one reference by what is delivered."""
    wanted = image_reference.parse(text)
    if wanted is None:
        unread: tuple[Outcome, str] = ("unknown", f"{text or 'nothing'} is no image reference as it stands there")
        return {"image-delivered": unread, "image-pin": unread} if images else {"image-pin": unread}
    if any(text in {image.id, image.digest} for image in images):
        return dict.fromkeys(("image-delivered", "image-pin"), ("passed", f"{text} is delivered"))
    found: dict[str, tuple[Outcome, str]] = {}
    if wanted.is_floating():
        found["image-pin"] = ("failed", f"{text} names {wanted.tag or 'no tag, which means latest'}, which moves")
    named = [image for image in images if any(_alike(wanted, reference) for reference in image.references)]
    pinned = [image for image in images if wanted.digest and wanted.digest in {image.digest, *image.digests}]
    if named or pinned:
        found["image-delivered"] = ("passed", f"{text} is delivered")
        found.setdefault("image-pin", _pin(wanted, text, named, pinned))
    elif images:
        missing: Outcome = "failed" if complete else "unknown"
        found["image-delivered"] = (missing, f"{text} is not among the images of the bundle")
    return found


def _pin(wanted: Reference, text: str, named: Sequence[Delivered], pinned: Sequence[Delivered]) -> tuple[Outcome, str]:
    if not wanted.digest:
        return "passed", f"{text} names one release"
    if pinned:
        return "passed", f"{wanted.digest} is what is delivered"
    if any(image.digest is None for image in named):
        return "unknown", f"an archive of this form cannot prove that it holds {wanted.digest}"
    there = ", ".join(sorted({image.digest for image in named if image.digest}))
    return "failed", f"{text} is pinned, but {there} is what is delivered"


def _alike(wanted: Reference, reference: str) -> bool:
    """Tell whether a delivered image is called what a service asks for; digests and moving tags are judged apart."""
    delivered = image_reference.parse(reference)
    if delivered is None or _name(delivered.name) != _name(wanted.name):
        return False
    if wanted.is_floating() or (wanted.tag is None and wanted.digest):
        return True
    return (delivered.tag or "latest") == (wanted.tag or "latest")


def _name(name: str) -> str:
    for prefix in _DEFAULT_PREFIXES:
        name = name.removeprefix(prefix)
    return name.removeprefix("library/")
