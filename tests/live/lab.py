"""A laboratory: an audited host and the world beyond it, in namespaces with no way to the machine's own network.

The *near* host is audited; the *far* host stands for everything else and may have any address, public-looking ones
included: those exist nowhere else. One veth pair joins them, and the near host's default route leads to the far one,
which forwards nothing: whatever it does not own is silent. Closing the laboratory ends every process in it.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
PATIENCE = 30.0  # seconds; a bound for a broken test, never waited out by a good one

NEAR, FAR, CONTAINER, GATEWAY = "10.99.0.2", "10.99.0.1", "172.17.0.2", "172.17.0.1"
NEAR6, FAR6 = "fd99::2", "fd99::1"
DATABASE, RESOLVER = "10.20.0.5", "10.20.0.53"
PUBLIC, PUBLIC6 = "93.184.216.34", "2606:4700::1111"
SILENT = "203.0.114.9"  # nobody in the laboratory has it
NOBODY = (65534, 65534)


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


class Audit:
    """What one run of ``airgap-check`` said and did."""

    def __init__(self, exit_code: int, stdout: str, stderr: str) -> None:
        self.exit_code = exit_code
        self.stdout = stdout
        self.stderr = stderr
        self.report: dict[str, Any] = json.loads(stdout) if stdout.startswith("{") else {}

    def outcome(self, rule: str) -> str:
        """Return what one rule concluded."""
        return str(self._result(rule)["outcome"])

    def findings(self, rule: str) -> list[dict[str, Any]]:
        """Return a rule's findings; none unless it failed."""
        result = self._result(rule)
        assert bool(result["findings"]) == (result["outcome"] == "fail"), result
        return list(result["findings"])

    def finding(self, rule: str) -> dict[str, Any]:
        """Return the one finding of a rule."""
        findings = self.findings(rule)
        assert len(findings) == 1, self.summary()
        return findings[0]

    def failed(self) -> set[str]:
        """Name the rules that failed with a finding that nobody waived."""
        return {
            result["rule"]
            for result in self.report["results"]
            if any(finding["waived_by"] is None for finding in result["findings"])
        }

    def coverage(self, collector: str) -> dict[str, Any]:
        """Return how well one collector saw."""
        return next(entry for entry in self.report["coverage"] if entry["collector"] == collector)

    def summary(self) -> str:
        """Say in a few lines what an assertion that failed should show."""
        lines = [f"exit {self.exit_code}", self.stderr[-2000:]]
        lines += [str(reason) for reason in self.report.get("reasons", [])]
        for result in self.report.get("results", []):
            lines += [f"{result['rule']}: {finding['message']}" for finding in result["findings"]]
        for entry in self.report.get("coverage", []):
            lines.append(f"{entry['collector']}: {entry['status']} {entry['reason']}")
        return "\n".join(lines)

    def _result(self, rule: str) -> dict[str, Any]:
        results = [result for result in self.report["results"] if result["rule"] == rule]
        assert len(results) == 1, f"{rule}: {len(results)} results\n{self.summary()}"
        return dict(results[0])


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


