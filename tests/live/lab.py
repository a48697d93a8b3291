"""A laboratory: an audited host and the world beyond it, in namespaces with no way to the machine's own network.

The *near* host is audited; the *far* host stands for everything else and may have any address, public-looking ones
included: those exist nowhere else. One veth pair joins them, and the near host's default route leads to the far one,
which forwards nothing: whatever it does not own is silent. Closing the laboratory ends every process in it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.live.lab_host import CHECKOUT, PATIENCE, Host, LabError, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

NEAR, FAR, CONTAINER, GATEWAY = "10.99.0.2", "10.99.0.1", "172.17.0.2", "172.17.0.1"
NEAR6, FAR6 = "fd99::2", "fd99::1"
DATABASE, RESOLVER = "10.20.0.5", "10.20.0.53"
PUBLIC, PUBLIC6 = "93.184.216.34", "2606:4700::1111"
SILENT = "203.0.114.9"  # nobody in the laboratory has it
NOBODY = (65534, 65534)


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
