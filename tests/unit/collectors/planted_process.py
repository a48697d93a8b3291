"""A real child process with a chosen environment, command line and working directory, which waits to be ended."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_PROGRAM = "print(flush=True)\ninput()\n"


@contextmanager
def planted(
    environ: Mapping[str, str], argv: Sequence[str] = ("tool",), folder: Path | None = None, program: str = _PROGRAM
) -> Iterator[int]:
    """Run ``argv`` as somebody's program would look in /proc; yields the pid once the process is up.

    A `node SCRIPT ...` command line is Python under another name, running the script, which must be a file that waits.
    """
    line = list(argv) if argv[0].endswith("node") else [argv[0], "-I", "-S", "-c", program, *argv[1:]]
    with subprocess.Popen(
        line, executable=os.path.realpath(sys.executable), env=dict(environ), cwd=folder, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdout
        try:
            assert child.stdout.readline() == b"\n"
            yield child.pid
        finally:
            child.communicate(b"\n")


def script(path: Path, program: str = _PROGRAM) -> str:
    """Write a script that waits, to be run by what calls itself node; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(program, encoding="utf-8")
    return str(path)
