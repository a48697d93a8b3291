"""What reading an artifact comes to: the destinations that it names, its flaws, and what is said of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from airgap_check.evidence.asset import Dialer, Outcome
    from airgap_check.evidence.fact import Endpoint


class Found(NamedTuple):
    """A destination; ``endpoint`` is None where ``templated``. ``text`` is what stands there, without secrets."""

    pointer: str
    text: str
    role: str | None
    dialer: Dialer
    endpoint: Endpoint | None
    templated: bool


class Flaw(NamedTuple):
    """Something that should not stand in an artifact; ``detail`` shows no secret."""

    aspect: str
    outcome: Outcome
    detail: str
    pointer: str | None


class Scan(NamedTuple):
    """What one file holds. ``sha256`` and ``size`` are of its bytes, None where they were not all read.

    ``protocol`` is `manifest.engines.protocol`, ``runtime_module`` the file named beside it. ``incomplete`` says in
    words what was not looked at; it is empty when everything was. A malformed artifact may still have been read.
    """

    sha256: str | None = None
    size: int | None = None
    state: Literal["intact", "malformed", "unreadable"] = "intact"
    reason: str = ""
    line: int | None = None
    column: int | None = None
    name: str | None = None
    version: str | None = None
    protocol: str | None = None
    runtime_module: str | None = None
    found: tuple[Found, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    incomplete: str = ""
