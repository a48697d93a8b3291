"""A rule: one declarative YAML file, checked whole when it is loaded; `load` reads folders of them."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.finding import SEVERITIES, Severity
from airgap_check.rule.condition import Condition, compile_condition
from airgap_check.rule.field import fields
from airgap_check.view import KINDS, View
from airgap_check.yamlfile import Document, decode, parse, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable

# A control catalogue that nobody recognises would be worse than none.
CATALOGUES = ("nist-800-53", "pci-dss-4", "iec-62443-3-3", "cis-8", "iso-27001")


class RuleFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule as it is written. ``when`` and ``applies`` are conditions; ``outcome`` is what a match means.

    ``applies`` is decided once, on the policy's terms; where it does not hold the rule is not applicable, for the
    reason in ``otherwise``.
    """

    id: str
    title: str
    severity: Severity
    evidence: str
    when: dict[str, Any]
    message: str
    rationale: str
    remediation: str
    controls: dict[str, tuple[str, ...]]
    outcome: Literal["fail", "unknown"] = "fail"
    applies: dict[str, Any] | None = None
    otherwise: str = ""


class Rule:
    """A rule ready to judge: its text, its compiled conditions, the collector that it needs."""

    def __init__(self, file: RuleFile, when: Condition, applies: Condition | None, path: str) -> None:
        """Take the parts that `compile_rule` made."""
        self.file = file
        self.id = file.id
        self.severity = file.severity
        self.when = when
        self.applies = applies
        self.path = path
        self.kind = file.evidence
        self.view_type, self.collector = KINDS[file.evidence]
        known = fields(self.view_type)
        self._template = [
            (literal, known[name] if name else None) for literal, name, _, _ in Formatter().parse(file.message)
        ]

    def message(self, view: View) -> str:
        """Fill the message with the view's values; ``?`` stands for what is not known."""
        parts = []
        for literal, field in self._template:
            parts.append(literal)
            if field:
                parts.append(_written(field.read(view)))
        return "".join(parts)


def _written(value: object) -> str:
    """Write a value of a view for people; times in UTC, to the second."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return "?" if value is None else ", ".join(value) if type(value) is tuple else str(value)


def compile_rule(path: str, content: bytes) -> Rule:
    """Compile the bytes of one rule file. Raises `InvalidFileError` with every fault in it."""
    document = parse(path, content)
    file = decode(document, RuleFile)
    _check_texts(document, file)
    applies = None if file.applies is None else compile_condition(document, ("applies",), file.applies, View)
    if (file.applies is None) != (not file.otherwise):
        document.fault(("applies",), "applies and otherwise go together", at_key=True)
    if file.evidence not in KINDS:
        if file.evidence is not None:
            document.fault(("evidence",), f"unknown evidence {file.evidence}{suggest(file.evidence, KINDS)}")
        document.refuse()
    view_type = KINDS[file.evidence][0]
    _check_message(document, file.message, view_type)
    when = Condition() if file.when is None else compile_condition(document, ("when",), file.when, view_type)
    document.refuse()
    return Rule(file, when, applies, path)


def _check_texts(document: Document, file: RuleFile) -> None:
    folder, _, name = document.path.replace("\\", "/").removesuffix(".yaml").removesuffix(".yml").rpartition("/")
    place = f"{folder.rpartition('/')[2]}.{name}"
    if file.id is not None and file.id != place:
        document.fault(("id",), f"id {file.id} does not match its folder and file name, which say {place}")
    for key in ("title", "message", "rationale", "remediation"):
        if getattr(file, key) is not None and not getattr(file, key).strip():
            document.fault((key,), f"{key} is empty")
    for catalogue in file.controls or {}:
        if catalogue not in CATALOGUES:
            hint = f"{suggest(catalogue, CATALOGUES)}; one of: {', '.join(CATALOGUES)}"
            document.fault(("controls", catalogue), f"unknown catalogue {catalogue}{hint}", at_key=True)


def _check_message(document: Document, message: str | None, view_type: type[View]) -> None:
    known = fields(view_type)
    try:
        parts = list(Formatter().parse(message or ""))
    except ValueError as error:
        document.fault(("message",), str(error))
        return
    for _, field, spec, conversion in parts:
        if field is not None and field not in known:
            document.fault(("message",), f"no such field {field or '{}'}{suggest(field, known)}")
        if spec or conversion:
            document.fault(("message",), f"{{{field}}} takes no format")


class RuleSet:
    """The rules in force, in the order of their ids, the files that they are of as loaded, and the digest of those."""

    def __init__(self, rules: Iterable[Rule], digest: str, files: Iterable[tuple[str, bytes]] = ()) -> None:
        """Order the rules by severity, gravest first, then by id."""
        self.files = tuple(files)
        self.rules = sorted(rules, key=lambda rule: (-SEVERITIES.index(rule.severity), rule.id))
        self.sha256 = digest
        self.ids = frozenset(rule.id for rule in self.rules)

    def get(self, rule_id: str) -> Rule:
        """Return one rule. Raises `UsageError` with the nearest id when there is none."""
        for rule in self.rules:
            if rule.id == rule_id:
                return rule
        raise UsageError(f"no rule {rule_id}{suggest(rule_id, self.ids)}")


def compile_all(files: Iterable[tuple[str, bytes]]) -> RuleSet:
    """Compile rule files. Raises `InvalidFileError` with the faults of all of them, repeated ids included."""
    rules: dict[str, Rule] = {}
    faults: list[str] = []
    digest = sha256()
    files = tuple(files)
    for path, content in files:
        digest.update(sha256(content).digest())
        try:
            rule = compile_rule(path, content)
        except InvalidFileError as error:
            faults += error.faults
            continue
        if rule.id in rules:
            faults.append(f"{path}:1:1: rule {rule.id} exists already: {rules[rule.id].path}")
        rules[rule.id] = rule
    if faults:
        raise InvalidFileError(faults)
    return RuleSet(rules.values(), digest.hexdigest(), files)
