from __future__ import annotations

import pytest

from tests.live.lab import PUBLIC, RESOLVER, Lab
from tests.live.names import serve_dnsmasq, serve_unbound
from tests.live.site import UNIT, assert_compliant, assert_finding, assert_violation, policy

APP, EDGE, CDN = "app.corp.example", "edge.corp.example", "edge.cdn.example"
INTERNAL = "10.30.0.7"
ENTRY = {"name": "app", "role": "webhook", "host": APP, "ports": [8443]}
RECORDS = {APP: INTERNAL}
# The first alias is internal, the second leads out.
ALIASES = {APP: EDGE, EDGE: CDN, CDN: PUBLIC}


def test_a_host_entry_approves_the_address_that_its_name_has(site: Lab) -> None:
    asked = serve_dnsmasq(site, RECORDS)
    site.serve(INTERNAL, 8443)
    site.near.plant("tcp", INTERNAL, 8443, cgroup=UNIT)
    audit = site.audit(policy=policy(ENTRY))
    assert_compliant(audit)
    assert {connection["by"] for connection in audit.report["connections"]} == {"core database", "app"}
    assert asked() == {APP}


def test_a_host_entry_approves_no_other_address(site: Lab) -> None:
    serve_dnsmasq(site, RECORDS)
    site.serve("10.30.0.8", 8443)
    site.near.plant("tcp", "10.30.0.8", 8443, cgroup=UNIT)
    assert_violation(
        site.audit(policy=policy(ENTRY)), "connection.not-allowlisted", process="node", workload=UNIT,
        remote__address="10.30.0.8",
    )  # fmt: skip


@pytest.mark.parametrize("serve", [serve_dnsmasq, serve_unbound])
def test_a_name_whose_second_alias_is_public_fails(site: Lab, serve: object) -> None:
    assert callable(serve)
    serve(site, ALIASES)
    audit = site.audit(policy=policy(ENTRY))
    assert audit.exit_code == 1, audit.summary()
    record = assert_finding(audit, "resolution.public-address", name=APP, remote__address=PUBLIC)
    assert [name.rstrip(".") for name in record["chain"]] == [EDGE, CDN]


def test_a_name_in_the_hosts_file_counts_as_an_answer(site: Lab) -> None:
    serve_dnsmasq(site, {})
    site.near.write("/etc/hosts", f"127.0.0.1 localhost\n{PUBLIC} {APP}\n")
    assert_finding(site.audit(policy=policy(ENTRY)), "resolution.public-address", name=APP, remote__address=PUBLIC)


def test_a_name_that_does_not_exist_is_reported(site: Lab) -> None:
    serve_dnsmasq(site, {})
    audit = site.audit("--fail-on", "medium", policy=policy(ENTRY))
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "resolution.unresolvable", name=APP, status="nxdomain")


def test_a_public_resolver_fails_and_is_never_asked(site: Lab) -> None:
    asked = serve_dnsmasq(site, RECORDS, address="8.8.8.8")
    site.near.write("/etc/resolv.conf", "nameserver 8.8.8.8\n")
    before = site.near.counters()
    audit = site.audit(policy=policy(ENTRY))
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "resolution.public-resolver", address="8.8.8.8")
    assert asked() == set()
    assert site.near.counters() == before


def test_a_resolver_that_is_silent_makes_the_verdict_inconclusive(site: Lab) -> None:
    site.assign(RESOLVER)  # port 53 is closed there
    audit = site.audit(policy=policy(ENTRY))
    assert audit.exit_code == 4, audit.summary()
    assert audit.outcome("resolution.public-address") == "unknown"


def test_no_resolve_asks_nobody_and_says_what_that_costs(site: Lab) -> None:
    asked = serve_dnsmasq(site, RECORDS)
    before = site.near.counters()
    audit = site.audit("--no-resolve", policy=policy(ENTRY))
    assert audit.exit_code == 4, audit.summary()
    assert audit.coverage("resolution")["status"] == "partial"
    assert any("no-resolve" in relaxed for relaxed in audit.report["relaxed_by"])
    assert asked() == set()
    assert site.near.counters() == before


def test_no_resolve_costs_nothing_where_no_entry_names_a_host(site: Lab) -> None:
    audit = site.audit("--no-resolve", policy=policy())
    assert_compliant(audit)
    assert audit.coverage("resolution")["status"] == "complete"


def test_only_allowlisted_names_are_asked(site: Lab) -> None:
    """Names in settings, in /etc/hosts and of wildcard entries are read, never asked."""
    asked = serve_dnsmasq(site, RECORDS)
    site.near.write("/run/lab/objectos/.env", "OS_EMAIL_SMTP_HOST=mail.elsewhere.example\n")
    wildcard = {"name": "replicas", "role": "database", "host": "*.db.corp.example", "ports": [5432]}
    audit = site.audit(policy=policy(ENTRY, wildcard))
    assert audit.report
    assert asked() == {APP}
