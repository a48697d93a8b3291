"""What a rule sees of how the deployment is configured."""

from __future__ import annotations

from airgap_check.evidence import Allowed, Setting
from airgap_check.evidence.fact import Endpoint
from airgap_check.view.base import WHERE, WHO, View


class SettingView(View, frozen=True, kw_only=True):
    """A setting; ``meaning`` says its posture, and ``where`` its place, in words for a person."""

    identity = ("record.name", "record.value", *WHERE, *WHO)

    record: Setting
    where: str
    meaning: str


class EndpointView(View, frozen=True, kw_only=True):
    """One endpoint of a setting; ``target`` is its address or name, and its port, as people write it."""

    identity = ("record.name", "remote.address", "remote.name", "remote.port", *WHERE, *WHO)

    record: Setting
    where: str
    target: str
    remote: Endpoint
    allowed: Allowed


class DeploymentView(View, frozen=True, kw_only=True):
    """The deployment as a whole: how many runtimes were found."""

    runtimes: int
