"""A watch in a laboratory: started, told from its standard error, ended by a signal, and then its report."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any, Self

from tests.live.lab import Audit, Lab, checker_environment
from tests.live.lab_host import PATIENCE, LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType


class Vigil:
    """``airgap-check watch`` (or another command) of the near host, confined to the laboratory's own cgroup."""

    def __init__(
        self,
        lab: Lab,
        *options: str,
        policy: Mapping[str, Any],
        python: str = sys.executable,
        under: Sequence[str] = (),
        command: str = "watch",
    ) -> None:
        self._lab = lab
        self._stack = ExitStack()
        self._files: list[IO[bytes]] = []
        lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy))
        self._under = under
        self._argv = [
            python, "-m", "airgap_check", command, "--format", "json", "--cgroup", str(lab.cgroup), *options
        ]  # fmt: skip

    def __enter__(self) -> Self:
        for _ in range(3):
            self._files.append(self._stack.enter_context(tempfile.TemporaryFile()))
        numbers = [file.fileno() for file in self._files]
        self.pid = self._lab.near.start(
            [*self._under, *self._argv],
            env=checker_environment(),
            cgroup="auditor",
            files=(numbers[0], numbers[1], numbers[2]),
        )
        try:
            self.hear("watching")
        except LabError as error:
            self.__exit__(LabError, error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._lab.near.ask({"signal": signal.SIGKILL, "pid": self.pid})
            self._lab.near.exit_code(self.pid)
        self._stack.close()

    def hear(self, words: str) -> str:
        """Wait for a line on standard error that holds these words."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for line in self._text(2).splitlines():
                if words in line:
                    return line
            time.sleep(0.05)
        raise LabError(f"the watch never said {words!r}:\n{self._text(2)}")

    def said(self) -> str:
        """Return what it has said on standard error so far."""
        return self._text(2)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._lab.near.ask({"signal": number, "pid": self.pid})

    def end(self, number: signal.Signals = signal.SIGTERM) -> Audit:
        """Ask for the report."""
        self.send(number)
        return Audit(self._lab.near.exit_code(self.pid), self._text(1), self._text(2))

    def _text(self, number: int) -> str:
        self._files[number].seek(0)
        return self._files[number].read().decode(errors="replace")
