from __future__ import annotations

import pytest

from tests.live.lab import CONTAINER, NOBODY, PUBLIC, PUBLIC6, SILENT, Lab
from tests.live.site import UNIT, assert_compliant, assert_finding, assert_violation, policy

PARTNER = "10.30.0.9"
NAT64 = "64:ff9b::5db8:d822"  # 93.184.216.34 inside
SIX_TO_FOUR = "2002:5db8:d822::1"


def test_a_clean_host_with_an_explicit_policy_is_compliant(site: Lab) -> None:
    audit = site.audit(policy=policy())
    assert_compliant(audit)
    assert [entry["record"]["remote"]["address"] for entry in audit.report["connections"]] == ["10.20.0.5"]
    assert audit.report["connections"][0]["by"] == "core database"
    assert [runtime["process"]["name"] for runtime in audit.report["subject"]["runtimes"]] == ["node"]


def test_a_policy_that_is_named_is_used_instead_of_the_default_one(site: Lab) -> None:
    assert_compliant(site.audit(policy=policy()))
    site.near.write("/run/lab/strict.yaml", "version: 1\nallow: [{name: n, role: other, cidr: 10.1.1.1/32}]\n")
    audit = site.audit("--policy", "/run/lab/strict.yaml")
    assert audit.exit_code == 1
    assert "connection.not-allowlisted" in audit.failed()


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC6])
def test_a_public_connection_fails(site: Lab, address: str) -> None:
    site.serve(address, 443)
    assert_compliant(site.audit(policy=policy()))
    site.near.plant("tcp", address, 443, name="curl", cgroup="sync.service")
    audit = site.audit()
    record = assert_violation(
        audit, "connection.public-destination", process="curl", workload="sync.service", remote__address=address
    )
    assert record["remote"]["scope"] == "public"
    assert record["remote"]["port"] == 443
    assert record["direction"] == "outbound"
    assert record["workload"]["kind"] == "unit"


def test_a_connection_to_an_internal_host_that_is_not_listed_fails(site: Lab) -> None:
    site.serve(PARTNER, 8443)
    site.near.plant("tcp", PARTNER, 8443, cgroup=UNIT)
    assert_violation(
        site.audit(policy=policy()), "connection.not-allowlisted", process="node", workload=UNIT,
        remote__address=PARTNER, remote__scope="private",
    )  # fmt: skip
    listed = {"name": "partner", "role": "webhook", "cidr": f"{PARTNER}/32", "ports": [8443]}
    assert_compliant(site.audit(policy=policy(listed)))


def test_a_listed_host_on_a_port_that_is_not_listed_fails(site: Lab) -> None:
    site.serve("10.20.0.5", 22)
    site.near.plant("tcp", "10.20.0.5", 22, name="ssh")
    assert_violation(site.audit(policy=policy()), "connection.not-allowlisted", process="ssh", remote__port=22)


