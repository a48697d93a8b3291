"""A laboratory host as the test sees it: files to write, processes to plant, commands to run, packets to count."""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 90.0  # seconds; a bound for a broken test, never waited out by a good one


class LabError(Exception):
    """The laboratory itself is broken: nothing is said about what is being tested."""


class Running:
    """A process inside a host. ``pid`` is the one that the host, and so an audit of it, sees."""

    def __init__(self, host: Host, pid: int, stdin: IO[str], stdout: IO[str]) -> None:
        self._host = host
        self.pid = pid
        self._stdin = stdin
        self._stdout = stdout

    def expect(self, word: str) -> None:
        """Wait until the process says a word on a line of its own."""
        ready, _, _ = select.select([self._stdout], [], [], PATIENCE)
        line = self._stdout.readline() if ready else ""
        if line.strip() != word:
            raise LabError(f"expected {word!r} from process {self.pid}, got {line!r}")

    def go_on(self) -> None:
        """Let a process go on that waits for its namespace to be wired up."""
        self._stdin.write("\n")
        self._stdin.flush()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._host.ask({"signal": number, "pid": self.pid})

    def wait(self) -> int:
        """Wait for its end and return its exit code, negative for a signal."""
        return self._host.exit_code(self.pid)


class Host:
    """A host of its own: file system, network, processes."""

    def __init__(self, name: str, cgroup: Path | None = None) -> None:
        self.name = name
        self._cgroup = cgroup
        self._exposed = False
        self._ended: dict[int, int] = {}
        self._streams = ExitStack()
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(PATIENCE)
        with theirs:
            self._init = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--net", "--pid", "--fork", "--kill-child",
                 PYTHON, "-I", "-S", HERE / "lab_init.py", str(theirs.fileno()), name],
                pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            message, descriptors, _, _ = socket.recv_fds(self._socket, 1 << 16, 2)
        except TimeoutError:
            message, descriptors = b"", []
        if len(descriptors) != 2:
            self.close()
            raise LabError(f"host {name} did not come up: {message!r}")
        self.netns, self._root = descriptors
        self.ip("link set lo up")
        programs = self.path("/run/lab/bin")
        programs.mkdir()
        self.write("/run/lab/planted.py", (HERE / "planted.py").read_text())

    def be_patient(self, seconds: float) -> None:
        """Let what runs in this host take longer than a test should."""
        self._socket.settimeout(seconds)

    def path(self, path: str) -> Path:
        """Name a file of this host so that the test can open it."""
        return Path(f"/proc/self/fd/{self._root}{path}")

    def write(self, path: str, text: str) -> None:
        """Write a file of this host, folders included."""
        if not path.startswith(("/etc/", "/run/")):
            raise LabError(f"{path} belongs to the machine, not to host {self.name}")
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def sysctl(self, name: str, value: int) -> None:
        """Set a kernel parameter of this host's network."""
        self.ask({"write": f"/proc/sys/{name}", "text": str(value)})  # /proc/sys/net is the writer's own

    def ip(self, *lines: str) -> None:
        """Run lines of ``ip`` in this host."""
        self.check(["ip", "-batch", "-"], stdin="\n".join(lines) + "\n")

    def start(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cgroup: str | None = None,
        user: tuple[int, int] | None = None,
        cwd: str = "/run/lab",
        files: tuple[int, int, int],
    ) -> int:
        """Start a process with these three descriptors and return its pid in this host."""
        if user:
            self._expose()
        folder = None
        if cgroup:
            if self._cgroup is None:
                raise LabError(f"host {self.name} has no cgroup")
            folder = self._cgroup / cgroup
            folder.mkdir(exist_ok=True)
        order = {
            "argv": list(argv),
            "env": {"PATH": PATH, "LANG": "C.UTF-8", **(env or {})},
            "cgroup": str(folder) if folder else None,
            "user": user,
            "cwd": cwd,
        }
        return int(self.ask(order, files)["pid"])

    def run(self, argv: Sequence[str], **how: Any) -> Running:
        """Start a process that the test talks to; its errors go to the test's own standard error."""
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        stdin = self._streams.enter_context(os.fdopen(ours_in, "w"))
        stdout = self._streams.enter_context(os.fdopen(ours_out))
        try:
            pid = self.start(argv, files=(theirs_in, theirs_out, 2), **how)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        return Running(self, pid, stdin, stdout)

    def plant(
        self,
        kind: str,
        *arguments: object,
        name: str = "node",
        until: str | None = "ready",
        unused: Sequence[str] = (),
        **how: Any,
    ) -> Running:
        """Start a process of `planted` under a name, and wait until it holds its socket (or says another word).

        ``unused`` arguments are only there to be read on its command line.
        """
        program = self.path(f"/run/lab/bin/{name}")
        if not program.is_symlink():
            program.symlink_to(PYTHON)
        argv = [f"/run/lab/bin/{name}", "-I", "-S", "/run/lab/planted.py", kind, *map(str, arguments), *unused]
        running = self.run(argv, **how)
        if until is not None:
            running.expect(until)
        return running

    def check(self, argv: Sequence[str], *, stdin: str = "", **how: Any) -> str:
        """Run a command to its end; raise with its output when it fails."""
        code, output, errors = self.output(argv, stdin=stdin, **how)
        if code:
            raise LabError(f"{self.name}: {shlex.join(argv)}: {code}\n{stdin}{output}{errors}")
        return output

    def output(self, argv: Sequence[str], *, stdin: str = "", **how: Any) -> tuple[int, str, str]:
        """Run a command to its end: its exit code, standard output and standard error."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
            given.write(stdin.encode())
            given.seek(0)
            pid = self.start(argv, files=(given.fileno(), said.fileno(), errors.fileno()), **how)
            code = self.exit_code(pid)
            texts = []
            for stream in (said, errors):
                stream.seek(0)
                texts.append(stream.read().decode(errors="replace"))
        return code, texts[0], texts[1]

    def exit_code(self, pid: int) -> int:
        """Wait for the end of a process that this host was told to start."""
        while pid not in self._ended:
            self._hear()
        return self._ended[pid]

    def ask(self, order: dict[str, Any], files: Sequence[int] = ()) -> dict[str, Any]:
        """Tell the host's first process to do something, and return its answer."""
        socket.send_fds(self._socket, [json.dumps(order).encode()], list(files))
        answer = None
        while answer is None:
            answer = self._hear()
        if "error" in answer:
            raise LabError(f"{self.name}: {answer['error']}")
        return answer

    def counters(self) -> dict[str, int]:
        """Return how many IP packets this host has sent, loopback included, by protocol."""
        counts: dict[str, int] = {}
        lines = self.path("/proc/1/net/snmp").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            protocol, _, rest = names.partition(": ")
            pairs = zip(rest.split(), values.split()[1:], strict=True)
            counts |= {
                f"{protocol}.{name}": int(value)
                for name, value in pairs
                if name in {"OutRequests", "OutSegs", "OutDatagrams", "OutMsgs"}
            }
        sixes = (line.split() for line in self.path("/proc/1/net/snmp6").read_text().splitlines())
        return counts | {name: int(value) for name, value in sixes if name in {"Ip6OutRequests", "Udp6OutDatagrams"}}

    def close(self) -> None:
        """End every process of the host; with the last one its namespaces go."""
        self._streams.close()
        self._socket.close()
        try:
            self._init.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._init.kill()
            self._init.wait()
        for descriptor in (getattr(self, "netns", None), getattr(self, "_root", None)):
            if descriptor is not None:
                os.close(descriptor)

    def _hear(self) -> dict[str, Any] | None:
        """Take one message: an answer, or (then None) the end of a process, which is remembered."""
        try:
            message = self._socket.recv(1 << 16)
        except TimeoutError:
            raise LabError(f"host {self.name} has said nothing for {self._socket.gettimeout()} s") from None
        if not message:
            raise LabError(f"host {self.name} is gone")
        answer: dict[str, Any] = json.loads(message)
        if "ended" in answer:
            self._ended[answer["ended"]] = answer["status"]
            return None
        return answer

    def _expose(self) -> None:
        if not self._exposed:
            self.ask({"expose": sorted({sys.base_prefix, sys.prefix, str(CHECKOUT)})})
            self._exposed = True
