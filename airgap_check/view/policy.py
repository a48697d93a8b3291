"""What a rule sees of the policy itself."""

from __future__ import annotations

from typing import Literal

from airgap_check.evidence import PolicyTrust
from airgap_check.view.base import View, YesNo


class PolicyEntryView(View, frozen=True, kw_only=True):
    """An entry of the allowlist. ``used`` says whether any evidence needed it, ``broad`` why it is too wide.

    An entry for UDP is *unseen* where sockets without a peer may be what uses it, as ntpd's and corosync's do, and
    nobody watched what they send.
    ``public`` tells whether it leads to public addresses, and if so, whether it says ``public: true``.
    ``line`` is where it stands in the policy file.
    """

    identity = ("name",)

    name: str
    role: str
    source: str
    expired: YesNo
    used: Literal["yes", "no", "unknown", "unseen"]
    public: Literal["no", "approved", "unapproved"]
    broad: str | None = None
    line: int | None = None


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


class PolicyWaiverView(View, frozen=True, kw_only=True):
    """A waiver. ``matched`` says whether its rule found what it is for, ``days`` for how many more days it holds.

    *unseen* is what a rehearsal says of one that matched nothing: what it is for may be on the host alone.
    """

    identity = ("rule", "reason", "owner")

    rule: str
    reason: str
    owner: str
    days: int
    matched: Literal["yes", "no", "unknown", "unseen"]
    line: int | None = None
