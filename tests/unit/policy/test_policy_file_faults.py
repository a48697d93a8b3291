from __future__ import annotations

import pytest

from airgap_check.errors import InvalidFileError
from airgap_check.policy.file import load

KINDS = {
    "connection.not-allowlisted": "connection",
    "environment.cloud-url-set": "setting",
    "policy.expired-waiver": "policy-waiver",
}
ROLES = (
    "database, smtp, object-storage, webhook, idp, dns, ntp, syslog, monitoring, proxy, cluster, directory, dhcp, pki, "
    "registry, backup, file-storage, management, other"
)
COLLECTORS = "environment, sockets, resolution, listeners, attempts, sockdiag, traffic, counters"
INTERNET = ": that is no approval, it is the internet"
NO_PORT = ": not a port or range of ports from 1 to 65535: "
NOBODY = ": selects nobody: name a unit, container, image, pod, user or exe"
ENTRY = "{name: a, role: other, cidr: 10.0.0.1/32}"


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidFileError) as caught:
        load("policy.yaml", text.encode(), KINDS)
    return [fault.removeprefix("policy.yaml:") for fault in caught.value.faults]


def with_entry(fields: str) -> str:
    return f"version: 1\nallow:\n  - {{name: a, role: other, {fields}}}\n"


def with_rest(rest: str) -> str:
    return f"version: 1\nallow: [{ENTRY}]\n{rest}\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        # unknown and duplicate keys
        (with_rest("alow: []"), "3:1: unknown key alow (did you mean allow?)"),
        (with_entry("cidr: 10.0.0.1/32, prots: [1]"), "3:47: unknown key prots (did you mean ports?)"),
        (with_entry("cidr: 10.0.0.1/32, comm: node"), "3:47: unknown key comm"),
        (with_rest("runtime: {cloud_uri: must-be-off}"), "3:11: unknown key cloud_uri (did you mean cloud_url?)"),
        (with_rest("version: 1"), "3:1: duplicate key version"),
        (with_entry("cidr: 10.0.0.1/32, name: b"), "3:47: duplicate key name"),
        (with_rest("runtime: {expected: true, expected: false}"), "3:27: duplicate key expected"),
        # wrong types
        ("version: 1\nallow: [just text]\n", "2:9: expected a mapping, got text"),
        ("version: 1\nallow: 5\n", "2:8: Expected list, got int"),
        ("version: 2\nallow: [" + ENTRY + "]\n", "1:10: unknown value 2; one of: 1"),
        ("version: '1'\nallow: [" + ENTRY + "]\n", "1:10: Expected int, got str"),
        (with_entry("cidr: 5"), "3:34: Expected str | list, got int"),
        (with_entry("cidr: [10.0.0.1/32, 5]"), "3:48: Expected str, got int"),
        (with_entry("cidr: 10.0.0.1/32, ports: 443"), "3:54: Expected list, got int"),
        (with_entry('cidr: 10.0.0.1/32, ports: "443"'), "3:54: Expected list, got str"),
        (with_entry("cidr: 10.0.0.1/32, ports: [true]"), "3:55: Expected int | str, got bool"),
        (with_entry("cidr: 10.0.0.1/32, public: yes"), "3:55: Expected bool, got str"),
        (with_entry("cidr: 10.0.0.1/32, expires: never"), "3:56: expected a date such as 2027-03-01, got never"),
        (
            with_entry("cidr: 10.0.0.1/32, expires: 2027-02-30"),
            "3:56: expected a date such as 2027-03-01, got 2027-02-30",
        ),
        (with_entry("cidr: 10.0.0.1/32, for: objectos"), "3:52: expected a mapping, got text"),
        (with_entry("cidr: 10.0.0.1/32, for: "), "3:52: has no value: give it one, or leave the key out"),
        (with_rest("inbound:"), "3:9: has no value: give it one, or leave the key out"),
        (with_rest("networks: {internal: 10.0.0.0/8}"), "3:22: Expected list, got str"),
        (with_rest("runtime: {expected: no}"), "3:21: Expected bool, got str"),
        # missing keys
        ("allow: [" + ENTRY + "]\n", "1:1: missing key version"),
        ("version: 1\n", "1:1: missing key allow"),
        ("version: 1\nallow: [{name: a, cidr: 10.0.0.1/32}]\n", "2:9: missing key role"),
        ("version: 1\nallow: [{role: other, cidr: 10.0.0.1/32}]\n", "2:9: missing key name"),
        ("version: 1\nallow: [{name: a, role: other}]\n", "2:9: entry a needs host or cidr"),
        (with_rest("inbound: [{name: a}]"), "3:11: missing key cidr"),
        # words outside their vocabulary
        (
            "version: 1\nallow: [{name: a, role: databse, cidr: 10.0.0.1/32}]\n",
            f"2:25: unknown value databse (did you mean database?); one of: {ROLES}",
        ),
        (
            with_entry("cidr: 10.0.0.1/32, protocol: tpc"),
            "3:57: unknown value tpc (did you mean tcp?); one of: tcp, udp, icmp, any",
        ),
        (with_rest("runtime: {cloud_url: off}"), "3:22: unknown value off; one of: must-be-unset, must-be-off"),
        (
            with_rest("require: [socket]"),
            f"3:11: unknown value socket (did you mean sockets?); one of: {COLLECTORS}",
        ),
        # networks
        (with_entry("cidr: 10.20.0.1/28"), "3:34: 10.20.0.1/28 has host bits set (did you mean 10.20.0.0/28?)"),
        (with_entry('cidr: ["fd00::1/64"]'), "3:35: fd00::1/64 has host bits set (did you mean fd00::/64?)"),
        (with_entry("cidr: 10.0.0.0/33"), "3:34: not a network: 10.0.0.0/33"),
        (with_entry("cidr: db.bank.example"), "3:34: not a network: db.bank.example"),
        (with_entry("cidr: 010.0.0.0/8"), "3:34: not a network: 010.0.0.0/8"),
        (with_entry("cidr: []"), "3:34: an empty list matches nothing"),
        (with_entry("cidr: 0.0.0.0/0"), f"3:34: 0.0.0.0/0 is shorter than /8{INTERNET}"),
        (with_entry("cidr: 10.0.0.0/7"), f"3:34: 10.0.0.0/7 is shorter than /8{INTERNET}"),
        (with_entry("cidr: 12.0.0.0/7"), f"3:34: 12.0.0.0/7 is shorter than /8{INTERNET}"),
        (with_entry('cidr: "::/0"'), f"3:34: ::/0 is shorter than /16{INTERNET}"),
        (with_entry('cidr: "2000::/15"'), f"3:34: 2000::/15 is shorter than /16{INTERNET}"),
        (with_rest("networks: {internal: [8.0.0.0/6]}"), f"3:23: 8.0.0.0/6 is shorter than /8{INTERNET}"),
        (
            with_rest("networks: {internal: [10.0.0.1/8]}"),
            "3:23: 10.0.0.1/8 has host bits set (did you mean 10.0.0.0/8?)",
        ),
        (with_rest("inbound: [{name: a, cidr: 0.0.0.0/0}]"), f"3:27: 0.0.0.0/0 is shorter than /8{INTERNET}"),
        # ports
        (with_entry("cidr: 10.0.0.1/32, ports: [0]"), f"3:55{NO_PORT}0"),
        (with_entry("cidr: 10.0.0.1/32, ports: [443, 65536]"), f"3:60{NO_PORT}65536"),
        (with_entry("cidr: 10.0.0.1/32, ports: [-1]"), f"3:55{NO_PORT}-1"),
        (with_entry("cidr: 10.0.0.1/32, ports: [90-80]"), f"3:55{NO_PORT}90-80"),
        (with_entry("cidr: 10.0.0.1/32, ports: [80-]"), f"3:55{NO_PORT}80-"),
        (with_entry("cidr: 10.0.0.1/32, ports: [https]"), f"3:55{NO_PORT}https"),
        (with_rest("inbound: [{name: a, cidr: 10.0.0.0/8, ports: [70000]}]"), f"3:47{NO_PORT}70000"),
        # names
        (with_entry('host: "*"'), "3:34: *: one leading '*.' is the only wildcard"),
        (with_entry('host: "*.*.bank.example"'), "3:34: *.*.bank.example: one leading '*.' is the only wildcard"),
        (with_entry('host: ["db*.bank.example"]'), "3:35: db*.bank.example: one leading '*.' is the only wildcard"),
        (with_entry('host: "a.*.example"'), "3:34: a.*.example: one leading '*.' is the only wildcard"),
        (with_entry("host: 10.0.0.1"), "3:34: 10.0.0.1 is an address: write it under cidr"),
        (with_entry('host: "fd00::1"'), "3:34: fd00::1 is an address: write it under cidr"),
        (
            with_entry('host: "https://db.bank.example"'),
            "3:34: https://db.bank.example is an address: write it under cidr",
        ),
        (with_entry('host: "db bank"'), "3:34: not a host name: db bank"),
        (with_entry('host: ""'), "3:34: not a host name: "),
        (with_entry("host: -db.example"), "3:34: not a host name: -db.example"),
        (with_entry("host: []"), "3:34: an empty list matches nothing"),
        (
            with_rest('networks: {domains: ["*.bank.example"]}'),
            "3:22: *.bank.example: one leading '*.' is the only wildcard",
        ),
        # approvals of nothing, and of everybody
        ("version: 1\nallow: []\n", "2:8: an empty allowlist approves nothing: list what this deployment may reach"),
        (with_entry("cidr: 10.0.0.1/32, for: {}"), f"3:52{NOBODY}"),
        (with_entry("cidr: 10.0.0.1/32, for: {unit: []}"), f"3:52{NOBODY}"),
        (
            with_rest("scope: {others: public-only}"),
            "3:17: public-only needs scope.subject: without it everything is an other",
        ),
        (f"version: 1\nallow: [{ENTRY}, {ENTRY}]\n", "2:59: name a is used twice"),
    ],
)
def test_each_fault_is_named_once_with_its_place(text: str, fault: str) -> None:
    assert faults(text) == [fault]


