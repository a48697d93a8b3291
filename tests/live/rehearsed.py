"""A rehearsal that has ended, and what a test asks of it: who was reached for, in whose turn, and how it was judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.live.lab import Audit, checker_environment
from tests.live.lab_host import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_PATIENCE = 240.0  # seconds; a bound for a broken test
# No way out around the tool, either: where its seal is what is broken, nobody would be met.
_SEALED = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


class Rehearsal(Audit):
    """The report of ``airgap-check rehearse``, and the evidence that it rests on."""

    evidence: tuple[dict[str, Any], ...] = ()

    @property
    def reached(self) -> list[dict[str, Any]]:
        """Return every destination."""
        assert self.report.get("reached") is not None, self.summary()
        return list(self.report["reached"])

    def names(self, seen: str = "world") -> set[str]:
        """Return who was reached for, as ``name:port``; a name that was only asked for has no port."""
        return {_written(entry) for entry in self.reached if entry["seen"] == seen}

    def to(self, place: str) -> dict[str, Any]:
        """Return the one destination that is written so."""
        found = [entry for entry in self.reached if _written(entry) == place and entry["seen"] == "world"]
        assert len(found) == 1, f"{place}: {found}\n{sorted(self.names())}\n{self.summary()}"
        return found[0]

    def triggers(self, place: str) -> set[str | None]:
        """Return what was under way whenever somebody reached for that place."""
        return {occasion["trigger"] for occasion in self.to(place)["occasions"]}

    def visits(self, label: str) -> set[str]:
        """Return what became of visits, as the recorded evidence tells; a driver that did nothing proves nothing."""
        return {record["outcome"] for record in self.evidence if record.get("label") == label}


def _written(entry: Mapping[str, Any]) -> str:
    remote = entry["remote"]
    return f"{remote['name'] or remote['address']}:{remote['port']}" if remote["port"] else str(remote["name"])


def rehearse(
    command: Sequence[object], *options: str, folder: Path, policy: Mapping[str, Any], env: Mapping[str, str]
) -> Rehearsal:
    """Rehearse a command in a folder, which is its home as well; the report is asked for as JSON."""
    file = folder / "policy.yaml"
    file.write_text(json.dumps(policy))
    variables = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
    argv = [sys.executable, "-m", "airgap_check", "rehearse", "--policy", str(file), "--format", "json",
            "--record", str(folder / "evidence.jsonl")]  # fmt: skip
    done = subprocess.run(
        [*_SEALED, *argv, *variables, *options, "--", *map(str, command)],
        cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_PATIENCE,
        check=False, env={"PATH": os.environ["PATH"], **checker_environment(), "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    rehearsal = Rehearsal(done.returncode, done.stdout, done.stderr)
    rehearsal.evidence = tuple(map(json.loads, (folder / "evidence.jsonl").read_text().splitlines()))
    return rehearsal
