"""Scenes in which who acts is in another pid namespace than who observes; each prints what was seen as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from airgap_check.kernel.programs import connect
from airgap_check.kernel.programs.tables import Tables
from tests.live.program_ground import Ground
from tests.live.program_scenes import Watch, identity, watching
from tests.live.program_scripts import INNER, OUTER

if TYPE_CHECKING:
    from collections.abc import Callable


def inner_namespace(depth: str) -> dict[str, Any]:
    """Make attempts so many pid namespaces below ours, with two threads: who is said to have made them, and who did."""
    ways = {"walk": identity(), "helper": identity()._replace(pid_offsets=None)}
    result: dict[str, Any] = {}
    for name, who in ways.items():
        with Ground() as ground, watching(ground, who) as watch:
            pid, *threads = map(int, ground.script(INNER.format(depth=depth)).split())
            seen = {each.port: [each.pid, each.tid, each.started > 0] for each in watch.events()}
            (other,) = set(threads) - {pid}
            result[name] = {"seen": seen, "pid": pid, "other": other, "missing": watch.attached.missing}
    return result


def outer_namespace() -> dict[str, Any]:
    """Make an attempt in a pid namespace that the observer is inside of."""
    with Ground() as ground:
        argv = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-m", "tests.live.pid_scenes", "hear"]
        with subprocess.Popen([*argv, str(ground.cgroup)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as observer:
            assert observer.stdout is not None
            observer.stdout.readline()
            ground.script(OUTER)
            said: dict[str, Any] = json.loads(observer.communicate(b"\n", timeout=60)[0])
            return said


def hear(cgroup: str) -> dict[str, Any]:
    """Attach to a cgroup, and say who was seen when asked."""
    tables = Tables(ring=1 << 16)
    descriptor = os.open(cgroup, os.O_RDONLY)
    attached = connect.attach(tables, descriptor, identity())
    watch = Watch(tables, attached)
    print("ready", flush=True)  # noqa: T201 - the other side waits for it
    sys.stdin.readline()
    return {"seen": [[each.pid, each.tid, each.started > 0, each.command.decode()] for each in watch.events()]}


SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    scene.__name__: scene for scene in (inner_namespace, outer_namespace, hear)
}

if __name__ == "__main__":
    json.dump(SCENES[sys.argv[1]](*sys.argv[2:]), sys.stdout)
