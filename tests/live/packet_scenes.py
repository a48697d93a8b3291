"""Scenes about whose socket a packet comes from and which program ran; prints what was seen as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from airgap_check.kernel import btf
from airgap_check.kernel.programs import raw
from tests.live.program_ground import Ground
from tests.live.program_scenes import identity, watching

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.kernel.programs.connect import Attached

MADE_BEFORE = """
open({group!r}, "w").write("0")
import struct
echo, tcp = (socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol) for protocol in (1, 6))
print(flush=True)
os.read(0, 1)
echo.sendto(struct.pack("!BBHHH", 0, 0, 0, 0, 1), ("203.0.113.7", 0))
tcp.sendto(struct.pack("!HHIIBBHHH", 9, 443, 0, 0, 0x50, 4, 0, 0, 0), ("203.0.113.7", 0))
"""
GREETING = """
import subprocess
setting = "ip link add one type veth peer name two && ip link set one up && ip link set two up && sleep 2"
subprocess.run(["unshare", "--net", "sh", "-c", setting], check=True)
"""
CROWDED = """
made = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
for _ in range({count}):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()
made.sendto(bytes(8), ("203.0.113.7", 0))
print(os.getpid())
"""
REPLACED = """
trying = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('198.18.0.1', 9))"
exec(trying)
os.execv({other!r}, [{other!r}, "-c", trying])
"""


def _owned(*, known: bool) -> Callable[..., Attached]:
    return partial(raw.attach, owned=btf.read().bit("sock", "sk_kern_sock") if known else None)


def own_and_others() -> dict[str, Any]:
    """Let the kernel greet its neighbours, and a user answer whose sockets were made before: what is housekeeping."""
    result: dict[str, Any] = {}
    for name, known in (("user", True), ("without types", False)):
        with Ground() as ground:
            source = "import os, socket" + MADE_BEFORE.format(group=str(ground.nested / "cgroup.procs"))
            argv = ground.inside([sys.executable, "-c", source])
            with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                assert process.stdout is not None
                process.stdout.readline()
                with watching(ground, identity(), _owned(known=known)) as watch:
                    process.communicate(b"\n", timeout=60)
                    result[name] = sorted([each.protocol, each.flags] for each in watch.events())
    with Ground() as ground, watching(ground, identity(), _owned(known=True)) as watch:
        ground.script(GREETING)
        result["kernel"] = sorted({(each.protocol, each.flags) for each in watch.events()})
    return result


def crowded(count: str) -> dict[str, Any]:
    """Make many raw sockets after the one that sends an answer."""
    with Ground() as ground, watching(ground, identity(), _owned(known=True)) as watch:
        pid = int(ground.script(CROWDED.format(count=count)))
        return {"pid": pid, "seen": [[each.pid, each.flags] for each in watch.events()]}


def replaced() -> dict[str, Any]:
    """Make the same attempt twice in one process, which becomes another program between them."""
    before = os.stat(os.path.realpath(sys.executable))
    with Ground() as ground, watching(ground, identity()) as watch:
        other = str(shutil.copy(os.path.realpath(sys.executable), "/dev/shm/replaced-" + str(os.getpid())))
        try:
            env = f"os.environ['PYTHONHOME'] = {sys.base_prefix!r}\n"
            ground.script(env + REPLACED.format(other=other))
            after = os.stat(other)
        finally:
            os.unlink(other)
        events = watch.events()
        times = sorted(each.times for each in watch.tables.counts() if each.executable)
    return {
        "before": [before.st_ino, before.st_dev],
        "after": [after.st_ino, after.st_dev],
        "seen": [[each.executable, each.device] for each in events],
        "times": times,
    }


SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    scene.__name__: scene for scene in (own_and_others, crowded, replaced)
}

if __name__ == "__main__":
    json.dump(SCENES[sys.argv[1]](*sys.argv[2:]), sys.stdout)
