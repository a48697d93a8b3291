"""Attaches every program that this kernel and our rights allow, and says in words what is not seen without the rest."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from airgap_check.kernel import bpf, btf, cgroup2, procfs
from airgap_check.kernel.programs import connect, event, held, queue, raw
from airgap_check.kernel.programs.identity import Identity, own_pid_namespace
from airgap_check.kernel.programs.tables import Tables
from airgap_check.observers.observer import UnobservableError
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from airgap_check.kernel.cgroup2 import Root
    from airgap_check.kernel.sieve import Sieve

CONNECTS = frozenset({event.CONNECT4, event.CONNECT6, event.SENDMSG4, event.SENDMSG6})
_CAPABILITIES = {"CAP_BPF": 39, "CAP_NET_ADMIN": 12}  # include/uapi/linux/capability.h
_CAP_SYS_ADMIN = 21
_Answer = TypeVar("_Answer")
_ALL_USERS = (1 << 32) - 1  # how many uids the initial user namespace maps
_ALWAYS_BLIND = (
    "packets that this host forwards for others",
    "what the kernel sends by itself (NFS, WireGuard, other tunnels)",
    "AF_XDP and vsock sockets, and packet sockets that bypass the queue (PACKET_QDISC_BYPASS)",
)


class Attachment(NamedTuple):
    """What is at work: the programs until ``programs`` is closed, the maps until ``maps`` is.

    ``hooks`` are those of `event` that report; ``walk`` lists the sockets that are held, where that is possible;
    ``names_processes`` is set when events tell the process; ``blind`` says what is not seen.
    """

    root: Root
    tables: Tables
    programs: ExitStack
    maps: ExitStack
    hooks: frozenset[int]
    walk: held.Walk | None
    names_processes: bool
    in_initial_pids: bool
    blind: tuple[str, ...]


def attach(directory: str | None, sieve: Sieve) -> Attachment:
    """Attach to a directory of the cgroup hierarchy, by default its root; raises UnobservableError."""
    if sys.platform != "linux":
        raise UnobservableError("attempts: only Linux shows them")
    programs, maps = ExitStack(), ExitStack()
    try:
        root = cgroup2.open_root(directory)
        maps.callback(os.close, root.descriptor)
        tables = Tables()
        maps.callback(tables.close)
        tables.apply(sieve)
        return _attach_all(root, tables, programs, maps)
    except BaseException as error:
        programs.close()
        maps.close()
        if isinstance(error, cgroup2.NoHierarchyError):
            raise UnobservableError(f"attempts: {error}") from None
        if isinstance(error, OSError):
            raise UnobservableError(f"attempts: {_refusal(error)}") from None
        raise


def _attach_all(root: Root, tables: Tables, stack: ExitStack, maps: ExitStack) -> Attachment:
    types = _types()
    pids = own_pid_namespace()
    who = Identity(
        _found(btf.start_offsets, types),
        pids,
        pid_offsets=_found(btf.pid_offsets, types) if pids else None,
        executable_offsets=_found(btf.executable_offsets, types),
    )
    first = connect.attach(tables, root.descriptor, who)
    stack.callback(first.close)
    who = who._replace(
        start_offsets=None if "started" in first.missing else who.start_offsets,
        command="command" not in first.missing,
        pid="pid" not in first.missing,
        pid_offsets=None if "inner" in first.missing else who.pid_offsets,
        executable_offsets=None if "executable" in first.missing else who.executable_offsets,
    )
    hooks, blind = set(CONNECTS), [*_ALWAYS_BLIND, *_without(first.missing, who)]
    try:
        owned = _found(lambda known: known.bit("sock", "sk_kern_sock"), types)
        packets = raw.attach(tables, root.descriptor, who, owned)
        stack.callback(packets.close)
        hooks.add(event.EGRESS)
        blind.append("what raw and ping sockets send where no route leads, or the firewall refuses it")
        blind.append("source-routed packets that did not leave, and which process sent those of TCP and UDP that did")
        if owned is None or "owned" in packets.missing:
            blind.append("answers of raw sockets that were open before: they look like the kernel's own")
        if "keeping" in packets.missing:
            blind.append("who made a raw socket, once many others were made after it")
    except bpf.BpfError as error:
        blind.append(f"what raw, ping and SCTP sockets send, and source-routed packets ({_reason(error)})")
    try:
        queued = queue.attach(tables, _there(types), who, None if root.is_whole else root.descriptor)
        stack.callback(queued.close)
        hooks.add(event.QUEUE)
    except (bpf.BpfError, LookupError, ValueError) as error:
        blind.append(f"what packet sockets send ({_reason(error)})")
    walk = None
    try:
        walk = held.Walk(_there(types))
        maps.callback(walk.close)
    except (OSError, LookupError, ValueError) as error:
        blind.append(f"who made the raw sockets that were open before ({_reason(error)})")
    if not root.is_whole:
        blind.append("sockets that were made before their process came into the observed cgroup")
    return Attachment(root, tables, stack, maps, frozenset(hooks), walk, who.pid, pids is None, tuple(blind))


def _types() -> btf.Types | None:
    try:
        return btf.read()
    except (OSError, ValueError):
        return None


def _there(types: btf.Types | None) -> btf.Types:
    if types is None:
        raise LookupError("type information (BTF)")
    return types


def _found(look: Callable[[btf.Types], _Answer], types: btf.Types | None) -> _Answer | None:
    try:
        return look(types) if types else None
    except (LookupError, ValueError):
        return None


def _without(missing: dict[str, str], who: Identity) -> list[str]:
    blind = []
    if not who.pid:
        blind.append("which process it was (the kernel cannot tell it in our pid namespace)")
    elif who.pid_namespace is not None:
        inside = ", nor in one inside it" if who.pid_offsets else " itself"
        blind.append(f"which process it was, where that is not in our pid namespace{inside}")
    if who.start_offsets is None:
        blind.append("whether a process had the number of an earlier one (the kernel does not tell when it started)")
    if who.executable_offsets is None:
        blind.append("whether a process runs another program than when it was seen (the kernel does not tell which)")
    if not who.command:
        blind.append("the names of processes that have ended (CAP_PERFMON is missing)")
    if "replies" in missing:
        blind.append("which datagrams answer others")
    return blind


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in {errno.EPERM, errno.EACCES}:
        return "not permitted; CAP_PERFMON and CAP_BPF may be missing"
    if isinstance(error, OSError) and error.errno:
        return f"the kernel refuses: {os.strerror(error.errno)}"
    return printable(f"the kernel has no {error}" if isinstance(error, LookupError) else str(error))


def _refusal(error: OSError) -> str:
    """Say in a line why nothing can be attached, and what would change that."""
    if error.errno in {errno.EPERM, errno.EACCES}:
        missing = _missing_capabilities()
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            return f"may not load eBPF programs ({' and '.join(missing)} {verb} missing)"
        if _in_user_namespace():
            return "may not load eBPF programs in a user namespace (run it on the host, as root)"
        return "may not load eBPF programs (the kernel refuses it even to root: lockdown, or a security module)"
    if error.errno == errno.ENOSYS:
        return "this kernel has no bpf(2)"
    if error.errno == errno.EINVAL:
        return f"this kernel lacks what is needed: Linux 5.8 or later, with BPF for cgroups ({printable(str(error))})"
    return printable(str(error))


def _missing_capabilities() -> list[str]:
    try:
        effective = procfs.effective_capabilities()
    except OSError:
        return []
    if effective >> _CAP_SYS_ADMIN & 1:
        return []  # which stands for both
    return [name for name, number in _CAPABILITIES.items() if not effective >> number & 1]


def _in_user_namespace() -> bool:
    try:
        fields = procfs.read(os.getpid(), "uid_map").split()
    except OSError:
        return False
    return fields != [b"0", b"0", b"%d" % _ALL_USERS]
