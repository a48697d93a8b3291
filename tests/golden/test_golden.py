"""Whole reports, compared to the letter: each case carries its evidence, its policy and its own rules.

The file names carry the exit code. To accept a change that was meant: ``GOLDEN=write pytest tests/golden``, then read
the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from airgap_check import recording, reporters, rulebook
from airgap_check.engine import Terms, judge
from airgap_check.evidence import Evidence, Setting
from airgap_check.objectos.derive import derive
from airgap_check.policy import file as policyfile
from airgap_check.rule import compile_all

HERE = Path(__file__).parent
CASES = sorted(path.name for path in HERE.iterdir() if (path / "evidence.jsonl").exists())
SUFFIX = {
    "json": "json", "console": "txt", "sarif": "sarif", "junit": "xml", "tap": "tap", "nagios": "nagios",
    "prometheus": "prom", "ocsf": "ocsf.jsonl", "oscal": "oscal.json", "cef": "cef", "markdown": "md", "csv": "csv",
}  # fmt: skip
# Of a page only its bytes could be compared here, most of them style; a browser looks at it elsewhere.
TEXTS = [name for name in reporters.FORMATS if name != "html"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TEXTS)
def test_a_report_is_what_it_was(case: str, name: str) -> None:
    folder = HERE / case
    files = [
        (f"rules/{path.relative_to(folder / 'rules')}", path.read_bytes()) for path in folder.rglob("rules/*/*.yaml")
    ]
    rules = compile_all(sorted(files))
    seen = recording.read(str(folder / "evidence.jsonl"))
    seen = seen.__class__(
        **{
            **{field: getattr(seen, field) for field in seen.__struct_fields__},
            "claim": "observed" if seen.observed else "snapshot",
            "evidence": (*seen.evidence, Evidence(kind="policy", status="complete")),
        }
    )
    written = folder / "policy.yaml"
    policy = (
        policyfile.load("policy.yaml", written.read_bytes(), {rule.id: rule.kind for rule in rules.rules})
        if written.exists()
        else derive(seen.records(Setting))
    )
    report = judge(seen, rules, policy, Terms())
    text = reporters.render(name, report)
    expected = folder / f"out.{report.exit_code}.{SUFFIX[name]}"
    if os.environ.get("GOLDEN") == "write":
        expected.write_bytes(text.encode())
    assert text == expected.read_bytes().decode()  # as it stands: CSV has lines of its own kind


def test_there_is_a_case_for_every_verdict() -> None:
    codes = {path.name.split(".")[1] for path in HERE.glob("*/out.*.txt")}
    assert codes == {"0", "1", "4"}


def test_the_rules_of_the_cases_are_rules() -> None:
    assert rulebook.shipped()
    assert all(list((HERE / case / "rules").rglob("*.yaml")) for case in CASES)
