"""The facts that collectors state and rules judge: one frozen record a kind, and Evidence, which says how well we saw.

Evidence that could not be collected has a status and a reason; it is never an empty list that looks like peace.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from airgap_check.address import Address, Scope, Wrapping, scope_of, unwrap

if TYPE_CHECKING:
    from collections.abc import Iterator

Posture = Literal["unset", "blank", "disabled", "url", "lookalike", "other"]
Direction = Literal["outbound", "inbound", "unknown"]
Protocol = Literal["tcp", "udp", "raw", "packet", "icmp"]
Status = Literal["complete", "partial", "unavailable"]
Allowed = Literal["yes", "no", "unknown"]


class Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a record."""


class Process(Fact, frozen=True, kw_only=True):
    """A process as it was when it was seen. ``command`` is redacted; ``started`` tells a reused pid apart."""

    pid: int
    started: datetime | None = None
    name: str | None = None
    executable: str | None = None
    command: str | None = None
    user: str | None = None


class Workload(Fact, frozen=True, kw_only=True):
    """Who runs it, from the cgroup: ``kind`` is unit, container or cgroup; ``pod`` is the Kubernetes pod uid."""

    kind: Literal["unit", "container", "cgroup"]
    id: str
    name: str
    image: str | None = None
    pod: str | None = None


class Endpoint(Fact, frozen=True, kw_only=True):
    """One end of a connection, or a place that a setting names.

    ``address`` is as the application used it, ``inner`` the unwrapped one where they differ. A name that nobody has
    resolved has no address and the scope *unknown*.
    """

    address: str | None = None
    inner: str | None = None
    wrapped: Wrapping | None = None
    scope: Scope = "unknown"
    port: int | None = None
    name: str | None = None


class Place(Fact, frozen=True, kw_only=True):
    """Where a setting stands: the environment of a process, a file and line, a unit, a command line."""

    kind: Literal["process", "own", "file", "unit", "command-line"]
    pid: int | None = None
    path: str | None = None
    line: int | None = None
    unit: str | None = None


