"""What a rule sees of a record: the record's own fields, and what the policy says of it.

How a rule names the fields of a view is told in `airgap_check.field`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from airgap_check.evidence import (
    Allowed,
    Answer,
    Connection,
    Counter,
    Listener,
    PolicyTrust,
    Question,
    Request,
    Resolver,
    Setting,
)
from airgap_check.fact import Endpoint, Fact

YesNo = Literal["yes", "no"]


class PolicyTerms(Fact, frozen=True, kw_only=True):
    """What the policy says of the whole deployment."""

    cloud_url: Literal["must-be-unset", "must-be-off"] = "must-be-unset"
    expected: YesNo = "yes"
    inbound: YesNo = "no"


class View(Fact, frozen=True, kw_only=True):
    """A record as a rule sees it; ``identity`` names the fields that make a finding the same one tomorrow."""

    identity: ClassVar[tuple[str, ...]] = ()

    policy: PolicyTerms = PolicyTerms()


_WHO = ("record.process.name", "record.workload.kind", "record.workload.name")
_WHERE = ("record.place.kind", "record.place.path", "record.place.unit")


class ConnectionView(View, frozen=True, kw_only=True):
    """An outbound or undecidable connection; ``remote`` has the scope that the policy's own networks give it."""

    identity = ("record.protocol", "remote.address", "remote.port", *_WHO)

    record: Connection
    remote: Endpoint
    allowed: Allowed


class PeerView(View, frozen=True, kw_only=True):
    """A connection that somebody made to us."""

    identity = ("record.protocol", "remote.address", "record.local.port", *_WHO)

    record: Connection
    remote: Endpoint
    allowed: Allowed


class ListenerView(View, frozen=True, kw_only=True):
    """A socket that waits for others."""

    identity = ("record.protocol", "record.local.address", "record.local.port", *_WHO)

    record: Listener
    allowed: Allowed


class SettingView(View, frozen=True, kw_only=True):
    """A setting; ``meaning`` says its posture, and ``where`` its place, in words for a person."""

    identity = ("record.name", "record.value", *_WHERE, *_WHO)

    record: Setting
    where: str
    meaning: str


class EndpointView(View, frozen=True, kw_only=True):
    """One endpoint of a setting; ``target`` is its address or name, and its port, as people write it."""

    identity = ("record.name", "remote.address", "remote.name", "remote.port", *_WHERE, *_WHO)

    record: Setting
    where: str
    target: str
    remote: Endpoint
    allowed: Allowed


class ResolverView(View, frozen=True, kw_only=True):
    """A name server in use."""

    identity = ("record.address", "record.source", "record.via")

    record: Resolver
    scope: str
    allowed: Allowed


class AnswerView(View, frozen=True, kw_only=True):
    """What a source said about a name."""

    identity = ("record.name", "record.status")

    record: Answer


class ResolvedView(View, frozen=True, kw_only=True):
    """One address of an answer; ``public`` is yes where an entry for the name approves public addresses."""

    identity = ("record.name", "remote.address")

    record: Answer
    remote: Endpoint
    public: YesNo


class QuestionView(View, frozen=True, kw_only=True):
    """A name that was asked for.

    ``name`` is without the suffix of a search list, ``asked`` is the whole of it. ``public`` tells whether the whole
    name belongs to the public tree of names, ``allowed`` whether an entry names it.
    """

    identity = ("name",)

    record: Question
    name: str
    asked: str
    public: YesNo
    allowed: Allowed


class RequestView(View, frozen=True, kw_only=True):
    """What a client said of whom it wants to speak to.

    ``public`` tells whether the name it said belongs to the public tree of names, ``listed`` whether an entry names it,
    ``allowed`` whether the destination is approved by its address: what the client says approves nothing.
    """

    identity = ("record.source", "record.name", "remote.address", "remote.port", *_WHO)

    record: Request
    remote: Endpoint
    public: YesNo
    listed: YesNo
    allowed: Allowed


class MentionView(View, frozen=True, kw_only=True):
    """A name or a peer that a question or a request is about; ``means`` is the protocol in which it was."""

    identity = ("name", "means", "remote.address", *_WHO)

    record: Question | Request
    name: str | None
    means: str
    remote: Endpoint


class EncryptedDnsView(View, frozen=True, kw_only=True):
    """A request for DNS over TLS, QUIC or HTTPS, or a connection to the port that is theirs."""

    identity = ("record.source", "remote.address", "remote.port", *_WHO)

    record: Request
    remote: Endpoint
    allowed: Allowed


class CounterView(View, frozen=True, kw_only=True):
    """A counter that grew while we observed.

    ``attributed`` counts the attempts in the same network namespace that nothing approved; ``explained`` tells whether
    they account for it.
    """

    identity = ("record.name",)

    record: Counter
    attributed: int
    explained: Literal["yes", "no", "unknown"]


class PolicyEntryView(View, frozen=True, kw_only=True):
    """An entry of the allowlist. ``used`` says whether any evidence needed it, ``broad`` why it is too wide.

    An entry for UDP is *unseen* where sockets without a peer may be what uses it, as ntpd's and corosync's do, and
    nobody watched what they send.
    ``public`` tells whether it leads to public addresses, and if so, whether it says ``public: true``.
    """

    identity = ("name",)

    name: str
    role: str
    source: str
    expired: YesNo
    used: Literal["yes", "no", "unknown", "unseen"]
    public: Literal["no", "approved", "unapproved"]
    broad: str | None = None


class PolicyNetworkView(View, frozen=True, kw_only=True):
    """A network that the policy calls internal."""

    identity = ("network",)

    network: str
    scope: str


class PolicyFileView(View, frozen=True, kw_only=True):
    """The policy file as a file."""

    identity = ("record.path",)

    record: PolicyTrust


class PolicyRequirementView(View, frozen=True, kw_only=True):
    """A collector that the default demands, and whether this policy still does."""

    identity = ("collector",)

    collector: str
    required: YesNo


class DeploymentView(View, frozen=True, kw_only=True):
    """The deployment as a whole: how many runtimes were found."""

    runtimes: int


AnyView = (
    ConnectionView | PeerView | ListenerView | SettingView | EndpointView | ResolverView | AnswerView | ResolvedView
    | QuestionView | RequestView | MentionView | EncryptedDnsView | CounterView
    | PolicyEntryView | PolicyNetworkView | PolicyFileView | PolicyRequirementView | DeploymentView
)  # fmt: skip

# kind of evidence a rule may name -> (what it sees, the collector that it rests on first: airgap_check.basis)
KINDS: dict[str, tuple[type[View], str]] = {
    "connection": (ConnectionView, "sockets"),
    "peer": (PeerView, "sockets"),
    "listener": (ListenerView, "listeners"),
    "setting": (SettingView, "environment"),
    "endpoint": (EndpointView, "environment"),
    "deployment": (DeploymentView, "environment"),
    "resolver": (ResolverView, "resolution"),
    "answer": (AnswerView, "resolution"),
    "resolved": (ResolvedView, "resolution"),
    "question": (QuestionView, "traffic"),
    "request": (RequestView, "traffic"),
    "mention": (MentionView, "traffic"),
    "encrypted-dns": (EncryptedDnsView, "sockets"),
    "counter": (CounterView, "counters"),
    "policy-entry": (PolicyEntryView, "policy"),
    "policy-network": (PolicyNetworkView, "policy"),
    "policy-file": (PolicyFileView, "policy"),
    "policy-requirement": (PolicyRequirementView, "policy"),
}
