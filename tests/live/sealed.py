"""A laboratory host in which ``airgap-check rehearse`` runs, and everything that could betray that its seal leaks.

The host has an uplink, by which whatever got out would be heard; the machine's file system is read-only there, but for
folders of the host's own; and what lives there can be counted, since the host is a pid namespace of its own.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.live.lab import FAR, NEAR, Lab, checker_environment
from tests.live.lab_host import CHECKOUT, LabError
from tests.live.rehearsed import Rehearsal
from tests.live.torture import MARK
from tests.live.wiretap import Wiretap
from tests.unit.captures import initials

if TYPE_CHECKING:
    from types import TracebackType

TORTURE = CHECKOUT / "tests" / "live" / "torture.py"
NAMESPACES = ("net", "mnt", "user", "pid", "ipc", "cgroup")
_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")
_ASIDE = "/run/lab/checkout"
_PATIENCE = 120.0
_OUTGOING = 4  # PACKET_OUTGOING
_NEIGHBOURLY = 58, 0  # ICMPv6 and its hop-by-hop form: neighbours and multicast listeners


class Uplink(Wiretap):
    """Everything that arrives at the far end of the host's uplink."""

    def frames(self) -> list[tuple[int, bytes]]:
        """Return what has arrived since the last call: its protocol by number, and its packet."""
        found = []
        with suppress(BlockingIOError):
            while True:
                data, address = self._socket.recvfrom(1 << 16)
                if address[2] != _OUTGOING and not (address[1] == 0x86DD and data[6] in _NEIGHBOURLY):
                    found.append((address[1], data))
        return found


class Remains(dict[str, Any]):
    """What there is at a host: processes, namespaces, mounts, control groups, files."""


class Sealed:
    """A laboratory prepared for rehearsals; ``user`` None is root."""

    def __init__(self, user: tuple[int, int] | None) -> None:
        self.user = user
        self.lab = Lab()

    def __enter__(self) -> Self:
        self.lab.__enter__()
        try:
            self.lab.assign("2606:4700::1111")  # and so IPv6 is on: there is a way to leak by it
            near = self.lab.near
            near.check(["mkdir", _ASIDE])
            near.check(["mount", "--bind", str(CHECKOUT), _ASIDE])  # it may lie in one of the folders
            for folder in _FOLDERS:
                near.check(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder])
            near.check(["mkdir", "-p", str(CHECKOUT)])
            near.check(["mount", "--move", _ASIDE, str(CHECKOUT)])  # what measures the coverage writes there
            near.check(["rmdir", _ASIDE])
            near.check(["mount", "-o", "remount,bind,ro", "/"])
            if self.user:
                near.check(["true"], user=self.user)  # lets everybody reach the checkout
            near.be_patient(_PATIENCE)
            self.uplink = Uplink(self.lab.far)
            self._prove_the_uplink()
        except BaseException:
            self.lab.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.uplink.__exit__(kind, error, at)
        self.lab.__exit__(kind, error, at)

    def rehearse(self, *options: str, command: tuple[str, ...]) -> Rehearsal:
        """Rehearse a command to its end."""
        return Rehearsal(
            *self.lab.near.output(self._argv(options, command), env=_environment(self.user), user=self.user)
        )

    def begin(self, *options: str, command: tuple[str, ...], errors: Any) -> int:
        """Begin to rehearse; standard error goes to a file. Return the tool's pid."""
        with open(os.devnull, "r+b") as nothing:
            files = (nothing.fileno(), nothing.fileno(), errors.fileno())
            argv = self._argv(options, command)
            return self.lab.near.start(argv, env=_environment(self.user), user=self.user, files=files)

    def remains(self) -> Remains:
        """Return what there is at the host, apart from what asks."""
        near = self.lab.near
        pids = sorted(int(name) for name in os.listdir(near.path("/proc")) if name.isdecimal())
        spaces = set()
        for pid in pids:
            for name in NAMESPACES:
                with suppress(OSError):
                    spaces.add(os.readlink(near.path(f"/proc/{pid}/ns/{name}")))
        files = {
            str(path)
            for folder in (*_FOLDERS, "/run", "/etc", "/var/lib")
            for path in _below(near.path(folder))
        }  # fmt: skip
        return Remains(
            processes=pids,
            namespaces=spaces,
            mounts=near.path("/proc/1/mountinfo").read_text(),
            cgroups=sorted(folder for folder, _, _ in os.walk(self.lab.cgroup)),
            files={path.partition("/fd/")[2].partition("/")[2] for path in files},
        )

    def settles_to(self, before: Remains) -> Remains:
        """Return what remains, once it is as before or has had time to be."""
        deadline = time.monotonic() + _PATIENCE
        while (now := self.remains()) != before and time.monotonic() < deadline:
            time.sleep(0.05)
        return now

    def tree(self, pid: int) -> list[int]:
        """Return the processes that descend from one, the nearest first."""
        path = self.lab.near.path(f"/proc/{pid}/task/{pid}/children")
        try:
            children = [int(child) for child in path.read_text().split()]
        except OSError:
            return []
        return children + [below for child in children for below in self.tree(child)]

    def _argv(self, options: tuple[str, ...], command: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "airgap_check", "rehearse", "--format", "json", *options, "--", *command]

    def _prove_the_uplink(self) -> None:
        """Send something out, which has to be heard: silence means something only where one would hear."""
        # Nobody has to ask for anybody's address, then or later.
        for host, other, address in ((self.lab.near, self.lab.far, FAR), (self.lab.far, self.lab.near, NEAR)):
            link = json.loads(other.check(["ip", "-json", "link", "show", "eth0"]))[0]["address"]
            host.ip(f"neigh replace {address} lladdr {link} dev eth0 nud permanent")
        self.lab.near.check(["python3", "-c", _KNOCK, FAR])
        deadline = time.monotonic() + _PATIENCE
        heard: list[tuple[int, bytes]] = []
        while not any(protocol == 0x0800 and b"knock" in data for protocol, data in heard):
            if time.monotonic() > deadline:
                raise LabError("the uplink hears nothing")
            heard += self.uplink.frames()
            time.sleep(0.01)
        self.uplink.frames()


_KNOCK = "import socket, sys; socket.socket(2, 2).sendto(b'knock', (sys.argv[1], 9))"


def _environment(user: tuple[int, int] | None) -> dict[str, str]:
    datagram = initials.real("quic.torture.example")[0]
    return checker_environment(user) | {"TORTURE_QUIC": base64.b64encode(datagram).decode()}


def _below(folder: Path) -> set[Path]:
    """List what lies below a folder, on the same file system: the checkout may be mounted there."""
    device, found = folder.stat().st_dev, set()
    for at, folders, names in os.walk(folder):
        found |= {Path(at, name) for name in (*folders, *names)}
        folders[:] = [name for name in folders if Path(at, name).lstat().st_dev == device]
    return found


def deeds(rehearsal: Rehearsal) -> list[dict[str, Any]]:
    """Return what the torture program says that it did."""
    lines = rehearsal.stderr.splitlines()
    return [json.loads(line.partition(MARK)[2]) for line in lines if MARK in line]