def test_a_public_connection_from_an_unnamed_namespace_is_found(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    contained = site.near.plant("namespace", PUBLIC, 443, cgroup="app.service", until="unwired")
    site.wire_container(contained.pid)
    assert_compliant(site.audit(policy=policy()))
    contained.go_on()
    contained.expect("ready")
    record = assert_violation(
        site.audit(), "connection.public-destination", process="node", workload="app.service", remote__address=PUBLIC
    )
    assert record["local"]["address"] == CONTAINER
    assert record["netns"] == site.near.path(f"/proc/{contained.pid}/ns/net").stat().st_ino


def test_a_public_connection_of_a_namespace_that_only_an_open_socket_holds_is_found(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    hidden = site.near.plant("hidden", PUBLIC, 443, cgroup="app.service", until="unwired")
    site.wire_container(hidden.pid)
    namespace = site.near.path(f"/proc/{hidden.pid}/ns/net").stat().st_ino
    hidden.go_on()
    hidden.expect("ready")
    assert site.near.path(f"/proc/{hidden.pid}/ns/net").stat().st_ino != namespace  # it went home
    record = assert_violation(
        site.audit(policy=policy()), "connection.public-destination", process="node", workload="app.service",
        remote__address=PUBLIC,
    )  # fmt: skip
    assert record["netns"] == namespace


def test_a_v4_mapped_connection_is_judged_as_the_ipv4_it_is(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", f"::ffff:{PUBLIC}", 443, cgroup=UNIT)
    record = assert_violation(
        site.audit(policy=policy()), "connection.public-destination", process="node", remote__address=PUBLIC
    )
    assert record["remote"].get("inner") is None


def test_a_v4_mapped_connection_to_a_listed_host_is_approved(site: Lab) -> None:
    site.near.plant("tcp", "::ffff:10.20.0.5", 5432, cgroup=UNIT)
    assert_compliant(site.audit(policy=policy()))


@pytest.mark.parametrize(("address", "wrapping"), [(NAT64, "nat64"), (SIX_TO_FOUR, "6to4")])
def test_a_wrapped_public_address_is_judged_by_the_address_inside(site: Lab, address: str, wrapping: str) -> None:
    site.serve(address, 443)
    assert_compliant(site.audit(policy=policy()))
    site.near.plant("tcp", address, 443, cgroup=UNIT)
    record = assert_violation(
        site.audit(), "connection.public-destination", process="node", workload=UNIT, remote__address=address
    )
    assert (record["remote"]["inner"], record["remote"]["wrapped"]) == (PUBLIC, wrapping)


def test_a_wrapped_internal_address_is_approved_by_the_address_inside(site: Lab) -> None:
    site.serve("64:ff9b::a14:5", 5432)  # 10.20.0.5 inside
    site.near.plant("tcp", "64:ff9b::a14:5", 5432, cgroup=UNIT)
    assert_compliant(site.audit(policy=policy()))


def test_an_attempt_that_nobody_answers_is_a_violation(site: Lab) -> None:
    site.near.plant("pending", SILENT, 443, cgroup=UNIT)
    record = assert_violation(
        site.audit(policy=policy()), "connection.public-destination", process="node", workload=UNIT,
        remote__address=SILENT, direction="outbound",
    )  # fmt: skip
    assert record["state"].upper().replace("_", "-") == "SYN-SENT"


def test_a_connected_udp_socket_is_a_connection_though_it_sent_nothing(site: Lab) -> None:
    site.assign(PUBLIC)
    site.near.plant("udp", PUBLIC, 443, name="quic", cgroup=UNIT)
    assert_violation(
        site.audit(policy=policy()), "connection.public-destination", process="quic", workload=UNIT,
        remote__address=PUBLIC, protocol="udp",
    )  # fmt: skip


def test_giving_a_public_address_to_a_namespace_of_ones_own_whitewashes_nothing(site: Lab) -> None:
    liar = site.near.plant("whitewash", PUBLIC, 443, name="liar", cgroup="liar.service", user=NOBODY, until="unwired")
    site.near.check(
        ["nsenter", "--target", str(liar.pid), "--net", "ip", "-batch", "-"],
        stdin=f"link set lo up\naddress add {PUBLIC}/32 dev lo\n",
    )
    assert_compliant(site.audit(policy=policy()))
    liar.go_on()
    liar.expect("ready")
    assert_violation(
        site.audit(), "connection.public-destination", process="liar", workload="liar.service", remote__address=PUBLIC
    )


def test_a_public_address_that_lives_in_another_namespace_of_this_host_stays_public(site: Lab) -> None:
    liar = site.near.plant("whitewash", PUBLIC, 443, name="liar", user=NOBODY, until="unwired")
    site.wire_container(liar.pid)
    site.near.check(
        ["nsenter", "--target", str(liar.pid), "--net", "ip", "-batch", "-"], stdin=f"address add {PUBLIC}/32 dev lo\n"
    )
    site.near.ip(f"route add {PUBLIC}/32 via {CONTAINER}")
    liar.go_on()
    liar.expect("ready")
    liar_only = site.audit(policy=policy())
    assert {
        finding["record"]["process"]["name"] for finding in liar_only.findings("connection.public-destination")
    } == {"liar"}
    site.near.plant("tcp", PUBLIC, 443, name="curl", cgroup=UNIT)
    audit = site.audit()
    assert audit.exit_code == 1
    processes = {finding["record"]["process"]["name"] for finding in audit.findings("connection.public-destination")}
    assert processes == {"liar", "curl"}


def test_nobody_turns_a_remote_host_into_a_container_by_claiming_its_address(site: Lab) -> None:
    site.serve(PARTNER, 8443)
    site.near.plant("tcp", PARTNER, 8443, name="node", cgroup=UNIT)
    liar = site.near.plant("whitewash", "127.0.0.1", 9000, name="liar", user=NOBODY, until="unwired")
    site.near.check(
        ["nsenter", "--target", str(liar.pid), "--net", "ip", "-batch", "-"],
        stdin=f"link set lo up\naddress add {PARTNER}/32 dev lo\n",
    )
    liar.go_on()
    liar.expect("ready")
    assert_violation(
        site.audit(policy=policy()),
        "connection.not-allowlisted",
        process="node",
        workload=UNIT,
        remote__scope="private",
    )


def test_a_container_of_this_host_is_no_egress(site: Lab) -> None:
    contained = site.near.plant("namespace", "127.0.0.1", 9, until="unwired")
    site.wire_container(contained.pid)
    server = [
        "nsenter",
        "--target",
        str(contained.pid),
        "--net",
        "/run/lab/bin/node",
        "-I",
        "-S",
        "/run/lab/planted.py",
    ]
    site.near.run([*server, "listener", CONTAINER, "8080"]).expect("ready")
    site.near.plant("tcp", CONTAINER, 8080, name="nginx")
    assert_compliant(site.audit(policy=policy()))


def test_a_raw_socket_is_reported_but_does_not_fail_by_default(site: Lab) -> None:
    site.near.plant("raw", name="ping", cgroup="probe.service")
    audit = site.audit(policy=policy())
    assert audit.exit_code == 0, audit.summary()
    assert_finding(audit, "connection.raw-socket", process="ping", workload="probe.service", protocol="raw")
    assert_violation(site.audit("--fail-on", "medium"), "connection.raw-socket", process="ping")


def test_a_packet_socket_is_reported_as_a_raw_socket(site: Lab) -> None:
    site.near.plant("packet", name="sniffer")
    assert_violation(
        site.audit("--fail-on", "medium", policy=policy()), "connection.raw-socket", process="sniffer",
        protocol="packet",
    )  # fmt: skip


@pytest.mark.parametrize("group", ["239.1.2.3", "255.255.255.255"])
def test_multicast_and_broadcast_have_a_rule_of_their_own(site: Lab, group: str) -> None:
    site.near.plant("group", group, 5405, name="corosync", cgroup="cluster.service")
    audit = site.audit(policy=policy())
    assert audit.exit_code == 0, audit.summary()
    assert_violation(
        site.audit("--fail-on", "medium"), "connection.multicast", process="corosync", workload="cluster.service",
        remote__address=group,
    )  # fmt: skip


def test_connections_to_one_place_are_one_finding_with_a_count(site: Lab) -> None:
    site.serve(PUBLIC, 443)
    site.near.plant("tcp", PUBLIC, 443, 7, cgroup=UNIT)
    audit = site.audit(policy=policy())
    assert audit.finding("connection.public-destination")["count"] == 7


def test_an_entry_for_one_unit_does_not_approve_another(site: Lab) -> None:
    entry = {"name": "partner", "role": "webhook", "cidr": f"{PARTNER}/32", "ports": [8443], "for": {"unit": UNIT}}
    site.serve(PARTNER, 8443)
    site.near.plant("tcp", PARTNER, 8443, cgroup=UNIT)
    assert_compliant(site.audit(policy=policy(entry)))
    site.near.plant("tcp", PARTNER, 8443, name="thief", cgroup="thief.service")
    assert_violation(site.audit(), "connection.not-allowlisted", process="thief", workload="thief.service")
