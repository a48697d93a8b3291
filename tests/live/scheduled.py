"""A booted machine with something to audit: a runtime of a closed home, and a service with a network of its own."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.live.booted import Booted

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL = (sys.executable, "-I", "-m", "airgap_check")
APP = "/home/app/objectos"
SERVER = """
import ctypes, socket, time
ctypes.CDLL(None).prctl(4, 0)  # not to be dumped: its files in /proc belong to root
idle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # bound to nothing: the kernel's tables do not have it
server = socket.socket()
server.bind(("0.0.0.0", 8080))
server.listen()
time.sleep(1e6)
"""
REACH = "import socket; socket.socket().connect(('10.9.9.9', 443))"
POLICY = "version: 1\nallow:\n- {name: db, role: database, cidr: [10.20.0.5/32], ports: [5432]}\n"


@contextmanager
def machine_with_runtime() -> Iterator[Booted]:
    """Boot it, with a policy that its runtime keeps to."""
    with Booted() as booted:
        booted.output("install", "-d", "-m", "0700", "-o", "daemon", "/home/app")
        booted.output("install", "-d", "-o", "daemon", APP)
        booted.write(f"{APP}/package.json", '{"name": "objectos", "version": "4.2.0"}', owner="daemon")
        booted.write(f"{APP}/.env", "OS_CLOUD_URL=off\n", mode="0600", owner="daemon")
        booted.write(f"{APP}/artifact.json", "{}", mode="0600", owner="daemon")
        booted.write(f"{APP}/server.py", SERVER, owner="daemon")
        booted.write(
            "/etc/systemd/system/objectos.service",
            f"[Service]\nUser=daemon\nWorkingDirectory={APP}\nEnvironmentFile={APP}/.env\n"
            f"Environment=OS_ARTIFACT_FILE={APP}/artifact.json OS_BUSINESS_DB_URL=postgres://u:pw@10.20.0.5:5432/x\n"
            f"ExecStart=/usr/bin/python3 {APP}/server.py objectos\n",
        )
        booted.write("/srv/boxed.py", SERVER)
        booted.write(
            "/etc/systemd/system/boxed.service",
            "[Service]\nUser=bin\nPrivateNetwork=yes\nProtectSystem=strict\nExecStart=/usr/bin/python3 /srv/boxed.py\n",
        )
        booted.write("/etc/airgap-check/policy.yaml", POLICY)
        booted.output("systemctl", "daemon-reload")
        booted.output("systemctl", "start", "objectos", "boxed")
        booted.output("install", "-d", "-m", "0700", "/var/log/airgap")
        yield booted


def journal(machine: Booted, name: str) -> str:
    return machine.output("journalctl", "--no-pager", "--output", "cat", "--unit", name)


def entries(machine: Booted, name: str, since: str = "0") -> list[dict[str, str]]:
    text = machine.output("journalctl", "--no-pager", "--output", "json", "--unit", name, "--since", f"@{since}")
    return [json.loads(line) for line in text.splitlines()]
