"""Scenes in which our programs and their twins in C observe the same traffic at once; prints what both say as JSON."""

from __future__ import annotations

import json
import os
import struct
import sys
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from airgap_check.kernel import bpf, btf
from airgap_check.kernel.btf import FUNCTION, TYPEDEF, Types
from airgap_check.kernel.programs import connect, held, makers, queue, raw
from airgap_check.kernel.programs.connect import Attached
from airgap_check.kernel.sieve import Sieve
from tests.live import attempts_generator as generator
from tests.live.program_ground import Ground
from tests.live.program_scenes import Watch, identity, watching
from tests.live.program_scripts import CONVERSATION, FROM_PORTS, INNER, ODD, ROUTED, within
from tests.live.twin import build

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.kernel.programs.identity import Identity
    from airgap_check.kernel.programs.tables import Tables

TABLES = ("seen", "networks", "ports", "uses_made", "counters", "peers")
ALLOWED = Sieve(
    {
        ip_network("198.18.0.0/24"): 2, ip_network("198.18.64.0/24"): 1, ip_network("2001:db8:1::/127"): 4,
        ip_network("203.0.113.64/28"): 8,
    },
    {(6, 9): 2, (17, 0): 2, (17, 53): 4, (1, 0): 8, (17, 7): 8},
    ((), (), ()),
    "",
)  # fmt: skip
FIELDS = {  # of the kernel's structures, by the names that the twins have for them
    "SOCKET_SK": ("socket", "sk"), "SOCKET_TYPE": ("socket", "type"),
    "SKC_FAMILY": ("sock", "__sk_common", "skc_family"), "SKC_STATE": ("sock", "__sk_common", "skc_state"),
    "SKC_RCV_SADDR": ("sock", "__sk_common", "skc_rcv_saddr"), "SKC_DADDR": ("sock", "__sk_common", "skc_daddr"),
    "SKC_V6_RCV_SADDR": ("sock", "__sk_common", "skc_v6_rcv_saddr"),
    "SKC_V6_DADDR": ("sock", "__sk_common", "skc_v6_daddr"), "SKC_NUM": ("sock", "__sk_common", "skc_num"),
    "SKC_DPORT": ("sock", "__sk_common", "skc_dport"), "SKC_NET": ("sock", "__sk_common", "skc_net", "net"),
    "SK_PROTOCOL": ("sock", "sk_protocol"), "SK_TYPE": ("sock", "sk_type"), "NET_COOKIE": ("net", "net_cookie"),
    "THREAD_PID": ("task_struct", "thread_pid"), "PID_LEVEL": ("pid", "level"), "PID_NUMBERS": ("pid", "numbers"),
    "UPID_NS": ("upid", "ns"), "UPID_NR": ("upid", "nr"), "PID_NAMESPACE_INUM": ("pid_namespace", "ns", "inum"),
    "SK_CGROUP": ("sock", "sk_cgrp_data", "cgroup"), "CGROUP_KN": ("cgroup", "kn"), "NODE_ID": ("kernfs_node", "id"),
    "SKB_SK": ("sk_buff", "sk"), "SKB_DEV": ("sk_buff", "dev"), "SKB_HEAD": ("sk_buff", "head"),
    "SKB_NETWORK_HEADER": ("sk_buff", "network_header"), "SKB_PROTOCOL": ("sk_buff", "protocol"),
    "SKB_DATA": ("sk_buff", "data"), "SKB_LEN": ("sk_buff", "len"), "SKB_DATA_LEN": ("sk_buff", "data_len"),
    "DEVICE_FLAGS": ("net_device", "flags"), "DEVICE_IFINDEX": ("net_device", "ifindex"),
    "DEVICE_TYPE": ("net_device", "type"), "TASK_MM": ("task_struct", "mm"), "MM_EXE_FILE": ("mm_struct", "exe_file"),
    "FILE_INODE": ("file", "f_inode"), "INODE_NUMBER": ("inode", "i_ino"), "INODE_FILESYSTEM": ("inode", "i_sb"),
    "FILESYSTEM_DEVICE": ("super_block", "s_dev"),
}  # fmt: skip


def settings(who: Identity, types: Types) -> tuple[tuple[str, int], ...]:
    assert who.start_offsets is not None
    starts, namespace = who.start_offsets, who.pid_namespace
    fields = {name: types.offset(*path) for name, path in FIELDS.items()}
    fields |= {"GROUP_LEADER": starts.group_leader, "START_BOOTTIME": starts.start_boottime}
    own = types.bit("sock", "sk_kern_sock")
    fields |= {"KERNEL_OWN_BYTE": own.byte, "KERNEL_OWN_MASK": own.mask}
    fields |= {"UPID_SIZE": types.size("upid")}
    fields |= {"PID_INODE": namespace.inode} if namespace else {}
    return tuple(fields.items())


def maps_of(tables: Tables, **more: bpf.Map) -> dict[str, int]:
    maps = {name: getattr(tables, name).fd for name in TABLES} | {"events": tables.events.map.fd}
    return maps | {name: each.fd for name, each in more.items()}


def link(kind: int, code: bytes, cgroup: int, hook: int) -> int:
    program = bpf.load(kind, code, attach_type=hook, name="twin")
    try:
        return bpf.link_cgroup(program, cgroup, hook)
    finally:
        os.close(program)


