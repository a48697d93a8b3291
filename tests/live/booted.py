"""A machine of our own that systemd has booted: its own processes, network, file system, all gone when it is closed.

Its files are those of this machine with a layer on top, its network has nothing but loopback, and of its control groups
it sees its own sub-tree.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.live.lab import _new_cgroup
from tests.live.lab_host import CHECKOUT, LabError

if TYPE_CHECKING:
    from types import TracebackType

_PATIENCE = 60.0
# What would change the machine around us, or wait for devices that are not there.
_MASKED = (
    "systemd-sysctl.service", "systemd-modules-load.service", "systemd-remount-fs.service",
    "systemd-random-seed.service", "systemd-update-utmp.service", "systemd-tmpfiles-setup-dev.service",
    "systemd-udevd.service", "systemd-networkd.service", "systemd-timesyncd.service", "dev-hugepages.mount",
    "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount",
)  # fmt: skip
_BOOT = r"""
set -e
echo $$ > "$CGROUP/cgroup.procs"
exec unshare --pid --mount --net --uts --ipc --fork --kill-child --cgroup bash -ec '
mount --make-rprivate /
ip link set lo up
hostname booted
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount --bind proc/sys proc/sys; mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in run tmp var/lib var/log home dev; do mount -t tmpfs -o mode=0755 tmpfs $folder; done
for path in $SHARED; do mkdir -p ./$path; mount --bind $path ./$path; done
for name in null zero full random urandom tty; do touch dev/$name; mount --bind /dev/$name dev/$name; done
touch dev/kmsg; mount --bind /dev/null dev/kmsg
mkdir dev/pts dev/shm; mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666; ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
rm -rf etc/systemd/system etc/airgap-check etc/cron.d; mkdir -p etc/systemd/system etc/airgap-check etc/cron.d old
for unit in $MASKED; do ln -s /dev/null etc/systemd/system/$unit; done
echo 0123456789abcdef0123456789abcdef > etc/machine-id
: > etc/resolv.conf
pivot_root . old
umount -l /old
exec env -i container=airgap-check PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=journal --unit=basic.target
'
"""  # noqa: E501  (a script)


class Booted:
    """A machine in which systemd is process 1."""

    def __enter__(self) -> Self:
        self._cgroup = _new_cgroup()
        shared = [path for path in (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix)) if _is_elsewhere(path)]
        self._unshare = subprocess.Popen(
            ["bash", "-c", _BOOT],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "CGROUP": str(self._cgroup), "MASKED": " ".join(_MASKED),
                 "SHARED": " ".join(map(shlex.quote, map(str, shared)))},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self.until(lambda: self.output("systemctl", "is-system-running", check=False).strip() == "running")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def output(self, *argv: str, check: bool = True, stdin: str = "") -> str:
        """Run a command in it and return what it printed."""
        done = self.run(*argv, stdin=stdin)
        if check and done.returncode:
            raise LabError(f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        enter = ["nsenter", "--target", str(self._first()), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return subprocess.run(
            [*enter, "--", *argv], input=stdin, capture_output=True, text=True, timeout=_PATIENCE, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip

    def write(self, path: str, text: str, mode: str = "0644", owner: str = "root") -> None:
        """Write a file in it."""
        self.output("install", "-D", "-m", mode, "-o", owner, "/dev/stdin", path, stdin=text)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.output("systemctl", "show", "--value", "--property", name, unit).strip()

    def until(self, holds: object) -> None:
        """Wait until something holds."""
        assert callable(holds)
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._unshare.poll() is not None:
                raise LabError(f"the machine has gone: {self._unshare.stderr and self._unshare.stderr.read()}")
            with suppress(LabError):
                if holds():
                    return
            if time.monotonic() > deadline:
                raise LabError("it never came to hold")
            time.sleep(0.1)

    def close(self) -> None:
        """End every process in it."""
        with suppress(LabError):
            os.kill(self._first(), signal.SIGKILL)
        self._unshare.kill()
        self._unshare.wait()
        assert self._unshare.stderr is not None
        self._unshare.stderr.close()
        for folder, _, _ in os.walk(self._cgroup, topdown=False):
            deadline = time.monotonic() + _PATIENCE
            while True:
                try:
                    Path(folder).rmdir()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def _first(self) -> int:
        """Return the process that is number 1 there."""
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            raise LabError("systemd has not begun")
        return int(children[0])


def _is_elsewhere(path: Path) -> bool:
    """Tell whether a path is not to be seen through the layer: on another file system, or where a new one lies."""
    return path.stat().st_dev != Path("/").stat().st_dev or path.is_relative_to("/tmp") or path.is_relative_to("/home")
