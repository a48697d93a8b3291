"""What is to be rehearsed, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from airgap_check.drivers.driver import Driver
    from airgap_check.evidence.fact import Workload

World = Literal["accept", "nxdomain", "drop", "reject"]


class Wish(NamedTuple):
    """A command, its environment, the world that it meets and who exercises it.

    ``seconds`` is how long it is watched at most; ``lasting`` tells that it is watched so long even when the driver is
    done. ``driver`` exercises it, and ``browser`` opens its pages. ``through`` maps names, or *name:port*, to
    *host:port* of services on this machine, ``published`` ports inside to sockets that listen on this machine.
    ``shown`` lets the command's own output be seen. ``workload`` is whom it is judged as.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str]
    world: World = "accept"
    seconds: float = 120.0
    lasting: bool = False
    driver: Driver | None = None
    browser: bool = False
    trusted: bool = True
    through: Mapping[str, str] = {}
    published: Mapping[int, socket.socket] = {}
    shown: bool = True
    prove: bool = True
    workload: Workload | None = None
