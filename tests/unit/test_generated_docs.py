from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs for three calls
import msgspec
import pytest

from airgap_check import recording
from tests import generate_docs
from tests.rules.rule_case import Case, cases, inspection_of, judged, rules

if TYPE_CHECKING:
    from pathlib import Path

RICH = Case(
    name="a bit of everything",
    outcome="fail",
    policy={"inbound": [], "approved": {"by": "J. Doe", "on": "2026-11-20"}},
    records=(
        {"kind": "connection", "remote": "1.1.1.1:443", "first": "2026-11-23T12:00:00Z"},
        {"kind": "connection", "direction": "inbound", "remote": "10.9.9.9:50000", "local": "10.20.9.5:443"},
        {"kind": "setting", "name": "OS_CLOUD_URL", "posture": "blank"},
        {"kind": "runtime"},
        {"kind": "resolver", "address": "10.20.0.53", "scope": "private"},
        {"kind": "answer", "name": "db.bank.example", "addresses": ["10.20.0.1"], "chain": ["a.bank.example"]},
        {"kind": "listener", "local": "0.0.0.0:443"},
        {"kind": "policy-file", "trusted": "yes"},
    ),
)


def schema(name: str) -> dict[str, Any]:
    text = (generate_docs.ROOT / "docs" / "schema" / name).read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(read)
    return read


def test_what_is_generated_is_not_stale() -> None:
    assert generate_docs.stale(generate_docs.generated()) == [], "run: make docs"


def test_every_rule_has_a_page_that_says_what_why_and_how() -> None:
    expected = generate_docs.generated()
    for rule in rules().rules:
        text = expected[f"docs/rules/{rule.id}.md"]
        for part in (rule.file.title, rule.severity, rule.file.message, rule.file.rationale.strip(), *rule.file.when):
            assert part in text or part in {"any", "all", "not"}
        for ids in rule.file.controls.values():
            assert ", ".join(ids) in text
        assert f"]({rule.id}.md)" in expected["docs/rules/README.md"]


def test_a_page_says_a_condition_in_words() -> None:
    bullets = list(
        generate_docs._bullets(
            {
                "remote.port": {"min": 1, "max": 9},
                "direction": ["outbound", "unknown"],
                "not": {"any": [{"name": {"glob": "a*"}}, {"role": "x", "ownerless": True}]},
                "any": [{"allowed": "no", "not": {"role": "y"}}],
            }
        )
    )
    assert bullets == [
        "- `remote.port` is at least `1`",
        "- `remote.port` is at most `9`",
        "- `direction` is `outbound` or `unknown`",
        "- none of these:",
        "  - `name` matches `a*`",
        "  - `role` is `x` and `ownerless` is `true`",
        "- any of these:",
        "  - all of these:",
        "    - `allowed` is `no`",
        "    - none of these:",
        "      - `role` is `y`",
    ]


def test_check_names_what_is_stale_and_writing_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_docs, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("# Tool\n\n<!-- help -->\nold\n<!-- /help -->\n\nmore\n")
    assert generate_docs.main(["--check"]) == 1
    assert generate_docs.main([]) == 0
    assert generate_docs.main(["--check"]) == 0
    readme = (tmp_path / "README.md").read_text()
    assert "old" not in readme
    assert readme.startswith("# Tool\n\n<!-- help -->\n```text\nusage: airgap-check")
    assert readme.endswith("```\n<!-- /help -->\n\nmore\n")
    (tmp_path / "docs" / "rules" / "gone.rule.md").write_text("x")
    (tmp_path / "docs" / "rules" / "connection.dhcp.md").write_text("x")
    capsys.readouterr()
    assert generate_docs.main(["--check"]) == 1
    assert capsys.readouterr().err.split("\n")[1:3] == ["  docs/rules/connection.dhcp.md", "  docs/rules/gone.rule.md"]
    assert generate_docs.main([]) == 0
    assert not (tmp_path / "docs" / "rules" / "gone.rule.md").exists()


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        generate_docs.with_help("# Tool\n")


@pytest.mark.parametrize("case", [RICH, *cases("connection.public-destination")], ids=lambda case: case.name)
def test_a_report_is_what_its_schema_says(case: Case) -> None:
    report = msgspec.json.decode(msgspec.json.encode(judged(case)))
    jsonschema.validate(report, schema("report-1.json"))


def test_recorded_evidence_is_what_its_schema_says() -> None:
    described = schema("evidence-1.json")
    lines = [json.loads(line) for line in recording.write(inspection_of(RICH))]
    kinds = {line.get("kind", "header") for line in lines}
    assert kinds == {"header", "connection", "setting", "runtime", "resolver", "answer", "listener", "coverage"}
    for line in lines:
        jsonschema.validate(line, described)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**lines[1], "surprise": 1}, described)
