"""Counts what could not be seen, and keeps an example of each kind, so that one sentence can say it."""

from __future__ import annotations

from airgap_check.kernel import procfs
from airgap_check.redact import printable


class Refusals:
    """What could not be seen, by kind."""

    def __init__(self) -> None:
        self._examples: dict[str, list[str]] = {}

    def add(self, what: str, example: str = "") -> None:
        """Note one more: ``what`` is a clause such as *could not join a network namespace*."""
        self._examples.setdefault(what, []).append(example)

    def process(self, what: str, pid: int) -> None:
        """Note a process; one that has vanished, a zombie or a kernel thread had nothing to show and is no gap."""
        if not (procfs.is_kernel_thread(pid) or procfs.is_zombie(pid)):
            self.add(what, f"process {pid} {_name(pid)}".rstrip())

    def sentences(self) -> list[str]:
        """Say each kind once: how many, and the first of them."""
        return [_sentence(what, examples) for what, examples in self._examples.items()]


def _name(pid: int) -> str:
    try:
        return printable(procfs.read(pid, "comm").decode(errors="replace").strip())
    except OSError:
        return ""


def _sentence(what: str, examples: list[str]) -> str:
    if len(examples) > 1:
        return f"{what}: {len(examples)} times, first {examples[0]}" if examples[0] else what
    return f"{what}: {examples[0]}" if examples[0] else what
