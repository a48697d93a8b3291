"""One endpoint of a setting is one finding: the rules for endpoints share out what nobody approved, without overlap."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, get_args

import pytest

from airgap_check.address import Scope
from airgap_check.evidence import Allowed, Setting
from airgap_check.evidence.fact import Endpoint, Place
from airgap_check.policy.allowlist import NEVER_EGRESS
from airgap_check.view import EndpointView
from tests.rules.rule_case import rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from airgap_check.rule.condition import Truth

RULES = [rule for rule in rules().rules if rule.kind == "endpoint"]
ROLES = (
    None, "database", "proxy", "own", "artifact", "smtp", "control-plane", "other", "registry", "metadata",
    "runtime-target",
)  # fmt: skip
KNOWN: tuple[Scope, ...] = tuple(scope for scope in get_args(Scope) if scope not in {*NEVER_EGRESS, "unknown"})


def views(allowed: Allowed, scopes: Iterable[Scope], roles: Iterable[str | None] = ROLES) -> Iterator[EndpointView]:
    for scope, role in product(scopes, roles):
        yield EndpointView(
            record=Setting(name="OS_X_URL", posture="url", role=role, place=Place(kind="process", pid=1)),
            remote=Endpoint(address=None if scope == "unknown" else "192.0.2.1", scope=scope),
            allowed=allowed,
            where="",
            target="",
        )


def decided(view: EndpointView) -> dict[str, Truth]:
    return {rule.id: truth for rule in RULES if (truth := rule.when.decide(view)) is not False}


def test_every_unlisted_destination_matches_exactly_one_rule() -> None:
    for view in views("no", KNOWN, set(ROLES) - {"own"}):
        assert list(decided(view).values()) == [True], view


def test_a_name_that_nobody_resolved_matches_exactly_one_rule() -> None:
    for view in views("no", ["unknown"], set(ROLES) - {"own"}):
        found = decided(view)
        found.pop("environment.database-public", None)  # may be public: undecided
        assert list(found.values()) == [True], view


@pytest.mark.parametrize("allowed", ["yes", "no", "unknown"])
def test_our_own_names_are_no_destinations(allowed: Allowed) -> None:
    for view in views(allowed, get_args(Scope), ["own"]):
        assert decided(view) == {}, view


def test_what_is_approved_matches_none_but_a_public_database() -> None:
    for view in views("yes", get_args(Scope)):
        expected: dict[str, Truth] = {}
        if view.record.role == "database" and view.remote.scope in {"public", "metadata", "unknown"}:
            expected = {"environment.database-public": None if view.remote.scope == "unknown" else True}
        assert decided(view) == expected, view


def test_the_control_plane_variable_has_a_rule_of_its_own() -> None:
    record = Setting(name="OS_CLOUD_URL", posture="url", role="control-plane", place=Place(kind="own"))
    far = Endpoint(name="cloud.objectos.ai", port=443)
    assert decided(EndpointView(record=record, remote=far, allowed="no", where="", target="")) == {}
