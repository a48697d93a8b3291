"""Says what is new while somebody watches: each finding once, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from airgap_check import engine
from airgap_check.evidence import Connection, Evidence, Question, Request
from airgap_check.recording import collector_of
from airgap_check.rule import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.evidence import AnyRecord
    from airgap_check.inspection import Inspection
    from airgap_check.policy import Policy

_KINDS = frozenset({"connection", "question", "request", "mention", "encrypted-dns"})
_REMEMBERED = 50_000  # fingerprints; beyond, the oldest may be told again


class News:
    """Judges records as they come, by the same engine and rules as the report at the end."""

    def __init__(self, rules: RuleSet, policy: Policy, terms: engine.Terms) -> None:
        """Keep the rules that judge what observers see."""
        self._rules = RuleSet((rule for rule in rules.rules if rule.kind in _KINDS), rules.sha256)
        self._policy, self._terms = policy, terms
        self._told: dict[str, None] = {}

    def of(self, context: Inspection, records: Sequence[AnyRecord]) -> Iterator[str]:
        """Yield a line for each finding that nobody was told of; ``context`` says what names lead to."""
        observed = [record for record in records if isinstance(record, Connection | Question | Request)]
        if not observed:
            return
        kinds = dict.fromkeys(map(collector_of, observed))
        evidence = [
            Evidence(
                kind=kind, status="complete", records=tuple(item for item in records if collector_of(item) == kind)
            )
            for kind in kinds
        ]
        inspection = replace(context, evidence=(*context.evidence, *evidence))
        for result in engine.judge(inspection, self._rules, self._policy, self._terms).results:
            for finding in result.findings:
                if finding.waived_by or finding.fingerprint in self._told:
                    continue
                self._told[finding.fingerprint] = None
                if len(self._told) > _REMEMBERED:
                    self._told.pop(next(iter(self._told)))
                yield f"{result.severity}  {result.rule}  {finding.message}"
