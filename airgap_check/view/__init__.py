"""What a rule sees of a record: the record's own fields, and what the policy says of it.

How a rule names the fields of a view is told in `airgap_check.rule.field`.
"""

from __future__ import annotations

from airgap_check.view.asset import (
    ArtifactView,
    CheckView,
    ImageView,
    OpeningView,
    PackageView,
    ProbeView,
    ReferenceView,
    RuntimeView,
)
from airgap_check.view.base import PolicyTerms, View, YesNo
from airgap_check.view.continuity import InterruptionView
from airgap_check.view.name import AnswerView, MentionView, QuestionView, ResolvedView, ResolverView
from airgap_check.view.policy import (
    PolicyEntryView,
    PolicyFileView,
    PolicyNetworkView,
    PolicyRequirementView,
    PolicyWaiverView,
)
from airgap_check.view.rehearsed import ContradictionView, EncounterView, VisitView
from airgap_check.view.setting import DeploymentView, EndpointView, SettingView
from airgap_check.view.traffic import ConnectionView, CounterView, EncryptedDnsView, ListenerView, PeerView, RequestView

__all__ = [
    "KINDS",
    "AnswerView",
    "ArtifactView",
    "CheckView",
    "ConnectionView",
    "ContradictionView",
    "CounterView",
    "DeploymentView",
    "EncounterView",
    "EncryptedDnsView",
    "EndpointView",
    "ImageView",
    "InterruptionView",
    "ListenerView",
    "MentionView",
    "OpeningView",
    "PackageView",
    "PeerView",
    "PolicyEntryView",
    "PolicyFileView",
    "PolicyNetworkView",
    "PolicyRequirementView",
    "PolicyTerms",
    "PolicyWaiverView",
    "ProbeView",
    "QuestionView",
    "ReferenceView",
    "RequestView",
    "ResolvedView",
    "ResolverView",
    "RuntimeView",
    "SettingView",
    "View",
    "VisitView",
    "YesNo",
]

# kind of evidence a rule may name -> (what it sees, the collector that it rests on first: airgap_check.rule.basis)
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
    "runtime": (RuntimeView, "environment"),
    "artifact": (ArtifactView, "artifact"),
    "artifact-endpoint": (ReferenceView, "artifact"),
    "artifact-check": (CheckView, "artifact"),
    "package": (PackageView, "state"),
    "package-endpoint": (ReferenceView, "state"),
    "state-check": (CheckView, "state"),
    "stored-endpoint": (ReferenceView, "database"),
    "stored-check": (CheckView, "database"),
    "deployment-check": (CheckView, "deployment"),
    "deployment-image": (ImageView, "deployment"),
    "deployment-opening": (OpeningView, "deployment"),
    "upgrade-check": (CheckView, "upgrade"),
    "bundle-check": (CheckView, "bundle"),
    "bundle-endpoint": (ReferenceView, "bundle"),
    "probe": (ProbeView, "probes"),
    "probe-check": (CheckView, "probes"),
    "probe-endpoint": (ReferenceView, "probes"),
    "interruption": (InterruptionView, "continuity"),
    "encounter": (EncounterView, "world"),
    "contradiction": (ContradictionView, "world"),
    "visit": (VisitView, "drive"),
    "policy-entry": (PolicyEntryView, "policy"),
    "policy-network": (PolicyNetworkView, "policy"),
    "policy-file": (PolicyFileView, "policy"),
    "policy-requirement": (PolicyRequirementView, "policy"),
    "policy-waiver": (PolicyWaiverView, "policy"),
}
