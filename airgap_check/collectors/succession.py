"""Compares what runs with what ran before, and with what is configured: changed, restarted, ready to go back."""

from __future__ import annotations

import errno
import glob
import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.collectors.immutability import stated
from airgap_check.history.store import Sighting
from airgap_check.kernel import stored_file
from airgap_check.redact import REDACTED, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from airgap_check.asset import Check, Image
    from airgap_check.collectors.immutability import Kept
    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence import Runtime, Setting
    from airgap_check.history.store import Store

_TRIED = 5  # earlier versions that are looked for; who keeps more keeps the latest
_DOCKER_IMAGES = "/var/lib/docker/image/*/imagedb/content/sha256"


class Running(NamedTuple):
    """One process of the product with all that is known of it; ``started`` is in seconds since the epoch."""

    installation: Installation
    runtime: Runtime
    kept: tuple[Kept, ...]
    started: float | None = None

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
    if running.runtime.digest:
        name = running.runtime.image or running.runtime.digest
        yield Sighting("image", running.owner, _repository(name), running.runtime.digest, name, now, now)


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


def way_back(running: Running, store: Store, now: datetime) -> Check:
    """Say whether an earlier artifact or image is still there, whole."""
    current = {(one.kind, one.place, one.digest) for one in sightings(running, now)}
    known = [one for kind in ("artifact", "image") for one in store.earlier(kind, running.owner, now)]
    earlier = [one for one in known if (one.kind, one.place, one.digest) not in current]
    subject = printable(running.owner)
    if not earlier:
        return stated(running.installation, "rollback", subject, "passed", "nothing earlier is known to have run here")
    lost = []
    for one in earlier[:_TRIED]:
        trouble = _trouble(one, running.installation)
        if trouble is None:
            return stated(running.installation, "rollback", subject, "passed", f"{printable(one.path)} is there, whole")
        lost.append(f"{printable(one.path)} {trouble}")
    return stated(running.installation, "rollback", subject, "failed", "; ".join(lost))


def _trouble(one: Sighting, installation: Installation) -> str | None:
    """Say what is wrong with an earlier version, None where it is as it was."""
    try:
        found = _digest_now(one, installation)
    except OSError as error:
        return "is gone" if error.errno == errno.ENOENT else f"cannot be read: {error.strerror}"
    return None if f"sha256:{found}" == one.digest else "has another content now"


def _digest_now(one: Sighting, installation: Installation) -> str:
    if one.kind == "artifact":
        return stored_file.digest(installation.thread, one.path)
    for folder in glob.glob(_DOCKER_IMAGES):
        path = os.path.join(folder, one.digest.removeprefix("sha256:"))
        if os.path.exists(path):
            return stored_file.digest(os.getpid(), path)  # the id of an image is the digest of its configuration
    raise FileNotFoundError(errno.ENOENT, "no such image")


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
    if running.started is None:
        return stated(installation, "restart", subject, "unknown", "when it started cannot be told")
    detail = "; ".join(dict.fromkeys(reasons)) or "nothing has changed since it started"
    return stated(installation, "restart", subject, "failed" if reasons else "passed", detail)


def _changed_files(running: Running, settings: Iterable[Setting]) -> Iterator[str]:
    if running.started is None:
        return
    for kept in running.kept:
        if kept.file and kept.file.changed > running.started:
            yield f"{kept.artifact.path} was changed after it started"
    pid = running.installation.process.pid
    for path in {one.place.path for one in settings if one.place.kind == "file" and one.place.pid == pid}:
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
        given = running.installation.settings.get(one.name)
        if given is not None and REDACTED not in one.value and _is_other(one.value, given):
            yield f"{one.place.path} gives {one.name} another value than it was started with"


def _is_other(shown: str, given: str) -> bool:
    """Compare a value as a record shows it, cut and made printable, with a real one."""
    return shown != printable(given)[: len(shown)] or (not shown and bool(given))


def _changed_images(running: Running, images: Iterable[Image]) -> Iterator[str]:
    image = running.runtime.image
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
    pin = installation.settings.get("OS_ARTIFACT_URL", "").partition("#sha256=")[2].lower()
    for kept in running.kept:
        if pin and kept.artifact.sha256 and pin != kept.artifact.sha256:
            detail = f"is sha256:{kept.artifact.sha256}, and OS_ARTIFACT_URL pins sha256:{printable(pin)[:64]}"
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
