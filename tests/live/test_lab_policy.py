from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.live.lab import FAR, NEAR, PUBLIC, Lab
from tests.live.site import UNIT, assert_compliant, assert_finding, assert_violation, policy, serious

PARTNER = "10.30.0.9"
ENTRY = {"name": "partner", "role": "webhook", "cidr": f"{PARTNER}/32", "ports": [8443]}
BALANCER = {"name": "load balancer", "cidr": [f"{FAR}/32"], "ports": [8080]}


def _talk_to_the_partner(site: Lab) -> None:
    site.serve(PARTNER, 8443)
    site.near.plant("tcp", PARTNER, 8443, cgroup=UNIT)


def test_an_expired_entry_no_longer_allows(site: Lab) -> None:
    _talk_to_the_partner(site)
    assert_compliant(site.audit(policy=policy(ENTRY | {"expires": "2999-01-01"})))
    audit = site.audit(policy=policy(ENTRY | {"expires": "2020-01-01"}))
    assert audit.exit_code == 1, audit.summary()
    assert serious(audit) == {"policy.expired-entry", "connection.not-allowlisted"}
    assert_finding(audit, "policy.expired-entry", name="partner")
    assert_finding(audit, "connection.not-allowlisted", process="node", remote__address=PARTNER)


def test_an_entry_for_a_public_address_fails_twice_until_it_says_so(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, cgroup=UNIT)
    entry = {"name": "outside", "role": "other", "cidr": f"{PUBLIC}/32", "ports": [443]}
    audit = site.audit(policy=policy(entry))
    assert audit.exit_code == 1, audit.summary()
    assert serious(audit) == {"policy.public-entry", "connection.public-destination"}
    approved = site.audit(policy=policy(entry | {"public": True}))
    assert approved.outcome("connection.public-destination") == "pass", approved.summary()


def test_a_waiver_turns_a_violation_into_a_remark_that_the_report_repeats(site: Lab) -> None:
    _talk_to_the_partner(site)
    waiver = {
        "rule": "connection.not-allowlisted", "match": {"remote.address": PARTNER}, "reason": "migration",
        "owner": "dba@bank.example", "expires": f"{datetime.now(UTC) + timedelta(days=90):%Y-%m-%d}",
    }  # fmt: skip
    audit = site.audit(policy=policy(waivers=[waiver]))
    assert_compliant(audit)
    assert audit.report["relaxed_by"]
    finding = next(
        finding
        for result in audit.report["results"]
        if result["rule"] == "connection.not-allowlisted"
        for finding in result["findings"]
    )
    assert finding["waived_by"]
    other = waiver | {"match": {"remote.address": "10.30.0.10"}}
    expired = waiver | {"expires": "2020-01-01"}
    for useless, told in ((other, "policy.unmatched-waiver"), (expired, "policy.expired-waiver")):
        audit = site.audit(policy=policy(waivers=[useless]))
        assert audit.exit_code == 1, audit.summary()
        assert serious(audit) == {"connection.not-allowlisted", told}
        assert_finding(audit, "connection.not-allowlisted", process="node")


def test_a_public_network_that_the_policy_calls_internal_is_reported(site: Lab) -> None:
    _talk_to_the_partner(site)
    audit = site.audit(policy=policy(ENTRY, networks={"internal": ["93.184.216.0/24"]}))
    assert audit.exit_code == 0, audit.summary()
    assert_finding(audit, "policy.public-network", network="93.184.216.0/24")


def test_a_weakened_policy_fails(site: Lab) -> None:
    audit = site.audit(policy=policy(require=["environment", "sockets"]))
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "policy.weakened", collector="resolution")


def test_a_policy_file_that_others_can_write_fails(site: Lab) -> None:
    assert_compliant(site.audit(policy=policy()))
    site.near.path("/etc/airgap-check/policy.yaml").chmod(0o666)
    assert_violation(site.audit(), "policy.untrusted-file", path="/etc/airgap-check/policy.yaml")


def test_what_listens_is_not_judged_until_the_policy_says_who_may_connect(site: Lab) -> None:
    site.near.plant("listener", "0.0.0.0", 9000, name="debugger", cgroup=UNIT)
    audit = site.audit(policy=policy())
    assert_compliant(audit)
    assert audit.outcome("listener.not-approved") == "not_applicable"


def test_a_listener_that_nobody_approved_fails(site: Lab) -> None:
    site.near.plant("listener", "0.0.0.0", 8080, name="node", cgroup=UNIT)
    assert_compliant(site.audit(policy=policy(inbound=[BALANCER])))
    site.near.plant("listener", "0.0.0.0", 9000, name="debugger", cgroup="debug.service")
    assert_violation(
        site.audit(), "listener.not-approved", process="debugger", workload="debug.service", local__port=9000
    )


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_listener_on_loopback_needs_no_approval(site: Lab, address: str) -> None:
    site.near.plant("listener", address, 9000, name="debugger")
    assert_compliant(site.audit(policy=policy(inbound=[])))


def test_a_peer_that_nobody_approved_fails(site: Lab) -> None:
    server = site.near.plant("acceptor", "0.0.0.0", 8080, name="node", cgroup=UNIT, until="listening")
    site.far.plant("tcp", NEAR, 8080, name="browser")
    server.expect("ready")
    assert_compliant(site.audit(policy=policy(inbound=[BALANCER])))
    elsewhere = BALANCER | {"cidr": ["10.0.1.0/28"]}
    record = assert_violation(
        site.audit(policy=policy(inbound=[elsewhere])), "listener.peer-not-approved", process="node", workload=UNIT,
        remote__address=FAR, local__port=8080,
    )  # fmt: skip
    assert record["direction"] == "inbound"


def test_a_peer_is_never_mistaken_for_egress(site: Lab) -> None:
    """Somebody with a public address connects to us: that is not a connection that we made."""
    site.assign(PUBLIC)
    server = site.near.plant("acceptor", "::", 8080, name="node", cgroup=UNIT, until="listening")
    site.far.plant("tcp", NEAR, 8080, 1, PUBLIC, name="browser")
    server.expect("ready")
    assert_compliant(site.audit(policy=policy()))


def test_explain_names_the_entry_or_the_rule_that_decides(site: Lab) -> None:
    assert_compliant(site.audit(policy=policy()))
    allowed = site.check("explain", "10.20.0.5:5432")
    assert "core database" in allowed.stdout, allowed.stderr
    refused = site.check("explain", f"{PUBLIC}:443")
    assert "connection.public-destination" in refused.stdout, refused.stderr


def test_init_prints_a_policy_that_approves_the_site_as_it_is(site: Lab) -> None:
    printed = site.check("init")
    assert printed.exit_code == 0, printed.stderr
    assert "OS_BUSINESS_DB_URL" in printed.stdout
    assert_compliant(site.audit(policy=printed.stdout))
