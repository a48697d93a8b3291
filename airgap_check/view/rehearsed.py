"""What a rule sees of a rehearsal: what was reached for, what contradicts the configuration, and what was driven."""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence import Allowed, Question, Setting
from airgap_check.evidence.asset import Reference
from airgap_check.evidence.fact import Endpoint
from airgap_check.evidence.rehearsed import Encounter, Visit
from airgap_check.view.base import View, YesNo


class EncounterView(View, frozen=True, kw_only=True):
    """Something that the command, or a browser of its pages, reached for.

    ``target`` is as people write it, ``during`` what was under way. ``predicted`` tells whether a setting or a file
    leads there.
    """

    identity = ("record.seen", "record.protocol", "target", "record.process.name")

    record: Encounter
    remote: Endpoint
    target: str
    during: str
    allowed: Allowed
    predicted: YesNo


class ContradictionView(View, frozen=True, kw_only=True):
    """Where the configuration says one thing, and what the command did says another.

    ``detail`` is the whole of it in a sentence. What was never seen was predicted by the setting or the reference that
    is shown; anything else is about the first that was seen.
    """

    identity = ("aspect", "target", "by")

    record: Encounter | Question | Setting | Reference
    aspect: Literal["dialled-though-off", "never-seen", "unpredicted"]
    target: str
    by: str
    detail: str
    allowed: Allowed


class VisitView(View, frozen=True, kw_only=True):
    """One thing that the driver did."""

    identity = ("record.label",)

    record: Visit
