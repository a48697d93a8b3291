"""Why an alert was not delivered, and whether it is worth another attempt."""

from __future__ import annotations

from airgap_check.errors import AirgapError


class DeliveryError(AirgapError):
    """An alert was not delivered; the message names no secret and quotes nothing that the other side said.

    ``final`` says that this very alert will never be taken, ``pause`` how many seconds the other side asked for.
    """

    def __init__(self, reason: str, *, final: bool = False, pause: int = 0) -> None:
        super().__init__(reason)
        self.final, self.pause = final, pause
