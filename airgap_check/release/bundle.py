"""Examines an offline release bundle: is everything there, does it fit together, is it what was sealed.

Nothing is unpacked and nothing is sent. Each question is a check with an aspect of its own; see the rules `bundle.*`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from airgap_check.evidence.asset import Check, Image, Reference
from airgap_check.redact import printable
from airgap_check.release import (
    checklist,
    delivery,
    deployed,
    destination,
    guidance,
    image,
    integrity,
    items,
    posture,
    runtime,
    template,
)
from airgap_check.release.application import describe
from airgap_check.release.completeness import databases, incomplete
from airgap_check.release.folder import Folder
from airgap_check.release.remark import check, either
from airgap_check.release.secret import is_real

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airgap_check.deployment import Reading
    from airgap_check.evidence import AnyRecord
    from airgap_check.release.delivered import Delivered
    from airgap_check.release.items import Items
    from airgap_check.release.runtime import Carried
    from airgap_check.release.seal import PublicKey

_MOST = 2000  # images or services that are looked at
_MOST_SECRETS = 200  # that are told one by one


class Examination(NamedTuple):
    """What a bundle holds; ``reasons`` say why this is not everything, ``counts`` how much was looked at."""

    records: list[AnyRecord]
    reasons: list[str]
    counts: dict[str, int]


class _Images(NamedTuple):
    """All images of a bundle, with the archive that each came in."""

    delivered: list[tuple[str, Delivered]]
    checks: list[Check]
    reasons: list[str]

    @property
    def all(self) -> list[Delivered]:
        return [one for _, one in self.delivered]


def examine(path: str, key: PublicKey | None = None, deadline: float | None = None) -> Examination:
    """Examine a folder; ``deadline`` is in seconds of the monotonic clock. Raises `UsageError` where there is none."""
    folder = Folder(path)
    found = items.find(folder, deadline)
    images = _images(folder, found, deadline)
    carried = [one for archive, each in images.delivered for one in runtime.find(archive, [each])]
    reading = deployed.read(folder, found, deadline)
    sealed, unread = integrity.checked(folder, key, deadline)
    read = template.read(found.templates) if found.templates else None
    records: list[AnyRecord] = [
        *integrity.entries(folder),
        *_present(found, complete=not folder.failures),
        *images.checks,
        *(_delivered(archive, each) for archive, each in images.delivered),
        *(record for name, scan in found.artifacts.items() for record in describe(folder, name, scan)),
        *(one for each in carried for one in _of_runtime(each, found, read, reading)),
        posture.of_runtimes(carried),
        *_of_template(read, found, carried, reading, images.all),
        *_topics(found),
        *_keys(found),
        *delivery.checks(reading.services[:_MOST], images.all, complete=not images.reasons),
        *delivery.ambiguous(images.all),
        *posture.of_deployment(reading, read or template.Template({}), posture.meaning(carried)),
        *deployed.malformed(reading),
        *deployed.secrets(reading),
        *destination.named(read, reading, images.delivered),
        *sealed,
    ]
    if found.images and found.artifacts and not carried:
        detail = "no image holds a package by which the runtime could be told"
        records.append(check("runtime-version", "images", "unknown", detail))
    reasons = [*folder.failures, *images.reasons, *deployed.unread(folder, reading), *unread]
    if len(reading.services) > _MOST:
        reasons.append(f"more than {_MOST:,} services")
    reasons += [f"{name}: {scan.incomplete}" for name, scan in found.artifacts.items() if scan.incomplete]
    counts = {
        "files": len(folder.files), "images": len(images.delivered), "artifacts": len(found.artifacts),
        "services": len(reading.services),
    }  # fmt: skip
    told = dict.fromkeys(_inside(folder, record) for record in records)
    return Examination(list(told), [printable(reason) for reason in dict.fromkeys(reasons)], counts)


def _inside(folder: Folder, record: AnyRecord) -> AnyRecord:
    """Name a file as the bundle does, wherever the bundle lies."""
    if not isinstance(record, Check | Reference) or not record.path or not os.path.isabs(record.path):
        return record
    return replace(record, path=os.path.relpath(record.path, os.path.abspath(folder.path)))


def _present(found: Items, *, complete: bool) -> Iterator[Check]:
    """Say of each of the five items whether it is there; ``complete``: these are all files."""
    wanted: dict[str, tuple[Collection[str], str, Callable[[str], bool]]] = {
        "image": (found.images, "no container image, as archive or layout", _never),
        "artifact": (found.artifacts, "no objectstack.json", _never),
        "database-guide": (found.guides, "nothing says how the database is to be prepared", guidance.is_called),
        "template": (found.templates, "no environment template, such as .env.example", _never),
        "checklist": (found.checklists, "no checklist for operations", checklist.is_called),
    }
    for item, (names, detail, is_called) in wanted.items():
        unread = [name for name in found.unreadable if is_called(name)]
        if not names and unread:
            text = f"{unread[0]} may be it, and is of a form that is not read here: deliver it as text or Markdown"
            yield check(f"{item}-present", item.replace("-", " "), "unknown", text, path=unread[0])
        else:
            outcome = either(names) if names or complete else "unknown"
            yield check(f"{item}-present", item.replace("-", " "), outcome, ", ".join([*names][:3]) or detail)


def _never(_name: str) -> bool:
    return False


def _images(folder: Folder, found: Items, deadline: float | None) -> _Images:
    result = _Images([], [], [])
    for name in found.images:
        examined = image.examine(folder.path if name == "." else folder.at(name), deadline)
        if examined.incomplete:
            result.reasons.append(f"{name}: {examined.incomplete}")
        result.delivered.extend((name, each) for each in examined.images)
        result.checks.extend(
            check(one.aspect, one.subject, one.outcome, one.detail, path=name) for one in examined.findings
        )
    if len(result.delivered) > _MOST:
        result.reasons.append(f"more than {_MOST:,} images")
        del result.delivered[_MOST:]
    return result


def _delivered(archive: str, each: Delivered) -> AnyRecord:
    reference = printable(each.references[0])[:512] if each.references else None
    return Image(reference=reference, id=each.id, digest=each.digest, path=printable(archive), seen="bundle")


def _of_runtime(carried: Carried, found: Items, read: template.Template | None, reading: Reading) -> Iterator[Check]:
    """Say whether the rest of the bundle suits one runtime."""
    for name, scan in found.artifacts.items():
        if scan.state == "intact":
            yield check("runtime-version", carried.subject, *runtime.fits(carried, scan.protocol), path=name)
    urls = databases(carried, read, reading)
    answers = [runtime.drives(carried, url) for url in urls] or [runtime.drives(carried, None)]
    for outcome, detail in dict.fromkeys(answers):
        yield check("database-driver", carried.subject, outcome, detail, path=carried.path)
    yield posture.of_image(carried)


def _of_template(
    read: template.Template | None, found: Items, carried: list[Carried], reading: Reading, images: list[Delivered]
) -> Iterator[Check]:
    yield from _secrets(images)
    if read is None:
        return
    yield from posture.of_template(read, posture.meaning(carried), reading)
    yield from incomplete(read, carried, reading)
    for name, one in read.secrets[:_MOST_SECRETS]:
        detail = f"{name} holds what looks like a secret that works, not a placeholder"
        yield check("template-secret", name, "failed", detail, path=one.path, line=one.line)
    if not read.secrets:
        yield check("template-secret", "template", "passed", "placeholders only", path=read.paths[0])
    yield from _pins(read, found)


def _secrets(images: list[Delivered]) -> Iterator[Check]:
    """Say of each image whether its configuration gives a secret to everybody who has the image."""
    for each in images:
        subject = each.references[0] if each.references else each.id
        names = [name for name, text in each.environment if is_real(name, text)]
        for name in names[:_MOST_SECRETS]:
            yield check("image-secret", subject, "failed", f"its environment holds a secret, {name}", pointer=name)
        if not names:
            yield check("image-secret", subject, "passed", "no secret in its environment")


def _pins(read: template.Template, found: Items) -> Iterator[Check]:
    """Compare the digest that the template pins its artifact to with the artifacts that are delivered."""
    digests = {scan.sha256: name for name, scan in found.artifacts.items() if scan.sha256}
    for name, one in read.variables.items():
        pinned = template.pin(one) if name.startswith("OS_") else None
        if pinned is not None and digests:
            detail = f"{name} is pinned to {pinned or 'nothing'}; "
            detail += (
                f"that is {digests[pinned]}" if pinned in digests else f"delivered is {', '.join(sorted(digests))}"
            )
            yield check("artifact-pin", name, either(pinned in digests), detail, path=one.path, line=one.line)


def _topics(found: Items) -> Iterator[Check]:
    if not found.checklists:
        return
    path = next(iter(found.checklists))
    missing = checklist.missing(found.checklists)
    for topic in checklist.TOPICS:
        detail = f"says nothing of {topic}" if topic in missing else "is covered"
        yield check("checklist-topic", topic, either(topic not in missing), detail, path=path)


def _keys(found: Items) -> Iterator[Check]:
    for name in found.private_keys[:_MOST_SECRETS]:
        yield check("private-key", name, "failed", "holds a private key", path=name)
    if not found.private_keys:
        yield check("private-key", "files", "passed", "no document holds a private key")
