"""Explains one destination: the entry that allows it, or the rule that would fail, and which entries came close."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.address import PUBLIC
from airgap_check.evidence import Connection, Protocol, Setting
from airgap_check.evidence.fact import Endpoint, Place
from airgap_check.finding import DEFAULT_FAIL_ON, ExitCode, at_least
from airgap_check.policy.allowlist import Allowlist
from airgap_check.reporters.policy_line import policy_line
from airgap_check.view import ConnectionView

if TYPE_CHECKING:
    from datetime import datetime

    from airgap_check.policy import Policy
    from airgap_check.rule import Rule, RuleSet


def explain(
    rules: RuleSet, policy: Policy, remote: Endpoint, protocol: Protocol, now: datetime
) -> tuple[str, ExitCode]:
    """Say what decides a destination, and the exit code that a connection to it would cause on its own."""
    allowlist = Allowlist(policy, (), now.date())
    source = policy.path or "a policy derived from this host"
    shown = _shown(remote, protocol)
    if remote.address is None:
        return _explain_name(allowlist, remote, shown, source)
    remote = allowlist.scoped(remote)
    connection = Connection(
        netns=0, protocol=protocol, state="explained", direction="outbound", local=Endpoint(), remote=remote
    )
    decision = allowlist.connection(connection)
    lines = [f"{shown} ({remote.scope})" + (f", inside {remote.inner}" if remote.inner else "")]
    if decision.allowed == "yes":
        return _text([*lines, f"allowed by {decision.by}, in {source}"]), ExitCode.COMPLIANT
    if decision.allowed == "unknown":
        return _text([*lines, f"unknown: {decision.by}"]), ExitCode.INCONCLUSIVE
    lines.append(f"not allowed: no entry of {source} covers it")
    lines += [f"  {name}: {reason}" for name, reason in allowlist.near_misses(connection)]
    view = ConnectionView(policy=policy.terms, record=connection, remote=remote, allowed="no")
    failed = [rule for rule in rules.rules if rule.kind == "connection" and rule.when.decide(view)]
    for rule in failed:
        lines += _would_fail(rule, view)
    line = policy_line({"protocol": protocol}, remote.address or "", remote.port, public=remote.scope in PUBLIC)
    lines.append(f"to approve it, add under allow: {line}")
    fails = any(at_least(rule.severity, DEFAULT_FAIL_ON) for rule in failed)
    return _text(lines), ExitCode.NOT_COMPLIANT if fails else ExitCode.COMPLIANT


def _would_fail(rule: Rule, view: ConnectionView) -> list[str]:
    because = [f"    {reason.field} = {reason.value} ({reason.test})" for reason in rule.when.because(view)]
    return [f"would fail {rule.id} ({rule.severity}): {rule.file.title}", *because]


def _explain_name(allowlist: Allowlist, remote: Endpoint, shown: str, source: str) -> tuple[str, ExitCode]:
    setting = Setting(name="explained", posture="other", place=Place(kind="own"), endpoints=(remote,))
    decision = allowlist.endpoint(setting, remote)
    if decision.allowed == "yes":
        return _text([shown, f"allowed by {decision.by}, in {source}, at the addresses it answers with"]), ExitCode(0)
    if decision.allowed == "unknown":
        return _text([shown, f"unknown: {decision.by}"]), ExitCode.INCONCLUSIVE
    return _text([shown, f"not allowed: no entry of {source} names it"]), ExitCode.NOT_COMPLIANT


def _shown(remote: Endpoint, protocol: str) -> str:
    host = remote.address or remote.name or "?"
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{remote.port}/{protocol}" if remote.port else f"{host}/{protocol}"


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
