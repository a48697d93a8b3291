"""What all those who answer share: the orders, the names, the authority, and whom to tell."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from airgap_check.world.answers import Answers
from airgap_check.world.askers import Askers
from airgap_check.world.meeting import Named
from airgap_check.world.names import MOST, Pool

if TYPE_CHECKING:
    import socket
    import ssl

    from airgap_check.world.account import Account
    from airgap_check.world.authority import Authority
    from airgap_check.world.meeting import Orders
    from airgap_check.world.teller import Teller


MOST_SECURE = 896  # connections with TLS at a time, which takes some 55 KiB each; the rest wait


class Host:
    """The one who invites; ``table`` is where the sockets of those who ask can be looked for (`Askers`)."""

    def __init__(self, orders: Orders, authority: Authority, teller: Teller, table: socket.socket | None) -> None:
        self.orders, self.authority, self.teller = orders, authority, teller
        self.secure = asyncio.Semaphore(MOST_SECURE)
        self.pool = Pool()
        self.askers = Askers(table, teller.tell)
        self.answers = Answers(self.pool, self._exists, self._named, self._refuse)
        self._through = {key.lower().rstrip("."): place for key, place in orders.through.items()}

    def name_of(self, account: Account) -> str:
        """Return the name of the place that a client reached for: as it says, or as its address was given for."""
        return account.sought or self.pool.owner(account.address) or str(account.address)

    def context(self, account: Account) -> ssl.SSLContext:
        """Return the TLS of the place that a client reached for."""
        return self.authority.context(self.name_of(account))

    def through(self, account: Account) -> str | None:
        """Return *host:port* of the real service that a place is connected with; None for all others."""
        if not self._through:
            return None
        address, port = str(account.address), account.port
        for name in (self.pool.owner(account.address), address, f"[{address}]"):
            found = self._through.get(f"{name}:{port}") or self._through.get(name or "")
            if found:
                return found
        return None

    def tell(self, account: Account) -> None:
        """Tell of somebody who has left."""
        if account.missed:
            self.teller.complain(f"of {account.address}:{account.port}, not all requests are listed")
        self.teller.tell(account.met())

    def _exists(self, name: str) -> bool:
        """Tell whether a name has addresses: none in a world of NXDOMAIN, but for those that lead to real services."""
        if self.orders.world != "nxdomain":
            return True
        return any(key == name or key.rpartition(":")[0] == name for key in self._through)

    def _named(self, name: str, addresses: tuple[str, ...]) -> None:
        self.teller.tell(Named(at=time.monotonic_ns(), name=name, addresses=addresses))

    def _refuse(self) -> None:
        self.teller.complain(f"more than {MOST} names were asked for: the others got no answer, and are not listed")
