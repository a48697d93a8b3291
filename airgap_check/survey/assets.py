"""Turns what is delivered, installed and reached into views, judged by the allowlist and the policy's digests."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Literal

from airgap_check.address import PUBLIC
from airgap_check.evidence import Runtime
from airgap_check.evidence.asset import Artifact, Check, Image, Opening, Package, Probe, Reference
from airgap_check.evidence.fact import Endpoint
from airgap_check.policy import many, port_range
from airgap_check.survey.place import target_of, where_in_file
from airgap_check.view import (
    ArtifactView,
    CheckView,
    ImageView,
    OpeningView,
    PackageView,
    ProbeView,
    ReferenceView,
    RuntimeView,
    View,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airgap_check.evidence import Allowed
    from airgap_check.evidence.inspection import Inspection
    from airgap_check.policy import Policy
    from airgap_check.policy.allowlist import Allowlist

_Approved = Literal["yes", "no", "unknown", "none"]
_NAMELESS = Endpoint()


class Assets:
    """The assets of one inspection under one policy, by the collector that saw them."""

    def __init__(
        self,
        inspection: Inspection,
        policy: Policy,
        allowlist: Allowlist,
        located: Callable[[Endpoint], Endpoint],
        is_public_name: Callable[[str], bool],
    ) -> None:
        """Take what the views are made of: ``located`` gives a name the worst address that it was seen to have."""
        self._inspection, self._policy, self._terms, self._allowlist = inspection, policy, policy.terms, allowlist
        self._located, self._is_public_name = located, is_public_name
        self.used: list[str | None] = []

    def runtimes(self) -> Iterator[View]:
        """Yield each process of the product."""
        images = self._policy.file.release.images
        for runtime in self._inspection.records(Runtime):
            none = not (runtime.image or runtime.digest)
            approved = "none" if none else _approved(images, runtime.digest)
            yield RuntimeView(policy=self._terms, record=runtime, open=self._is_open(runtime), approved=approved)

    def _is_open(self, runtime: Runtime) -> Literal["yes", "no", "unknown"]:
        """Tell whether a runtime would talk to the public control plane; a word may mean nothing to an unknown one."""
        if runtime.unset_means == "unknown" or runtime.cloud_url is None:
            return "unknown"
        if runtime.unset_means == "offline":
            return "unknown" if self._terms.cloud_url == "must-be-off" else "no"
        return "yes" if runtime.cloud_url in {"unset", "blank"} else "no"

    def artifacts(self, collector: str) -> Iterator[View]:
        """Yield each artifact that a collector saw."""
        listed = self._policy.file.release.artifacts
        for record in self._inspection.of(collector).of(Artifact):
            where = where_in_file(record.path, record.line, record.column)
            approved = _approved(listed, record.sha256 and f"sha256:{record.sha256}")
            yield ArtifactView(policy=self._terms, record=record, where=where, approved=approved)

    def references(self, collector: str) -> Iterator[View]:
        """Yield each destination that a collector found named; without a policy nobody said what a bundle may name."""
        for record in self._inspection.of(collector).of(Reference):
            where = f"{where_in_file(record.path, record.line)} {record.pointer}".strip()
            if record.endpoint is None:
                yield ReferenceView(
                    policy=self._terms, record=record, where=where, target=record.text, remote=_NAMELESS,
                    public="unknown", allowed="unknown",
                )  # fmt: skip
                continue
            remote = self._located(record.endpoint)
            decision = self._allowlist.endpoint(record, record.endpoint)
            if decision.allowed == "yes":
                self.used.append(decision.by)
            nobody_said = self._inspection.source == "bundle" and self._policy.derived and decision.allowed == "no"
            yield ReferenceView(
                policy=self._terms,
                record=record,
                where=where,
                target=target_of(record.endpoint),
                remote=remote,
                public=self._is_public(record.endpoint, remote),
                allowed="unknown" if nobody_said else decision.allowed,
            )

    def _is_public(self, named: Endpoint, remote: Endpoint) -> Literal["yes", "no", "unknown"]:
        if remote.scope in PUBLIC:
            return "yes"
        if remote.scope != "unknown":
            return "no"
        return "unknown" if not named.name else "yes" if self._is_public_name(named.name) else "no"

    def checks(self, collector: str) -> Iterator[View]:
        """Yield each thing that a collector checked."""
        for record in self._inspection.of(collector).of(Check):
            where = " ".join(filter(None, (where_in_file(record.path, record.line), record.pointer)))
            yield CheckView(policy=self._terms, record=record, where=where or record.subject)

    def packages(self) -> Iterator[View]:
        """Yield each installed package, compared with the policy's list."""
        approved = self._policy.file.release.packages
        for record in self._inspection.of("state").of(Package):
            digests = {text for text in (record.sha256, record.file_sha256) if text}
            wanted = {text.removeprefix("sha256:") for text in many(approved.get(record.id))}
            intact: Literal["yes", "no", "unknown"] = "unknown"
            if digests:
                intact = "yes" if digests & wanted else "no"
            listed: Literal["yes", "no"] = "yes" if record.id in approved else "no"
            yield PackageView(policy=self._terms, record=record, listed=listed, intact=intact)

    def images(self, collector: str) -> Iterator[View]:
        """Yield each image that a collector saw."""
        listed = self._policy.file.release.images
        for record in self._inspection.of(collector).of(Image):
            where = where_in_file(record.path, record.line) or record.reference or "?"
            approved = _approved(listed, record.id, record.digest)
            yield ImageView(policy=self._terms, record=record, where=where, approved=approved)

    def openings(self) -> Iterator[View]:
        """Yield what network policies let pass; what a selector chooses is inside the cluster, for its own to judge."""
        for record in self._inspection.of("deployment").of(Opening):
            # No allowlist holds a whole cluster: its proxies and gateways are in it.
            allowed: Allowed = "no" if record.everybody and not record.ports else "yes"
            if record.network is not None:
                allowed = self._opened(record, record.network)
            ports = ", ".join(record.ports) or "every port"
            protocol = "" if record.protocol == "any" else f"/{record.protocol}"
            target = f"{record.network or record.peer or '?'} ({ports}{protocol})"
            where = where_in_file(record.path, record.line)
            yield OpeningView(policy=self._terms, record=record, where=where, target=target, allowed=allowed)

    def _opened(self, record: Opening, prefix: str) -> Allowed:
        """Judge an opening to a network; of a prefix that is none, as only others write it down, nothing is known."""
        spans = [span for text in record.ports if (span := port_range(text))]
        try:
            return self._allowlist.opening(ip_network(prefix), spans, record.protocol).allowed
        except ValueError:
            return "unknown"

    def probes(self) -> Iterator[View]:
        """Yield each attempt of ours."""
        for record in self._inspection.of("probes").of(Probe):
            left = (record.expires - self._inspection.started).days if record.expires else None
            yield ProbeView(policy=self._terms, record=record, target=target_of(record.remote), days_left=left)


def _approved(listed: tuple[str, ...] | None, *digests: str | None) -> _Approved:
    """Compare what is known of an asset with a list of digests; an absent list judges nothing."""
    if listed is None:
        return "none"
    known = [digest for digest in digests if digest]
    if not known:
        return "unknown"
    return "yes" if any(digest in listed for digest in known) else "no"
