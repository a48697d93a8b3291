"""The alerts file: every fault at its place, secrets only in files that nobody else can read, and nothing quoted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from airgap_check import alerts
from airgap_check.errors import InvalidFileError, UsageError
from tests.unit.alerts.alerting import authority_file, load, secret_file, write

SYSLOG = {"host": "10.1.1.1", "port": 514, "transport": "udp"}
SMTP = {"host": "mail.corp.example", "port": 587, "from": "airgap@corp.example", "to": ["soc@corp.example"]}
COMMAND = {"argv": ["/bin/true", "x"]}


def faults(folder: Path, *destinations: dict[str, Any]) -> list[str]:
    path = write(folder, *destinations)
    with pytest.raises(InvalidFileError) as caught:
        alerts.load(path)
    return [fault.removeprefix(f"{path}:") for fault in caught.value.faults]


def fault(folder: Path, destination: dict[str, Any]) -> str:
    (text,) = faults(folder, destination)
    return text


def hook(folder: Path, **changes: Any) -> dict[str, Any]:
    settings = {"url": "https://siem.corp.example/x", "secret_file": secret_file(folder), **changes}
    return {"webhook": {name: value for name, value in settings.items() if value is not None}}


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    password, authority = secret_file(tmp_path, b"password\n", "password"), authority_file(tmp_path)
    file = load(
        tmp_path,
        {"on": ["verdict"], "min_severity": "critical", **hook(tmp_path, ca_file=authority, headers={"X-Site": "a"})},
        {"smtp": {**SMTP, "username": "airgap", "password_file": password, "ca_file": authority}},
        {"syslog": {**SYSLOG, "transport": "tls", "facility": "local3", "ca_file": authority}},
        {"command": COMMAND},
    )
    assert [destination.goal for destination in file.destinations] == [
        ("siem.corp.example", 443, "tcp", "webhook"),
        ("mail.corp.example", 587, "tcp", "smtp"),
        ("10.1.1.1", 514, "tcp", "syslog"),
        None,
    ]
    assert [destination.on for destination in file.destinations][:2] == [
        ("verdict",), ("appeared", "resolved", "verdict", "blinded"),
    ]  # fmt: skip


def test_the_example_of_the_documentation_is_whole(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    secret_file(tmp_path, name="siem.secret")
    secret_file(tmp_path, name="mail.password")
    Path(authority_file(tmp_path)).rename(tmp_path / "ca.pem")
    example = example.replace("/etc/airgap-check/", f"{tmp_path}/").replace(
        "/usr/local/bin/page-the-guard", "/bin/true"
    )
    (tmp_path / "alerts.yaml").write_text(example)
    assert len(alerts.load(str(tmp_path / "alerts.yaml")).destinations) == 4


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://siem.corp.example/", "write https://"),
        ("https://user:hunter2@siem.corp.example/", "credentials do not belong into a URL"),
        ("https://siem.corp.example/#x", "a fragment is never sent"),
        ("https://siem.corp.example:0/", "not a port"),
        ("https://siem.corp.example:70000/", "not a URL"),
        ("https:///hunter2", "names no host"),
        ("https://siem.corp.example/a\r\nX-Evil: hunter2", "printable ASCII without blanks"),
        ("https://siem.corp.example/a hunter2", "printable ASCII without blanks"),
        ("https://[::1/hunter2", "not a URL"),
        ("https://localhost/hunter2", "localhost is a name that would have to be looked up"),
        ("https://300.1.2.3/", "names no host"),
    ],
)
def test_a_url_that_could_not_be_posted_to_is_refused_and_not_quoted(tmp_path: Path, url: str, why: str) -> None:
    text = fault(tmp_path, hook(tmp_path, url=url))
    assert why in text
    assert "hunter2" not in text


def test_headers_neither_hold_secrets_nor_replace_ours(tmp_path: Path) -> None:
    assert "may be a secret" in fault(tmp_path, hook(tmp_path, headers={"Authorization": "Bearer hunter2"}))
    assert "may be a secret" in fault(tmp_path, hook(tmp_path, headers={"Cookie": "hunter2"}))
    assert "not one line of ASCII" in fault(tmp_path, hook(tmp_path, headers={"X-A": "a\r\nX-B: b"}))
    assert "not the name of a header" in fault(tmp_path, hook(tmp_path, headers={"X A": "b"}))
    for name in ("Content-Length", "transfer-encoding", "X-Airgap-Signature", "Host"):
        assert "is set by the message itself" in faults(tmp_path, hook(tmp_path, headers={name: "b"}))[0]


def test_secrets_are_private_long_enough_and_never_quoted(tmp_path: Path) -> None:
    path = secret_file(tmp_path, b"hunter2hunter2hunter2", "loose")
    (tmp_path / "loose").chmod(0o640)
    assert f"others can use this secret: chmod 600 {path}" in fault(tmp_path, hook(tmp_path, secret_file=path))
    short = fault(tmp_path, hook(tmp_path, secret_file=secret_file(tmp_path, b"hunter2\n", "short")))
    assert "a secret of 7 bytes is too short: at least 16" in short
    assert "write the whole path" in fault(tmp_path, hook(tmp_path, secret_file="secret"))
    assert "No such file" in fault(tmp_path, hook(tmp_path, secret_file=str(tmp_path / "none")))
    assert "missing key secret_file" in fault(tmp_path, hook(tmp_path, secret_file=None))
    lines = secret_file(tmp_path, b"hunter2\r\nX-Evil: 1", "lines")
    text = fault(tmp_path, hook(tmp_path, header_files={"Authorization": lines}))
    assert "more than one line" in text
    assert "hunter2" not in text + short


def test_a_mail_goes_to_plain_addresses_and_no_password_goes_in_clear(tmp_path: Path) -> None:
    for address in ("soc", "soc@", "@corp.example", "a b@corp.example", "soc@corp.example\r\nBcc: x@y", "<soc@corp>"):
        assert "not a mail address" in fault(tmp_path, {"smtp": {**SMTP, "to": address}})
    assert "not a mail address" in fault(tmp_path, {"smtp": {**SMTP, "from": "x"}})
    assert "1 to 50 recipients, not 0" in fault(tmp_path, {"smtp": {**SMTP, "to": []}})
    password = secret_file(tmp_path, b"password", "password")
    assert "go together" in fault(tmp_path, {"smtp": {**SMTP, "username": "x"}})
    clear = {**SMTP, "starttls": "none", "username": "x", "password_file": password}
    assert "a password is not sent in clear" in fault(tmp_path, {"smtp": clear})


def test_a_command_is_a_program_and_nobody_who_matters_runs_it(tmp_path: Path) -> None:
    assert "write the whole path" in fault(tmp_path, {"command": {"argv": ["true"]}})
    assert "no such program" in fault(tmp_path, {"command": {"argv": ["/bin/none"]}})
    assert "runs nothing" in fault(tmp_path, {"command": {"argv": []}})
    assert "name a user who may do little" in fault(tmp_path, {"command": {**COMMAND, "user": "root"}})
    assert "no user ghost" in fault(tmp_path, {"command": {**COMMAND, "user": "ghost"}})


def test_every_fault_is_named_at_once_and_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "alerts.yaml"
    path.write_text(
        "version: 1\ndestinations:\n- name: a\n  on: [appeard]\n  syslog: {host: 10.1.1.1, port: 0, transport: udp}\n"
        "- name: a\n  comand: {argv: [/bin/true]}\n"
    )
    with pytest.raises(InvalidFileError) as caught:
        alerts.load(str(path))
    assert [fault.removeprefix(str(path)) for fault in caught.value.faults] == [
        ":4:8: unknown value appeard (did you mean appeared?); one of: appeared, resolved, verdict, blinded",
        ":5:34: not a port from 1 to 65535: 0",
        ":6:3: needs exactly one of webhook, smtp, syslog, command",
        ":6:9: name a is used twice",
        ":7:3: unknown key comand (did you mean command?)",
    ]


def test_a_file_that_tells_nobody_or_too_many_is_refused(tmp_path: Path) -> None:
    assert "tells nobody" in faults(tmp_path)[0]
    assert "17 destinations: at most 16" in faults(tmp_path, *[{"command": COMMAND}] * 17)[0]
    assert "exactly one of" in fault(tmp_path, {"command": COMMAND, "syslog": SYSLOG})
    assert "an empty list" in fault(tmp_path, {"command": COMMAND, "on": []})
    with pytest.raises(UsageError, match="No such file"):
        alerts.load(str(tmp_path / "none.yaml"))


_KEYS = some.sampled_from(
    ["version", "destinations", "name", "on", "webhook", "smtp", "syslog", "command", "argv", "x"]
)
_VALUES = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(value=_VALUES)
def test_whatever_the_file_says_there_is_a_result_or_a_list_of_faults(
    value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(json.dumps({"version": 1, "destinations": value}))
    try:
        alerts.load(str(path))
    except InvalidFileError as error:
        found = error.faults
    else:
        found = []
    assert all(fault.startswith(f"{path}:") for fault in found)
    assert found or value
