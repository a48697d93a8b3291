"""The line that would approve a finding's destination, and for whom there is none."""

from __future__ import annotations

from airgap_check.reporters.policy_line import for_finding

REMOTE = {"address": "10.1.1.1", "port": 25, "scope": "private"}


def test_a_connection_that_nobody_approved_gets_the_line_that_would() -> None:
    assert (
        for_finding({"kind": "connection", "remote": REMOTE})
        == "- {name: ..., role: ..., cidr: [10.1.1.1/32], ports: [25]}"
    )


def test_a_probe_of_ours_gets_none_for_an_entry_approves_it_already() -> None:
    assert for_finding({"kind": "probe", "purpose": "needed", "remote": REMOTE}) is None
    assert for_finding({"kind": "probe", "purpose": "canary", "remote": {"name": "a.b", "port": 1}}) is None


def test_an_entry_for_a_socket_that_only_sorts_addresses_is_that_of_the_connection_itself() -> None:
    named = {"kind": "connection", "protocol": "udp", "remote": {"name": "db.bank.example", "port": 443}}
    line = "- {name: ..., role: ..., host: db.bank.example, ports: [443]"
    assert for_finding({**named, "state": "connect"}) == f"{line}}}"
    assert for_finding({**named, "state": "attempt"}) == f"{line}, protocol: udp}}"
