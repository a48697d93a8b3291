"""Scenes that live tests of the `attempts` observer look at; each prints what it saw as JSON.

Run as ``python -m tests.live.attempts_scenes NAME`` inside ``unshare``. The observer keeps to a cgroup of its own; who
acts is in a unit below it and in another network namespace, whose default route ends at a veth that nobody answers.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from airgap_check.evidence import Connection, EntryUse, Evidence
from airgap_check.kernel import bpf, cgroup2
from airgap_check.kernel.sieve import NOTHING, Sieve
from airgap_check.observers.attempts import Attempts
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch, UnobservableError
from tests.live.lab import _new_cgroup, _remove_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
UNIT = "made.service"
NETWORK = """
link set lo up
link add out type veth peer name void
link set out arp off
address add 10.77.0.1/24 dev out
address add fd77::1/64 dev out nodad
link set out up
link set void up
route add default dev out
route add ::/0 dev out
route add prohibit 203.0.113.64/26
route add unreachable 203.0.113.128/26
"""
PREAMBLE = """
import json, os, socket, struct, sys
from contextlib import suppress
INET, INET6, PACKET, STREAM, DGRAM, RAW = 2, 10, 17, 1, 2, 3
def tcp(address, port=443, family=INET):
    with socket.socket(family, STREAM) as made, suppress(OSError):
        made.settimeout(0)
        made.connect((address, port))
def ip(target, protocol, rest):
    to = socket.inet_aton(target)
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(rest), 1, 0, 64, protocol, 0, b"\\x0a\\x4d\\0\\1", to) + rest
UDP = struct.pack("!HHHH", 9, 53, 8, 0)
ECHO, ECHO6 = struct.pack("!BBHHH", 8, 0, 0xf7fe, 0, 1), struct.pack("!BBHHH", 128, 0, 0, 0, 1)
FRAME = b"\\xff" * 6 + b"\\2" * 6
"""
DONE = """
print(json.dumps({"pid": os.getpid(), "netns": os.stat("/proc/self/ns/net").st_ino}), flush=True)
sys.stdin.read()
"""


class Actor:
    """A process that acts in the unit below the observed cgroup; `end` lets it go."""

    def __init__(self, folder: Path, acts: str, before: str = "") -> None:
        joining = f'open("{folder}/cgroup.procs", "w").write("0")\n'
        self._process = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", PREAMBLE + SETUP + before + joining + acts + DONE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.told: dict[str, int] = json.loads(_pipe(self._process.stdout).readline())

    def end(self) -> None:
        _pipe(self._process.stdin).close()
        _pipe(self._process.stdout).close()
        assert self._process.wait(60) == 0


SETUP = f"""
import subprocess
subprocess.run(["ip", "-batch", "-"], input={NETWORK!r}, text=True, check=True)
with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
    file.write("0 0")
"""


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


class Stage:
    """A cgroup that is observed, a unit below it, and the observer."""

    def __init__(self, sieve: Sieve = NOTHING, **how: Any) -> None:
        with ExitStack() as stack:
            self.cgroup = _new_cgroup()
            stack.callback(_remove_cgroup, self.cgroup)
            self.unit = self.cgroup / UNIT
            self.unit.mkdir()
            self.identity = Identity(epoch())
            stack.callback(self.identity.close)
            self.observer = Attempts(str(self.cgroup), sieve, epoch(), self.identity, **how)
            stack.callback(self.observer.close)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def acting(self, acts: str, before: str = "") -> Iterator[dict[str, int]]:
        """Let somebody act; what he did has been drained while he lives."""
        actor = Actor(self.unit, acts, before)
        try:
            self.observer.drain()
            yield actor.told
        finally:
            actor.end()


def epoch() -> Epoch:
    return Epoch(
        datetime.now(UTC), time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    )


def told(evidence: Evidence, **more: Any) -> dict[str, Any]:
    return {
        "status": evidence.status,
        "reason": evidence.reason,
        "scope": evidence.scope,
        "counts": evidence.counts,
        "lost": evidence.lost,
        "blind": evidence.blind,
        "records": [_shown(record) for record in evidence.of(Connection)],
        "uses": [
            [use.entry, use.workload.id if use.workload else None, use.count] for use in evidence.of(EntryUse)
        ],
    } | more  # fmt: skip


def _shown(record: Connection) -> dict[str, Any]:
    process = record.process
    return {
        "to": f"{record.protocol} {record.remote.address} {record.remote.port}",
        "scope": record.remote.scope,
        "how": f"{record.direction} {record.state}",
        "count": record.count,
        "pid": process.pid if process else None,
        "name": process.name if process else None,
        "executable": process.executable if process else None,
        "workload": record.workload.id if record.workload else None,
        "netns": record.netns,
        "user": record.user,
        "age": (record.last - record.first).total_seconds() if record.first and record.last else None,
    }


EVERYTHING = """
for number in range(3):
    tcp("203.0.113.1")
