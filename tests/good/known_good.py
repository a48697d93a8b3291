"""Knows the descriptions of hosts in hosts/*.yaml, and builds from one what the kernel would say of such a host.

A description is written as ss(8) prints it, one socket a line: ``protocol state local peer owner``. ``*`` is the dual
stack's any-address, ``[::]`` that of a socket for IPv6 only. A raw socket has its IP protocol as the local port, a
packet socket its ethertype as the local address. The owner is

- ``NAME``, a line of some ``processes`` table: ``name user executable cgroup``;
- ``NAME < CGROUP``: the process holds a socket that was made in another cgroup (accepted by a daemon, then handed on);
- ``(NAME)``: made in the process's cgroup, but not accepted yet, so nobody holds it and it has no inode;
- ``-``: the kernel's own, with an inode and the root cgroup, and no process (NFS, VXLAN, DRBD);
- nothing: nobody's any more (TIME-WAIT, requests), with neither inode nor cgroup.
"""

from __future__ import annotations

import errno
import os
import socket
from functools import cache
from ipaddress import ip_address, ip_interface
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pytest

from airgap_check import yamlfile
from airgap_check.address import scope_of
from airgap_check.collectors import environment, listeners, runtimes, sockets
from airgap_check.evidence import Answer, Evidence, Resolver
from airgap_check.evidence.fact import Process, endpoint
from airgap_check.kernel import procfs
from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.inventory import Inventory, NamespaceSockets
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.rtnetlink import InterfaceAddress
from airgap_check.kernel.sock_diag import Row
from airgap_check.objectos import settings
from airgap_check.policy import file as policyfile
from airgap_check.policy.allowlist import Allowlist
from tests import building

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.collectors.process_environment import Seen
    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy

FOLDER = Path(__file__).parent / "hosts"
_STATES = {
    "ESTAB": 1, "SYN-SENT": 2, "SYN-RECV": 3, "FIN-WAIT-1": 4, "FIN-WAIT-2": 5, "TIME-WAIT": 6, "UNCONN": 7,
    "CLOSE-WAIT": 8, "LAST-ACK": 9, "LISTEN": 10, "CLOSING": 11,
}  # fmt: skip
_TABLES = {"tcp": "tcp", "udp": "udp", "raw": "raw", "icmp": "icmp", "p_raw": "packet", "p_dgr": "packet"}
_ROOT_CGROUP = 1
_FIRST_PID = 5_000_000  # above every pid_max, so that no real process is ever meant
_FIRST_UID = 7_000_000


