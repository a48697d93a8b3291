"""Inventories for tests, built in one line, as if the kernel had told them."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from airgap_check.kernel.cgroup import Cgroups
from airgap_check.kernel.inventory import Inventory, NamespaceSockets
from airgap_check.kernel.netns import Namespace
from airgap_check.kernel.owner import Owners
from airgap_check.kernel.sock_diag import ESTABLISHED, Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.fact import Process, Workload

EPHEMERAL = range(32768, 61000)


def packed(text: str) -> bytes:
    return ip_address(text).packed


def row(
    local: str = "10.0.0.1",
    local_port: int = 40000,
    remote: str = "0.0.0.0",
    remote_port: int = 0,
    state: int = ESTABLISHED,
    **more: Any,
) -> Row:
    here, there = ip_address(local), ip_address(remote)
    family = socket.AF_INET if here.version == 4 else socket.AF_INET6
    return Row(family, state, here.packed, local_port, there.packed, remote_port, **{"uid": 0, "inode": 1, **more})


def namespace(
    inode: int = 1,
    tables: Mapping[str, list[Row]] | None = None,
    addresses: tuple[str, ...] = (),
    broadcasts: tuple[str, ...] = (),
    *,
    maker: int = 0,
    untabled: dict[str, int] | None = None,
    pids: tuple[int, ...] = (),
) -> NamespaceSockets:
    return NamespaceSockets(
        namespace=Namespace(inode, "process", pids),
        tables=dict(tables or {}),
        addresses=frozenset(map(packed, addresses)),
        broadcasts=frozenset(map(packed, broadcasts)),
        ephemeral=EPHEMERAL,
        maker=maker,
        untabled=untabled or {},
    )


class KnownOwners(Owners):
    """Owners that a test makes up: inode -> pid, pid -> process and workload, cgroup id -> workload."""

    def __init__(
        self,
        pids: Mapping[int, int] | None = None,
        processes: Mapping[int, Process] | None = None,
        workloads: Mapping[int, Workload] | None = None,
        cgroups: Mapping[int, Workload] | None = None,
    ) -> None:
        super().__init__((pids or {}).get, Cgroups())
        self._of_pid, self._of_cgroup = workloads or {}, cgroups or {}
        self._known = processes or {}

    def process(self, pid: int) -> Process | None:
        return self._known.get(pid)

    def workload(self, pid: int) -> Workload | None:
        return self._of_pid.get(pid)

    def workload_of_cgroup(self, number: int) -> Workload | None:
        return self._of_cgroup.get(number)


def inventory(
    *namespaces: NamespaceSockets,
    owners: Owners | None = None,
    failures: tuple[str, ...] = (),
    modules: tuple[str, ...] = (),
    initial: int = 1,
) -> Inventory:
    return Inventory(namespaces, initial, owners or KnownOwners(), failures, modules)