tcp("203.0.113.65"); tcp("203.0.113.129")
tcp("2001:db8::1", family=INET6)
tcp("::ffff:203.0.113.2", family=INET6)
u = socket.socket(INET, DGRAM)
for number in range(2):
    u.sendto(b"x", ("203.0.113.3", 53))
m = socket.socket(INET6, DGRAM); m.connect(("::ffff:203.0.113.4", 99))
for number in range(5):
    m.send(b"x")
m.connect(("::ffff:203.0.113.4", 99))
p = socket.socket(INET, DGRAM, 1); p.sendto(ECHO, ("203.0.113.5", 0)); p.sendto(ECHO, ("203.0.113.5", 0))
q = socket.socket(INET, DGRAM, 1); q.connect(("203.0.113.6", 0)); q.send(ECHO)
r = socket.socket(INET, RAW, 1); r.sendto(ECHO, ("203.0.113.7", 0))
s = socket.socket(INET6, RAW, 58); s.sendto(ECHO6, ("2001:db8::7", 0))
h = socket.socket(INET, RAW, 255); h.sendto(ip("203.0.113.8", 17, UDP), ("203.0.113.8", 0))
g = socket.socket(INET, RAW, 47); g.sendto(b"\\0" * 8, ("203.0.113.9", 0))
n = socket.socket(INET6, RAW, 255); n.sendto(
    struct.pack("!IHBB", 6 << 28, 24, 60, 9) + bytes(16) + socket.inet_pton(INET6, "2001:db8::8")
    + b"\\x2c\\0\\1\\4\\0\\0\\0\\0" + b"\\x11\\0\\0\\0\\0\\0\\0\\1" + UDP, ("2001:db8::8", 0))
"""
FRAMES = """
k = socket.socket(PACKET, RAW, 0); k.bind(("out", 0x800))
for number in range(2):
    k.send(FRAME + b"\\x08\\0" + ip("203.0.113.10", 17, UDP))
k.send(FRAME + b"\\x86\\xdd" + struct.pack("!IHBB", 6 << 28, 8, 17, 9) + bytes(16)
       + socket.inet_pton(INET6, "2001:db8::10") + UDP)
k.send(FRAME + b"\\x08\\6" + bytes(28))
d = socket.socket(PACKET, DGRAM, 0); d.sendto(ip("203.0.113.11", 1, ECHO), ("out", 0x800, 0, 0, b"\\xff" * 6))
d.sendto(ip("203.0.113.12", 17, UDP), ("lo", 0x800, 0, 0, bytes(6)))
"""
ANOTHER = """
import sys, time
from airgap_check.kernel.sandbox import Sandbox
print(Sandbox(sys.argv[1]).name, flush=True)
time.sleep(60)
"""
HERE = """
tcp("127.0.0.1"); tcp("::1", family=INET6); tcp("0.0.0.0"); tcp("10.77.0.1"); tcp("fd77::1", family=INET6)
u = socket.socket(INET, DGRAM); u.sendto(b"x", ("127.0.0.1", 53)); u.sendto(b"x", ("10.77.0.1", 53))
r = socket.socket(INET, RAW, 1); r.sendto(ECHO, ("127.0.0.1", 0)); r.sendto(ECHO, ("10.77.0.1", 0))
"""


def everything() -> dict[str, Any]:
    with Stage() as stage:
        with stage.acting(EVERYTHING) as actor:
            fresh = stage.observer.fresh()
            again = stage.observer.fresh()
        return told(stage.observer.finish(), actor=actor, fresh=len(fresh), again=len(again))


def frames() -> dict[str, Any]:
    with Stage() as stage:
        with stage.acting(FRAMES) as actor:
            pass
        return told(stage.observer.finish(), actor=actor)


def here() -> dict[str, Any]:
    with Stage() as stage:
        with stage.acting(HERE):
            pass
        return told(stage.observer.finish())


def replies() -> dict[str, Any]:
    acts = """
