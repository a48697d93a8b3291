"""How evidence was judged, so that it can be judged again: policy, rules, terms, and how far the policy was trusted."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from msgspec.structs import replace

from airgap_check import engine, policyfile
from airgap_check.archive.form import RULES, BadArchiveError
from airgap_check.engine import Terms
from airgap_check.errors import UsageError
from airgap_check.evidence import Evidence
from airgap_check.fact import Fact
from airgap_check.input import read_bytes
from airgap_check.policy import Policy, PolicyFile
from airgap_check.rule import RuleSet, compile_all
from airgap_check.rulebook import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airgap_check.finding import Report
    from airgap_check.inspection import Inspection

_POLICY = "policy"  # the collector that states what we find out about our own policy file; it is not recorded


class Grounds(NamedTuple):
    """What a report rests on beside the evidence: the policy and its bytes, the rule files as loaded, the terms."""

    policy: Policy
    text: bytes
    rules: tuple[tuple[str, bytes], ...]
    terms: Terms


class Judgement(Fact, frozen=True, kw_only=True):
    """The member ``judgement.json``. ``order`` names the collectors as they stood, ``rules`` the rule files as loaded.

    ``sources`` says of a derived policy which variable each entry is from.
    """

    schema: str = "airgap-check/judgement/1"
    terms: Terms
    policy_path: str | None
    sources: dict[str, str]
    order: tuple[str, ...]
    trust: tuple[Evidence, ...]
    rules: tuple[str, ...]


def grounds(policy: Policy, rules: RuleSet, folders: Sequence[str], terms: Terms) -> Grounds:
    """Gather what is in force, and see that no file has been changed meanwhile. Raises `UsageError`.

    ``folders`` are those of ``--rules``.
    """
    text = msgspec.json.encode(policy.file) if policy.path is None else read_bytes(policy.path)
    if policy.sha256 != sha256(text).hexdigest():
        raise UsageError(f"{policy.path}: changed while this run was under way: nothing is archived")
    loaded = [os.path.join(folder, "") for folder in (shipped(), *folders)]

    def place(path: str) -> tuple[int, list[str]]:
        """Sort as `rulebook.load` does: folder by folder; where one lies in another, the inner one is meant."""
        inside = [(len(folder), number) for number, folder in enumerate(loaded) if path.startswith(folder)]
        return max(inside)[1], path.split("/")

    paths = sorted((rule.path for rule in rules.rules), key=place)
    files = tuple((path, read_bytes(path)) for path in paths)
    if compile_all(files).sha256 != rules.sha256:
        raise UsageError("a rule file changed while this run was under way: nothing is archived")
    return Grounds(policy, text, files, terms)


def member_of(path: str) -> str:
    """Return the name that a rule file has in an archive: its folder and file name, with %XX for what is not plain."""
    parts = path.replace("\\", "/").split("/")[-2:]
    return RULES + "/".join(quote(part, safe="") for part in parts)


def describe(inspection: Inspection, grounds: Grounds) -> Judgement:
    """Say how an inspection was judged."""
    return Judgement(
        terms=grounds.terms,
        policy_path=grounds.policy.shown_path,
        sources=grounds.policy.sources,
        order=tuple(evidence.kind for evidence in inspection.evidence),
        trust=tuple(evidence for evidence in inspection.evidence if evidence.kind == _POLICY),
        rules=tuple(member_of(path) for path, _ in grounds.rules),
    )


def parse(content: bytes) -> Judgement:
    """Read the member. Raises `BadArchiveError`."""
    try:
        return msgspec.json.decode(content, type=Judgement)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchiveError(f"judgement.json: {str(error).replace('`', '')}") from error


def rules_of(judgement: Judgement, contents: Mapping[str, bytes]) -> RuleSet:
    """Compile the rules of an archive. Raises `BadArchiveError`, and `UsageError` with their faults."""
    held = {name for name in contents if name.startswith(RULES)}
    if set(judgement.rules) != held or len(judgement.rules) != len(held):
        raise BadArchiveError("judgement.json names other rule files than there are")
    return compile_all((unquote(name), contents[name]) for name in judgement.rules)


def policy_of(judgement: Judgement, text: bytes, rules: RuleSet) -> Policy:
    """Read the policy of an archive. Raises `UsageError` with its faults, `BadArchiveError`."""
    if judgement.policy_path is not None:
        return policyfile.load(judgement.policy_path, text, {rule.id: rule.kind for rule in rules.rules})
    try:
        return Policy(msgspec.json.decode(text, type=PolicyFile), sources=judgement.sources)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArchiveError(f"policy.yaml: no derived policy: {str(error).replace('`', '')}") from error


def again(judgement: Judgement, recorded: Inspection, policy: Policy, rules: RuleSet) -> Report:
    """Judge recorded evidence as it was judged. Raises `BadArchiveError` for evidence of other collectors."""
    kinds = {evidence.kind: evidence for evidence in (*recorded.evidence, *judgement.trust)}
    if sorted(judgement.order) != sorted(kinds) or _POLICY in {evidence.kind for evidence in recorded.evidence}:
        raise BadArchiveError("judgement.json names other collectors than the evidence")
    inspection = replace(recorded, evidence=tuple(kinds[kind] for kind in judgement.order))
    return engine.judge(inspection, rules, policy, judgement.terms)
