"""The real ObjectStack runtime from npm, installed once per machine, and a real PostgreSQL for it to talk to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.live.lab import DATABASE, Lab
from tests.live.lab_host import CHECKOUT, PATH, PYTHON, Host, LabError

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE = CHECKOUT / "tests" / "runtime"
_BOOT_SECONDS = 120.0  # 8 s on two idle cores; a bound, not an expectation
_INSTALL_SECONDS = 600
_ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=2).read()"
HEALTH = "http://127.0.0.1:8080/api/v1/health"
PASSWORD = "correct-horse"
DATABASE_URL = f"postgres://objectos:{PASSWORD}@{DATABASE}:5432/objectos"


def installed() -> Path:
    """Return the folder of the installed runtime's ``node_modules``; the first call on a machine installs it.

    It lies outside the tree, under a name made from the package files, so a change of either installs anew.
    """
    content = b"".join((SOURCE / name).read_bytes() for name in ("package.json", "package-lock.json"))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "airgap-check-tests")
    folder = cache / f"runtime-{hashlib.sha256(content).hexdigest()[:12]}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(folder)
    return folder / "node_modules"


def _install(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="installing-") as name:
        for file in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / file, name)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run(
            command, cwd=name, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_INSTALL_SECONDS,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise LabError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        Path(name).rename(folder)
        Path(name).mkdir()  # for the temporary folder to find what it removes


def start(lab: Lab, modules: Path, env: Mapping[str, str]) -> int:
    """Start the runtime in the near host as unit ``objectos.service`` and wait until it serves; return its pid."""
    near = lab.near
    near.write("/run/lab/objectos/artifact.json", (SOURCE / "artifact.json").read_text())
    near.write("/run/lab/objectos/log", "")
    with near.path("/run/lab/objectos/log").open("r+") as log, Path(os.devnull).open() as nothing:
        pid = near.start(
            [str(modules / ".bin" / "os"), "start"],
            env={
                "PATH": f"{modules}/node/bin:{PATH}",
                "HOME": "/run/lab/objectos",
                "NODE_ENV": "production",
                "OS_PORT": "8080",
                "OS_ARTIFACT_PATH": "/run/lab/objectos/artifact.json",
                **env,
            },
            cgroup="objectos.service",
            cwd="/run/lab/objectos",
            files=(nothing.fileno(), log.fileno(), log.fileno()),
        )
    deadline = time.monotonic() + _BOOT_SECONDS
    while near.output([PYTHON, "-I", "-c", _ASK, HEALTH])[0]:
        if time.monotonic() > deadline or not near.path(f"/proc/{pid}").exists():
            raise LabError(f"the runtime did not come up:\n{near.path('/run/lab/objectos/log').read_text()[-4000:]}")
        time.sleep(0.2)
    return pid


def serve_postgresql(far: Host) -> None:
    """Run Debian's PostgreSQL in the far host, with the database that `DATABASE_URL` names."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), default=None)
    if programs is None:
        raise LabError("PostgreSQL is not installed (Debian package: postgresql)")
    line = next(line for line in far.path("/etc/passwd").read_text().splitlines() if line.startswith("postgres:"))
    uid, gid = (int(field) for field in line.split(":")[2:4])
    far.check(["install", "-d", "-o", "postgres", "-g", "postgres", "/run/lab/postgresql", "/run/postgresql"])
    user = (uid, gid)
    data = "/run/lab/postgresql/data"
    far.check([f"{programs}/initdb", "--no-sync", "--auth=trust", "--locale=C.UTF-8", "-D", data], user=user)
    far.write(f"{data}/pg_hba.conf", "local all all trust\nhost all all 0.0.0.0/0 trust\n")
    far.run([f"{programs}/postgres", "-D", data, "-h", DATABASE, "-F", "-c", "log_min_messages=panic"], user=user)
    ask = [f"{programs}/psql", "-h", "/run/postgresql", "-U", "postgres", "-q", "-c"]
    deadline = time.monotonic() + _BOOT_SECONDS
    while far.output([*ask, "CREATE ROLE objectos LOGIN SUPERUSER"], user=user)[0]:
        if time.monotonic() > deadline:
            raise LabError("PostgreSQL did not come up")
        time.sleep(0.05)
    far.check([*ask, "CREATE DATABASE objectos OWNER objectos"], user=user)
