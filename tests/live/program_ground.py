"""Where the scenes of the programs are played: a cgroup with another below it, and a network with all ways to fail.

In the network namespace 198.18.0.0/18 and 2001:db8:1::/64 are addresses of the host itself, and each prefix beside
them ends in another way. There is no way from it to the machine's own network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.live import attempts_generator as generator
from tests.live.lab import _new_cgroup, _remove_cgroup
from tests.live.program_scripts import HOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUTES = f"""
link set lo up
link add out type veth peer name void
link set out arp off
address add 203.0.113.1/24 dev out
address add 2001:db8::1/64 dev out nodad
link set out up
link set void up
route add local {generator.HERE}/18 dev lo
route add {generator.DROPPED}/18 dev out
route add {generator.UNANSWERED}/18 dev out
route add blackhole {generator.BLACKHOLE}/18
route add prohibit {generator.PROHIBITED}/18
route add unreachable {generator.UNREACHABLE}/18
address add {generator.HERE6 + 6}/128 dev lo nodad
address add {generator.HERE6 + 7}/128 dev lo nodad
route add local {generator.HERE6}/64 dev lo
"""
FIREWALL = f"""
table ip ground {{ chain output {{ type filter hook output priority 0; ip daddr {generator.DROPPED}/18 drop; }}; }}
"""
SETTINGS = 'echo "0 0" > /proc/sys/net/ipv4/ping_group_range; echo 5000 > /proc/sys/net/core/somaxconn'
SERVER = f"""
import socket
with socket.create_server(("", {generator.OPEN}), backlog=5000) as server:
    print(flush=True)
    while True:
        server.accept()[0].close()
"""


class Ground:
    """A cgroup with another below it, and a network namespace with ways to fail."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.cgroup = _new_cgroup()
            stack.callback(_remove_cgroup, self.cgroup)
            self.nested = self.cgroup / "nested"
            self.nested.mkdir()
            self.descriptor = os.open(self.cgroup, os.O_RDONLY)
            stack.callback(os.close, self.descriptor)
            self._holder = stack.enter_context(_running(["unshare", "--net", "sh", "-c", "echo; exec sleep 1000"]))
            self.run(["sh", "-c", SETTINGS])
            self.run(["ip", "-batch", "-"], stdin=ROUTES)
            self.run(["nft", "-f", "-"], stdin=FIREWALL)
            stack.enter_context(_running(self.inside([sys.executable, "-c", SERVER])))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def inside(self, argv: list[str]) -> list[str]:
        return ["nsenter", "--target", str(self._holder), "--net", *argv]

    def run(self, argv: list[str], stdin: str = "") -> str:
        done = subprocess.run(self.inside(argv), input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def generate(self, kind: str, count: int) -> dict[str, Any]:
        argv = [sys.executable, "-m", "tests.live.attempts_generator", kind, str(count), str(self.nested)]
        made: dict[str, Any] = json.loads(self.run(argv))
        return made

    def script(self, source: str) -> str:
        """Run Python in the nested cgroup and return what it prints."""
        joined = f"open({str(self.nested / 'cgroup.procs')!r}, 'w').write('0')\nimport os, socket\n{source}"
        return self.run([sys.executable, "-c", joined])

    @contextmanager
    def holding(self) -> Iterator[int]:
        """Let a process in the network namespace hold sockets of all sorts; returns its pid."""
        with _running(self.inside([sys.executable, "-c", f"import os, socket\n{HOLD}"])) as pid:
            yield pid


@contextmanager
def _running(argv: list[str]) -> Iterator[int]:
    """Run a process until the end of the block; it says with a line that it is ready."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()
