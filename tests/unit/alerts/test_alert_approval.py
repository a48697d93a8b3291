"""Only what the policy approves for this program is told anything, and it says what line would approve it."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check import alerts
from airgap_check.alerts.approval import Approval
from airgap_check.alerts.failure import DeliveryError
from airgap_check.errors import InvalidFileError
from airgap_check.objectos.derive import derive
from airgap_check.yamlfile import parse
from tests.building import policy
from tests.unit.alerts.alerting import NAME, TODAY, answer, load, webhook

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from airgap_check.policy import Policy

SYSLOG = {"port": 514, "transport": "udp"}
NAMED = {"host": [NAME], "ports": [443]}


def refusal(folder: Path, policy: Policy | None, destination: dict[str, Any], today: date = TODAY) -> str:
    file = load(folder, destination)
    with pytest.raises(InvalidFileError) as caught:
        alerts.check(file, policy, today)
    (fault,) = caught.value.faults
    assert fault.startswith(f"{file.document.path}:1:")
    return fault


def hook(folder: Path, host: str = NAME, port: int = 443) -> dict[str, Any]:
    return webhook(folder, port, host)


def test_the_line_that_is_proposed_approves_it(tmp_path: Path) -> None:
    for destination in (
        hook(tmp_path),
        hook(tmp_path, "10.4.4.4", 8443),
        hook(tmp_path, "[2001:db8::7]"),
        {"syslog": {"host": "93.184.216.34", **SYSLOG}},
        {"syslog": {"host": "LOG.corp.example.", **SYSLOG}},
    ):
        text = refusal(tmp_path, policy(), destination)
        entry = parse("line", re.sub(r".*add to allow: - ", "", text).encode()).value
        alerts.check(load(tmp_path, destination), policy(entry), TODAY)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"host": [NAME], "ports": [80]}, "is for other ports, or another protocol"),
        ({**NAMED, "protocol": "udp"}, "is for other ports, or another protocol"),
        ({**NAMED, "expires": "2026-11-19"}, "has expired"),
        ({"host": ["*.corp.example"], "ports": [443]}, "holds it by a wildcard, whose names nobody asks for"),
        ({**NAMED, "for": {"exe": "/usr/bin/node"}}, "is not for airgap-check"),
        ({"host": ["other.corp.example"], "ports": [443]}, "no entry of the policy approves;"),
        ({"cidr": ["10.0.0.0/8"], "ports": [443]}, "no entry of the policy approves;"),
    ],
)
def test_an_entry_that_does_not_fit_approves_nothing(tmp_path: Path, entry: dict[str, Any], why: str) -> None:
    text = refusal(tmp_path, policy(entry), hook(tmp_path))
    assert f'alerts to "to 0" go to {NAME}:443/tcp' in text
    assert why in text


def test_one_of_several_entries_is_enough(tmp_path: Path) -> None:
    alerts.check(load(tmp_path, hook(tmp_path)), policy({**NAMED, "protocol": "udp"}, NAMED), TODAY)


def test_an_entry_may_be_for_this_very_program(tmp_path: Path) -> None:
    import os

    entry = {**NAMED, "for": {"exe": os.path.realpath("/proc/self/exe")}}
    alerts.check(load(tmp_path, hook(tmp_path)), policy(entry), TODAY)


def test_a_public_address_needs_an_entry_that_says_so(tmp_path: Path) -> None:
    destination = {"syslog": {"host": "93.184.216.34", **SYSLOG}}
    entry = {"cidr": ["93.184.216.34/32"], "ports": [514], "protocol": "udp"}
    assert "does not say public: true" in refusal(tmp_path, policy(entry), destination)
    own = policy(entry, networks={"internal": ["93.184.216.0/24"]})
    alerts.check(load(tmp_path, destination), own, TODAY)


def test_a_derived_policy_and_one_that_is_yet_to_be_derived_approve_nothing(tmp_path: Path) -> None:
    for nobodys in (None, derive([])):
        assert "the policy is derived: nobody approved it" in refusal(tmp_path, nobodys, hook(tmp_path))


def test_loopback_and_commands_need_no_entry(tmp_path: Path) -> None:
    file = load(tmp_path, {"syslog": {"host": "127.0.0.1", **SYSLOG}}, {"command": {"argv": ["/bin/true"]}})
    alerts.check(file, None, TODAY)


def test_every_destination_that_is_refused_is_named_and_a_second_check_starts_anew(tmp_path: Path) -> None:
    file = load(tmp_path, hook(tmp_path), hook(tmp_path, "10.4.4.4"))
    for _ in range(2):
        with pytest.raises(InvalidFileError) as caught:
            alerts.check(file, policy(), TODAY)
        assert len(caught.value.faults) == 2
    alerts.check(file, policy(NAMED, {"cidr": ["10.4.4.4/32"], "ports": [443]}), TODAY)


def test_only_approved_addresses_are_dialled_in_the_order_of_the_answers(tmp_path: Path) -> None:
    (destination,) = load(tmp_path, hook(tmp_path)).destinations
    goal = destination.goal
    assert goal is not None
    private, public = ip_address("10.7.7.7"), ip_address("93.184.216.34")
    answers = [answer(public), answer(private)]
    assert Approval(policy(NAMED), answers, TODAY).addresses(goal) == [private]
    assert Approval(policy({**NAMED, "public": True}), answers, TODAY).addresses(goal) == [public, private]
    for bad, why in (
        (policy({**NAMED, "expires": "2026-11-19"}), "has expired"),
        (policy(), "no entry of the policy approves"),
        (derive([]), "nobody approved it"),
    ):
        with pytest.raises(DeliveryError, match=why):
            Approval(bad, answers, TODAY).addresses(goal)