def connect_twin(tables: Tables, cgroup: int, who: Identity, types: Types) -> Attached:
    code = build.programs(build.compile_twin("connect", settings(who, types)), maps_of(tables))
    hooks = connect.INITIATIONS | connect.RECEPTIONS
    return Attached(tuple(link(bpf.CGROUP_SOCK_ADDR, code[name], cgroup, hook) for name, hook in hooks.items()), {})


def raw_twin(tables: Tables, cgroup: int, who: Identity, types: Types) -> Attached:
    with makers.with_sockets().table as kept:
        code = build.programs(build.compile_twin("raw", settings(who, types)), maps_of(tables, makers=kept))
        making = link(bpf.CGROUP_SOCK, code["making"], cgroup, bpf.SOCK_CREATE)
        return Attached((making, link(bpf.CGROUP_SKB, code["egress"], cgroup, bpf.SKB_EGRESS)), {})


def raw_ours(tables: Tables, cgroup: int, who: Identity, types: Types) -> Attached:
    return raw.attach(tables, cgroup, who, types.bit("sock", "sk_kern_sock"))


def queue_ours(tables: Tables, cgroup: int, who: Identity, types: Types) -> Attached:
    return queue.attach(tables, types, who, cgroup)


def queue_twin(tables: Tables, cgroup: int, who: Identity, types: Types) -> Attached:
    with bpf.Map(bpf.CGROUP_ARRAY, 4, 4, 1) as cgroups:
        cgroups.update(bytes(4), struct.pack("=I", cgroup))
        code = build.programs(build.compile_twin("queue", settings(who, types)), maps_of(tables, cgroups=cgroups))
        target = types.number(TYPEDEF, "btf_trace_net_dev_queue")
        program = bpf.load(bpf.TRACING, code["queue"], attach_type=bpf.TRACE_RAW_TP, btf_id=target, name="twin")
        try:
            return Attached((bpf.attach_tracing(program),), {})
        finally:
            os.close(program)


def connects(count: str) -> dict[str, Any]:
    """Make attempts of every kind, let sockets ask and answer, send from several ports, and from an inner namespace."""
    scripts = {"conversation": CONVERSATION, "ports": FROM_PORTS, "inner": INNER.format(depth=2)}
    result: dict[str, Any] = {}
    who, types = identity(), btf.read()
    with Ground() as ground:
        for kind in (*generator.KINDS, *scripts):

            def act(kind: str = kind) -> None:
                if kind in scripts:
                    ground.script(scripts[kind])
                else:
                    ground.generate(kind, int(count))

            result[kind] = _compare(ground, who, connect.attach, partial(connect_twin, types=types), act)
    return result


def packets() -> dict[str, Any]:
    """Send from sockets that need no connect(2): raw, ping and packet sockets, in our pid namespace and inside it."""
    who, types = identity(), btf.read()
    script = ODD + ROUTED + within(ODD)
    with Ground() as ground:
        return {
            name: _compare(ground, who, ours, partial(theirs, types=types), lambda: ground.script(script))
            for name, ours, theirs in (
                ("raw", partial(raw_ours, types=types), raw_twin),
                ("queue", partial(queue_ours, types=types), queue_twin),
            )
        }


def sockets() -> dict[str, Any]:
    """List the sockets that the processes of our pid namespace hold."""
    types, who = btf.read(), identity()
    inode = os.stat("/proc/self/ns/pid").st_ino
    defines = (*(each for each in settings(who, types) if each[0] != "PID_INODE"), ("PID_INODE", inode))
    code = build.programs(build.compile_twin("held", defines), {})["held"]
    target = types.number(FUNCTION, "bpf_iter_task_file")
    with Ground() as ground, ExitStack() as stack:
        program = bpf.load(bpf.TRACING, code, attach_type=bpf.TRACE_ITER, btf_id=target, name="twin")
        stack.callback(os.close, program)
        twin = bpf.link_iterator(program)
        stack.callback(os.close, twin)
        walk = held.Walk(types)
        stack.callback(walk.close)
        holder = stack.enter_context(ground.holding())
        rows = {"ours": list(walk.rows()), "theirs": list(held.parse(b"".join(bpf.iterate(twin))))}
        return {
            side: sorted(str(row) for row in found if row.pid == holder) for side, found in rows.items()
        }  # fmt: skip


def _compare(
    ground: Ground,
    who: Identity,
    ours: Callable[[Tables, int, Identity], Attached],
    theirs: Callable[[Tables, int, Identity], Attached],
    act: Callable[[], object],
) -> dict[str, Any]:
    with watching(ground, who, ours) as one, watching(ground, who, theirs) as other:
        for watch in (one, other):
            watch.tables.apply(ALLOWED)
        act()
        return {"ours": _told(one), "theirs": _told(other)}


def _told(watch: Watch) -> dict[str, Any]:
    """Return what is the same whoever observes: the events without their time, the repeats, the uses, the losses."""
    return {
        "events": sorted(str(each._replace(at=0)) for each in watch.events()),
        "repeats": sorted(str(each._replace(first=0, last=0)) for each in watch.tables.counts()),
        "uses": sorted(watch.tables.uses()),
        "lost": (watch.tables.lost(), watch.tables.uncounted()),
    }


SCENES: dict[str, Callable[..., dict[str, Any]]] = {"connects": connects, "packets": packets, "sockets": sockets}

if __name__ == "__main__":
    json.dump(SCENES[sys.argv[1]](*sys.argv[2:]), sys.stdout)