@pytest.mark.parametrize(
    ("waiver", "fault"),
    [
        (
            "rule: connection.not-allowlisted, match: {}",
            "3:53: a waiver for everything is no waiver: name what it is for",
        ),
        (
            "rule: policy.expired-waiver, match: {owner: o}",
            "3:18: policy.expired-waiver is about waivers, and none waives what it finds",
        ),
        ("rule: connection.not-allowlisted, match: all", "3:53: Expected mapping, got str"),
        (
            "rule: connection.not-alowlisted, match: {remote.address: 10.0.0.1}",
            "3:18: no rule connection.not-alowlisted (did you mean connection.not-allowlisted?)",
        ),
        (
            "rule: connection.not-allowlisted, match: {remote.adress: 10.0.0.1}",
            "3:54: no such field remote.adress (did you mean remote.address?)",
        ),
        ("rule: environment.cloud-url-set, match: {remote.address: 10.0.0.1}", "3:53: no such field remote.address"),
        (
            "rule: connection.not-allowlisted, match: {remote.port: http}",
            "3:67: remote.port is a number: is cannot take 'http'",
        ),
    ],
)
def test_a_waiver_names_a_rule_and_fields_of_its_evidence(waiver: str, fault: str) -> None:
    text = with_rest(f"waivers: [{{{waiver}, reason: r, owner: o, expires: 2027-03-01}}]")
    assert faults(text) == [fault]


