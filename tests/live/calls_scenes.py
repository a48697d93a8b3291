"""Scenes that live tests of the `calls` observer look at; each prints what it saw as JSON.

Run as ``python -m tests.live.calls_scenes NAME``, as root or as nobody, in network and pid namespaces of its own. Every
address of two networks leads back here, and nothing leads elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap_check.evidence import Connection
from airgap_check.kernel.sieve import NOTHING
from airgap_check.observers.calls import Call, Calls
from airgap_check.observers.identity import Identity
from airgap_check.observers.observer import Epoch, UnobservableError
from airgap_check.plan import Observing
from airgap_check.watching.observation import Observation
from tests.live.attempts_generator import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence import Evidence

CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
EACH = 60  # attempts of each kind
GENERATE = """
import json, socket, sys
from tests.live import attempts_generator as generator
kind, count = sys.argv[1], int(sys.argv[2])
listener = socket.create_server(("", generator.OPEN), backlog=1000)
step = 1 if kind == "a process for each" else max(1, count // generator.PROCESSES)
print(json.dumps([(generator.share(kind, first, step), first, step) for first in range(0, count, step)]))
"""
PREAMBLE = """
import ctypes, errno, json, os, signal, socket, struct, subprocess, sys, threading, time
from contextlib import suppress
INET, INET6, STREAM, DGRAM, RAW = 2, 10, 1, 2, 3
LIBC = ctypes.CDLL(None, use_errno=True)
def tcp(address, port=443, family=INET):
    with socket.socket(family, STREAM) as made, suppress(OSError):
        made.connect((address, port))
def name(address, port=53):
    return ctypes.create_string_buffer(struct.pack("=H", INET) + struct.pack(">H", port) + socket.inet_aton(address) + bytes(8), 16)
def call(number, *arguments):
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments))
    return result if result >= 0 else -ctypes.get_errno()
CONNECT, SENDTO, SENDMSG, SENDMMSG = (42, 44, 46, 307) if os.uname().machine == "x86_64" else (203, 206, 211, 269)
SOCKET = 41 if os.uname().machine == "x86_64" else 198
"""  # noqa: E501  (a program, not prose)

FIND_MYSELF = """
import json, os, sys
with open('/proc/self/status') as file:
    status = dict(line.rstrip('\\n').split(':\\t', 1) for line in file if ':\\t' in line)
