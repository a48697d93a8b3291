"""Compares what runs with what ran before, and with what is configured: changed, restarted, ready to go back."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.immutability import stated
from airgap_check.history.store import Sighting
from airgap_check.kernel import stored_file, stored_image
from airgap_check.objectos import state
from airgap_check.redact import REDACTED, printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.collectors.immutability import Kept
    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import Runtime, Setting
    from airgap_check.evidence.asset import Check, Image
    from airgap_check.history.store import Store

_TRIED = 5  # earlier versions that are looked for; who keeps more keeps the latest
_SPECIFIER = re.compile(r"%[A-Za-z]")  # of systemd, which knows alone what it puts there


class Running(NamedTuple):
    """One process of the product with all that is known of it; ``started`` is in seconds since the epoch."""

    installation: Installation
    runtime: Runtime
    kept: tuple[Kept, ...]
    started: float

    @property
    def owner(self) -> str:
        """Name whose past this is, so that a restart does not make another of it: a container's id would."""
        workload = self.installation.workload
        if self.runtime.image:
            return f"image {_repository(self.runtime.image)}"
        return f"{workload.kind} {workload.name}" if workload else self.installation.product


def sightings(running: Running, now: datetime) -> Iterator[Sighting]:
    """List what is to be remembered of it."""
    for kept in running.kept:
        if kept.file and kept.artifact.sha256:
            digest = f"sha256:{kept.artifact.sha256}"
            yield Sighting("artifact", running.owner, kept.file.place, digest, kept.artifact.path, now, now)
    name = running.runtime.image or running.runtime.digest or ""
    digest = running.runtime.digest or name.partition("@")[2]
    if digest:
        yield Sighting("image", running.owner, _repository(name), digest, name, now, now)


def changes(running: Running, store: Store) -> Iterator[Check]:
    """Say whether a path has ever held another content than it does now."""
    for kept in running.kept:
        path, digest = kept.artifact.path, kept.artifact.sha256
        if not kept.file or not digest:
            yield stated(running.installation, "artifact-changed", path, "unknown", "it could not be read", path=path)
            continue
        others = [one for one in store.at("artifact", kept.file.place) if one.digest != f"sha256:{digest}"]
        if others:
            earlier = others[0]
            detail = (
                f"holds sha256:{digest[:16]}..., and held {earlier.digest[:23]}... until {earlier.last:%Y-%m-%d %H:%M}"
            )
            yield stated(running.installation, "artifact-changed", path, "failed", detail, path=path)
        else:
            yield stated(running.installation, "artifact-changed", path, "passed", f"sha256:{digest}", path=path)


def way_back(running: Running, store: Store, current: Collection[str]) -> Check:
    """Say whether an earlier artifact or image is still there, whole; ``current`` are the digests that run now."""
    lost: list[str] = []
    doubtful: list[str] = []
    subject = printable(running.owner)
    for kind in ("artifact", "image"):
        earlier = [one for one in store.of(kind, running.owner) if one.digest not in current]
        for one in earlier[:_TRIED]:
            trouble = _trouble(one, running.installation)
            if trouble is None:
                detail = f"{printable(one.path)} with {one.digest[:23]}... is there, whole"
                return stated(running.installation, "rollback", subject, "passed", detail)
            named = f"{printable(one.path)} with {one.digest[:23]}..."
            if _came_with_image(one, running):
                doubtful.append(f"{named} came with an image, and whether that is still here is not known")
            else:
                lost.append(f"{named} {trouble}")
    if lost:
        return stated(running.installation, "rollback", subject, "failed", "; ".join(lost))
    if doubtful:
        return stated(running.installation, "rollback", subject, "unknown", "; ".join(doubtful))
    return stated(running.installation, "rollback", subject, "passed", "nothing earlier is known to have run here")


def _came_with_image(one: Sighting, running: Running) -> bool:
    workload = running.installation.workload
    return workload is not None and workload.kind == "container" and one.place.startswith(f"{stored_file.LAYERS} ")


def _trouble(one: Sighting, installation: Installation) -> str | None:
    """Say what is wrong with an earlier version, None where it is as it was."""
    if one.kind == "image":
        return stored_image.trouble(one.digest)
    troubles = []
    # The path that it was known by may be a link, or a mount, that leads to its successor now.
    places = [(os.getpid(), path) for path in stored_file.paths(one.place)]
    for pid, path in [*places, (installation.thread, one.path)]:
        try:
            found = f"sha256:{stored_file.digest(pid, path)}"
        except OSError as error:
            gone = error.errno in {errno.ENOENT, errno.ENOTDIR}
            troubles.append("is gone" if gone else f"cannot be read: {error.strerror}")
        else:
            if found == one.digest:
                return None
            troubles.append("has another content now")
    return troubles[0]


