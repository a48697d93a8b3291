"""Says on standard error what a person should know meanwhile; where the report is hidden, so is every such line."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING

from airgap_check.commands import progress
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from airgap_check.finding import Finding
    from airgap_check.pseudonyms import Key
    from airgap_check.pseudonyms.report import Lines

_HINT = "what is hidden here: airgap-check reveal TOKEN --key KEYFILE"


class Voice:
    """The voice of one run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        """Take the arguments of any command."""
        self._path: str | None = getattr(arguments, "pseudonymize", None)

    @cached_property
    def _lines(self) -> Lines:
        from airgap_check.pseudonyms.report import Lines

        assert self._path is not None
        return Lines(key(self._path))

    def tell(self, line: str, about: Finding | None = None) -> None:
        """Print a line; ``about`` is the finding that it tells of, whose names are in it."""
        progress.tell(line if self._path is None else self._lines.hide(line, about))


def check(arguments: argparse.Namespace) -> None:
    """Refuse what would tell names beside a report that hides them, and a key that is none. Raises `UsageError`."""
    if arguments.pseudonymize is None:
        return
    if getattr(arguments, "alerts", None):
        raise UsageError(
            "--alerts tells names as they are: leave --pseudonymize out, and share what replay makes of it"
        )
    if getattr(arguments, "dry_run", False):
        raise UsageError("--dry-run lists names as they are: leave --pseudonymize out")
    key(arguments.pseudonymize)


@cache
def key(path: str) -> Key:
    """Read a key, once: a run that has begun with it can end with it. Raises `UsageError`."""
    from airgap_check import pseudonyms

    return pseudonyms.load(path)


def disguise(path: str, text: str) -> str:
    """Hide what a failure says of the site; without the key nothing is said but why there is none."""
    from airgap_check.pseudonyms.report import Lines

    try:
        lines = Lines(key(path))
    except UsageError as error:
        return str(error)
    hidden = "\n".join(lines.hide(line) for line in text.split("\n"))
    return hidden if hidden == text else f"{hidden}\n{_HINT}"