found = {'status': status, 'environment': dict(os.environ), 'cwd': os.getcwd(), 'argv': sys.argv[1:]}
json.dump({**found, 'files': sorted(os.listdir('/proc/self/fd'))}, sys.stdout)
"""


def _prepare() -> None:
    for command in (
        "ip link set lo up",
        "ip route add local 198.18.0.0/15 dev lo",
        "ip route add local 2001:db8:1::/64 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    groups = Path("/proc/self/gid_map").read_text(encoding="ascii").split()
    Path("/proc/sys/net/ipv4/ping_group_range").write_text(f"{groups[0]} {groups[0]}", encoding="ascii")


def _epoch() -> Epoch:
    return Epoch(datetime.now(UTC), time.monotonic_ns(), time.clock_gettime_ns(time.CLOCK_BOOTTIME))


@contextmanager
def _calls() -> Iterator[Calls]:
    epoch = _epoch()
    with ExitStack() as stack:
        identity = Identity(epoch)
        stack.callback(identity.close)
        calls = Calls(epoch, identity)
        stack.callback(calls.close)
        yield calls


def _launch(calls: Calls, program: str, *words: str, **popen: Any) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-c", PREAMBLE + program, *words]
    return calls.launch(argv, keep=None, ambient=os.geteuid() != 0, cwd=CHECKOUT, **popen)


def _said(calls: Calls, program: str, *words: str) -> Any:
    """Run a program to its end and return the JSON that it said."""
    with _launch(calls, program, *words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        text = process.stdout.read()
    assert process.returncode == 0, process.returncode
    return json.loads(text) if text else None


def _wait_for(calls: Calls, address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(call.address == address for call in calls.log()):
        assert time.monotonic() < deadline, f"nobody reached for {address}"
        calls.drain()
        time.sleep(0.01)


def _summary(evidence: Evidence) -> dict[str, Any]:
    return {
        "status": evidence.status, "reason": evidence.reason, "counts": evidence.counts, "lost": evidence.lost,
        "blind": evidence.blind,
    }  # fmt: skip


def _rows(evidence: Evidence) -> list[list[Any]]:
    return [
        [
            row.protocol,
            row.remote.address,
            row.remote.port,
            row.state,
            row.count,
            row.process.name if row.process else "",
        ]
        for row in evidence.of(Connection)
    ]


def _plain(call: Call) -> list[Any]:
    return [call.protocol, call.address, call.port]


def kinds() -> Any:
    """Make attempts of every kind; each shall be told once, with its process and its address."""
    found = {}
    for kind in KINDS:
        with _calls() as calls:
            shares = _said(calls, GENERATE, kind, str(EACH))
            evidence = calls.finish()
            told = [(call.process.pid if call.process else 0, call.address) for call in calls.log()]
            found[kind] = {
                "shares": [[pid, first, count] for pid, first, count in shares],
                "told": told,
                "counted": sum(row.count for row in evidence.of(Connection)),
                "protocols": sorted({call.protocol for call in calls.log()}),
                "states": sorted({row.state for row in evidence.of(Connection)}),
                "netns": sorted({row.netns for row in evidence.of(Connection)}),
                "ours": os.stat("/proc/self/ns/net").st_ino,
                "status": evidence.status,
            }
    return found


def messages() -> Any:
    """Send by sendmsg and sendmmsg, to names in memory, and over raw sockets."""
    with _calls() as calls:
        said = _said(
            calls,
            """
with socket.socket(INET, DGRAM) as sender:
    sender.sendmsg([b"x"], [], 0, ("198.18.1.1", 53))
    sender.sendto(b"x", ("198.18.1.2", 53))
    sender.connect(("198.18.1.3", 53))
    for send in (lambda: sender.sendmsg([b"x"]), lambda: sender.send(b"x")):   # where it goes was said before
        with suppress(ConnectionRefusedError):
            send()
    names = [name(f"198.18.2.{index}") for index in range(5)]
    data = ctypes.create_string_buffer(b"x")
    vector = struct.pack("=QQ", ctypes.addressof(data), 1)
    vectors = ctypes.create_string_buffer(vector)
    block = b"".join(struct.pack("=QI4xQQQQI4xI4x", ctypes.addressof(one), 16, ctypes.addressof(vectors), 1, 0, 0, 0, 0)
                     for one in names)
    held = ctypes.create_string_buffer(block)
    sent = call(SENDMMSG, sender.fileno(), ctypes.addressof(held), 5, 0)
    # IPv4 without a family: the kernel sends it all the same
    bare = ctypes.create_string_buffer(bytes(2) + names[0].raw[2:4] + socket.inet_aton("198.18.1.4") + bytes(8), 16)
    odd = call(SENDTO, sender.fileno(), ctypes.addressof(data), 1, 0, ctypes.addressof(bare), 16)
with socket.socket(INET, RAW, 1) as raw:
    raw.sendto(struct.pack("!BBHHH", 8, 0, 0xf7fe, 0, 1), ("198.18.3.1", 0))
with socket.socket(INET, RAW, 47) as raw:
    raw.sendto(bytes(8), ("198.18.3.2", 0))
with socket.socket(17, RAW, socket.htons(0x88cc)):
    pass
with suppress(OSError):
    socket.socket(INET, 10, socket.htons(0x0800)).close()   # as packet sockets were made once
left, right = socket.socketpair()
left.sendmsg([b"x"])
with socket.socket(1, STREAM) as local, suppress(OSError):
    local.connect("/none")
