"""The site's policy: what its owner approved, as types.

`airgap_check.policy.file` reads and checks the file; what the policy means for one connection is decided in
`airgap_check.policy.allowlist`.
"""

from __future__ import annotations

from datetime import date
from hashlib import sha256
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airgap_check.domain import normal
from airgap_check.redact import printable
from airgap_check.view import PolicyTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.address import Network
    from airgap_check.rule.condition import Condition

Role = Literal[
    "database", "smtp", "object-storage", "webhook", "idp",
    "dns", "ntp", "syslog", "monitoring", "proxy", "cluster", "directory", "dhcp", "pki", "registry", "backup",
    "file-storage", "management", "other",
]  # fmt: skip
Collector = Literal["environment", "sockets", "resolution", "listeners", "attempts", "sockdiag", "traffic", "counters"]
DEFAULT_REQUIRE: tuple[Collector, ...] = ("environment", "sockets", "resolution")

OneOrMany = str | tuple[str, ...]


def many(value: OneOrMany | None) -> tuple[str, ...]:
    """Read a scalar as a list of one."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(item for item in value if item is not None)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a policy file."""


class Selector(_Part, frozen=True, kw_only=True):
    """Whom an entry is for; all that are given must hold, a list means any of it."""

    unit: OneOrMany | None = None
    container: OneOrMany | None = None
    image: OneOrMany | None = None
    pod: OneOrMany | None = None
    user: OneOrMany | None = None
    exe: OneOrMany | None = None


class Entry(_Part, frozen=True, kw_only=True, rename={"for_": "for"}):
    """One approved destination; ``for_`` is whom it is for, everybody where it is None."""

    name: str
    role: Role
    host: OneOrMany | None = None
    cidr: OneOrMany | None = None
    ports: tuple[int | str, ...] = ()
    protocol: Literal["tcp", "udp", "icmp", "any"] = "tcp"
    for_: Selector | None = None
    public: bool = False
    owner: str | None = None
    expires: date | None = None
    description: str | None = None


class Inbound(_Part, frozen=True, kw_only=True):
    """Who may connect to what listens here."""

    name: str
    cidr: OneOrMany
    ports: tuple[int | str, ...] = ()
    protocol: Literal["tcp", "udp", "any"] = "any"
    owner: str | None = None
    expires: date | None = None


class Networks(_Part, frozen=True, kw_only=True):
    """The site's own prefixes and name suffixes."""

    internal: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()


class ScopeTerms(_Part, frozen=True, kw_only=True):
    """Which workloads are the subject, and how the others of the host are judged."""

    subject: Selector | None = None
    others: Literal["judge", "public-only"] = "judge"


class RuntimeTerms(_Part, frozen=True, kw_only=True):
    """What the runtime must look like."""

    cloud_url: Literal["must-be-unset", "must-be-off"] = "must-be-unset"
    expected: bool = True


class Canaries(_Part, frozen=True, kw_only=True):
    """Names and addresses outside the gap that would answer if it were open; for preflight."""

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


class Release(_Part, frozen=True, kw_only=True):
    """What was delivered and approved, by digest (``sha256:`` and 64 hexadecimal digits); an absent list is not judged.

    ``images`` holds ids or manifest digests, ``artifacts`` digests of files; ``packages`` maps the id of each approved
    package to digests of its manifest or file. Packages are the exception: what is installed must be listed.
    """

    images: tuple[str, ...] | None = None
    artifacts: tuple[str, ...] | None = None
    packages: dict[str, OneOrMany] = {}


class WaiverFile(_Part, frozen=True, kw_only=True):
    """A waiver as it is written."""

    rule: str
    match: dict[str, Any]
    reason: str
    owner: str
    expires: date


class Approval(_Part, frozen=True, kw_only=True):
    """Who approved the policy, and when."""

    by: str
    on: date