class Space(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network namespace; ``made_by`` is who made the user namespace that owns it."""

    addresses: str
    processes: str = ""
    sockets: str = ""
    ephemeral: str = "32768-60999"
    made_by: str = "root"


class Started(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a process of the table was started, where that matters; and what its package.json would say it is."""

    command: str
    product: str = "ObjectOS"
    version: str = "4.2.0"
    environment: dict[str, str] = {}


class Sabotage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody adds to the host, and the findings that must come of it: ``rule subject`` each."""

    name: str
    finds: tuple[str, ...]
    socket: str = ""
    inside: str | None = None
    environment: dict[str, dict[str, str]] = {}
    resolver: str = ""
    answers: dict[str, list[str]] = {}


class Host(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A host. The first namespace is the initial one; ``resolvers`` are lines ``address [via address] source``.

    ``unseen`` names the entries of the policy that the host does need, though no snapshot can show it.
    """

    about: str
    policy: dict[str, Any]
    namespaces: dict[str, Space]
    started: dict[str, Started] = {}
    resolvers: str = ""
    answers: dict[str, list[str]] = {}
    unseen: tuple[str, ...] = ()
    sabotages: tuple[Sabotage, ...]


class _Program(NamedTuple):
    pid: int
    name: str
    user: str
    executable: str
    cgroup: str
    space: str


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


@cache
def read(name: str) -> Host:
    """Read a description; a word of it that means nothing is an error."""
    path = FOLDER / f"{name}.yaml"
    return msgspec.convert(yamlfile.parse(path.name, path.read_bytes()).value, Host)


def lines(text: str) -> list[str]:
    """Return the lines of a description that say something."""
    return [line for line in (line.partition("#")[0].strip() for line in text.splitlines()) if line]


def policy_of(host: Host, **sections: Any) -> Policy:
    """Check the host's policy as if it stood in a file, some sections replaced."""
    text = msgspec.json.encode({**host.policy, **sections})
    return policyfile.load("policy.yaml", text, {rule.id: rule.kind for rule in building.RULES.rules})


def look(host: Host, policy: Policy, sabotage: Sabotage | None = None) -> Inspection:
    """Return what an audit of the host would see, by the product's own collectors."""
    machine = _Machine(host, sabotage)
    resolution = machine.resolution()
    answers = [record for record in resolution.records if isinstance(record, Answer)]
    allowlist = Allowlist(policy, answers, building.STARTED.date())

    stock = machine.inventory()
    with pytest.MonkeyPatch.context() as patch:
        machine.install(patch)
        seen = (
            environment.collect(None, units_root=str(FOLDER / "no units")),
            resolution,
            sockets.collect(stock, allowlist.wants_owner, None),
            listeners.collect(stock, None),
            Evidence(kind="policy", status="complete"),
        )
    return msgspec.structs.replace(building.inspection(runtime=False), evidence=seen)


class _Machine:
    """One host as /proc and the kernel's tables would show it."""

    def __init__(self, host: Host, sabotage: Sabotage | None) -> None:
        self._host, self._sabotage = host, sabotage or Sabotage(name="none", finds=())
        self._programs = {program.name: program for program in _programs(host)}
        self._by_pid = {program.pid: program for program in self._programs.values()}
        users = dict.fromkeys(program.user for program in self._programs.values() if program.user != "root")
        self._uids = {"root": 0, **{user: _FIRST_UID + number for number, user in enumerate(users)}}
        self._cgroups: dict[str, int] = {}
        self._holders: dict[int, int] = {}
        self._inode = 100_000

    def install(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(procfs, "read", self._read)
        patch.setattr(procfs, "pids", lambda: sorted(self._by_pid))
        patch.setattr(procfs, "describe", self._describe)
        patch.setattr(procfs, "user_name", {uid: user for user, uid in self._uids.items()}.__getitem__)
        patch.setattr(procfs, "hides_processes", lambda: False)
        patch.setattr(runtimes, "_identity", self._identity)
        for variable in list(os.environ):
            if settings.variable(variable):
                patch.delenv(variable)

    def _read(self, pid: int, name: str, _limit: int = 0) -> bytes:
        program = self._by_pid.get(pid)
        if program is None:
            raise FileNotFoundError(errno.ENOENT, "no such process", str(pid))
        started = self._host.started.get(program.name, Started(command=program.executable))
        variables = {**started.environment, **self._sabotage.environment.get(program.name, {})}
        files = {
            "cgroup": f"0::{program.cgroup}\n",
            "comm": f"{program.name[:15]}\n",
            "cmdline": "".join(f"{word}\0" for word in started.command.split()),
            "environ": "".join(f"{key}={value}\0" for key, value in variables.items()),
            "stat": f"{pid} ({program.name}) S 1 1 1 0 -1 0 0",
        }
        return files[name].encode()

    def _identity(self, seen: Seen, *_: object, **__: object) -> tuple[str, str]:
        started = self._host.started[self._by_pid[seen.pid].name]
        return started.product, started.version

    def _describe(self, pid: int) -> Process | None:
        program = self._by_pid[pid]
        return Process(pid=pid, name=program.name, executable=program.executable, user=program.user)

    def inventory(self) -> Inventory:
        spaces = tuple(self._space(number, name) for number, name in enumerate(self._host.namespaces, 1))
        cgroups = Cgroups()
        cgroups._paths = {number: path for path, number in self._cgroups.items()} | {_ROOT_CGROUP: "/"}
        return Inventory(spaces, 1, Owners(self._holders.get, cgroups), (), ())

    def _space(self, number: int, name: str) -> NamespaceSockets:
        space = self._host.namespaces[name]
        tables: dict[str, list[Row]] = {table: [] for table in _TABLES.values()}
        added = self._sabotage.socket if name == (self._sabotage.inside or next(iter(self._host.namespaces))) else ""
        for line in [*lines(space.sockets), *lines(added)]:
            protocol, state, local, remote, *owner = line.split()
            row = _socket(protocol, state, local, remote)
            uid, inode, cgroup = self._owner(owner)
            tables[_TABLES[protocol]].append(row._replace(uid=uid, inode=inode, cgroup=cgroup))
        low, _, high = space.ephemeral.partition("-")
        held = [_interface(text) for text in ["127.0.0.1/8", "::1/128", *space.addresses.split()]]
        return NamespaceSockets(
            namespace=Namespace(number, "process", tuple(p.pid for p in self._by_pid.values() if p.space == name)),
            tables=tables,
            addresses=frozenset(address.address for address in held),
            broadcasts=frozenset(packed for address in held for packed in address.broadcasts()),
            ephemeral=range(int(low), int(high) + 1),
            maker=self._uids[space.made_by],
            untabled={},
        )

    def _owner(self, words: list[str]) -> tuple[int, int, int]:
        """Return the uid, inode and cgroup of a socket, and remember who holds it."""
        if not words:
            return 0, 0, 0
        self._inode += 1
        name = words[0]
        if name == "-":
            return 0, self._inode, _ROOT_CGROUP
        program = self._programs[name.strip("()")]
        path = words[2] if words[1:2] == ["<"] else program.cgroup
        cgroup = self._cgroups.setdefault(path, _ROOT_CGROUP + 1 + len(self._cgroups))
        if name.startswith("("):
            return self._uids[program.user], 0, cgroup
        self._holders[self._inode] = program.pid
        return self._uids[program.user], self._inode, cgroup

    def resolution(self) -> Evidence:
        """Return the name servers and answers; every name of the allowlist has one."""
        answers = {**self._host.answers, **self._sabotage.answers}
        records: tuple[AnyRecord, ...] = (
            *map(_resolver, [*lines(self._host.resolvers), *lines(self._sabotage.resolver)]),
            *(_answer(name, addresses) for name, addresses in answers.items()),
        )
        return Evidence(kind="resolution", status="complete", records=records)


def _programs(host: Host) -> Iterator[_Program]:
    pid = _FIRST_PID
    for space, described in host.namespaces.items():
        for line in lines(described.processes):
            name, user, executable, cgroup = line.split()
            pid += 1
            yield _Program(pid, name, user, executable, cgroup, space)


def _socket(protocol: str, state: str, local: str, remote: str) -> Row:
    """Read the state and the two ends of a socket, without its owner."""
    if _TABLES[protocol] == "packet":  # /proc/net/packet has no state, and an interface in the place of a peer
        return Row(socket.AF_PACKET, 0, b"", int(local.partition(":")[0], 16), b"", 2, 0, 0)
    here, port = _end(local)
    there, peer_port = _end(remote)
    v6only = local.startswith("[::]")
    there = there if any(there) else bytes(len(here))
    assert len(here) == len(there), f"{local} and {remote} are of two families"
    family = socket.AF_INET if len(here) == 4 else socket.AF_INET6
    return Row(family, _STATES[state], here, port, there, peer_port, 0, 0, 0, 0, v6only)


def _end(text: str) -> tuple[bytes, int]:
    """Read ``10.0.0.5%eth0:68``, ``[fe80::5]%eth0:546``, ``*:9100``."""
    host, _, port = text.rpartition(":")
    bare = host.partition("%")[0].strip("[]")
    packed = bytes(16) if bare == "*" else ip_address(bare).packed
    return packed, 0 if port == "*" else int(port)


def _interface(text: str) -> InterfaceAddress:
    held = ip_interface(text)
    return InterfaceAddress(held.ip.packed, held.network.prefixlen, None)


def _resolver(line: str) -> Resolver:
    address, *rest = line.split()
    via = rest[1] if rest[0] == "via" else None
    source = " ".join(rest[2:] if via else rest)
    return Resolver(netns=1, address=address, scope=scope_of(ip_address(address)), source=source, via=via)


def _answer(name: str, addresses: list[str]) -> Answer:
    ends = tuple(endpoint(ip_address(address), name=name) for address in addresses)
    return Answer(name=name, netns=1, source="dns", status="ok", addresses=ends, ttl=300, server="10.0.0.2")
