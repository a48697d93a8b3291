"""Compiles the small programs in C that make the load."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def program(name: str, folder: str) -> Path | None:
    """Compile one of our C files into a folder; None, and a line about it, where there is no compiler."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        sys.stdout.write(f"{name}: no C compiler, not measured\n")
        return None
    made = Path(folder, name)
    subprocess.run([compiler, "-O2", "-o", made, Path(__file__).with_name(f"{name}.c")], check=True)
    return made
