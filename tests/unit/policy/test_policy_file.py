from __future__ import annotations

from datetime import date

import pytest

from airgap_check.policy import Policy, Selector, many, port_range
from airgap_check.policy.file import load
from airgap_check.view import PolicyTerms

KINDS = {
    "connection.not-allowlisted": "connection",
    "environment.cloud-url-set": "setting",
    "policy.public-network": "policy-network",
}
WHOLE = """\
version: 1
approved: {by: J. Doe, on: 2026-11-20}
allow:
  - name: core database and replicas
    role: database
    host: [db1.bank.example, "*.db.bank.example"]
    cidr: [10.20.0.0/28]
    ports: [5432, "6432-6440"]
    protocol: tcp
    for: {unit: objectos.service}
    owner: dba@bank.example
    expires: 2027-03-01
  - {name: mail, role: smtp, host: Mail.Bank.Example., ports: [587]}
inbound:
  - {name: load balancer, cidr: [10.0.1.0/28], ports: [443, 8080]}
networks: {internal: [198.51.100.0/24], domains: [bank.example]}
scope: {subject: {unit: objectos.service}, others: public-only}
runtime: {cloud_url: must-be-off, expected: false}
canaries: {names: [example.com], addresses: [1.1.1.1]}
require: [environment, sockets, resolution, listeners]
waivers:
  - rule: connection.not-allowlisted
    match: {remote.address: 10.9.9.9}
    reason: until the cut over
    owner: net@bank.example
    expires: 2027-03-01
"""
ENTRY = "{name: a, role: other, cidr: 10.0.0.1/32}"


def policy(text: str) -> Policy:
    return load("policy.yaml", text.encode(), KINDS)


def with_entry(fields: str) -> str:
    return f"version: 1\nallow:\n  - {{name: a, role: other, {fields}}}\n"


def with_rest(rest: str) -> str:
    return f"version: 1\nallow: [{ENTRY}]\n{rest}\n"


def test_the_policy_of_the_documentation_is_read_whole() -> None:
    read = policy(WHOLE)
    first = read.file.allow[0]
    assert (many(first.host), first.ports) == (("db1.bank.example", "*.db.bank.example"), (5432, "6432-6440"))
    assert first.for_ == Selector(unit="objectos.service")
    assert first.expires == date(2027, 3, 1)
    assert read.names() == ["db1.bank.example", "mail.bank.example"]
    assert read.terms == PolicyTerms(cloud_url="must-be-off", expected="no", inbound="yes")
    assert [str(network) for network in read.internal] == ["198.51.100.0/24"]
    assert read.waivers[0].text == "waiver 1: until the cut over (owner net@bank.example, until 2027-03-01)"
    assert (read.path, read.derived) == ("policy.yaml", False)


def test_the_least_policy_has_the_documented_defaults() -> None:
    read = policy(with_rest(""))
    assert read.file.require == ("environment", "sockets", "resolution")
    assert read.file.scope.others == "judge"
    assert read.terms == PolicyTerms(cloud_url="must-be-unset", expected="yes", inbound="no")
    assert (read.file.allow[0].protocol, read.file.allow[0].public) == ("tcp", False)


def test_an_empty_inbound_section_is_nobody_and_an_absent_one_is_not_judged() -> None:
    assert policy(with_rest("inbound: []")).terms.inbound == "yes"
    assert policy(with_rest("")).terms.inbound == "no"


def test_the_digest_is_of_the_bytes_of_the_file() -> None:
    assert policy(with_rest("")).sha256 != policy(with_rest("# a comment")).sha256


@pytest.mark.parametrize("fields", ["host: db", "host: [db]", "cidr: 10.0.0.0/8", "cidr: [10.0.0.0/8]"])
def test_host_and_cidr_take_a_scalar_or_a_list(fields: str) -> None:
    assert policy(with_entry(fields))


@pytest.mark.parametrize(
    "network",
    [
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", '"fc00::/7"', '"fd00::/8"', "11.0.0.0/8",
        '"2001::/16"', "10.0.0.1", '"::1"', '"2001:db8::/32"', "198.51.100.7/32",
    ],
)  # fmt: skip
def test_a_network_of_acceptable_length(network: str) -> None:
    assert policy(with_entry(f"cidr: {network}"))


@pytest.mark.parametrize("ports", ["[1]", "[65535]", "[1-65535]", "['8080']", "[80, 443, 8000-8100]", "[7-7]", "[]"])
def test_ports_and_ranges(ports: str) -> None:
    assert policy(with_entry(f"cidr: 10.0.0.1/32, ports: {ports}"))


@pytest.mark.parametrize(
    "host", ["db", "db.bank.example.", '"*.bank.example"', "_ldap._tcp.bank.example", "a-b.c", "1a.b"]
)
def test_host_names(host: str) -> None:
    assert policy(with_entry(f"host: {host}"))


@pytest.mark.parametrize(
    ("port", "span"),
    [
        (443, (443, 443)),
        ("80-90", (80, 90)),
        ("1-65535", (1, 65535)),
        (0, None),
        (65536, None),
        ("5-4", None),
        ("", None),
        ("-5", None),
        ("5-", None),
        ("5-6-7", None),
        ("\u0664", None),
        ("1" * 5000, None),
        (" 5", None),
    ],
)
def test_a_range_of_ports(port: int | str, span: tuple[int, int] | None) -> None:
    assert port_range(port) == span
