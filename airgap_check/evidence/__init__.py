"""The facts that collectors state and rules judge: one frozen record a kind, and Evidence, which says how well we saw.

Evidence that could not be collected has a status and a reason; it is never an empty list that looks like peace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from airgap_check.address import Scope
from airgap_check.evidence.asset import Artifact, Check, Image, Opening, Package, Probe, Reference
from airgap_check.evidence.fact import Endpoint, Fact, Instant, Place, Process, Record, Workload
from airgap_check.evidence.rehearsed import Encounter, Visit

if TYPE_CHECKING:
    from collections.abc import Iterator


Posture = Literal["unset", "blank", "disabled", "url", "lookalike", "other"]
Direction = Literal["outbound", "inbound", "unknown"]
Protocol = Literal["tcp", "udp", "raw", "packet", "icmp"]
Status = Literal["complete", "partial", "unavailable"]
BLINDNESS: dict[str, int] = {"complete": 0, "partial": 1, "unavailable": 2}  # the greater, the less was seen
Allowed = Literal["yes", "no", "unknown"]
Sight = Literal["sockets", "attempts", "sockdiag", "traffic", "capture"]
Hidden = Literal["no", "ech", "encrypted-dns", "cut"]


class Connection(Record, frozen=True, kw_only=True, tag="connection"):
    """Sockets or attempts of one process that share both ends but for the ephemeral port; ``count`` says how many.

    ``netns`` is the inode of the network namespace, 0 where it had gone before it could be told; ``user`` the owner's
    name or uid; ``ownerless`` is set where nobody could have named one: the kernel keeps no owner of a socket in
    TIME-WAIT, and a packet has none. ``seen`` names the collector; who observes sets ``first`` and ``last``.
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
    first: Instant | None = None
    last: Instant | None = None
    seen: Sight = "sockets"


class Question(Record, frozen=True, kw_only=True, tag="question"):
    """A name that was asked for on the wire, once a name, server and asker; ``status`` is the worst answer seen.

    ``name`` is in lower case without the last dot, ``type`` the record type in letters (A, AAAA, SRV ...). A question
    without an answer has the status *asked*.
    """

    netns: int
    name: str
    type: str
    protocol: Literal["dns", "mdns", "llmnr"]
    server: Endpoint
    status: Literal["asked", "ok", "nodata", "nxdomain", "servfail", "refused", "error"] = "asked"
    process: Process | None = None
    workload: Workload | None = None
    user: str | None = None
    count: int = 1
    first: Instant | None = None
    last: Instant | None = None
    seen: Sight = "traffic"


class Request(Record, frozen=True, kw_only=True, tag="request"):
    """What a client said of whom it wants to speak to: a TLS or QUIC ClientHello, the head of an HTTP request.

    The name is what the client claims, so that it never approves anything. ``hidden`` says why it cannot be known: the
    outer name of an encrypted hello (``ech``), DNS inside TLS, QUIC or HTTPS, or a message that was cut short.
    """

    netns: int
    source: Literal["tls", "quic", "http", "dot", "doq", "doh"]
    name: str | None = None
    hidden: Hidden = "no"
    protocol: Protocol
    remote: Endpoint
    process: Process | None = None
    workload: Workload | None = None
    user: str | None = None
    count: int = 1
    first: Instant | None = None
    last: Instant | None = None
    seen: Sight = "traffic"


class Counter(Record, frozen=True, kw_only=True, tag="counter"):
    """A counter of the kernel that grew while we observed: packets without a route, or refused by the firewall.

    ``attributed`` counts the attempts that were seen in the same network namespace meanwhile.
    """

    netns: int
    name: str
    increase: int
    attributed: int = 0


class EntryUse(Record, frozen=True, kw_only=True, tag="use"):
    """How often a workload used an entry of the allowlist while the kernel filtered by it."""

    entry: str
    workload: Workload | None = None
    count: int


