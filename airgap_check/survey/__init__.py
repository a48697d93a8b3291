"""Turns evidence and policy into the views that rules judge, once a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from airgap_check.address import PUBLIC
from airgap_check.evidence import (
    Answer,
    Interruption,
    Listener,
    PolicyTrust,
    Posture,
    Resolver,
    Runtime,
    Setting,
)
from airgap_check.evidence.fact import Endpoint
from airgap_check.evidence.rehearsed import Visit
from airgap_check.policy.allowlist import NEVER_EGRESS, Allowlist
from airgap_check.survey import usage
from airgap_check.survey.assets import Assets
from airgap_check.survey.attribution import attributed
from airgap_check.survey.contradiction import Contradictions
from airgap_check.survey.egress import Egress
from airgap_check.survey.hearsay import Hearsay
from airgap_check.survey.place import target_of, where_of
from airgap_check.survey.prediction import Predictions
from airgap_check.survey.reached import Reach
from airgap_check.view import (
    DeploymentView,
    EndpointView,
    InterruptionView,
    ListenerView,
    PolicyFileView,
    ResolverView,
    SettingView,
    View,
    VisitView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Reached, RuleResult, Unseen
    from airgap_check.policy import Policy


class Survey:
    """One inspection under one policy: its views by kind, and every connection with what the allowlist says of it."""

    def __init__(self, inspection: Inspection, policy: Policy) -> None:
        """Judge every connection once; the other views are made when a rule asks for them."""
        self._inspection, self._policy = inspection, policy
        self._terms = policy.terms
        self.source = inspection.source
        resolvers = list(inspection.records(Resolver))
        rehearsed = inspection.source == "rehearsal"
        self.allowlist = Allowlist(
            policy, inspection.records(Answer), inspection.started.date(), resolvers, rehearsed=rehearsed
        )
        self._egress = Egress(inspection, policy, self.allowlist)
        self._hearsay = Hearsay(inspection, policy, self.allowlist)
        self._uses = self._egress.uses
        self._assets = Assets(inspection, policy, self.allowlist, self._located, self._hearsay.is_public)
        predictions = Predictions(inspection) if rehearsed else None
        self._reach = predictions and Reach(inspection, policy, self.allowlist, self._hearsay, predictions)
        self._contradictions = (
            Contradictions(inspection, policy.terms, self._reach, predictions) if self._reach and predictions else None
        )
        self.answers = self._hearsay.answers
        self.connections = self._egress.judged
        self.owner_unknown = self._egress.owner_unknown
        self._views: dict[str, Sequence[View]] = {"connection": self._egress.outbound, "peer": self._egress.peers}

    @property
    def reached(self) -> tuple[Reached, ...] | None:
        """Return the destinations that a rehearsed command reached for; None where nothing was rehearsed."""
        return self._reach.destinations() if self._reach else None

    @property
    def predicted_unseen(self) -> tuple[Unseen, ...] | None:
        """Return what was predicted and never seen; None where that cannot be told."""
        return self._contradictions.unseen() if self._contradictions else None

    def views(self, kind: str) -> Sequence[View]:
        """Return the views of one kind, in the order of the evidence."""
        if kind not in self._views:
            outbound, assets = self._egress.outbound, self._assets
            makers: dict[str, Callable[[], Iterator[View]]] = {
                "listener": self._listeners,
                "setting": self._settings,
                "endpoint": self._endpoints,
                "deployment": self._deployment,
                "runtime": assets.runtimes,
                "package": assets.packages,
                "probe": assets.probes,
                "deployment-opening": assets.openings,
                **{f"{name}-endpoint": partial(assets.references, source) for name, source in _NAMING.items()},
                **{f"{name}-check": partial(assets.checks, source) for name, source in _CHECKING.items()},
                "artifact": lambda: assets.artifacts("artifact"),
                "deployment-image": lambda: assets.images("deployment"),
                "resolver": self._resolvers,
                "answer": self._hearsay.named,
                "resolved": self._hearsay.resolved,
                "question": self._hearsay.questions,
                "request": self._hearsay.requests,
                "mention": self._hearsay.mentions,
                "encrypted-dns": lambda: self._hearsay.encrypted_dns(outbound),
                "counter": lambda: attributed(self._inspection, outbound),
                "policy-entry": self._entries,
                "policy-network": lambda: usage.networks(self._policy),
                "policy-file": self._file,
                "policy-requirement": lambda: usage.requirements(self._policy),
                "encounter": lambda: self._reach.views() if self._reach else iter(()),
                "contradiction": lambda: self._contradictions.views() if self._contradictions else iter(()),
                "visit": self._visits,
                "interruption": self._interruptions,
            }
            self._views[kind] = list(makers[kind]())
        return self._views[kind]

    def judge_waivers(self, results: Mapping[str, RuleResult]) -> None:
        """Make the views of waivers, which can be told only when the rules that they are for have been judged."""
        today = self._inspection.started.date()
        self._views["policy-waiver"] = list(
            usage.waivers(self._policy, results, today, rehearsed=self._reach is not None)
        )

    def _interruptions(self) -> Iterator[View]:
        for interruption in self._inspection.records(Interruption):
            yield InterruptionView(policy=self._terms, record=interruption)

    def _visits(self) -> Iterator[View]:
        for visit in self._inspection.records(Visit):
            yield VisitView(policy=self._terms, record=visit)

    def _listeners(self) -> Iterator[View]:
        for listener in self._inspection.records(Listener):
            decision = self.allowlist.listener(listener)
            yield ListenerView(policy=self._terms, record=listener, allowed=decision.allowed)

    def _settings(self) -> Iterator[View]:
        for setting in self._inspection.records(Setting):
            yield SettingView(
                policy=self._terms, record=setting, where=where_of(setting.place), meaning=_MEANINGS[setting.posture]
            )

    def _endpoints(self) -> Iterator[View]:
        for setting in self._inspection.records(Setting):
            for end in setting.endpoints:
                decision = self.allowlist.endpoint(setting, end)
                self._uses[decision.by] += decision.allowed == "yes"
                yield EndpointView(
                    policy=self._terms,
                    record=setting,
                    remote=self._located(end),
                    allowed=decision.allowed,
                    where=where_of(setting.place),
                    target=target_of(end),
                )

    def _located(self, end: Endpoint) -> Endpoint:
        """Give a named endpoint the worst address that its name was seen to have."""
        if not end.name or end.address:
            return self.allowlist.scoped(end)
        found = [self.allowlist.scoped(address) for address in self._hearsay.addresses(end.name)]
        worst = next((address for address in found if address.scope in PUBLIC), found[0] if found else None)
        return msgspec.structs.replace(worst, port=end.port, name=end.name) if worst else end

    def _deployment(self) -> Iterator[View]:
        yield DeploymentView(policy=self._terms, runtimes=sum(1 for _ in self._inspection.records(Runtime)))

    def _resolvers(self) -> Iterator[View]:
        for resolver in self._inspection.records(Resolver):
            end = self.allowlist.scoped(Endpoint(address=resolver.address, scope=resolver.scope))
            decision = self.allowlist.resolver(resolver.address)
            self._uses[decision.by] += decision.allowed == "yes"
            allowed = "yes" if end.scope in NEVER_EGRESS else decision.allowed
            yield ResolverView(policy=self._terms, record=resolver, scope=end.scope, allowed=allowed)

    def _entries(self) -> Iterator[View]:
        self.views("endpoint")
        self.views("resolver")
        for kind in (f"{name}-endpoint" for name in _NAMING):
            self.views(kind)
        self._uses.update(self._assets.used)
        return usage.entries(self._inspection, self._policy, self.allowlist, self.answers, self._uses)

    def _file(self) -> Iterator[View]:
        for trust in self._inspection.records(PolicyTrust):
            yield PolicyFileView(policy=self._terms, record=trust)


# kind of view, without its ending -> the collector whose records it shows
_NAMING = {"artifact": "artifact", "package": "state", "stored": "database", "bundle": "bundle", "probe": "probes"}
_CHECKING = {
    "artifact": "artifact", "state": "state", "stored": "database", "deployment": "deployment", "upgrade": "upgrade",
    "bundle": "bundle", "probe": "probes",
}  # fmt: skip

_MEANINGS: dict[Posture, str] = {
    "unset": "unset",
    "blank": "blank",
    "disabled": "a disabling word",
    "url": "a URL",
    "lookalike": "a look-alike of a disabling word, which does not disable",
    "other": "neither a URL nor a disabling word",
}