with socket.socket(INET, STREAM) as over:
    with suppress(OSError):
        over.sendto(b"x", ("198.18.9.9", 1))    # of no account where nothing is connected
tcp("127.0.0.1")
tcp("0.0.0.0")
print(json.dumps([sent, odd]))
""",
        )
        evidence = calls.finish()
        return {
            "said": said,
            "log": [_plain(call) for call in calls.log()],
            "rows": _rows(evidence),
            **_summary(evidence),
        }


def names() -> Any:
    """Let one process become several programs, and fork, vfork and detach: each shall have its own name."""
    with _calls() as calls:
        _said(
            calls,
            """
tcp("198.18.4.1")
subprocess.run(["bash", "-c", "exec 3<>/dev/tcp/198.18.4.2/9"], stderr=subprocess.DEVNULL)
if not os.fork():
    again = f"import socket; s = socket.socket(); s.connect_ex(('198.18.4.4', 9))"
    tcp("198.18.4.3")
    os.execv(sys.executable, [sys.executable, "-c", again])
os.wait()
if not os.fork():
    os.setsid()
    if not os.fork():
        while os.getppid() != 1:
            time.sleep(0.001)
        tcp("198.18.4.5")
    os._exit(0)
os.wait()
""",
        )
        _wait_for(calls, "198.18.4.5")
        calls.finish()
        return {
            call.address: [call.process.pid, call.process.name, call.process.executable, call.process.command]
            for call in calls.log()
            if call.process
        }


def many() -> Any:
    """Connect ten thousand times to a hundred places."""
    with _calls() as calls:
        _said(calls, 'for index in range(10_000): tcp(f"198.18.5.{index % 100}", 9)')
        evidence = calls.finish()
        return {"counts": sorted({row.count for row in evidence.of(Connection)}), "logged": len(calls.log()),
                "facts": len(evidence.records), **_summary(evidence)}  # fmt: skip


def pointers() -> Any:
    """Pass pointers that lead nowhere, names without end, and more messages than there are."""
    with _calls() as calls:
        said = _said(
            calls,
            """
made = socket.socket(INET, DGRAM)
number, good = made.fileno(), name("198.18.6.1")
place = ctypes.addressof(good)
header = ctypes.create_string_buffer(struct.pack("=QI4xQQQQI4x", place, 16, 0, 0, 0, 0, 0))
results = [
    call(CONNECT, number, 16, 16),
    call(CONNECT, number, -1, 16),
    call(CONNECT, number, 0, 16),
    call(CONNECT, number, place, -1),
    call(CONNECT, number, place, 1 << 20),
    call(CONNECT, -1, place, 16),
    call(CONNECT, 0, place, 16),
    call(SENDTO, number, place, 1, 0, 32, 16),
    call(SENDMSG, number, 64, 0),
    call(SENDMSG, number, ctypes.addressof(header), 0),
    call(SENDMMSG, number, 4096, 0xffffffff, 0),
    call(SENDMMSG, number, -64, 3, 0),
]
tcp("198.18.6.2")
print(json.dumps(results))
""",
        )
        evidence = calls.finish()
        return {"said": said, "log": [_plain(call) for call in calls.log()], **_summary(evidence)}


def held_up() -> Any:
    """Name a place by memory that never comes: whoever reads it waits, but for us."""
    with _calls() as calls:
        program = """
import fcntl, mmap
number = call(323 if os.uname().machine == "x86_64" else 282, 0o2000000)
if number < 0:
    print(number, flush=True)
    sys.exit()