def restart(running: Running, settings: Iterable[Setting], images: Iterable[Image]) -> Check:
    """Say whether what is configured has been changed since it was started."""
    installation = running.installation
    reasons = [
        *_changed_files(running, settings),
        *_changed_settings(running, settings),
        *_changed_images(running, images),
    ]
    if _program_replaced(installation):
        reasons.append("its program has been replaced on disk")
    subject = printable(installation.process.name or str(installation.process.pid))
    detail = "; ".join(dict.fromkeys(reasons)) or "nothing has changed since it started"
    return stated(installation, "restart", subject, "failed" if reasons else "passed", detail)


def _changed_files(running: Running, settings: Iterable[Setting]) -> Iterator[str]:
    for kept in running.kept:
        if kept.file and kept.file.changed > running.started:
            yield f"{kept.artifact.path} was changed after it started"
    pid = running.installation.process.pid
    given = (one.place for one in settings if one.place.kind == "file" and one.role != "registry")
    for path in {place.path for place in given if place.pid == pid}:  # package managers read their files themselves
        try:
            changed = stored_file.examine(running.installation.thread, path or "").changed
        except OSError:
            continue
        if changed > running.started:
            yield f"{path} was changed after it started"


def _changed_settings(running: Running, settings: Iterable[Setting]) -> Iterator[str]:
    """Compare what its unit says with what it was started with; secrets, and artifacts, are for others to compare."""
    workload = running.installation.workload
    for one in settings:
        if one.place.kind != "unit" or not workload or one.place.unit != workload.id or one.role == "artifact":
            continue
        if one.posture == "unset":  # what a deployment file does not say
            continue
        given = running.installation.settings.get(one.name)
        if given is None:
            yield f"{one.place.path} gives {one.name}, which it was not started with"
        elif REDACTED not in one.value and _is_other(one.value, given):
            yield f"{one.place.path} gives {one.name} another value than it was started with"


def _is_other(shown: str, given: str) -> bool:
    """Compare a value as a record shows it, cut and made printable, with a real one."""
    if _SPECIFIER.search(shown.replace("%%", "")):
        return False
    shown = shown.replace("%%", "%")
    return shown != printable(given)[: len(shown)] or (not shown and bool(given))


def _changed_images(running: Running, images: Iterable[Image]) -> Iterator[str]:
    image, digest = running.runtime.image, running.runtime.digest
    now = stored_image.named(image) if image and digest else None
    if now and now != digest:
        yield f"{image} is another image on this host now ({now[:23]}...)"
    for one in images:
        if image and one.reference and _repository(one.reference) == _repository(image) and one.reference != image:
            yield f"{one.path} asks for {one.reference}, and it runs {image}"


def _program_replaced(installation: Installation) -> bool:
    try:
        return os.readlink(f"/proc/{installation.thread}/exe").endswith(" (deleted)")
    except OSError:
        return False


def configured(running: Running, settings: Sequence[Setting], images: Iterable[Image]) -> Iterator[Check]:
    """Say whether the artifact that it runs is the one that its unit, or the deployment file of its image, names."""
    installation, artifact = running.installation, running.runtime.artifact
    pin = state.pin(installation.settings.get("OS_ARTIFACT_URL", ""))
    for kept in running.kept:
        if pin and kept.artifact.sha256 and pin != kept.artifact.sha256:
            detail = f"is sha256:{kept.artifact.sha256}, and OS_ARTIFACT_URL pins sha256:{pin}"
            yield stated(
                installation, "artifact-running", kept.artifact.path, "failed", detail, path=kept.artifact.path
            )
    files = _files_of(running.runtime.image, images)
    wanted = [one for one in settings if one.role == "artifact" and one.value and _is_for(one, installation, files)]
    if not artifact or not wanted:
        return
    if any(installation.path(one.value) == installation.path(artifact) or one.value == artifact for one in wanted):
        yield stated(installation, "artifact-running", artifact, "passed", "it is what is configured", path=artifact)
    else:
        one = wanted[0]
        detail = f"runs, and {one.place.path} names {one.value}"
        yield stated(installation, "artifact-running", artifact, "failed", detail, path=artifact)


def _files_of(image: str | None, images: Iterable[Image]) -> set[str | None]:
    """Return the deployment files that ask for an image, whatever its version."""
    if image is None:
        return set()
    return {one.path for one in images if one.reference and _repository(one.reference) == _repository(image)}


def _is_for(setting: Setting, installation: Installation, files: set[str | None]) -> bool:
    workload, place = installation.workload, setting.place
    if place.kind == "unit":
        return bool(workload and workload.id == place.unit)
    return place.kind in {"compose", "kubernetes"} and place.path in files


def _repository(reference: str) -> str:
    """Return an image's name without tag and digest; the port of a registry is no tag."""
    name = reference.partition("@")[0]
    before, slash, last = name.rpartition("/")
    return f"{before}{slash}{last.partition(':')[0]}"
