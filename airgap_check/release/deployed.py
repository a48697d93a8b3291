"""Reads the deployment files of a bundle as the site will have them: its environment templates copied into place."""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from airgap_check import deployment
from airgap_check.release import template
from airgap_check.release.remark import check
from airgap_check.release.secret import is_real

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.deployment import Reading
    from airgap_check.evidence.asset import Check
    from airgap_check.release.folder import Folder
    from airgap_check.release.items import Items

_MOST = 200  # secrets that are told one by one


def read(folder: Folder, found: Items, deadline: float | None) -> Reading:
    """Read the deployment files, which may name no file outside of the bundle."""
    top = os.path.abspath(folder.path)
    paths = [os.path.join(top, name) for name in found.deployment]
    standing = {os.path.join(top, name): text.encode() for name, text in _copies(folder, found).items()}
    return deployment.read(paths, deadline, within=top, standing=standing)


def _copies(folder: Folder, found: Items) -> dict[str, str]:
    """Return the files that an operator makes of the templates, beside them and beside each deployment file."""
    copies: dict[str, str] = {}
    for name, text in found.templates.items():
        copies.setdefault(posixpath.join(posixpath.dirname(name), template.copied_to(name)), text)
    for folder_name in dict.fromkeys(posixpath.dirname(name) for name in found.deployment):
        # the template in the same folder is the likelier one, and then the one that is copied to .env itself
        for name in sorted(found.templates, key=lambda name: posixpath.dirname(name) != folder_name):
            copies.setdefault(posixpath.join(folder_name, template.copied_to(name)), found.templates[name])
        for text in found.templates.values():
            copies.setdefault(posixpath.join(folder_name, ".env"), text)
    return {name: text for name, text in copies.items() if name not in folder.files}


def malformed(reading: Reading) -> Iterator[Check]:
    """State which files make no sense."""
    for one in reading.checks:
        if one.aspect == "deployment-malformed":
            yield check(one.aspect, one.subject, one.outcome, one.detail, path=one.path, line=one.line)


def secrets(reading: Reading) -> Iterator[Check]:
    """State the secrets that stand in deployment files themselves; those of a template are told there."""
    real = [
        (service, one)
        for service in reading.services
        for one in service.variables
        if one.inline and one.text and is_real(one.name, one.text)
    ]
    for service, one in real[:_MOST]:
        detail = f"service {service.name}: {one.name} holds what looks like a secret that works, not a placeholder"
        yield check("deployment-secret", one.name, "failed", detail, path=one.path, line=one.line)
    if reading.services and not real:
        yield check("deployment-secret", "services", "passed", "placeholders only")


def unread(folder: Folder, reading: Reading) -> list[str]:
    """Return what could not be read; what is malformed is told by its rule."""
    failed = any(one.aspect == "deployment-malformed" and one.outcome == "failed" for one in reading.checks)
    top = f"{os.path.abspath(folder.path)}/"
    return [text.replace(top, "") for text in reading.failures if not (failed and " faults, such as " in text)]
