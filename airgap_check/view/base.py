"""What every view is: a record as a rule sees it, beside what the policy says of the whole deployment."""

from __future__ import annotations

from typing import ClassVar, Literal

from airgap_check.evidence.fact import Fact

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


WHO = ("record.process.name", "record.workload.kind", "record.workload.name")
WHERE = ("record.place.kind", "record.place.path", "record.place.unit")