server, client = socket.socket(INET, DGRAM), socket.socket(INET, DGRAM)
server.bind(("10.77.0.1", 5353)); client.bind(("10.77.0.1", 0))
subprocess.run(["ip", "address", "add", "198.51.100.1/32", "dev", "out"], check=True)
stranger = socket.socket(INET, DGRAM); stranger.bind(("198.51.100.1", 0))
for number in range(3):
    stranger.sendto(b"?", ("10.77.0.1", 5353)); server.recvfrom(9)
    server.sendto(b"!", stranger.getsockname())
"""
    with Stage() as stage:
        with stage.acting(acts):
            pass
        return told(stage.observer.finish())


def approved() -> dict[str, Any]:
    sieve = Sieve(
        {ip_network("203.0.113.0/28"): 2, ip_network("2001:db8::/32"): 4},
        {(6, 443): 2, (1, 0): 2, (58, 0): 4, (17, 53): 4},
        (("database", "replica"), ("pings",)),
        "",
    )
    acts = """
for number in range(4):
    tcp("203.0.113.1")
tcp("203.0.113.1", 444)
r = socket.socket(INET, RAW, 1)
for number in range(2):
    r.sendto(ECHO, ("203.0.113.7", 0))
s = socket.socket(INET6, RAW, 58); s.sendto(ECHO6, ("2001:db8::7", 0))
h = socket.socket(INET, RAW, 255); h.sendto(ip("203.0.113.8", 17, UDP), ("203.0.113.8", 0))
k = socket.socket(PACKET, RAW, 0); k.bind(("out", 0x800))
k.send(FRAME + b"\\x08\\0" + ip("203.0.113.8", 1, ECHO))
k.send(FRAME + b"\\x08\\0" + ip("203.0.113.8", 17, UDP))
"""
    with Stage(sieve) as stage:
        with stage.acting(acts):
            pass
        return told(stage.observer.finish())


def gone() -> dict[str, Any]:
    """Read what was seen only when the process, its cgroup and its namespace have gone."""
    with Stage() as stage:
        actor = Actor(stage.unit, 'tcp("203.0.113.1")\n')
        actor.end()
        _remove_cgroup(stage.unit)
        return told(stage.observer.finish(), actor=actor.told)


def moved() -> dict[str, Any]:
    """Read what was seen when its cgroup has gone, and the process has gone back to the unit."""
    with Stage() as stage:
        sub = f"{stage.unit}/sub"
        acts = (
            f'os.mkdir("{sub}"); open("{sub}/cgroup.procs", "w").write("0"); tcp("203.0.113.1")\n'
            f'open("{stage.unit}/cgroup.procs", "w").write("0"); os.rmdir("{sub}")\n'
        )
        with stage.acting(acts) as actor:
            pass
        return told(stage.observer.finish(), actor=actor)


def became() -> dict[str, Any]:
    """Read what was seen when its process has become another program."""
    acts = 'tcp("203.0.113.1"); print(json.dumps({"pid": os.getpid()}), flush=True); os.execvp("cat", ["cat"])\n'
    with Stage() as stage:
        actor = Actor(stage.unit, acts)
        until = time.monotonic() + 10
        while Path(f"/proc/{actor.told['pid']}/comm").read_text() != "cat\n":
            assert time.monotonic() < until
        stage.observer.drain()
        actor.end()
        return told(stage.observer.finish())


def anothers_test() -> dict[str, Any]:
    """Let another run of ours, in a pid namespace of its own, test itself below the cgroup that we observe."""
    apart = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", ANOTHER]
    with Stage() as stage, subprocess.Popen([*apart, stage.cgroup], stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout
            cgroup = stage.cgroup / run.stdout.readline().strip()
            actor = Actor(cgroup, 'tcp("203.0.113.1")\n')
            stage.observer.drain()
            actor.end()
            run.kill()
            run.wait()
            with stage.acting('tcp("203.0.113.2")\n'):
                pass
            return told(stage.observer.finish())
        finally:
            run.kill()


def aside() -> dict[str, Any]:
    with Stage() as stage:
        apart = stage.cgroup / "apart"
        apart.mkdir()
        stage.observer.set_aside(os.stat(apart).st_ino)
        actor = Actor(apart, 'tcp("203.0.113.1")\n')
        actor.end()
        with stage.acting('tcp("203.0.113.2")\n'):
            pass
        seen = [[event.address.hex(), event.pid] for event in stage.observer.aside()]
        return told(stage.observer.finish(), aside=seen, actor=actor.told)


def ourselves() -> dict[str, Any]:
    """Attempt something as the very process that observes."""
    code = 'tcp("203.0.113.1")'
    with Stage() as stage:
        (stage.unit / "cgroup.procs").write_text(str(os.getpid()))
        try:
            exec(PREAMBLE + code, {})
        finally:
            (stage.cgroup.parent / "cgroup.procs").write_text(str(os.getpid()))
        return told(stage.observer.finish())


def flood() -> dict[str, Any]:
    """Attempt more than is kept, while nobody reads."""
    acts = """
