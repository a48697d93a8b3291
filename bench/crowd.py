"""Fills a laboratory host with sockets: many processes, each with its share, some of it IPv6 and UDP."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.live.lab import Lab
    from tests.live.lab_host import Running

PROCESSES = 200
SERVER, SERVER6 = "10.20.1.5", "fd99::1"
PORTS = (5432, 5433, 5434, 5435)  # one destination has 28,232 ephemeral ports at most
ENTRY: dict[str, object] = {
    "name": "crowd", "role": "database", "cidr": [f"{SERVER}/32", f"{SERVER6}/128"], "ports": list(PORTS),
    "protocol": "any",
}  # fmt: skip


def _plant_all(lab: Lab, orders: list[tuple[str, ...]]) -> None:
    """Start all processes first and wait for them afterwards, so that they start beside each other."""
    running: list[Running] = [lab.near.plant(*order, until=None) for order in orders]
    for process in running:
        process.expect("planted")
    for process in running:
        process.go_on()
    for process in running:
        process.expect("ready")


def outward(lab: Lab, count: int) -> None:
    """Hold ``count`` sockets to the far host: TCP, a tenth of it IPv6, and one connected UDP socket a process."""
    for port in PORTS:
        lab.serve(SERVER, port)
    lab.assign("2606:4700::1")  # the wire speaks IPv6 from now on
    lab.far.plant("listener", SERVER6, 5432, name="server")
    share = max(1, count // PROCESSES - 1)
    orders: list[tuple[str, ...]] = []
    for number in range(PROCESSES):
        server, port = (SERVER6, 5432) if number % 10 == 0 else (SERVER, PORTS[number % len(PORTS)])
        orders.append(("crowd", server, str(port), str(share)))
    _plant_all(lab, orders)


def inward(lab: Lab, count: int) -> None:
    """Hold ``count`` sockets of connections that stay on the host: both ends of each count."""
    _plant_all(lab, [("loop", str(max(1, count // PROCESSES // 2))) for _ in range(PROCESSES)])
