"""How evidence was judged, so that it can be judged again: policy, rules, terms, and how far the policy was trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import msgspec
from msgspec.structs import replace

from airgap_check import engine
from airgap_check.archive.form import RULES, BadArchiveError
from airgap_check.engine import Terms
from airgap_check.evidence import Evidence
from airgap_check.evidence.fact import Fact
from airgap_check.policy import Policy, PolicyFile, networks_of
from airgap_check.policy import file as policyfile
from airgap_check.rule import RuleSet, compile_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence.inspection import Inspection
    from airgap_check.finding import Report

_POLICY = "policy"  # the collector that states what we find out about our own policy file; it is not recorded


class Grounds(NamedTuple):
    """What a report rests on beside the evidence, as it was loaded: the files may be others by now."""

    policy: Policy
    rules: RuleSet
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
        rules=tuple(member_of(path) for path, _ in grounds.rules.files),
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
        policy = Policy(msgspec.json.decode(text, type=PolicyFile), sources=judgement.sources)
        for entry in policy.file.allow:
            networks_of(entry)  # the types do not show that these are none
        for inbound in policy.file.inbound or ():
            networks_of(inbound)
    except (ValueError, RecursionError) as error:
        raise BadArchiveError(f"policy.yaml: no derived policy: {str(error).replace('`', '')}") from error
    return policy


def again(judgement: Judgement, recorded: Inspection, policy: Policy, rules: RuleSet) -> Report:
    """Judge recorded evidence as it was judged. Raises `BadArchiveError` for evidence of other collectors."""
    kinds = {evidence.kind: evidence for evidence in (*recorded.evidence, *judgement.trust)}
    if sorted(judgement.order) != sorted(kinds) or _POLICY in {evidence.kind for evidence in recorded.evidence}:
        raise BadArchiveError("judgement.json names other collectors than the evidence")
    inspection = replace(recorded, evidence=tuple(kinds[kind] for kind in judgement.order))
    return engine.judge(inspection, rules, policy, judgement.terms)
