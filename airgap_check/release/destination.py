"""Which destinations the delivered settings name that are public whoever asks: words for services, public addresses.

A name that a template holds is an example to be replaced, so that only what cannot be inside of any site is told.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC
from airgap_check.evidence.asset import Reference
from airgap_check.objectos import settings
from airgap_check.redact import printable, value
from airgap_check.release.secret import is_placeholder
from airgap_check.release.template import CLOUD_URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.deployment import Reading
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.release.delivered import Delivered
    from airgap_check.release.template import Template

_LONGEST = 256  # characters of a value that are shown
_MOST = 1000


def named(template: Template | None, reading: Reading, images: Iterable[tuple[str, Delivered]]) -> Iterator[Reference]:
    """Yield the destinations; the control plane's is judged by its posture."""
    found = chain(_of_template(template), _of_images(images), _of_services(reading))
    for _, reference in zip(range(_MOST), dict.fromkeys(found), strict=False):
        yield reference


def _of_template(template: Template | None) -> Iterator[Reference]:
    for path, variables in (template.files if template else {}).items():
        siblings = {name: one.value for name, one in variables.items()}
        for name, one in variables.items():
            for endpoint in _public(name, one.value, siblings):
                yield _reference(name, one.value, endpoint, path, one.line)


def _of_images(images: Iterable[tuple[str, Delivered]]) -> Iterator[Reference]:
    for archive, image in images:
        for name, text in image.environment:
            for endpoint in _public(name, text, dict(image.environment)):
                yield _reference(name, text, endpoint, archive, None)


def _of_services(reading: Reading) -> Iterator[Reference]:
    for service in reading.services:
        siblings = {one.name: one.text for one in service.variables if one.text is not None}
        for one in service.variables:
            for endpoint in _public(one.name, one.text or "", siblings) if one.inline else ():
                yield _reference(one.name, one.text or "", endpoint, one.path, one.line, hidden=one.hidden)


def _public(name: str, text: str, siblings: dict[str, str]) -> Iterator[Endpoint]:
    known = settings.variable(name)
    if known is None or name == CLOUD_URL or is_placeholder(text):
        return
    for endpoint in settings.endpoints(name, text, siblings):
        if known.form == "word" or endpoint.scope in PUBLIC:
            yield endpoint


def _reference(
    name: str, text: str, endpoint: Endpoint, path: str, line: int | None, *, hidden: bool = False
) -> Reference:
    known = settings.variable(name)
    return Reference(
        path=printable(path)[:_LONGEST],
        pointer=printable(name)[:_LONGEST],
        line=line,
        text="a value of a Secret" if hidden else value(name, text)[:_LONGEST],
        role=known.role if known else None,
        dialer="server-event",
        endpoint=endpoint,
        seen="bundle",
    )