class Record(Fact, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """A fact that rules can judge."""


class Connection(Record, frozen=True, kw_only=True, tag="connection"):
    """Sockets of one process that share both ends but for the ephemeral port; ``count`` says how many.

    ``netns`` is the inode of the network namespace; ``user`` the owner's name or uid; ``ownerless`` is set where the
    kernel itself keeps no owner (TIME-WAIT), so that nobody could have named one.
    """

    netns: int
    protocol: Protocol
    state: str
    direction: Direction
    local: Endpoint
    remote: Endpoint
    process: Process | None = None
    workload: Workload | None = None
    user: str | None = None
    ownerless: bool = False
    count: int = 1
    first: datetime | None = None
    last: datetime | None = None


class Setting(Record, frozen=True, kw_only=True, tag="setting"):
    """A configuration value that names, or fails to name, an endpoint; ``value`` never holds a secret."""

    name: str
    value: str = ""
    posture: Posture
    role: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    place: Place
    process: Process | None = None
    workload: Workload | None = None


class Runtime(Record, frozen=True, kw_only=True, tag="runtime"):
    """A running process that is, or belongs to, the product: the subject of the audit."""

    product: str
    version: str | None = None
    netns: int | None = None
    process: Process
    workload: Workload | None = None


class Resolver(Record, frozen=True, kw_only=True, tag="resolver"):
    """A name server that this host asks, or that its local resolver forwards to (``via``).

    An upstream that could not be found out has no address and the scope *unknown*.
    """

    netns: int
    address: str | None = None
    scope: Scope = "unknown"
    source: str
    via: str | None = None


class Answer(Record, frozen=True, kw_only=True, tag="answer"):
    """What one source said about one name. ``chain`` holds the CNAME targets in order, ``ttl`` is in seconds.

    ``private`` is set where a runtime's own files or name servers said it: it holds for the network namespace ``netns``
    only. Any other answer is what this host says, and holds for everybody.
    """

    name: str
    netns: int
    source: Literal["dns", "hosts", "observed"]
    status: Literal["ok", "nodata", "nxdomain", "servfail", "refused", "timeout", "dangling", "error"]
    chain: tuple[str, ...] = ()
    addresses: tuple[Endpoint, ...] = ()
    ttl: int | None = None
    server: str | None = None
    private: bool = False


class Listener(Record, frozen=True, kw_only=True, tag="listener"):
    """A socket that waits for others beyond loopback."""

    netns: int
    protocol: Protocol
    local: Endpoint
    process: Process | None = None
    workload: Workload | None = None
    user: str | None = None


class PolicyTrust(Record, frozen=True, kw_only=True, tag="policy-file"):
    """The policy file as a file: whether somebody else could have written it."""

    path: str
    trusted: Literal["yes", "no", "unknown"]
    reason: str = ""


AnyRecord = Connection | Setting | Runtime | Resolver | Answer | Listener | PolicyTrust
_R = TypeVar("_R", bound=Record)


class Coverage(Fact, frozen=True, kw_only=True):
    """How well one collector saw: what it looked at, what it lost, what it cannot see by nature."""

    collector: str
    status: Status
    scope: str
    reason: str
    counts: dict[str, int]
    lost: int
    blind: tuple[str, ...]


class Evidence(Fact, frozen=True, kw_only=True):
    """What one collector saw, and how well: ``counts`` in pieces, ``lost`` events, ``blind`` spots in words."""

    kind: str
    status: Status
    records: tuple[AnyRecord, ...] = ()
    reason: str = ""
    scope: str = ""
    counts: dict[str, int] = {}
    lost: int = 0
    blind: tuple[str, ...] = ()

    def coverage(self) -> Coverage:
        """Return how well the collector saw, without what it saw."""
        facts = {name: getattr(self, name) for name in Coverage.__struct_fields__ if name != "collector"}
        return Coverage(collector=self.kind, **facts)

    def of(self, record_type: type[_R]) -> Iterator[_R]:
        """Iterate over the records of one type."""
        return (record for record in self.records if isinstance(record, record_type))


class Tool(Fact, frozen=True, kw_only=True):
    """This program: ``sha256`` is over its own files and rules."""

    name: str
    version: str
    sha256: str


class Subject(Fact, frozen=True, kw_only=True):
    """The host that was looked at; ``scope`` is *namespace* when we could see only a container's share of it."""

    hostname: str
    machine_id_hash: str | None
    boot_id: str | None
    kernel: str
    scope: Literal["host", "namespace"]


class Run(Fact, frozen=True, kw_only=True):
    """Who ran it, with which rights."""

    uid: int
    login_uid: int | None
    sudo_user: str | None
    capabilities: tuple[str, ...]
    argv: tuple[str, ...]


class Clock(Fact, frozen=True, kw_only=True):
    """Whether the kernel considers its clock synchronised (None: it would not say), and who was asked."""

    synchronized: bool | None
    source: str


class PolicyReference(Fact, frozen=True, kw_only=True):
    """Which policy was in force: ``sha256`` is of the file's bytes, or of the derived policy's text."""

    path: str | None
    sha256: str
    derived: bool


class Inspection(Fact, frozen=True, kw_only=True):
    """Everything one run saw: the whole input of the engine, and the content of a recorded evidence file."""

    tool: Tool
    subject: Subject
    run: Run
    clock: Clock
    started: datetime
    finished: datetime
    policy: PolicyReference
    filtered_by: str | None = None
    claim: Literal["snapshot", "observed", "replayed"] = "snapshot"
    evidence: tuple[Evidence, ...] = ()

    def of(self, kind: str) -> Evidence:
        """Return the evidence of one collector; one that never ran is *unavailable*, not empty."""
        for evidence in self.evidence:
            if evidence.kind == kind:
                return evidence
        return Evidence(kind=kind, status="unavailable", reason="was not collected")

    def records(self, record_type: type[_R]) -> Iterator[_R]:
        """Iterate over the records of one type, from whichever collector."""
        return (record for evidence in self.evidence for record in evidence.of(record_type))


def endpoint(
    address: Address, port: int | None = None, *, name: str | None = None, scope: Scope | None = None
) -> Endpoint:
    """Describe an address. A mapped address is plain IPv4 to the kernel and to us; other wrappings keep both forms."""
    inner, wrapping = unwrap(address)
    if wrapping == "mapped":
        address = inner
    return Endpoint(
        address=str(address),
        inner=str(inner) if inner != address else None,
        wrapped=wrapping,
        scope=scope or scope_of(address),
        port=port,
        name=name,
    )
