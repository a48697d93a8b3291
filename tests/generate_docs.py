"""Writes the documentation that is derived from the code: a page a rule, the JSON Schemas, the README's help block.

``python -m tests.generate_docs`` writes it; with ``--check`` it names what is stale and exits with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from itertools import groupby
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from airgap_check import cli, rulebook
from airgap_check.alerts.message import Alert
from airgap_check.evidence import AnyRecord
from airgap_check.finding import Report
from airgap_check.recording import CoverageLine, Header

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.rule import Rule

ROOT = Path(__file__).resolve().parents[1]
_CATALOGUES = {
    "nist-800-53": "NIST SP 800-53 rev. 5", "pci-dss-4": "PCI DSS 4.0.1", "iec-62443-3-3": "IEC 62443-3-3",
    "cis-8": "CIS Controls 8", "iso-27001": "ISO/IEC 27001",
}  # fmt: skip
_OPERATORS = {
    "is": "is", "in": "is", "glob": "matches", "iglob": "matches, in any case,", "cidr": "lies in",
    "domain": "is, or is below,", "min": "is at least", "max": "is at most",
}  # fmt: skip
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def generated() -> dict[str, str]:
    """Map each generated file, relative to the repository, to what it should hold."""
    rules = rulebook.load().rules
    pages = {f"docs/rules/{rule.id}.md": page(rule) for rule in rules}
    return {
        **pages,
        "docs/rules/README.md": index(rules),
        "docs/schema/report-1.json": _json({"$schema": _DIALECT, **msgspec.json.schema(Report)}),
        "docs/schema/evidence-1.json": _json(evidence_schema()),
        "docs/schema/alert-1.json": _json({"$schema": _DIALECT, **msgspec.json.schema(Alert)}),
        "README.md": with_help((ROOT / "README.md").read_text(encoding="utf-8")),
    }


def page(rule: Rule) -> str:
    """Write the page of one rule."""
    file = rule.file
    meaning = "fails" if file.outcome == "fail" else "leaves the verdict open"
    applies = ""
    if file.applies:
        applies = f"\nJudged only where {' and '.join(_leaves(file.applies))}; otherwise {file.otherwise}.\n"
    controls = "\n".join(f"- {_CATALOGUES[name]}: {', '.join(ids)}" for name, ids in file.controls.items())
    return f"""\
<!-- Generated from {_source(rule)} by tests/generate_docs.py -->
# {rule.id}

{file.title}.

Severity **{rule.severity}** · judges **{rule.kind}** evidence, by the collector *{rule.collector}* ·
[{_source(rule)}](../../{_source(rule)})

## When it {meaning}

All of these hold of one {rule.kind}:

{chr(10).join(_bullets(file.when))}
{applies}
It then says: `{file.message}`

## Why

{file.rationale.strip()}

## How to fix

{_fenced(file.remediation)}

## Controls that it supports

{controls}
"""


def index(rules: list[Rule]) -> str:
    """Write the list of all rules, gravest first."""
    text = f"""\
<!-- Generated from rules/ by tests/generate_docs.py -->
# Rules

{len(rules)} rules are shipped. Findings of severity *high* and above make a run not compliant, unless `--fail-on` says
otherwise. A rule whose evidence is missing or partial, or that could not be decided, is *unknown*, never passed.
"""
    for severity, group in groupby(rules, key=lambda rule: rule.severity):
        rows = "\n".join(f"| [{rule.id}]({rule.id}.md) | {rule.file.title} | {rule.kind} |" for rule in group)
        text += f"\n## {severity.capitalize()}\n\n| rule | finds | evidence |\n|---|---|---|\n{rows}\n"
    return text


def _source(rule: Rule) -> str:
    return f"rules/{rule.id.replace('.', '/', 1)}.yaml"


def _bullets(condition: dict[str, Any], depth: int = 0) -> Iterator[str]:
    margin = "  " * depth
    for key, test in condition.items():
        if key in {"any", "all"}:
            yield f"{margin}- {'any' if key == 'any' else 'all'} of these:"
            for part in test:
                yield from _nested(part, depth + 1)
        elif key == "not":
            inner = test["any"] if list(test) == ["any"] else [test]
            yield f"{margin}- none of these:"
            for part in inner:
                yield from _nested(part, depth + 1)
        else:
            yield from (f"{margin}- {leaf}" for leaf in _leaves({key: test}))


def _nested(condition: dict[str, Any], depth: int) -> Iterator[str]:
    """Write one alternative: on a line of its own where it is made of leaves only."""
    if {"any", "all", "not"} & set(condition) and len(condition) > 1:
        yield f"{'  ' * depth}- all of these:"
        yield from _bullets(condition, depth + 1)
    elif {"any", "all", "not"} & set(condition):
        yield from _bullets(condition, depth)
    else:
        yield f"{'  ' * depth}- {' and '.join(_leaves(condition))}"


def _leaves(condition: dict[str, Any]) -> Iterator[str]:
    for field, test in condition.items():
        for operator, operand in (test if isinstance(test, dict) else {"in": test}).items():
            words = [f"`{str(item).lower() if isinstance(item, bool) else item}`" for item in _listed(operand)]
            shown = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
            yield f"`{field}` {_OPERATORS[operator]} {shown}"


def _listed(operand: object) -> list[Any]:
    return operand if isinstance(operand, list) else [operand]


def _fenced(text: str) -> str:
    """Fence the indented lines, which are commands and policy lines."""
    parts = []
    for indented, lines in groupby(text.strip().splitlines(), key=lambda line: line.startswith("  ")):
        block = "\n".join(lines)
        parts.append(f"```\n{dedent(block)}\n```" if indented else block)
    return "\n\n".join(parts)


def evidence_schema() -> dict[str, Any]:
    """Describe one line of recorded evidence: the header first, then records, then the coverage of each collector."""
    types = [Header, *get_args(AnyRecord), CoverageLine]
    lines, parts = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return {"$schema": _DIALECT, "title": "One line of airgap-check/evidence/1", "anyOf": list(lines), "$defs": parts}


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2) + "\n"


def with_help(readme: str) -> str:
    """Put the current help text between the README's markers. Raises ValueError when it has none."""
    parser = cli.build()
    parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=100)
    vars(parser)["color"] = False  # Python 3.14 and later
    before, start, rest = readme.partition("<!-- help -->\n")
    _, end, after = rest.partition("<!-- /help -->")
    if not end:
        raise ValueError("README.md has no <!-- help --> and <!-- /help --> markers")
    return f"{before}{start}```text\n{parser.format_help().strip()}\n```\n{end}{after}"


def stale(expected: dict[str, str]) -> list[str]:
    """List the files that differ from what they should hold, and pages of rules that are no more."""
    different = [
        name
        for name, text in expected.items()
        if not (ROOT / name).is_file() or (ROOT / name).read_text(encoding="utf-8") != text
    ]
    return different + leftovers(expected)


def leftovers(expected: dict[str, str]) -> list[str]:
    """List pages whose rule is no more."""
    pages = (str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs" / "rules").glob("*.md")))
    return [name for name in pages if name not in expected]


def main(argv: list[str]) -> int:
    """Write, or check, and return the exit code."""
    expected = generated()
    wrong = stale(expected)
    if argv == ["--check"]:
        if wrong:
            sys.stderr.write("stale, write them anew with `make docs`:\n" + "".join(f"  {name}\n" for name in wrong))
        return 1 if wrong else 0
    for name in leftovers(expected):
        (ROOT / name).unlink()
    for name, text in expected.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
