"""The parts that records are made of: a process, a workload, an end of a connection, a place in the configuration."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from airgap_check.address import Address, Scope, Wrapping, scope_of, unwrap

Instant = Annotated[datetime, msgspec.Meta(tz=True)]  # without a zone two of them could not be compared


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a record."""


class Record(Fact, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """A fact that rules can judge."""


class Process(Fact, frozen=True, kw_only=True):
    """A process as it was when it was seen. ``command`` is redacted; ``started`` tells a reused pid apart."""

    pid: int
    started: Instant | None = None
    name: str | None = None
    executable: str | None = None
    command: str | None = None
    user: str | None = None


class Workload(Fact, frozen=True, kw_only=True):
    """Who runs it, from the cgroup: ``kind`` is unit, container or cgroup; ``pod`` is the Kubernetes pod uid.

    The kind *unknown* is a cgroup that had gone before it could be named: it may have been anybody's.
    """

    kind: Literal["unit", "container", "cgroup", "unknown"]
    id: str
    name: str
    image: str | None = None
    pod: str | None = None


GONE = Workload(kind="unknown", id="", name="workload")


class Endpoint(Fact, frozen=True, kw_only=True):
    """One end of a connection, or a place that a setting names.

    ``address`` is as the application used it, ``inner`` the unwrapped one where they differ. A name that nobody has
    resolved has no address and the scope *unknown*.
    """

    address: str | None = None
    inner: str | None = None
    wrapped: Wrapping | None = None
    scope: Scope = "unknown"
    port: int | None = None
    name: str | None = None


class Place(Fact, frozen=True, kw_only=True):
    """Where a setting stands: the environment of a process, a file and line, a unit, a command line, an image.

    ``unit`` is the unit, the service of a compose file, or kind and name of a Kubernetes object.
    """

    kind: Literal["process", "own", "file", "unit", "command-line", "compose", "kubernetes", "dockerfile", "image"]
    pid: int | None = None
    path: str | None = None
    line: int | None = None
    unit: str | None = None


def endpoint(
    address: Address, port: int | None = None, *, name: str | None = None, scope: Scope | None = None
) -> Endpoint:
    """Describe an address. A mapped address is plain IPv4 to the kernel and to us; other wrappings keep both forms."""
    inner, wrapping = unwrap(address)
    if wrapping == "mapped":
        address = inner
    return Endpoint(
        address=str(address),
        inner=str(inner) if inner != address else None,
        wrapped=wrapping,
        scope=scope or scope_of(address),
        port=port,
        name=name,
    )
