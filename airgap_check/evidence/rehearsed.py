"""The facts about a rehearsal: what a command reached for in a sealed world, and what it was asked to do meanwhile."""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence.fact import Endpoint, Instant, Process, Record, Workload

Spoken = Literal[
    "nothing", "unknown", "dns", "tls", "http", "http2", "smtp", "postgresql", "mysql", "redis", "mongodb", "ldap",
    "ssh", "quic", "ntp", "syslog", "browser",
]  # fmt: skip


class Encounter(Record, frozen=True, kw_only=True, tag="encounter"):
    """Attempts, or requests, that are alike: who reached for what, what was said first, and how it ended.

    ``remote`` has the name that the world gave its address for; its scope is that which the name stands for outside.
    ``spoken`` is the protocol inside of TLS where the world could open that (``encrypted``), *nothing* where nothing
    was said, as always by *icmp* and *raw*. ``name`` is what the client said of whom it speaks to (SNI, Host),
    ``request`` the first line of a request without values of its query, ``opening`` the first bytes, escaped and
    without secrets. ``trigger`` is the visit that was under way; None stands for none. ``workload`` is whom the command
    stands for. ``sent`` and ``received`` are bytes as the client counts them. What a page wants a *browser* to fetch
    was seen by that one, and has no process.
    """

    protocol: Literal["tcp", "udp", "icmp", "raw"]
    remote: Endpoint
    spoken: Spoken = "nothing"
    encrypted: bool = False
    name: str | None = None
    request: str | None = None
    opening: str = ""
    ended: str = ""
    sent: int = 0
    received: int = 0
    process: Process | None = None
    workload: Workload | None = None
    trigger: str | None = None
    count: int = 1
    first: Instant | None = None
    last: Instant | None = None
    seen: Literal["world", "browser"] = "world"


class Visit(Record, frozen=True, kw_only=True, tag="visit"):
    """One thing that the driver did: a request to the command's own server, a page opened in a browser, a script.

    ``label`` is how encounters name it (*GET /api/v1/health*); ``detail`` says what came back, or what went wrong.
    """

    label: str
    outcome: Literal["done", "failed", "skipped"]
    detail: str = ""
    first: Instant | None = None
    last: Instant | None = None
