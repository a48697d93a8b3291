"""Scenes for the programs that see attempts: each observes a cgroup of its own and prints what was seen as JSON."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from airgap_check.kernel import bpf, btf
from airgap_check.kernel.programs import connect, event, raw
from airgap_check.kernel.programs.identity import Identity, own_pid_namespace
from airgap_check.kernel.programs.tables import Tables
from airgap_check.kernel.sieve import Sieve
from tests.live import attempts_generator as generator
from tests.live.program_ground import Ground
from tests.live.program_scripts import AGAIN, CONVERSATION, CROWD, FROM_PORTS, STAY, TRY
from tests.live.sieve_model import any_destination, any_sieve, verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.kernel.programs.connect import Attached
    from airgap_check.kernel.programs.tables import Repeat


class Watch(NamedTuple):
    tables: Tables
    attached: Attached

    def events(self) -> list[event.Event]:
        return [event.decode(data) for data in self.tables.events.read(1 << 20)]


def identity() -> Identity:
    types = btf.read()
    return Identity(
        btf.start_offsets(types),
        own_pid_namespace(),
        pid_offsets=btf.pid_offsets(types),
        executable_offsets=btf.executable_offsets(types),
    )


@contextmanager
def watching(
    ground: Ground, who: Identity, attach: Callable[[Tables, int, Identity], Attached] = connect.attach, **sizes: int
) -> Iterator[Watch]:
    tables = Tables(**sizes)
    try:
        attached = attach(tables, ground.descriptor, who)
        try:
            yield Watch(tables, attached)
        finally:
            attached.close()
    finally:
        tables.close()


def destination(seen: event.Event | Repeat) -> str:
    address = ip_address(seen.address)
    return str(getattr(address, "ipv4_mapped", None) or address)


def every_kind(count: str) -> dict[str, Any]:
    """Make so many attempts of each kind: which were seen, and who was said to have made them."""
    who = identity()
    with Ground() as ground:
        return {kind: _one_kind(ground, who, kind, int(count)) for kind in generator.KINDS}


def _one_kind(ground: Ground, who: Identity, kind: str, count: int) -> dict[str, Any]:
    with watching(ground, who) as watch:
        made = ground.generate(kind, count)
        seen = watch.events()
        nested = ground.nested.stat().st_ino
        makers = {index: pid for pid, first, share in made["shares"] for index in range(first, first + share)}
        suffix = {index: index & 0xFFFF for index in makers}
        found = {int.from_bytes(each.address[-2:], "big") & 0x3FFF: each.pid for each in seen}
        return {
            "made": len(suffix),
            "seen": len(found.keys() & makers.keys()),
            "right": sum(found.get(index) == pid for index, pid in makers.items()),
            "other": len(found.keys() - makers.keys()),
            "elsewhere": sum(each.cgroup != nested for each in seen),
            "starts": len({each.started for each in seen}) if all(each.started for each in seen) else 0,
            "makers": len(made["shares"]),
            "hooks": sorted({each.hook for each in seen}),
            "protocols": sorted({each.protocol for each in seen}),
            "commands": sorted({each.command.decode() for each in seen}),
            "twice": len(seen) - len({(each.address, each.hook) for each in seen}),
            "lost": watch.tables.lost(),
            "missing": watch.attached.missing,
            "errors": made["errors"],
        }


def conversation() -> dict[str, Any]:
    """Let sockets ask and answer each other: who is said to have begun, and how often each spoke."""
    with Ground() as ground, watching(ground, identity()) as watch:
        ground.script(CONVERSATION)
        flags = {f"{destination(each)}:{each.port}": each.flags for each in watch.events()}
        times: dict[int, list[int]] = {}
        for each in watch.tables.counts():
            times.setdefault(each.port, []).append(each.times)
        return {"flags": flags, "times": {str(port): sorted(times[port]) for port in sorted(times)}}


def stays_here() -> dict[str, Any]:
    """Connect to what never leaves the host, and to what lies just beside it."""
    with Ground() as ground, watching(ground, identity()) as watch:
        ground.script(STAY)
        return {"seen": [destination(each) for each in watch.events()]}


def sifted(seed: str) -> dict[str, Any]:
    """Try thousands of destinations against an allowlist made by chance, and against the same in Python."""
    chance = random.Random(int(seed))
    allowed = any_sieve(chance)
    tried = sorted({any_destination(chance) for _ in range(4000)})
    with Ground() as ground, watching(ground, identity()) as watch:
        watch.tables.apply(
            Sieve({ip_network("0.0.0.0/0"): 1, ip_network("::/0"): 1}, {}, (), "")
        )  # replaced by the next
        watch.tables.apply(allowed)
        ground.script(TRY.format(tried=tried))
        seen = sorted((each.protocol, destination(each), each.port) for each in watch.events())
        uses = {use.classes: use.times for use in watch.tables.uses()}
        nested = ground.nested.stat().st_ino
        assert all(use.cgroup == nested for use in watch.tables.uses())
    verdicts = {each: verdict(allowed, *each) for each in tried}
    refused = sorted(each for each, classes in verdicts.items() if not classes)
    expected = Counter(classes for classes in verdicts.values() if classes > 1)
    return {
        "tried": len(tried), "refused": len(refused), "same": seen == refused, "uses": len(uses),
        "same uses": uses == expected, "differences": [str(each) for each in set(seen) ^ set(refused)][:9],
    }  # fmt: skip


def flood(count: str) -> dict[str, Any]:
    """Let the ring run full: what it took and what was lost is all there was, and what was lost is said later."""
    with Ground() as ground, watching(ground, identity(), ring=1 << 16) as watch:
        ground.generate("UDP unconnected", int(count))
        full = {"taken": len(watch.events()), "lost": watch.tables.lost()}
        argv = [sys.executable, "-c", f"import os, socket\n{AGAIN.format(cgroup=ground.nested, count=2000)}"]
        with subprocess.Popen(ground.inside(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            said: set[str] = set()
            rounds = 0
            while len(said) < 2000 and rounds < 20:
                process.stdout.readline()
                said |= {destination(each) for each in watch.events()}
                rounds += 1
                process.stdin.write(b"\n")
                process.stdin.flush()
            process.stdin.close()
            process.stdout.read()
        return {**full, "said": len(said), "rounds": rounds}


def killed() -> dict[str, Any]:
    """Kill an observer that cannot clean up, and ask the kernel what is attached then."""
    with Ground() as ground:
        argv = [sys.executable, "-m", "tests.live.program_scenes", "hold", str(ground.cgroup)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            before = _attached(ground.descriptor)
            process.kill()
        deadline = time.monotonic() + 60
        while sum(_attached(ground.descriptor)) and time.monotonic() < deadline:
            time.sleep(0.01)
        return {"before": before, "after": _attached(ground.descriptor)}


def _attached(cgroup: int) -> list[int]:
    hooks = (*connect.INITIATIONS.values(), *connect.RECEPTIONS.values())
    return [len(bpf.query(cgroup, hook)) for hook in hooks]


def hold(cgroup: str) -> dict[str, Any]:
    """Attach to a cgroup and wait to be killed."""
    tables = Tables(ring=1 << 16)
    descriptor = os.open(cgroup, os.O_RDONLY)
    attached = connect.attach(tables, descriptor, identity())
    print(len(attached.links), flush=True)  # noqa: T201 - the other side waits for it
    time.sleep(60)
    raise AssertionError("nobody killed us")


def with_rights(*names: str) -> dict[str, Any]:
    """Attach with no capabilities but these: what is missing, or which error there is."""
    with Ground() as ground:
        bounds = ",".join(["-all", *(f"+{name}" for name in names)])
        argv = ["setpriv", "--bounding-set", bounds, sys.executable, "-m", "tests.live.program_scenes"]
        done = subprocess.run([*argv, "try_attach", str(ground.cgroup)], capture_output=True, text=True, check=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def try_attach(cgroup: str) -> dict[str, Any]:
    descriptor = os.open(cgroup, os.O_RDONLY)
    try:
        tables = Tables(ring=1 << 16)
        attached = connect.attach(tables, descriptor, identity())
    except bpf.BpfError as error:
        return {"error": error.errno}
    attached.close()
    tables.close()
    os.close(descriptor)
    return {"links": len(attached.links), "missing": attached.missing}


def poorer() -> dict[str, Any]:
    """Attach with and without what type information tells: what is missing then."""
    full = identity()
    ways = {
        "all": full,
        "no numbers": full._replace(pid_offsets=None),
        "no starts": full._replace(start_offsets=None),
        "neither": full._replace(pid_offsets=None, start_offsets=None),
    }
    programs = {"connect": connect.attach, "raw": raw.attach}
    result = {}
    with Ground() as ground:
        for (way, who), (name, attach) in product(ways.items(), programs.items()):
            with watching(ground, who, attach) as watch:
                result[f"{name}, {way}"] = [len(watch.attached.links), watch.attached.missing]
    return result


def crowd(count: str) -> dict[str, Any]:
    """Let a server answer so many ports of one address."""
    with Ground() as ground, watching(ground, identity()) as watch:
        ground.script(CROWD.format(count=count))
        return {
            "events": sorted([destination(each), each.port, each.flags, each.source] for each in watch.events()),
            "times": sorted([each.port, each.flags, each.times] for each in watch.tables.counts()),
        }


def from_ports() -> dict[str, Any]:
    """Send to one place from several local ports."""
    with Ground() as ground, watching(ground, identity()) as watch:
        ground.script(FROM_PORTS)
        return {
            "events": [[each.hook, destination(each), each.source, each.flags] for each in watch.events()],
            "times": sorted([each.hook, destination(each), each.flags, each.times] for each in watch.tables.counts()),
        }


SCENES: dict[str, Callable[..., dict[str, Any]]] = {
    scene.__name__: scene
    for scene in (
        every_kind, conversation, stays_here, sifted, flood, killed, hold, with_rights, try_attach,
        poorer, crowd, from_ports,
    )
}  # fmt: skip

if __name__ == "__main__":
    json.dump(SCENES[sys.argv[1]](*sys.argv[2:]), sys.stdout)
