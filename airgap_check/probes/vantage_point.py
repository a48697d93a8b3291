"""Knows from where a deployment sees the network: the network namespaces of its runtimes, else that of this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from airgap_check.kernel import netns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airgap_check.evidence import Runtime
    from airgap_check.evidence.fact import Process, Workload

_HOST_ONLY = "probed from the network namespace of this host only"


class Owner(NamedTuple):
    """A runtime that lives somewhere."""

    process: Process
    workload: Workload | None


class VantagePoint(NamedTuple):
    """A network namespace that is probed from, and the runtimes in it: none where it is only our own.

    ``uids`` are whose connections theirs are, as far as that could be told.
    """

    namespace: netns.Namespace
    owners: tuple[Owner, ...] = ()
    uids: tuple[int, ...] = ()

    @property
    def inode(self) -> int:
        """Return what tells network namespaces apart."""
        return self.namespace.inode

    @property
    def who(self) -> str:
        """Name who lives there, by words that are the same tomorrow."""
        who = dict.fromkeys(
            f"{owner.workload.kind} {owner.workload.name}"
            if owner.workload and owner.workload.kind != "cgroup"
            else f"process {owner.process.name or owner.process.pid}"
            for owner in self.owners
        )
        return ", ".join(who) or "this host"

    def __str__(self) -> str:
        """Name it as a report does."""
        return f"net:[{self.inode}] ({self.who})"


def find(
    runtimes: Iterable[Runtime], namespaces: Sequence[netns.Namespace]
) -> tuple[tuple[VantagePoint, ...], list[str]]:
    """Return the namespaces of the runtimes, and why that is not all of them; without any, our own with the reason."""
    known = {namespace.inode: namespace for namespace in namespaces}
    owners: dict[int, list[Owner]] = {}
    faults: dict[str, None] = {}
    unseen = False
    for runtime in runtimes:
        owner = Owner(runtime.process, runtime.workload)
        if runtime.netns is None:
            unseen = True
            faults[f"the network namespace of process {owner.process.name or owner.process.pid} could not be told"] = (
                None
            )
        else:
            owners.setdefault(runtime.netns, []).append(owner)
    points = []
    for inode, inside in owners.items():
        namespace = known.get(inode)
        reason = "has gone" if namespace is None else _obstacle(namespace)
        if namespace is None or reason:
            faults[f"network namespace net:[{inode}] of a runtime {reason}"] = None
        else:
            uids = dict.fromkeys(uid for owner in inside if (uid := _uid(owner.process.pid)) is not None)
            points.append(VantagePoint(namespace, tuple(inside), tuple(uids)))
    if not points:
        why = "none of a runtime could be entered" if owners or unseen else "no runtime was found"
        faults[f"{_HOST_ONLY}: {why}"] = None
        points = [own(namespaces)]
    return tuple(points), list(faults)


def own(namespaces: Sequence[netns.Namespace]) -> VantagePoint:
    """Return our own namespace."""
    inode = netns.own_inode()
    ours = next((namespace for namespace in namespaces if namespace.inode == inode), None)
    return VantagePoint(ours or netns.Namespace(inode, "process"))


def _obstacle(namespace: netns.Namespace) -> str:
    """Say why a namespace cannot be entered; nothing when it can."""
    try:
        netns.inside(namespace, netns.own_inode)
    except OSError as error:
        return f"could not be entered ({error.strerror or type(error).__name__})"
    return ""


def _uid(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
