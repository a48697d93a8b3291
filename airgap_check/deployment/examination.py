"""Says of each service what a rule may ask: is its image pinned, is it held back, may it write to its artifact, ..."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from airgap_check.deployment import image_reference
from airgap_check.deployment.product_service import artifact_paths
from airgap_check.evidence.asset import Check, Image
from airgap_check.redact import REDACTED, is_secret_name, printable, value
from airgap_check.redact.names import names_a_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.deployment.service import Isolation, Mount, Remark, Service
    from airgap_check.evidence.asset import Outcome

_PULLING = frozenset({"always", "build", "daily", "weekly", "newer", "autoupdate=registry"})
_TITLES = {"compose": "service ", "kubernetes": "", "unit": "", "dockerfile": "Dockerfile stage "}


def check(
    aspect: str, subject: str, outcome: Outcome, detail: str, at: tuple[str, int | None], *, pointer: str | None = None
) -> Check:
    """State one thing, in printable words; ``at`` is the file and line."""
    path, line = at
    return Check(
        aspect=aspect,
        subject=printable(subject)[:256],
        outcome=outcome,
        detail=printable(detail)[:500],
        path=printable(path),
        line=line,
        pointer=pointer,
        seen="deployment",
    )


def title(service: Service) -> str:
    """Name a service as its own world does."""
    return f"{_TITLES[service.kind]}{service.name}"


def examine(service: Service) -> Iterator[Check]:
    """Yield what there is to say of one service."""
    if service.kind != "dockerfile":
        yield from _privileges(service)
        if service.image is not None:
            yield from pinned(title(service), service.image, *service.image_at)
            yield _pull(service)
        if service.complete:
            detail = "is built where it runs" if service.builds else "is not built here"
            yield check("builds-on-host", title(service), _failed(service.builds), detail, (service.path, service.line))
        yield from _artifact_mounts(service)
        if service.isolation:
            yield isolated(title(service), service.isolation)
    yield from _secrets(service)


def _failed(condition: object) -> Outcome:
    return "failed" if condition else "passed"


def _privileges(service: Service) -> Iterator[Check]:
    for one in service.privileges:
        yield check("privileges", title(service), "failed", one.detail, (one.path, one.line), pointer=one.detail[:64])
    if service.complete and not service.privileges:
        yield check("privileges", title(service), "passed", "has none", (service.path, service.line))


def pinned(subject: str, image: str, path: str, line: int | None) -> Iterator[Check]:
    """Say whether an image is named by what it holds, by a tag, or by a tag that moves."""
    reference = image_reference.parse(image)
    shown = printable(image)[:256]
    if reference is None:
        yield check("image-floating", subject, "unknown", f"{shown or 'nothing'} is no image reference", (path, line))
        return
    if reference.is_floating():
        tag = reference.tag or "no tag, which means latest"
        yield check("image-floating", subject, "failed", f"{shown} ({tag})", (path, line))
        return
    yield check("image-floating", subject, "passed", shown, (path, line))
    yield check("image-digest", subject, _failed(reference.digest is None), shown, (path, line))


def image_of(service: Service) -> Image | None:
    """Return the image that a service asks for."""
    reference = image_reference.parse(service.image) if service.image else None
    if reference is None or service.image is None:
        return None
    path, line = service.image_at
    return Image(
        reference=printable(service.image)[:512],
        digest=reference.digest,
        path=printable(path),
        line=line,
        seen="deployment",
    )


def _pull(service: Service) -> Check:
    policy = (service.pull_policy or "").lower()
    pulls = policy in _PULLING or policy.startswith("every_")
    detail = f"{service.pull_policy}: asks a registry" if pulls else service.pull_policy or "only where it is missing"
    return check("pull-policy", title(service), _failed(pulls), detail, service.pull_at)


def isolated(subject: str, isolation: Isolation) -> Check:
    """State whether a network keeps a service inside; one that leads through the host is asked apart."""
    aspect = "network-internal" if isolation.by_host else "network-isolation"
    return check(aspect, subject, isolation.outcome, isolation.detail, (isolation.path, isolation.line))


def _artifact_mounts(service: Service) -> Iterator[Check]:
    """Say of the mount that each artifact comes through whether the service could write to it."""
    found: dict[Mount, str] = {}
    for path in artifact_paths(service):
        covering = [mount for mount in service.mounts if _covers(mount.target, path)]
        if covering:
            found[max(covering, key=lambda mount: len(posixpath.normpath(mount.target)))] = path
    for mount in service.mounts:
        if posixpath.basename(mount.target.rstrip("/")) == "objectstack.json":
            found.setdefault(mount, mount.target)
    for mount, path in found.items():
        detail = f"{path} comes through the mount of {mount.target}, which is "
        detail += "writable" if mount.writable else "read-only"
        at = (mount.path, mount.line)
        pointer = printable(mount.target)[:256]
        yield check("artifact-mount", title(service), _failed(mount.writable), detail, at, pointer=pointer)


def _covers(target: str, path: str) -> bool:
    target = posixpath.normpath(target)
    return path == target or path.startswith(target.rstrip("/") + "/")


def _secrets(service: Service) -> Iterator[Check]:
    for one in service.variables:
        if one.hidden or not one.text or not _is_secret(one.name, one.text):
            continue
        apart = one.path != service.path  # a value that was filled in here stands in a .env file
        readable = _readers(one.path) if apart and not one.inline else ""
        if one.inline or readable:
            detail = f"{one.name} stands there in clear{readable}"
            pointer = printable(one.name)[:128]
            yield check("secret-in-file", title(service), "failed", detail, (one.path, one.line), pointer=pointer)


def readable_secret(name: str, text: str, path: str, line: int | None) -> Iterator[Check]:
    """State that a secret stands in a file of variables that everybody can read."""
    if text and _is_secret(name, text) and (readable := _readers(path)):
        detail = f"{name} stands there in clear{readable}"
        yield check(
            "secret-in-file", os.path.basename(path), "failed", detail, (path, line), pointer=printable(name)[:128]
        )


def _is_secret(name: str, text: str) -> bool:
    """Tell whether a variable holds a secret: by its name, or as a URL with credentials in it."""
    if is_secret_name(name):
        return not names_a_file(name, text) and not text.startswith("/run/secrets/")
    return "://" in text and REDACTED in value(name, text)


def _readers(path: str) -> str:
    """Say that everybody on this host may read a file; nothing where that is not so."""
    try:
        return " in a file that everybody can read" if os.stat(path).st_mode & 0o004 else ""
    except OSError:
        return ""


def fetching(subject: str, remarks: Iterable[Remark], path: str) -> Iterator[Check]:
    """State what would be fetched from elsewhere."""
    remarks = list(remarks)
    for one in remarks:
        pointer = printable(one.detail)[:128]
        yield check("fetches", subject, "failed", one.detail, (one.path, one.line), pointer=pointer)
    if not remarks:
        yield check("fetches", subject, "passed", "fetches nothing that is known to", (path, None))
