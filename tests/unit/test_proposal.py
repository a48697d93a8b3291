"""A derived policy holds a deployment to what its runtimes can be held to, and says whom it saw."""

from __future__ import annotations

from typing import Literal

import pytest

from airgap_check import yamlfile
from airgap_check.evidence import Posture, Runtime, Setting
from airgap_check.evidence.asset import Artifact, Package
from airgap_check.evidence.fact import Endpoint, Place, Process, Workload
from airgap_check.objectos.derive import derive
from airgap_check.proposal import Proposal, to_yaml

UNIT = Workload(kind="unit", id="objectos.service", name="objectos.service")


def _runtime(
    product: str = "ObjectOS",
    version: str | None = "4.2.0",
    unset_means: Literal["public", "offline", "unknown"] = "offline",
) -> Runtime:
    process = Process(pid=1, name="node")
    return Runtime(product=product, version=version, unset_means=unset_means, process=process, workload=UNIT)


OPEN = _runtime("@objectstack/cli", "17.4.0", "public")
STRANGE = _runtime("unknown", None, "unknown")


def _cloud(posture: Posture) -> Setting:
    return Setting(name="OS_CLOUD_URL", posture=posture, role="control-plane", place=Place(kind="process", pid=1))


@pytest.mark.parametrize(
    ("runtimes", "posture", "demand"),
    [
        ([OPEN], "unset", "must-be-off"),
        ([OPEN], "disabled", "must-be-off"),
        ([_runtime()], "unset", "must-be-unset"),
        ([_runtime()], "disabled", "must-be-unset"),
        ([OPEN, _runtime()], "unset", "must-be-off"),
        ([STRANGE], "unset", "must-be-unset"),
        ([STRANGE], "disabled", "must-be-off"),
        ([], "disabled", "must-be-off"),
    ],
)
def test_the_demand_is_what_the_runtime_can_be_held_to(runtimes: list[Runtime], posture: Posture, demand: str) -> None:
    assert f"runtime: {{cloud_url: {demand}, expected: true}}" in to_yaml(
        Proposal(derive([]), [_cloud(posture)], runtimes)
    )


@pytest.mark.parametrize(
    ("runtimes", "comment"),
    [
        (
            [OPEN],
            "# process node of objectos.service: @objectstack/cli 17.4.0; an OS_CLOUD_URL that is unset means",
        ),
        ([_runtime(version=None, unset_means="unknown")], "ObjectOS of an unknown version; it could not be told"),
        ([STRANGE, STRANGE], "of an unknown product; it could not be told"),
        ([], "# No runtime was found"),
    ],
)
def test_a_comment_says_whom_it_saw(runtimes: list[Runtime], comment: str) -> None:
    assert to_yaml(Proposal(derive([]), [], runtimes)).count(comment) == 1


def test_a_hostile_name_stays_in_its_comment() -> None:
    written = to_yaml(Proposal(derive([]), [], [_runtime("x\nallow: []", "1\n2")]))
    assert "\nallow: []\n" not in written.replace("allow: []   #", "")
    assert len([line for line in written.splitlines() if line.startswith("# process")]) == 1


def test_what_a_word_stands_for_is_never_proposed() -> None:
    public = (Endpoint(name="api.resend.com", port=443),)
    words = Setting(name="OS_EMAIL_PROVIDER", posture="other", role="smtp", endpoints=public, place=Place(kind="own"))
    assert derive([words]).file.allow == ()


def test_what_is_installed_is_proposed_by_its_digest() -> None:
    digest = "ab" * 32
    proposal = Proposal(
        derive([]),
        artifacts=[Artifact(path="/srv/app/objectstack.json", sha256=digest), Artifact(path="/srv/unreadable.json")],
        packages=[Package(id='com."x', path="/srv/x.json", sha256=digest), Package(id="none", path="/srv/y.json")],
    )
    written = yamlfile.parse("policy.yaml", to_yaml(proposal).encode()).value
    assert written["release"] == {"artifacts": [f"sha256:{digest}"], "packages": {'com."x': f"sha256:{digest}"}}
