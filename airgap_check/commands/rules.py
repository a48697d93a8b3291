"""``airgap-check rules``: list the rules, show one, or check rule folders and a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.commands import options

if TYPE_CHECKING:
    import argparse

    from airgap_check.rule import Rule

HELP = "list | show ID | check"
DESCRIPTION = "List the rules, show one, or check folders of rules and a policy."
EXIT_CODES = options.WITHOUT_VERDICT


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the three actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (("list", "one line a rule"), ("show", "one rule whole"), ("check", "look for faults")):
        action = actions.add_parser(name, help=text, description=text)
        if name == "show":
            action.add_argument("id", metavar="ID")
        if name == "check":
            action.add_argument("--policy", metavar="FILE", help="check this policy against the rules too")
        action.add_argument(
            "--rules", metavar="DIR", action="append", default=[], help="a folder of more rules (repeatable)"
        )


def run(arguments: argparse.Namespace) -> int:
    """Do the action."""
    from airgap_check import rulebook
    from airgap_check.commands.delivery import show
    from airgap_check.input import read_bytes
    from airgap_check.policy import file as policyfile

    rules = rulebook.load(arguments.rules)
    if arguments.action == "list":
        width = max(len(rule.id) for rule in rules.rules)
        show("".join(f"{rule.id:{width}}  {rule.severity:8}  {rule.file.title}\n" for rule in rules.rules))
    elif arguments.action == "show":
        show(_whole(rules.get(arguments.id)))
    else:
        checked = f"{len(rules.rules)} rules"
        if arguments.policy:
            kinds = {rule.id: rule.kind for rule in rules.rules}
            policy = policyfile.load(arguments.policy, read_bytes(arguments.policy), kinds)
            checked += f", {len(policy.file.allow)} policy entries"
        show(f"{checked}: no fault\n")
    return 0


def _whole(rule: Rule) -> str:
    from textwrap import fill

    controls = "\n".join(f"  {name}: {', '.join(ids)}" for name, ids in rule.file.controls.items())
    return (
        f"{rule.id}  ({rule.severity})\n{rule.file.title}\n\n"
        f"Why\n{fill(rule.file.rationale.strip(), 100, initial_indent='  ', subsequent_indent='  ')}\n\n"
        f"How to fix\n{_indented(rule.file.remediation)}\n\n"
        f"Controls supported\n{controls}\n\n"
        f"Judges {rule.kind} evidence; the file is {rule.path}\n"
    )


def _indented(text: str) -> str:
    """Wrap the prose; lines that are indented already are commands and policy lines, to be copied whole."""
    from textwrap import fill

    return "\n".join(
        f"  {line}" if line.startswith(" ") else fill(line, 100, initial_indent="  ", subsequent_indent="  ")
        for line in text.strip().splitlines()
    )