fcntl.ioctl(number, 0xc018aa3f, struct.pack("=QQQ", 0xaa, 0, 0))
page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = ctypes.addressof(ctypes.c_char.from_buffer(page))
fcntl.ioctl(number, 0xc020aa00, struct.pack("=QQQQ", start, mmap.PAGESIZE, 1, 0))
made = socket.socket(INET, STREAM)
print(0, flush=True)
call(CONNECT, made.fileno(), start, 16)
"""
        with _launch(calls, program, stdout=subprocess.PIPE) as process:
            assert process.stdout
            said = int(process.stdout.readline())
            _said(calls, 'tcp("198.18.12.1")')
            process.kill()
        evidence = calls.finish()
        return {"said": said, "log": [_plain(call) for call in calls.log()], **_summary(evidence)}


def deaths() -> Any:
    """Die in the call: by SIGKILL, by a thread that ends the process, by one that becomes another program."""
    with _calls() as calls:
        _said(
            calls,
            """
tcp("198.18.7.1", 9)  # on a busy machine each of the others may die before its first call goes on
def storm():
    while True:
        tcp("198.18.7.1", 9)
for turn in range(60):
    pid = os.fork()
    if not pid:
        threads = [threading.Thread(target=storm, daemon=True) for _ in range(3)]
        for thread in threads:
            thread.start()
        if turn % 3 == 0:
            time.sleep(0.003)
            os._exit(0)
        if turn % 3 == 1:
            time.sleep(0.003)
            os.execv("/bin/true", ["true"])
        storm()
    time.sleep(0.006)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
tcp("198.18.7.2", 9)
""",
        )
        evidence = calls.finish()
        return {"places": sorted({call.address for call in calls.log()}), **_summary(evidence)}


def signals() -> Any:
    """Connect while another thread sends a signal every now and then, as the scheduler of Go does."""
    with _calls() as calls:
        said = _said(
            calls,
            """
caught, going = [0], [True]
def note(*_):
    caught[0] += 1
signal.signal(signal.SIGURG, note)
signal.siginterrupt(signal.SIGURG, False)
us = threading.get_ident()
def disturb():
    while going[0]:
        signal.pthread_kill(us, signal.SIGURG)
        time.sleep(0.00005)
thread = threading.Thread(target=disturb)
thread.start()
for index in range(3000):
    tcp(f"198.18.8.{index % 250}", 9)
going[0] = False
thread.join()
print(json.dumps(caught[0]))
""",
        )
        evidence = calls.finish()
        return {"caught": said, "logged": len(calls.log()), **_summary(evidence)}


def refused() -> Any:
    """Try what no filter could see."""
    with _calls() as calls:
        said = _said(
            calls,
            """
import mmap
ring = call(425, 8, 0)
x32 = call(0x40000000 | 41, INET, STREAM, 0) if os.uname().machine == "x86_64" else -errno.ENOSYS
old = -errno.ENOSYS
if os.uname().machine == "x86_64" and not (pid := os.fork()):
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("53 89f8 89f3 89d1 31d2 cd80 5b c3"))    # int 0x80: the calls of i386
    run = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 3)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    os._exit(0 if run(20, 0, 0) == os.getpid() and run(359, INET, STREAM) == -errno.ENOSYS else 1)
if os.uname().machine == "x86_64":
    old = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps([ring, x32, old]))
""",
        )
        return {"said": said, **_summary(calls.finish())}


def conduct() -> Any:
    """Say how a program finds itself when it starts."""
    with _calls() as calls, ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, reader)
        stack.callback(os.close, writer)
        program = [sys.executable, "-I", "-c", FIND_MYSELF, "caf\u00e9", "\udcff"]
        keep = frozenset({10, 13})
        with calls.launch(
            program, keep=keep, ambient=os.geteuid() != 0, stdout=subprocess.PIPE, cwd="/usr",
            env={"A": "b\udcff", "LC_ALL": "C.UTF-8"}, pass_fds=(reader,),
        ) as process:  # fmt: skip
            assert process.stdout
            found = json.load(process.stdout)
        with calls.launch(
            ["grep", "^Sig", "/proc/self/status"], keep=None, ambient=False, stdout=subprocess.PIPE
        ) as seen:
            assert seen.stdout
            handled = dict(line.split(b":\t") for line in seen.stdout.read().splitlines())
        missing = ""
        try:
            calls.launch(["/none/such"], keep=None, ambient=False)
        except OSError as error:
            missing = str(error)
        status = found["status"]
        kept = {name: status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")}
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
        return {**found, "status": kept, "missing": missing, "passed": reader,
                "signals": {name.decode(): value.decode() for name, value in handled.items()}, "children": children,
                "returned": process.returncode}  # fmt: skip


def after() -> Any:
    """Stop while a program runs on: it is refused, and waits for nobody."""
    with _calls() as calls:
        program = """
