"""Knows which services are the product, what they are told, and which settings that makes."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from airgap_check.deployment import image_reference
from airgap_check.evidence import Setting
from airgap_check.evidence.fact import Place
from airgap_check.objectos import product, settings
from airgap_check.objectos.statement import setting
from airgap_check.redact import REDACTED, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.deployment.service import Service

_CLOUD_URL = "OS_CLOUD_URL"
_NAMES = {"objectos": product.OBJECTOS, "objectstack": product.OBJECTSTACK}


def product_of(service: Service) -> str | None:
    """Name the product that a service runs, by its command, its image or what it is told; None for another one.

    A tag says nothing of the version, so that none is stated.
    """
    called = product.invocation(service.command) if service.command else None
    if called:
        return called.product
    reference = image_reference.parse(service.image or "")
    name = reference.name.lower() if reference else ""
    for word, known in _NAMES.items():
        if word in posixpath.basename(name) or (word in name and posixpath.basename(name) in {"runtime", "server"}):
            return known
    told = product.is_told(one.name for one in service.variables)
    return product.UNKNOWN if told else None


def artifact_paths(service: Service) -> list[str]:
    """Return the absolute paths of the artifacts that a service is told to boot from."""
    found = []
    for one in service.variables:
        known = settings.variable(one.name)
        if known is None or known.role != "artifact" or not one.text:
            continue
        text = one.text.removeprefix("file://").partition("#")[0]
        if "://" not in text:
            path = posixpath.normpath(posixpath.join(service.directory or "", text))
            found += [path] if path.startswith("/") else []
    return found


def settings_of(service: Service) -> Iterator[Setting]:
    """Yield the settings that a service is given, and OS_CLOUD_URL as unset where the product is not told it at all."""
    known = product_of(service)
    named = None if known in {None, product.UNKNOWN} else known
    siblings = {one.name: one.text for one in service.variables if one.text is not None}
    for one in service.variables:
        if one.text is None or not settings.variable(one.name):
            continue
        place = _place(service, one.path, one.line)
        stated = setting(one.name, one.text, place, siblings, product=named, seen="deployment")
        outside = tuple(end for end in stated.endpoints if not _is_peer(end.name, service.peers))
        shown = REDACTED if one.hidden else stated.value
        yield msgspec.structs.replace(stated, value=shown, endpoints=outside)
    if known and service.complete and not any(one.name == _CLOUD_URL for one in service.variables):
        yield Setting(
            name=_CLOUD_URL,
            posture="unset",
            role="control-plane",
            place=_place(service, service.path, service.line),
            product=named,
            seen="deployment",
        )


def _is_peer(name: str | None, peers: frozenset[str]) -> bool:
    """Tell whether a name is one of the deployment's own, or of a pod behind one (``db-0.db.crm.svc``)."""
    if not name:
        return False
    name = name.lower().rstrip(".")
    return name in peers or name.partition(".")[2] in peers


def unknown_settings(service: Service) -> Iterator[str]:
    """Say which settings cannot be known from the files."""
    for one in service.variables:
        if one.text is None and settings.variable(one.name):
            yield f"{printable(one.name)} of {service.name} has a value that is not among the files"


def _place(service: Service, path: str, line: int | None) -> Place:
    return Place(kind=service.kind, path=printable(path), line=line, unit=printable(service.name)[:256])
