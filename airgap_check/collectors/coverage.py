"""Says how well an inventory of sockets was seen, in the same words for every collector that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.evidence import AnyRecord, Evidence, Status
from airgap_check.kernel import open_sockets, procfs

if TYPE_CHECKING:
    from airgap_check.kernel.inventory import Inventory


def evidence(
    kind: str,
    inventory: Inventory,
    *,
    records: tuple[AnyRecord, ...],
    scope: str,
    counts: dict[str, int],
    blind: tuple[str, ...],
    late: str = "",
) -> Evidence:
    """Return the evidence of one collector: complete only if nothing was refused, and time and tables sufficed."""
    reasons = [*inventory.failures, *(_unseen(inventory) if kind == "sockets" else []), *([late] if late else [])]
    status: Status = "partial" if reasons else "complete"
    if not inventory.namespaces:
        status = "unavailable"
        reasons = reasons or ["no network namespace could be read"]
    return Evidence(
        kind=kind, status=status, records=records, reason="; ".join(reasons), scope=scope, counts=counts, blind=blind
    )


def namespaces(inventory: Inventory) -> str:
    """Say how many network namespaces were read."""
    number = len(inventory.namespaces)
    return "one network namespace" if number == 1 else f"{number} network namespaces"


def blind_spots(inventory: Inventory, unconnected_udp: int) -> tuple[str, ...]:
    """Say in words what nobody could see in a table of sockets."""
    spots = [
        "where datagrams go that are not for a connected peer"
        + (f" ({unconnected_udp} unconnected UDP sockets)" if unconnected_udp else ""),
        "AF_VSOCK and AF_XDP",
        "namespaces held only by a socket in flight (SCM_RIGHTS) or by io_uring",
    ]
    spots += [f"{number} {name} sockets, a protocol without a table" for name, number in _untabled(inventory)]
    if procfs.is_contained():
        spots.append("processes outside this container (PID namespace), and the network namespaces they hold")
    if inventory.modules:
        spots.append(f"not blind, but changed: the kernel loaded {', '.join(inventory.modules)} because we asked")
    return tuple(spots)


def _unseen(inventory: Inventory) -> list[str]:
    """Say which sockets talk to other hosts, and no table tells to which."""
    return [
        f"the peers of {number} {name} sockets stand in no table that we can read"
        for name, number in _untabled(inventory)
        if name.encode() in open_sockets.NETWORKED
    ]


def _untabled(inventory: Inventory) -> list[tuple[str, int]]:
    numbers: dict[str, int] = {}
    for sockets in inventory.namespaces:
        for name, number in sockets.untabled.items():
            numbers[name] = numbers.get(name, 0) + number
    return sorted((name, number) for name, number in numbers.items() if number)
