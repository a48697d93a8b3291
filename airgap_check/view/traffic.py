"""What a rule sees of connections, listeners, requests and counters: who speaks to whom."""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence import Allowed, Connection, Counter, Listener, Request
from airgap_check.evidence.fact import Endpoint
from airgap_check.view.base import WHO, View, YesNo


class ConnectionView(View, frozen=True, kw_only=True):
    """An outbound or undecidable connection; ``remote`` has the scope that the policy's own networks give it.

    ``target`` is the host as people write it: with its name, where that is certain. ``role`` is that of the entry which
    approves it, unless the entry says for whom it is; ``of_product`` tells whether it is a runtime's, or of whatever
    shares its workload.
    """

    identity = ("record.protocol", "target", "remote.port", *WHO)

    record: Connection
    remote: Endpoint
    target: str | None = None
    allowed: Allowed
    role: str | None = None
    of_product: Literal["yes", "no", "unknown"] = "unknown"


class PeerView(View, frozen=True, kw_only=True):
    """A connection that somebody made to us."""

    identity = ("record.protocol", "remote.address", "record.local.port", *WHO)

    record: Connection
    remote: Endpoint
    allowed: Allowed


class ListenerView(View, frozen=True, kw_only=True):
    """A socket that waits for others."""

    identity = ("record.protocol", "record.local.address", "record.local.port", *WHO)

    record: Listener
    allowed: Allowed


class RequestView(View, frozen=True, kw_only=True):
    """What a client said of whom it wants to speak to.

    ``public`` tells whether the name it said belongs to the public tree of names, ``listed`` whether an entry names it,
    ``allowed`` whether the destination is approved by its address: what the client says approves nothing.
    """

    identity = ("record.source", "record.name", "target", "remote.port", *WHO)

    record: Request
    remote: Endpoint
    target: str | None = None
    public: YesNo
    listed: YesNo
    allowed: Allowed


class EncryptedDnsView(View, frozen=True, kw_only=True):
    """A request for DNS over TLS, QUIC or HTTPS, or a connection to the port that is theirs."""

    identity = ("record.source", "target", "remote.port", *WHO)

    record: Request
    remote: Endpoint
    target: str | None = None
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