class Lab:
    """The near host, the far host, and the wire between them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._addresses: set[str] = set()
        self._six = False

    def __enter__(self) -> Self:
        try:
            self.cgroup = _new_cgroup()
            self._stack.callback(_remove_cgroup, self.cgroup)
            self.far = Host("far")
            self._stack.callback(self.far.close)
            self.near = Host("near", self.cgroup)
            self._stack.callback(self.near.close)
            self._join()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def assign(self, address: str) -> str:
        """Give an address to the far host, once."""
        if address not in self._addresses:
            self._addresses.add(address)
            if ":" in address:
                self._speak_six()
            length, option = (128, "nodad") if ":" in address else (32, "")
            self.far.ip(f"address add {address}/{length} dev lo {option}")
        return address

    def serve(self, address: str, port: int, protocol: str = "tcp") -> Running:
        """Let the far host listen on an address, which it is given."""
        return self.far.plant("listener", self.assign(address), port, protocol, name="server")

    def wire_container(self, pid: int) -> None:
        """Join the network namespace of a process of the near host to it, as a container runtime would."""
        self.near.sysctl("net/ipv4/ip_forward", 1)
        self.near.ip(
            f"link add veth0 type veth peer name eth0 netns {pid}",
            f"address add {GATEWAY}/30 dev veth0",
            "link set veth0 up",
        )
        self.near.check(
            ["nsenter", "--target", str(pid), "--net", "ip", "-batch", "-"],
            stdin=f"link set lo up\naddress add {CONTAINER}/30 dev eth0\nlink set eth0 up\n"
            f"route add default via {GATEWAY}\n",
        )

    def audit(self, *options: str, policy: Mapping[str, Any] | str | None = None, **how: Any) -> Audit:
        """Audit the near host: a policy is put where the tool looks for it, the report is asked for as JSON."""
        if policy is not None:
            self.near.write("/etc/airgap-check/policy.yaml", policy if isinstance(policy, str) else json.dumps(policy))
        return self.check("audit", "--format", "json", *options, **how)

    def check(self, *arguments: str, env: Mapping[str, str] | None = None, **how: Any) -> Audit:
        """Run ``airgap-check`` in the near host."""
        argv = [sys.executable, "-m", "airgap_check", *arguments]
        return Audit(*self.near.output(argv, env=checker_environment(**how) | dict(env or {}), **how))

    def _join(self) -> None:
        subprocess.run(
            ["ip", "link", "add", "eth0", "netns", f"/proc/self/fd/{self.near.netns}",
             "type", "veth", "peer", "name", "eth0", "netns", f"/proc/self/fd/{self.far.netns}"],
            check=True, pass_fds=[self.near.netns, self.far.netns],
        )  # fmt: skip
        for host, address, other in ((self.near, NEAR, FAR), (self.far, FAR, NEAR)):
            # IPv6 is off until a test asks for it: neighbour discovery would blur what the tool itself sends.
            host.sysctl("net/ipv6/conf/eth0/disable_ipv6", 1)
            host.sysctl("net/ipv4/conf/all/rp_filter", 0)
            host.ip(f"address add {address}/30 dev eth0", "link set eth0 up", f"route add default via {other}")
        self.far.sysctl("net/core/somaxconn", 65535)
        self.near.write("/etc/resolv.conf", f"nameserver {RESOLVER}\n")
        self.near.write("/etc/hosts", f"127.0.0.1 localhost\n::1 localhost\n{NEAR} near\n")

    def _speak_six(self) -> None:
        if self._six:
            return
        self._six = True
        for host, address, other in ((self.near, NEAR6, FAR6), (self.far, FAR6, NEAR6)):
            for name in ("accept_dad", "accept_ra", "autoconf", "router_solicitations", "disable_ipv6"):
                host.sysctl(f"net/ipv6/conf/eth0/{name}", 0)
            host.ip(f"address add {address}/64 dev eth0 nodad", f"route add default via {other}")


def checker_environment(user: tuple[int, int] | None = None, **_: Any) -> dict[str, str]:
    """Return the environment that the tool runs in: little, and what measures its coverage."""
    environment = {"HOME": "/run/lab", "PYTHONPATH": str(CHECKOUT)}
    if user is None:  # nobody may not write where the coverage is kept
        environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return environment


def _new_cgroup() -> Path:
    """Create a cgroup of the unified hierarchy below our own."""
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines() if " - cgroup2 " in line)
    mount = next(mounts, None)
    own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line[:3] == "0::"), None)
    if mount is None or own is None:
        raise LabError("there is no unified cgroup hierarchy")
    return Path(tempfile.mkdtemp(prefix="lab-", dir=f"{mount[4]}{own}"))


def _remove_cgroup(folder: Path) -> None:
    """Remove a cgroup and its children; the kernel lets go of one a moment after its last process has ended."""
    deadline = time.monotonic() + PATIENCE
    for path in [*(child for child in folder.iterdir() if child.is_dir()), folder]:
        while True:
            try:
                path.rmdir()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
