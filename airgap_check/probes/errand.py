"""What there is to reach: one endpoint, the protocol it speaks, who needs it, and from where it is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from airgap_check.address import Address
    from airgap_check.probes.account import Protocol
    from airgap_check.probes.vantage_point import Owner, VantagePoint

Tls = Literal["required", "opportunistic", "none"]
Purpose = Literal["needed", "canary", "posture"]


class Need(NamedTuple):
    """An endpoint that is to be reached. ``host`` is a name in lower case or an address; ``detail`` as a Target's.

    ``public`` tells whether the owner approved a public address for it.
    """

    host: str
    port: int
    protocol: Protocol
    tls: Tls = "opportunistic"
    detail: str = ""
    role: str = "other"
    entry: str | None = None
    purpose: Purpose = "needed"
    public: bool = False

    @property
    def place(self) -> str:
        """Write host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        """Describe it as a line of a list."""
        entry = f'  entry "{self.entry}"' if self.entry else ""
        return f"{self.purpose:8} {self.protocol:10} {self.place}{entry}"


class Omission(NamedTuple):
    """Something that the policy names and that is not probed, and why."""

    what: str
    reason: str

    def __str__(self) -> str:
        """Describe it as a line of a list."""
        return f"{self.what}: {self.reason}"


class Errand(NamedTuple):
    """A need, from where it is tried, for whom, and at which address; or why it is not tried at all.

    ``verdict`` is *unresolved* (its name leads nowhere), *skipped* (it was not tried, for our own reasons) or empty;
    ``note`` says why, or which address was chosen.
    """

    need: Need
    point: VantagePoint
    owner: Owner | None = None
    address: Address | None = None
    verdict: Literal["", "unresolved", "skipped"] = ""
    note: str = ""
