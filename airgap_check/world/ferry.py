"""Connects to the few real services of this machine that a rehearsal may reach, and hands the connection over.

The ferry alone stays in the machine's own network, and it dials nothing but the list that it was given.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_PATIENCE = 5.0  # seconds until a service of this very machine has answered
_LONGEST = 300


def serve(orders: socket.socket, places: Collection[str]) -> None:
    """Answer each order, *HOST:PORT*, with ``ok`` and a connected socket, or ``no: reason``, until the other end goes.

    ``orders`` is a SOCK_SEQPACKET socket.
    """
    while wish := orders.recv(_LONGEST):
        place = wish.decode(errors="replace").strip()
        if place not in places:
            orders.send(b"no: nobody allowed that")
            continue
        host, _, port = place.rpartition(":")
        try:
            with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE) as connection:
                connection.settimeout(None)
                socket.send_fds(orders, [b"ok"], [connection.fileno()])
        except OSError as error:
            orders.send(f"no: {error.strerror or error}".encode()[:_LONGEST])
