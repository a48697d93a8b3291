"""A service is compared with what is delivered by name, tag and digest, as tools write them."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.deployment import Service
from airgap_check.release import delivery
from airgap_check.release.delivered import Delivered

DIGEST, OTHER, ID = (f"sha256:{letter * 64}" for letter in "abc")


def image(*references: str, digest: str | None = DIGEST) -> Delivered:
    return Delivered(references, ID, digest, "linux/amd64", (), "", "", (), None, ())


def judged(text: str | None, *images: Delivered, complete: bool = True, **changes: Any) -> dict[str, str]:
    service = Service("compose", "app", text, None, builds=False, path="compose.yaml", line=3)._replace(**changes)
    return {one.aspect: one.outcome for one in delivery.checks([service], images, complete=complete)}


@pytest.mark.parametrize(
    ("text", "delivered", "pin"),
    [
        ("app:1.0", "passed", "passed"),
        ("docker.io/library/app:1.0", "passed", "passed"),
        (f"app:1.0@{DIGEST}", "passed", "passed"),
        (f"app@{DIGEST}", "passed", "passed"),
        (f"registry.site.example/mirror/app@{DIGEST}", "passed", "passed"),
        (ID, "passed", "passed"),
        (f"app:1.0@{OTHER}", "passed", "failed"),
        ("app", "passed", "failed"),
        ("app:latest", "passed", "failed"),
        ("app:2.0", "failed", None),
        ("other:1.0", "failed", None),
        ("other:latest", "failed", "failed"),
        ("${IMAGE}", "unknown", "unknown"),
        ("", "unknown", "unknown"),
    ],
)
def test_an_image_by_its_reference(text: str, delivered: str, pin: str | None) -> None:
    found = judged(text, image("docker.io/library/app:1.0"))
    assert (found["image-delivered"], found.get("image-pin")) == (delivered, pin)


def test_what_a_legacy_archive_cannot_prove_is_unknown() -> None:
    assert judged(f"app:1.0@{DIGEST}", image("app:1.0", digest=None))["image-pin"] == "unknown"


def test_an_image_that_is_not_among_those_that_were_seen_may_be_among_the_others() -> None:
    assert judged("other:1.0", image("app:1.0"), complete=False)["image-delivered"] == "unknown"


def test_without_any_image_another_rule_says_so() -> None:
    assert "image-delivered" not in judged("app:1.0")


@pytest.mark.parametrize(
    ("policy", "outcome"),
    [(None, "passed"), ("never", "passed"), ("missing", "passed"), ("IfNotPresent", "passed"), ("Always", "failed"),
     ("build", "failed"), ("daily", "failed"), ("every_12h", "failed")],
)  # fmt: skip
def test_pull_policies(policy: str | None, outcome: str) -> None:
    assert judged("app:1.0", image("app:1.0"), pull_policy=policy)["service-pull"] == outcome


def test_a_service_whose_image_nobody_can_tell_is_undecided() -> None:
    assert judged(None, image("app:1.0"))["image-delivered"] == "unknown"


@pytest.mark.parametrize(("other", "outcome"), [(ID, "passed"), (OTHER, "failed")])
def test_a_name_stands_for_one_image(other: str, outcome: str) -> None:
    images = [image("docker.io/library/app:1.0"), image("app:1.0")._replace(id=other)]
    assert [one.outcome for one in delivery.ambiguous(images)] == [outcome]


def test_a_name_may_stand_for_one_image_a_platform() -> None:
    images = [image("app:1.0"), image("app:1.0")._replace(id=OTHER, platform="linux/arm64")]
    assert [one.outcome for one in delivery.ambiguous(images)] == ["passed"]


def test_what_is_built_on_the_host_fails_whatever_its_image_is_called() -> None:
    assert judged(None, image("app:1.0"), builds=True) == {"service-build": "failed"}
