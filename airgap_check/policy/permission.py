"""One entry of the policy made ready to be compared with: which names, addresses, ports and protocols it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.domain import normal
from airgap_check.policy import Entry, Inbound, many, networks_of, port_range

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from airgap_check.address import Address


class Permission:
    """An entry made ready: networks parsed, ports as ranges, names normal, expiry decided."""

    def __init__(self, entry: Entry | Inbound, today: date) -> None:
        self.name = entry.name
        self.networks = networks_of(entry)
        self.ports = tuple(span for port in entry.ports if (span := port_range(port)))
        self.protocol = entry.protocol
        self.last_day = entry.expires
        self.expired = self.has_lapsed(today)
        self.hosts = tuple(normal(host) for host in many(entry.host)) if isinstance(entry, Entry) else ()
        self.selector = entry.for_ if isinstance(entry, Entry) else None
        self.public = entry.public if isinstance(entry, Entry) else True
        self.role = entry.role if isinstance(entry, Entry) else ""

    def has_lapsed(self, day: date) -> bool:
        """Tell whether it no longer allows anything on a day."""
        return self.last_day is not None and day > self.last_day

    def carries(self, protocol: str | None, port: int | None) -> bool:
        """Tell whether protocol and port are covered; a port that is not known may be any."""
        if protocol and self.protocol not in {"any", protocol}:
            return False
        return not self.ports or port is None or any(low <= port <= high for low, high in self.ports)

    def spans(self, protocol: str, span: tuple[int, int]) -> bool:
        """Tell whether a whole range of ports is covered."""
        if self.protocol not in {"any", protocol}:
            return False
        return not self.ports or any(low <= span[0] and span[1] <= high for low, high in self.ports)

    def holds(self, addresses: Iterable[Address]) -> bool:
        """Tell whether any of these addresses lies in its networks."""
        return any(address in network for address in addresses for network in self.networks)

    def names(self, name: str) -> bool:
        """Tell whether it is for a name."""
        return any(matches(pattern, name) for pattern in self.hosts)


def matches(pattern: str, name: str) -> bool:
    """Match a host entry: a name is itself; ``*.x`` is one label or more below x, never x."""
    return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1 if pattern.startswith("*.") else name == pattern