u = socket.socket(INET, DGRAM)
for number in range(2000):
    with suppress(OSError):
        u.sendto(b"x", (f"198.51.{100 + number // 250}.{number % 250}", 53))
"""
    with Stage(limit=500) as stage:
        with stage.acting(acts):
            pass
        return told(stage.observer.finish())


def made_before() -> dict[str, Any]:
    """Ping through a socket that was open before anybody observed."""
    with ExitStack() as stack:
        cgroup = _new_cgroup()
        stack.callback(_remove_cgroup, cgroup)
        unit = cgroup / UNIT
        unit.mkdir()
        joined = f'open("{unit}/cgroup.procs", "w").write("0")\nr = socket.socket(INET, RAW, 1)\n'
        wait = 'print("ready", flush=True); sys.stdin.readline()\nr.sendto(ECHO, ("203.0.113.7", 0))\n'
        actor = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", PREAMBLE + SETUP + joined + wait + DONE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        said, says = _pipe(actor.stdout), _pipe(actor.stdin)
        assert said.readline() == "ready\n"
        identity = Identity(epoch())
        stack.callback(identity.close)
        observer = Attempts(str(cgroup), NOTHING, epoch(), identity)
        stack.callback(observer.close)
        says.write("\n")
        says.flush()
        who = json.loads(said.readline())
        observer.drain()
        says.close()
        said.close()
        assert actor.wait(60) == 0
        held = [[row.pid, row.type, row.protocol] for row in observer.held()]
        return told(observer.finish(), actor=who, held=held)


def leftovers() -> dict[str, Any]:
    """Count what stays attached and open after an observer has ended."""
    before = len(os.listdir("/proc/self/fd"))
    with Stage() as stage:
        directory = os.open(stage.cgroup, os.O_RDONLY)
        attached = [len(bpf.query(directory, kind)) for kind in KINDS]
        stage.observer.close()
        stage.observer.close()
        after = [len(bpf.query(directory, kind)) for kind in KINDS]
        os.close(directory)
    return {"attached": attached, "after": after, "opened": len(os.listdir("/proc/self/fd")) - before}


KINDS = (bpf.CONNECT4, bpf.CONNECT6, bpf.SENDMSG4, bpf.SENDMSG6, bpf.SKB_EGRESS, bpf.SOCK_CREATE)


def refused(directory: str) -> dict[str, Any]:
    """Say why nothing can be observed in a directory, with the rights that were left."""
    before = _opened()
    try:
        Attempts(directory, NOTHING, epoch(), Identity(epoch())).close()
    except UnobservableError as error:
        return {"why": str(error), "opened": _opened() - before - 1}  # the one of the identity
    return {"why": None}


def in_a_cgroup_namespace(directory: str) -> dict[str, Any]:
    """Look for the root from inside a namespace of cgroups, and into one of ours by its id; attach nothing."""
    number = os.stat(directory).st_ino
    whole = cgroup2.open_root()
    path = cgroup2.path_of(whole.descriptor, number)
    Path(directory, "cgroup.procs").write_text(str(os.getpid()))
    try:
        assert ctypes.CDLL(None).unshare(0x02000000) == 0  # CLONE_NEWCGROUP
        subprocess.run(["mount", "-t", "cgroup2", "none", "/mnt"], check=True)
        subprocess.run(["umount", "--lazy", whole.path], check=True)
        part = cgroup2.open_root()
        subprocess.run(["umount", "--lazy", "/mnt"], check=True)
        detached = cgroup2.open_root()
        shown = [[root.path, root.is_whole, root.scope] for root in (whole, part, detached)]
        same = os.fstat(part.descriptor).st_ino == os.fstat(detached.descriptor).st_ino == number
        for root in (part, detached):
            os.close(root.descriptor)
    finally:
        top = os.open("cgroup.procs", os.O_WRONLY, dir_fd=whole.descriptor)
        os.write(top, str(os.getpid()).encode())
        os.close(top)
    return {"path": path, "shown": shown, "same": same}


def _opened() -> int:
    return len(os.listdir("/proc/self/fd"))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
