"""Which driver a person has asked for, checked before anything starts."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from airgap_check import input as given
from airgap_check.drivers import objectos, played, requests_file, script
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import threading

    from airgap_check.drivers.diary import Diary
    from airgap_check.drivers.where import Driven, Where

_LARGEST_PACKAGE = 1 << 26  # bytes


class Driver(Protocol):
    """Exercises a command until it has done all, or is to stop; says what it does in a diary, and never raises."""

    def __call__(self, where: Where, diary: Diary, stop: threading.Event) -> Driven:
        """Drive."""
        ...


def prepare(kind: str) -> Driver:
    """Return the driver that a word stands for: ``objectos``, ``objectos:PACKAGE``, ``http:FILE``, or a program's path.

    Its files are read now. Raises `UsageError`.
    """
    name, _, path = kind.partition(":")
    if name == "objectos":
        return partial(objectos.drive, package=_package(path) if path else None)
    if name == "http":
        return partial(played.play, requests_file.load(path))
    return partial(script.run, script.check(kind))


def _package(path: str) -> dict[str, Any]:
    try:
        content = json.loads(given.read_bytes(path, _LARGEST_PACKAGE))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no package: it is not JSON") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: no package: it is not a JSON object")
    return content