@pytest.mark.parametrize("key", ["reason", "owner", "expires", "rule", "match"])
def test_a_waiver_needs_every_key(key: str) -> None:
    parts = {
        "rule": "connection.not-allowlisted", "match": "{remote.address: 10.0.0.1}", "reason": "r", "owner": "o",
        "expires": "2027-03-01",
    }  # fmt: skip
    written = ", ".join(f"{name}: {value}" for name, value in parts.items() if name != key)
    assert faults(with_rest(f"waivers: [{{{written}}}]")) == [f"3:11: missing key {key}"]


def test_a_waiver_without_a_reason_in_words_is_refused() -> None:
    text = with_rest(
        "waivers: [{rule: connection.not-allowlisted, match: {remote.port: 1}, reason: ' ', owner: '', "
        "expires: 2027-03-01}]"
    )
    assert faults(text) == ["3:79: reason is empty", "3:91: owner is empty"]


def test_all_faults_are_found_in_one_go_in_the_order_of_the_file() -> None:
    assert faults("""\
version: 1
allow:
  - name: db
    role: databse
    host: ["*.*.example", 7, db_1]
    cidr: [10.0.0.1/8, 0.0.0.0/0]
    ports: [0, 443]
    prots: [1]
  - name: db
    role: dns
    host: 10.0.0.53
    name: dns
  - role: other
inbound: [{name: x, cidr: 1.2.3.4/0}]
runtime: {cloud_url: on}
waivers:
  - {rule: nothing.at-all, match: {}, reason: r, owner: o, expires: soon}
""") == [
        f"4:11: unknown value databse (did you mean database?); one of: {ROLES}",
        "5:12: *.*.example: one leading '*.' is the only wildcard",
        "5:27: Expected str, got int",
        "6:12: 10.0.0.1/8 has host bits set (did you mean 10.0.0.0/8?)",
        f"6:24: 0.0.0.0/0 is shorter than /8{INTERNET}",
        f"7:13{NO_PORT}0",
        "8:5: unknown key prots (did you mean ports?)",
        "11:11: 10.0.0.53 is an address: write it under cidr",
        "12:5: duplicate key name",
        "13:5: entry 3 needs host or cidr",
        "13:5: missing key name",
        "14:27: 1.2.3.4/0 has host bits set (did you mean 0.0.0.0/0?)",
        "15:22: unknown value on; one of: must-be-unset, must-be-off",
        "17:12: no rule nothing.at-all",
        "17:35: a waiver for everything is no waiver: name what it is for",
        "17:69: expected a date such as 2027-03-01, got soon",
    ]


def test_a_selector_of_what_can_be_forged_selects_nobody() -> None:
    assert faults(with_entry("cidr: 10.0.0.1/32, for: {comm: node}")) == [
        f"3:52{NOBODY}",
        "3:53: unknown key comm",
    ]