tcp("198.18.10.1", 9)
sys.stdin.readline()
made = socket.socket(INET, STREAM)
print(json.dumps(made.connect_ex(("198.18.10.2", 9))))
"""
        with _launch(calls, program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stdout
            _wait_for(calls, "198.18.10.1")
            evidence = calls.finish()
            process.stdin.write(b"\n")
            process.stdin.flush()
            said = json.load(process.stdout)
        with suppress(UnobservableError):
            calls.launch(["true"], keep=None, ambient=False)
            return {"launched": True}
        return {"said": said, "status": evidence.status, "descriptors": _descriptors()}


def _descriptors() -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(link for link in links if "seccomp" in link)


def orphan() -> Any:
    """Kill who observes: what it had started shall end with it."""
    script = (
        "import subprocess, sys, time\nfrom tests.live import calls_scenes as here\n"
        "with here._calls() as calls:\n"
        "    process = here._launch(calls, 'time.sleep(60)')\n"
        "    print(process.pid, flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=CHECKOUT) as tool:
        assert tool.stdout
        pid = int(tool.stdout.readline())
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        tool.kill()
    deadline = time.monotonic() + PATIENCE
    while _is_alive(pid):
        if time.monotonic() > deadline:
            return {"before": state, "after": "alive"}
        time.sleep(0.01)
    return {"before": state, "after": "gone"}


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def proof() -> Any:
    """Let the self-test try it, beside the observers that see packets."""
    with Observation(Observing(sockdiag=False), NOTHING, _epoch(), Calls) as observation:
        observation.begin()
        assert isinstance(observation.attempts, Calls)
        with _launch(observation.attempts, 'tcp("198.18.11.1")') as process:
            process.wait(PATIENCE)
        ended = {evidence.kind: evidence for evidence in observation.finish()}
        return {
            "trials": [[trial.observer, trial.mode, trial.seen, trial.process] for trial in observation.trials],
            "rows": _rows(ended["attempts"]),
            "log": [_plain(call) for call in observation.attempts.log()],
            **_summary(ended["attempts"]),
        }


def powerless() -> Any:
    """Observe without a capability."""
    with _calls() as calls:
        status = _said(
            calls,
            """
tcp("198.51.100.1")
with open("/proc/self/status") as file:
    print(json.dumps(next(line.split()[1] for line in file if line.startswith("NoNewPrivs"))))
""",
        )
        evidence = calls.finish()
        return {"shut": status, "log": [_plain(call) for call in calls.log()], **_summary(evidence)}


def nested() -> Any:
    """Observe what observes."""
    with _calls() as calls:
        return _said(
            calls,
            """
from tests.live import calls_scenes as here
with here._calls() as calls:
    try:
        calls.launch(["true"], keep=None, ambient=False)
    except here.UnobservableError as error:
        print(json.dumps(str(error)))
""",
        )


SCENES = (
    kinds,
    messages,
    names,
    many,
    pointers,
    held_up,
    deaths,
    signals,
    refused,
    conduct,
    after,
    orphan,
    proof,
    powerless,
    nested,
)

if __name__ == "__main__":
    if sys.argv[1] != "powerless":
        _prepare()
    (scene,) = (made for made in SCENES if made.__name__ == sys.argv[1])
    json.dump(scene(), sys.stdout)
