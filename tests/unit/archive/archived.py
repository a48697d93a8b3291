"""Archives for tests: a run of each verdict, judged by shipped rules, as one would be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from airgap_check import engine, host, rulebook
from airgap_check.archive import Case, Grounds, Link, write
from airgap_check.engine import Terms
from airgap_check.evidence import Resolver, Setting
from airgap_check.evidence.fact import Place
from airgap_check.evidence.inspection import PolicyReference
from airgap_check.input import read_bytes
from airgap_check.objectos.derive import derive
from airgap_check.policy import file as policyfile
from tests import building

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.evidence import AnyRecord
    from airgap_check.evidence.inspection import Inspection

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
POLICY = b"""\
# what the site approved
version: 1
allow:
  - {name: database, role: database, cidr: 10.0.0.0/24, ports: [5432], owner: dba}
"""
RULE_FILES = tuple((rule.path, read_bytes(rule.path)) for rule in rulebook.load().rules)


def case(*records: AnyRecord, rules: int | None = None, terms: Terms | None = None, **changes: Any) -> Case:
    """Judge these records by the first few of the shipped rules."""
    return judged(building.inspection(*records), rules, terms, **changes)


def judged(seen: Inspection, rules: int | None = None, terms: Terms | None = None, **changes: Any) -> Case:
    from airgap_check.rule import compile_all

    files = RULE_FILES[:rules]
    ruleset = compile_all(files)
    policy = policyfile.load("policy.yaml", POLICY, {rule.id: rule.kind for rule in ruleset.rules})
    reference = PolicyReference(path="policy.yaml", sha256=policy.sha256, derived=False)
    seen = msgspec.structs.replace(seen, policy=reference, **changes)
    grounds = Grounds(policy, ruleset, terms or Terms())
    return Case(seen, engine.judge(seen, ruleset, policy, grounds.terms), grounds, host.tool())


VIOLATION = building.connection("203.0.113.9", 443)
SETTING = Setting(
    name="OS_DATABASE_URL", value="postgres://10.1.2.3:5432", posture="url", role="database",
    endpoints=(building.remote("10.1.2.3", 5432),), place=Place(kind="process", pid=10),
)  # fmt: skip
APPROVED = building.connection("10.0.0.5", 5432)


def derived(*records: AnyRecord) -> Case:
    """Judge these records by a policy that is derived from them."""
    seen = building.inspection(*records)
    ruleset = rulebook.load()
    policy = derive(seen.records(Setting), seen.records(Resolver))
    seen = msgspec.structs.replace(seen, policy=PolicyReference(path=None, sha256=policy.sha256, derived=True))
    return Case(seen, engine.judge(seen, ruleset, policy, Terms()), Grounds(policy, ruleset, Terms()), host.tool())


def archive(
    path: Path,
    *records: AnyRecord,
    link: Link | None = None,
    key: Ed25519PrivateKey | None = None,
    rules: int | None = 4,
) -> str:
    """Write a small archive, and return the digest of its manifest."""
    return write(str(path), case(*(records or (VIOLATION,)), rules=rules), link or Link(), key)
