"""Keeps what those who answer for the world tell, as it comes, so that they never have to wait for a reader."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec

from airgap_check.world.meeting import Ended, Inquiry, Met, Named, Trouble
from airgap_check.world.meeting import Message as AnyMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 200_000  # meetings that are kept
_PATIENCE = 30.0  # seconds in which the world tells the rest, unless something holds it up


class Meetings:
    """What the world has told: ``names`` with their addresses, ``inquiries``, whom it ``met``, its ``troubles``."""

    def __init__(self, descriptor: int) -> None:
        """Begin to read; the descriptor is closed at its end."""
        self.names: dict[str, tuple[str, ...]] = {}
        self.met: list[Met] = []
        self.inquiries: list[Inquiry] = []
        self.troubles: list[str] = []
        self.unkept = 0
        self._descriptor, self._has_all = descriptor, False
        self._thread = threading.Thread(target=self._read, name="meetings", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the world, which is about to be ended, has told everything."""
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            self.troubles.append("those who answer for the world did not end, and may not have told everything")
        elif not self._has_all:
            self.troubles.append("those who answer for the world ended before they had told everything")

    def shortcomings(self) -> Iterator[str]:
        """Say in words why this is not everything."""
        yield from dict.fromkeys(self.troubles)
        if self.unkept:
            yield f"{self.unkept} meetings were not kept: there were more than {LIMIT}"

    def _read(self) -> None:
        decoder = msgspec.json.Decoder(AnyMessage)
        with open(self._descriptor, "rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):  # or else they were killed while they said it
                    self._take(decoder.decode(line))

    def _take(self, message: AnyMessage) -> None:
        match message:
            case Named():
                self.names[message.name] = message.addresses
            case Ended():
                self._has_all = True
            case Trouble():
                self.troubles.append(message.reason)
            case Inquiry():
                if len(self.inquiries) < LIMIT:  # beyond, it is only not known who asked
                    self.inquiries.append(message)
            case Met() if len(self.met) < LIMIT:
                self.met.append(message)
            case _:
                self.unkept += 1
