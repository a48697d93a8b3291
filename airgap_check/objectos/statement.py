"""States a configuration value as a record: what it amounts to, where it leads, and nothing that is secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from airgap_check.evidence import Setting
from airgap_check.objectos import settings
from airgap_check.redact import printable, value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.fact import Place, Process, Workload

LENGTH = 512
ENDPOINTS = 256  # of one setting; more is no configuration, but an attempt to drown the audit


def setting(
    name: str,
    text: str,
    place: Place,
    siblings: Mapping[str, str],
    *,
    shown: str | None = None,
    process: Process | None = None,
    workload: Workload | None = None,
    product: str | None = None,
    version: str | None = None,
    read: Literal["yes", "no", "unknown"] | None = None,
    seen: Literal["environment", "deployment", "bundle"] = "environment",
) -> Setting:
    """State one variable (``shown``: under another name), without its secret; endpoints come from the real value.

    ``siblings`` are the variables that were given beside it, ``product`` and ``version`` who was given it, if known,
    and ``read`` whether that one reads it.
    """
    known = settings.variable(name)
    return Setting(
        name=printable(shown or name)[:LENGTH],
        value=value(name, text)[:LENGTH],
        posture=settings.posture(name, text),
        role=known.role if known else None,
        endpoints=settings.endpoints(name, text, siblings)[:ENDPOINTS],
        place=place,
        process=process,
        workload=workload,
        product=product,
        version=version,
        read=read,
        seen=seen,
    )
