"""Hides a whole report, or all that was seen."""

from __future__ import annotations

import gc
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec
from msgspec.structs import replace

from airgap_check.finding import BASELINE, Finding, Limitation, Report
from airgap_check.pseudonyms.text import Masking
from airgap_check.pseudonyms.walk import Walk, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.pseudonyms.key import Key
    from airgap_check.pseudonyms.walk import Hiding

_S = TypeVar("_S", bound=msgspec.Struct)
_DIGEST = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_WAIVER = re.compile(r"(waiver [0-9]+): (.*)", re.DOTALL)
_TEXT = "Addresses, names and users are pseudonyms; the key's holder can reveal them (key {})."


def pseudonymize(report: Report, key: Key) -> Report:
    """Return the report with pseudonyms for whatever tells of the site. Its verdict and its counts stay."""
    hidden = _hide(report, key)
    note = Limitation(id="pseudonyms", text=_TEXT.format(key.id))
    return replace(hidden, limitations=(*hidden.limitations, note))


def pseudonymize_inspection(inspection: Inspection, key: Key) -> Inspection:
    """Return what was seen, with pseudonyms; addresses keep their scopes, so that it can be judged again by those."""
    hidden = _hide(inspection, key)
    return replace(hidden, relaxed=(*hidden.relaxed, f"pseudonyms (key {key.id})"))


def _hide(whole: _S, key: Key) -> _S:
    masking = Masking(key)
    with _undisturbed():
        _meet(whole, masking)
        return Walk(_hiding(masking)).structure(whole)


class Lines:
    """Hides lines of ours that are told one by one, before there is a report."""

    def __init__(self, key: Key) -> None:
        """Take the key."""
        self._masking = Masking(key)

    def hide(self, line: str, about: Finding | None = None) -> str:
        """Hide a line; the names in the finding that it is about are names from then on."""
        if about is not None:
            _meet(about, self._masking)
        return self._masking.text(line)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the collector of garbage away: there is none, and looking for it takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _meet(whole: msgspec.Struct, masking: Masking) -> None:
    """Go through everything once, to know the names before the texts that speak of them."""
    for what, text in names(whole):
        (masking.meet_host if what == "host" else masking.meet_foreign if what == "foreign" else masking.meet)(text)


def _hiding(masking: Masking) -> Hiding:
    return {
        "text": masking.text,
        "foreign": masking.foreign,
        "host": masking.host,
        "name": masking.label,
        "label": masking.label,
        "argument": lambda text: masking.text(text) if text.startswith("-") else masking.foreign(text),
        "digest": lambda text: text if not text or _DIGEST.fullmatch(text) else masking.label(text),
        "guessable": masking.guessable,
        "fingerprint": masking.key.fingerprint,
        "acceptance": lambda text: _acceptance(masking, text),
    }


def _acceptance(masking: Masking, text: str) -> str:
    if (waiver := _WAIVER.fullmatch(text)) is not None:
        return f"{waiver[1]}: {masking.label(waiver[2])}"
    return masking.text(text) if text.startswith(BASELINE) else masking.label(text)