class Setting(Record, frozen=True, kw_only=True, tag="setting"):
    """A configuration value that names, or fails to name, an endpoint; ``value`` never holds a secret.

    ``product`` and ``version`` are those of the runtime that was given it, where it was; ``read`` tells whether that
    one reads a variable of this name at all. ``seen`` names the collector.
    """

    name: str
    value: str = ""
    posture: Posture
    role: str | None = None
    endpoints: tuple[Endpoint, ...] = ()
    place: Place
    process: Process | None = None
    workload: Workload | None = None
    product: str | None = None
    version: str | None = None
    read: Literal["yes", "no", "unknown"] | None = None
    seen: Literal["environment", "deployment", "bundle"] = "environment"


class Runtime(Record, frozen=True, kw_only=True, tag="runtime"):
    """A running process that is, or belongs to, the product: the subject of the audit.

    ``cloud_url`` is the posture of the `OS_CLOUD_URL` in force for it, wherever that was set, and None where it could
    not be found out; ``unset_means`` what this product and version makes of none. ``image`` is the reference that its
    container was started from, ``digest`` the id of that image. ``artifact`` is the path or URL that it boots from.
    """

    product: str
    version: str | None = None
    netns: int | None = None
    cloud_url: Posture | None = None
    unset_means: Literal["public", "offline", "unknown"] = "unknown"
    image: str | None = None
    digest: str | None = None
    artifact: str | None = None
    process: Process
    workload: Workload | None = None


class Resolver(Record, frozen=True, kw_only=True, tag="resolver"):
    """A name server that this host asks, or that its local resolver forwards to (``via``).

    An upstream that could not be found out has no address and the scope *unknown*. ``search`` holds the suffixes that
    are tried with it.
    """

    netns: int
    address: str | None = None
    scope: Scope = "unknown"
    source: str
    via: str | None = None
    search: tuple[str, ...] = ()


class Answer(Record, frozen=True, kw_only=True, tag="answer"):
    """What one source said about one name. ``chain`` holds the CNAME targets in order, ``ttl`` is in seconds.

    ``private`` is set where a runtime's own files or name servers said it: it holds for the network namespace ``netns``
    only. Any other answer is what this host says, and holds for everybody. An *observed* answer was seen on the wire
    at ``first``, and binds nothing that began before.
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
    first: Instant | None = None
    seen: Sight | None = None


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


class Interruption(Record, frozen=True, kw_only=True, tag="interruption"):
    """A time in which nobody looked at this host, or none that a clock can vouch for.

    ``cause`` is *no-run* between the end of one run and the beginning of the next, *killed* where the last one never
    came to its end, *suspended* where the machine slept while somebody watched, *clock* where the wall clock jumped:
    then ``seconds`` is how far, and may be negative. ``overdue`` is yes where it lasted longer than the owner wants
    runs to be apart; where nobody said how far that is, it is no.
    """

    cause: Literal["no-run", "killed", "suspended", "clock"]
    first: Instant
    last: Instant
    seconds: int
    overdue: Literal["yes", "no", "unknown"] = "no"


AnyRecord = (
    Connection
    | Question
    | Request
    | Counter
    | EntryUse
    | Setting
    | Runtime
    | Resolver
    | Answer
    | Listener
    | PolicyTrust
    | Artifact
    | Reference
    | Check
    | Package
    | Image
    | Probe
    | Opening
    | Interruption
    | Encounter
    | Visit
)
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
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    lost: int = 0
    blind: tuple[str, ...] = ()

    def coverage(self) -> Coverage:
        """Return how well the collector saw, without what it saw."""
        facts = {name: getattr(self, name) for name in Coverage.__struct_fields__ if name != "collector"}
        return Coverage(collector=self.kind, **facts)

    def of(self, record_type: type[_R]) -> Iterator[_R]:
        """Iterate over the records of one type."""
        return (record for record in self.records if isinstance(record, record_type))
