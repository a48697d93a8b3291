"""What a rule sees of a record: the record's own fields, and what the policy says of it.

A rule names its fields by dotted paths. A path is looked up in the view first, then in the record that it shows, so
``allowed`` and ``policy.cloud_url`` stand beside ``process.name``.
"""

from __future__ import annotations

import types
from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from airgap_check.evidence import Allowed, Answer, Connection, Listener, PolicyTrust, Resolver, Setting
from airgap_check.fact import Endpoint, Fact

if TYPE_CHECKING:
    from collections.abc import Callable

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


class PolicyEntryView(View, frozen=True, kw_only=True):
    """An entry of the allowlist. ``used`` says whether any evidence needed it, ``broad`` why it is too wide.

    An entry for UDP is *unseen* where sockets without a peer may be what uses it, as ntpd's and corosync's do.
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
    | PolicyEntryView | PolicyNetworkView | PolicyFileView | PolicyRequirementView | DeploymentView
)  # fmt: skip

# kind of evidence a rule may name -> (what it sees, the collector that must have run)
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
    "policy-entry": (PolicyEntryView, "policy"),
    "policy-network": (PolicyNetworkView, "policy"),
    "policy-file": (PolicyFileView, "policy"),
    "policy-requirement": (PolicyRequirementView, "policy"),
}


class Field:
    """A dotted path into a view: its type, and how to read it."""

    def __init__(self, path: str, reader: Callable[[Any], Any], annotation: object) -> None:
        """Use `field`, which looks the path up."""
        self.path = path
        self._reader = reader
        self.type, self.choices = _leaf(annotation)

    def read(self, view: View) -> Any:  # a leaf is text, a number, or a tuple of them
        """Return the value, or None where an optional part of the path is missing."""
        try:
            return self._reader(view)
        except AttributeError:
            return None


def fields(view_type: type[View]) -> dict[str, Field]:
    """List every leaf that a rule may name on a view, by dotted path."""
    found = _FIELDS.get(view_type)
    if found is None:
        found = {}
        own = _hints(view_type)
        record = own.pop("record", None)
        for prefix, hints in (("record.", _hints(record) if record else {}), ("", own)):
            for name, annotation in hints.items():
                for tail, leaf in _leaves(name, annotation):
                    field = Field(tail, attrgetter(prefix + tail), leaf)
                    if field.type in _TESTABLE:
                        found[tail] = field
        _FIELDS[view_type] = found
    return found


_FIELDS: dict[type[View], dict[str, Field]] = {}
_TESTABLE = (str, int, bool, datetime)  # a list of structs has no value that a rule could name


def _hints(struct: Any) -> dict[str, Any]:  # a struct type
    hints = get_type_hints(struct)
    return {field.name: hints[field.name] for field in msgspec.structs.fields(struct)}


def _leaves(path: str, annotation: Any) -> list[tuple[str, Any]]:  # any annotated type
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, msgspec.Struct):
            return [leaf for name, hint in _hints(member).items() for leaf in _leaves(f"{path}.{name}", hint)]
    return [(path, annotation)]


def _members(annotation: Any) -> tuple[Any, ...]:  # any annotated type
    return get_args(annotation) if get_origin(annotation) in {types.UnionType, Union} else (annotation,)


def _leaf(annotation: Any) -> tuple[type, tuple[str, ...]]:  # any annotated type
    """Return the plain type of a leaf and, for a closed vocabulary, its words. Sequences count as their items."""
    member = next(member for member in _members(annotation) if member is not type(None))
    if get_origin(member) is tuple:
        member = get_args(member)[0]
    if get_origin(member) is Literal:
        return str, get_args(member)
    return (member if isinstance(member, type) else str), ()
