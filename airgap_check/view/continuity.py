"""What a rule sees of the times in which nobody looked."""

from __future__ import annotations

from airgap_check.evidence import Interruption
from airgap_check.view.base import View


class InterruptionView(View, frozen=True, kw_only=True):
    """A time in which nobody looked; another one of the same cause is the same finding tomorrow."""

    identity = ("record.cause",)

    record: Interruption
