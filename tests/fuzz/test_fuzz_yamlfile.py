"""Whatever bytes a policy or rule file holds, it is read or refused with lines for a person: never anything else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from airgap_check.errors import InvalidFileError
from airgap_check.policy.file import load
from airgap_check.rule import compile_rule
from airgap_check.rule.field import fields
from airgap_check.view import KINDS, View
from airgap_check.yamlfile import parse

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

RULE_KINDS = {"connection.not-allowlisted": "connection", "environment.cloud-url-set": "setting"}
FAULT = re.compile(r"a/b\.yaml:[1-9][0-9]*:[1-9][0-9]*: \S.*")


def check(content: bytes) -> None:
    """Read the bytes as both; an error of another kind than ours passes through and fails the test."""
    for read in (_policy, _rule):
        faults = read(content)
        assert all(FAULT.fullmatch(fault) and fault.isprintable() for fault in faults), faults


def _policy(content: bytes) -> list[str]:
    try:
        policy = load("a/b.yaml", content, RULE_KINDS)
    except InvalidFileError as error:
        return error.faults or ["an error without a fault"]
    assert policy.terms.cloud_url in {"must-be-unset", "must-be-off"}
    assert isinstance(policy.names(), list)
    return []


def _rule(content: bytes) -> list[str]:
    try:
        rule = compile_rule("a/b.yaml", content)
    except InvalidFileError as error:
        return error.faults or ["an error without a fault"]
    assert rule.id == "a.b"
    return []


@given(st.binary(max_size=200))
@example(b"\x00")
@example(b"\xff\xfe\x00\x00")
@example(b"\xef\xbb\xbf\xef\xbb\xbfversion: 1")
@example(b"%TAG ! tag:x,2000:\n--- !y\na: 1")
@example(b"- - - -\n - -")
@example(b"? ? ? a")
@example(b"a: |9\n x")
@example(b"\x85\xc2\x85\xe2\x80\xa8")
@example(b"&a [*a]")
@example(b"{" * 100)
def test_bytes(content: bytes) -> None:
    check(content)


@given(st.text(st.sampled_from("ab01:-?[]{}!&*|>%@`'\"#,~ \t\n\\.$/"), max_size=80))
def test_text_that_looks_like_yaml(text: str) -> None:
    check(text.encode())


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    check(text.encode("utf-8", "replace"))


SCALARS: SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=12),
    st.sampled_from([
        "yes", "off", "10.0.0.0/8", "10.0.0.1/8", "0.0.0.0/0", "::/0", "fe80::1%eth0", "fe80::1%/64", "*.bank.example",
        "*", "db.bank.example", "1-65535", "2027-03-01", "connection.not-allowlisted", "connection", "high", "database",
        "{process.name}", "{0}", "{", "must-be-off", "nist-800-53", "a.b", "unit", "9" * 5000, "1" * 5000 + "-2",
        "\u0663", "10.0.0.0/255.0.0.0", "10.0.0.0/0.0.0.255", "1/2/3", "/", "%", "\x00", "\ufffd",
    ]),
)  # fmt: skip
KEYS = st.one_of(
    st.sampled_from([
        "version", "allow", "approved", "by", "on", "name", "role", "host", "cidr", "ports", "protocol", "for", "unit",
        "exe", "owner", "expires", "public", "inbound", "networks", "internal", "domains", "scope", "subject", "others",
        "runtime", "cloud_url", "expected", "canaries", "names", "addresses", "require", "waivers", "rule", "match",
        "reason", "id", "title", "severity", "evidence", "when", "message", "rationale", "remediation", "controls",
        "outcome", "applies", "otherwise", "any", "all", "not", "remote.port", "remote.address", "is", "in", "glob",
        "min", "nist-800-53",
    ]),
    st.text(max_size=6),
    st.integers(0, 9),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=25,
)


@given(TREES)
def test_trees_of_familiar_words(tree: Any) -> None:
    check(yaml.safe_dump(tree, allow_unicode=True).encode())


GOOD_POLICY: dict[str, Any] = {
    "version": 1,
    "approved": {"by": "J. Doe", "on": "2026-11-20"},
    "allow": [
        {
            "name": "db", "role": "database", "host": ["db.bank.example"], "cidr": ["10.20.0.0/28"], "ports": [5432],
            "protocol": "tcp", "for": {"unit": "objectos.service"}, "owner": "dba", "expires": "2027-03-01",
        },
    ],
    "inbound": [{"name": "balancer", "cidr": ["10.0.1.0/28"], "ports": [443]}],
    "networks": {"internal": [], "domains": ["bank.example"]},
    "scope": {"subject": {"unit": "objectos.service"}, "others": "judge"},
    "runtime": {"cloud_url": "must-be-unset", "expected": True},
    "canaries": {"names": [], "addresses": []},
    "require": ["environment"],
    "waivers": [
        {
            "rule": "connection.not-allowlisted", "match": {"remote.address": "10.9.9.9"}, "reason": "r", "owner": "o",
            "expires": "2027-03-01",
        },
    ],
}  # fmt: skip
GOOD_RULE: dict[str, Any] = {
    "id": "a.b", "title": "t", "severity": "high", "evidence": "connection",
    "when": {"any": [{"remote.port": {"min": 1}}, {"not": {"process.name": {"glob": "a*"}}}], "allowed": "no"},
    "message": "{process.name}", "rationale": "r", "remediation": "r", "controls": {"nist-800-53": ["SC-7"]},
    "applies": {"policy.inbound": "yes"}, "otherwise": "none",
}  # fmt: skip


def places(tree: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def replaced(tree: Any, path: tuple[str | int, ...], value: Any) -> Any:
    if not path:
        return value
    copy: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


@given(st.data(), st.sampled_from([GOOD_POLICY, GOOD_RULE]), st.one_of(SCALARS, TREES))
def test_a_good_file_with_one_value_replaced(data: st.DataObject, good: dict[str, Any], value: Any) -> None:
    path = data.draw(st.sampled_from(places(good)))
    check(yaml.safe_dump(replaced(good, path, value), allow_unicode=True, sort_keys=False).encode())


@given(st.data(), st.sampled_from([GOOD_POLICY, GOOD_RULE]), st.binary(min_size=1, max_size=3))
def test_a_good_file_with_some_bytes_replaced(data: st.DataObject, good: dict[str, Any], noise: bytes) -> None:
    content = yaml.safe_dump(good, sort_keys=False).encode()
    at = data.draw(st.integers(0, len(content)))
    check(content[:at] + noise + content[at + len(noise) :])


def test_the_good_files_are_good() -> None:
    assert load("a/b.yaml", yaml.safe_dump(GOOD_POLICY).encode(), RULE_KINDS).file.allow
    assert compile_rule("a/b.yaml", yaml.safe_dump(GOOD_RULE).encode()).id == "a.b"


@given(st.sampled_from(sorted(KINDS)), st.text("{}[].!:ab0", max_size=12))
def test_a_message_with_any_braces_is_refused_or_filled(kind: str, message: str) -> None:
    tree = {**GOOD_RULE, "evidence": kind, "message": message, "when": {"policy.expected": "yes"}}
    try:
        rule = compile_rule("a/b.yaml", yaml.safe_dump(tree).encode())
    except InvalidFileError:
        return
    assert isinstance(rule.message(View()), str)
    assert fields(rule.view_type)


@given(TREES)
def test_what_pyyaml_writes_is_read_as_plain_values(tree: Any) -> None:
    try:
        value = parse("a/b.yaml", yaml.safe_dump(tree, allow_unicode=True).encode()).value
    except InvalidFileError:
        return
    assert plain(value)


def plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(type(key) is str and plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(plain, value))
    return value is None or type(value) in {str, int, bool}
