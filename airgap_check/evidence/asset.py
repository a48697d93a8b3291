"""The facts about what is delivered, installed and reached: artifacts, packages, images, and what they name.

An asset is looked at by several collectors, so its records say in ``seen`` which one it was.
"""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence.fact import Endpoint, Instant, Process, Record, Workload

Outcome = Literal["passed", "failed", "unknown"]
Examiner = Literal["artifact", "state", "database", "deployment", "upgrade", "bundle", "probes"]
Dialer = Literal["server-boot", "server-event", "browser", "nobody"]


class Artifact(Record, frozen=True, kw_only=True, tag="artifact"):
    """A compiled application, `objectstack.json`, as a file. ``sha256`` is of its bytes, None where it was not read.

    ``protocol`` is the range of runtime versions that it says it needs. ``line`` and ``column`` (from 1) tell where a
    malformed one stops making sense. One that a runtime boots from was seen by *artifact*, a delivered one by *bundle*.
    """

    path: str
    sha256: str | None = None
    size: int | None = None
    name: str | None = None
    version: str | None = None
    protocol: str | None = None
    state: Literal["intact", "malformed", "unreadable"] = "intact"
    reason: str = ""
    line: int | None = None
    column: int | None = None
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner = "artifact"


class Reference(Record, frozen=True, kw_only=True, tag="reference"):
    """A destination that something delivered or stored names, and who would dial it when.

    ``path`` is the file, or the database's table; ``pointer`` the JSON path, the column of a row, or the field of a
    certificate or discovery document; ``line`` counts from 1. ``endpoint`` is None where the text is a template
    (``templated``): nobody can know where it leads before it runs. ``text`` is what stands there, without secrets.
    """

    path: str
    pointer: str
    line: int | None = None
    text: str
    role: str | None = None
    dialer: Dialer
    endpoint: Endpoint | None = None
    templated: bool = False
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner


class Check(Record, frozen=True, kw_only=True, tag="check"):
    """One thing that had to be so, and whether it was. ``aspect`` is what a rule asks for, a closed word a question.

    ``subject`` is what was examined (a member of an archive, a service, a file), ``detail`` says in words what was
    found. An outcome that could not be told is *unknown*, never *passed*.
    """

    aspect: str
    subject: str
    outcome: Outcome
    detail: str = ""
    path: str | None = None
    line: int | None = None
    pointer: str | None = None
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner


class Package(Record, frozen=True, kw_only=True, tag="package"):
    """A package that was installed into a runtime.

    ``sha256`` is of its manifest in canonical JSON (sorted keys, no blanks), so it is the same whoever installed it and
    whenever; ``file_sha256`` is of the file's bytes.
    """

    id: str
    version: str | None = None
    path: str
    sha256: str | None = None
    file_sha256: str | None = None
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner = "state"


class Image(Record, frozen=True, kw_only=True, tag="image"):
    """A container image: one that a runtime runs, that a deployment file asks for, or that a bundle delivers.

    ``id`` is the digest of its configuration, ``digest`` that of its manifest; both as ``sha256:...``, where known.
    """

    reference: str | None = None
    id: str | None = None
    digest: str | None = None
    path: str | None = None
    line: int | None = None
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner


class Opening(Record, frozen=True, kw_only=True, tag="opening"):
    """Outbound traffic that a network policy of the cluster lets pass from a workload, all its policies taken together.

    ``network`` is a prefix, None for what a selector chooses inside the cluster, which ``peer`` describes;
    ``everybody`` where that is every pod of every namespace. Ports are ``5432`` or ``6432-6440``, none for every port.
    """

    subject: str
    network: str | None = None
    peer: str = ""
    everybody: bool = False
    ports: tuple[str, ...] = ()
    protocol: Literal["tcp", "udp", "icmp", "any"] = "tcp"
    path: str
    line: int | None = None
    seen: Examiner = "deployment"


class Probe(Record, frozen=True, kw_only=True, tag="probe"):
    """One attempt of ours to reach what the deployment needs, or what it must not reach.

    ``purpose`` tells the two apart: *needed*, *canary* (a host outside of the gap), *posture* (the runtime itself).
    ``entry`` is the entry of the policy that allows it. ``stage`` is how far it came.
    ``latency_ms`` counts from the first packet to the end of the handshake. ``expires`` is of the certificate shown.
    """

    purpose: Literal["needed", "canary", "posture"]
    protocol: str
    role: str | None = None
    entry: str | None = None
    remote: Endpoint
    outcome: Literal["reached", "refused", "unreachable", "timeout", "unresolved", "failed", "skipped"]
    stage: Literal["name", "route", "connect", "tls", "protocol", "done"] = "done"
    detail: str = ""
    latency_ms: float | None = None
    tls: str | None = None
    expires: Instant | None = None
    netns: int | None = None
    process: Process | None = None
    workload: Workload | None = None
    seen: Examiner = "probes"