class PolicyFile(_Part, frozen=True, kw_only=True):
    """The whole file."""

    version: Literal[1]
    allow: tuple[Entry, ...]
    approved: Approval | None = None
    inbound: tuple[Inbound, ...] | None = None
    networks: Networks = Networks()
    scope: ScopeTerms = ScopeTerms()
    runtime: RuntimeTerms = RuntimeTerms()
    canaries: Canaries = Canaries()
    release: Release = Release()
    require: tuple[Collector, ...] = DEFAULT_REQUIRE
    waivers: tuple[WaiverFile, ...] = ()


class Waiver:
    """An accepted finding: who accepted it, why, until when, and which views it covers."""

    def __init__(self, file: WaiverFile, match: Condition, index: int) -> None:
        """Take the parts that `load` made."""
        self.file, self.match = file, match
        self.text = f"waiver {index + 1}: {file.reason} (owner {file.owner}, until {file.expires})"


class Policy:
    """A checked policy, whether read from a file or derived; ``sources`` says where derived entries come from.

    ``lines`` are where the items of ``allow`` and ``waivers`` stand in the file, by section and index.
    """

    def __init__(
        self,
        file: PolicyFile,
        waivers: tuple[Waiver, ...] = (),
        *,
        path: str | None = None,
        text: bytes | None = None,
        sources: Mapping[str, str] | None = None,
        lines: Mapping[tuple[str, int], int] | None = None,
    ) -> None:
        """Take the parts; a policy without a path is derived, and states its text itself."""
        self.file, self.waivers, self.path = file, waivers, path
        self.derived = path is None
        self.text = msgspec.json.encode(file) if text is None else text
        self.sha256 = sha256(self.text).hexdigest()
        self.sources = dict(sources or {})
        self.lines = dict(lines or {})
        self.internal: tuple[Network, ...] = tuple(ip_network(text) for text in file.networks.internal)
        self.terms = PolicyTerms(
            cloud_url=file.runtime.cloud_url,
            expected="yes" if file.runtime.expected else "no",
            inbound="no" if file.inbound is None else "yes",
        )

    @property
    def shown_path(self) -> str | None:
        """Return the path as a report may show it, whatever bytes it is made of."""
        return None if self.path is None else printable(self.path)

    def is_internal(self, network: Network) -> bool:
        """Tell whether a whole network lies in one that the policy calls the site's own."""
        return any(
            known.version == network.version and network.subnet_of(known)  # type: ignore[arg-type]
            for known in self.internal
        )

    def names(self) -> list[str]:
        """List the literal host names of the allowlist, each once, in order; wildcards cannot be asked for."""
        hosts = [normal(host) for entry in self.file.allow for host in many(entry.host)]
        return list(dict.fromkeys(host for host in hosts if not host.startswith("*.")))


def networks_of(entry: Entry | Inbound) -> tuple[Network, ...]:
    """Parse the networks of an entry."""
    return tuple(ip_network(text) for text in many(entry.cidr))


def port_range(port: int | str) -> tuple[int, int] | None:
    """Read a port or ``low-high`` range; None when it is neither, or outside 1 to 65535."""
    low, _, high = str(port).partition("-")
    if not (low.isascii() and low.isdigit() and len(low) <= 5):
        return None
    if high or str(port).endswith("-"):
        if not (high.isascii() and high.isdigit() and len(high) <= 5):
            return None
    else:
        high = low
    first, last = int(low), int(high)
    return (first, last) if 1 <= first <= last <= 65535 else None


def is_host_name(text: str) -> bool:
    """Tell whether text can be a host name (RFC 1123, and the underscores of service names)."""
    labels = text.split(".")
    return len(text) <= 253 and all(
        0 < len(label) <= 63 and label.isascii() and label.replace("-", "").replace("_", "").isalnum()
        and not label.startswith("-") and not label.endswith("-")
        for label in labels
    )  # fmt: skip


def looks_like_address(text: str) -> bool:
    """Tell whether text is more of an address than of a host name."""
    return ":" in text or "/" in text or text.replace(".", "").isdigit()


def is_digest(text: str) -> bool:
    """Tell whether text is a SHA-256 digest as container tools and the runtime's own pins write it."""
    algorithm, colon, digits = text.partition(":")
    return algorithm == "sha256" and bool(colon) and len(digits) == 64 and set(digits) <= set("0123456789abcdef")
