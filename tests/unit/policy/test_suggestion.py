"""A drafted policy loads without a fault, says why for each entry, and approves what was reached if a person agrees."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.engine import Terms, judge
from airgap_check.evidence import Answer, Question, Runtime
from airgap_check.evidence.fact import Endpoint, Process
from airgap_check.evidence.rehearsed import Encounter
from airgap_check.policy import file as policyfile
from airgap_check.policy.suggestion import suggest
from tests.building import RULES, STARTED, encounter, policy, rehearsal, remote

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord
    from airgap_check.finding import Report
    from airgap_check.policy import Policy

DATABASE = encounter("db1.corp.internal", 5432, scope="private", spoken="postgresql", first=STARTED)
MAIL = encounter("mail.corp.internal", 587, scope="private", spoken="smtp", encrypted=True)
PLANE = encounter(
    "cloud.objectos.ai", spoken="http", encrypted=True, count=4, trigger="GET /api/v1/marketplace/packages",
    first=STARTED + timedelta(seconds=2.25),
)  # fmt: skip
LITERAL = encounter(None, 514, address="10.3.0.5", protocol="udp", spoken="syslog")
PAGE = encounter("cdn.jsdelivr.net", seen="browser", process=None, spoken="browser", trigger="browser /_console/")
ASKED = Question(
    netns=1, name="hooks.partner.com", type="A", protocol="dns", server=remote("127.0.0.53", 53), status="nxdomain"
)
EVERYTHING = (DATABASE, MAIL, PLANE, LITERAL, PAGE, ASKED)


def judged(under: Policy, *records: AnyRecord) -> Report:
    """Judge a rehearsal in which, as in any, our own name server has an answer for every name of the policy."""
    scopes = {one.remote.name: one.remote for one in records if isinstance(one, Encounter) and one.remote.name}
    answers = [
        Answer(name=name, netns=1, source="dns", status="ok", addresses=(scopes.get(name, remote("198.18.9.9")),))
        for name in under.names()
    ]
    return judge(rehearsal(*records, *answers), RULES, under, Terms())


def drafted(*records: AnyRecord, under: Policy | None = None) -> str:
    return suggest(judged(under or policy(), *records), under or policy())


def loaded(text: str) -> Policy:
    return policyfile.load("suggested.yaml", text.encode(), {rule.id: rule.kind for rule in RULES.rules})


def agreed(text: str) -> str:
    """Do what a person does who approves what is public: take the mark of a comment away."""
    return re.sub(r"^    # (public: true)", r"    \1", text, flags=re.MULTILINE)


def test_it_loads_and_holds_what_was_reached() -> None:
    entries = {entry.name: entry for entry in loaded(drafted(*EVERYTHING)).file.allow}
    assert entries.keys() == {
        "database db1.corp.internal", "smtp mail.corp.internal", "other cloud.objectos.ai", "syslog 10.3.0.5"
    }  # fmt: skip
    assert entries["syslog 10.3.0.5"].cidr == "10.3.0.5/32"
    assert entries["syslog 10.3.0.5"].protocol == "udp"
    assert not any(entry.public for entry in entries.values())


def test_each_entry_says_what_motivates_it() -> None:
    text = drafted(*EVERYTHING)
    assert "# node: 4 times, first 2.2 s after the start; spoken: http" in text
    assert "# on GET /api/v1/marketplace/packages" in text
    assert "# predicted by nothing" in text
    assert "WARNING" in text


def test_the_same_rehearsal_is_compliant_under_it_once_a_person_agrees() -> None:
    first = judged(policy(), DATABASE, MAIL, PLANE, LITERAL)
    assert first.verdict == "not_compliant"
    text = suggest(first, policy())
    assert judged(loaded(text), DATABASE, MAIL, PLANE, LITERAL).verdict == "not_compliant", "nobody has agreed yet"
    again = judged(loaded(agreed(text)), DATABASE, MAIL, PLANE, LITERAL)
    assert (again.verdict, again.reasons) == (
        "compliant", ("no finding at or above high, and everything required was seen",),
    )  # fmt: skip


def test_what_only_a_browser_fetches_and_what_was_only_asked_for_is_for_a_person_to_complete() -> None:
    text = drafted(PAGE, ASKED)
    assert [entry.name for entry in loaded(text).file.allow] == ["nothing"]
    completed = "\n".join(
        line.replace("  # ", "  ", 1) if re.match(r"  # (?:- name|  (?:role|host|ports|# public))", line) else line
        for line in text.splitlines()
    )
    hosts = {entry.host: entry.ports for entry in loaded(completed).file.allow}
    assert "dns hooks" not in text, "whoever asks for a name wants something else of it"
    assert hosts == {None: (9,), "cdn.jsdelivr.net": (443,), "hooks.partner.com": (443,)}


def test_a_page_and_the_server_share_the_entry_of_the_server() -> None:
    server = encounter("cdn.jsdelivr.net")
    assert [entry.host for entry in loaded(drafted(PAGE, server)).file.allow] == ["cdn.jsdelivr.net"]


def test_ports_of_a_host_stand_in_one_entry_and_its_datagrams_in_another() -> None:
    found = loaded(drafted(encounter("a.com", 443), encounter("a.com", 80), encounter("a.com", 443, protocol="udp")))
    assert [(entry.name, entry.ports, entry.protocol) for entry in found.file.allow] == [
        ("other a.com", (80, 443), "tcp"), ("other a.com 2", (443,), "udp"),
    ]  # fmt: skip


def test_echoes_have_an_entry_without_ports_and_raw_sockets_a_draft() -> None:
    end = Endpoint(address="10.3.0.5", scope="private")
    echo, raw = (encounter(remote=end, protocol=protocol) for protocol in ("icmp", "raw"))
    (entry,) = loaded(drafted(echo)).file.allow
    assert (entry.cidr, entry.ports, entry.protocol) == ("10.3.0.5/32", (), "icmp")
    text = drafted(raw)
    assert "only an entry approves that says for whom" in text
    assert [one.name for one in loaded(text).file.allow] == ["nothing"]
    draft = text.replace('  # - name: "other', '  - name: "other')
    for line in ("role", "cidr", "protocol", "for"):
        draft = draft.replace(f"  #   {line}:", f"    {line}:")
    completed = loaded(draft.replace("{unit: ...}", "{unit: app.service}")).file.allow[-1]
    assert (completed.cidr, completed.protocol) == ("10.3.0.5/32", "any")


def test_the_owners_networks_are_taken_over() -> None:
    own = policy(networks={"internal": ["10.3.0.0/16"], "domains": ["corp.bank.com"]})
    assert loaded(drafted(DATABASE, under=own)).file.networks == own.file.networks


@pytest.mark.parametrize("expected", [True, False])
def test_whether_there_is_a_runtime_is_for_the_owner_to_say(expected: bool) -> None:  # noqa: FBT001  (a parameter)
    under = policy(runtime={"cloud_url": "must-be-unset", "expected": expected})
    assert loaded(drafted(DATABASE, under=under)).file.runtime.expected is expected


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({"unset_means": "public", "cloud_url": "unset"}, "must-be-off"),
        ({"unset_means": "offline", "cloud_url": "disabled"}, "must-be-off"),
        ({"unset_means": "offline", "cloud_url": "unset"}, "must-be-unset"),
    ],
)
def test_the_control_plane_is_demanded_off_where_absence_would_not_do(facts: dict[str, Any], wanted: str) -> None:
    runtime = Runtime(product="@objectstack/cli", version="17.4.0", process=Process(pid=12, name="node"), **facts)
    assert loaded(drafted(DATABASE, runtime)).file.runtime.cloud_url == wanted


HOSTILE = st.text(max_size=80) | st.sampled_from(["a\n  - name: x", "a: b", "# x", "1.2", "a..b", "\x85\u2028\ufeff"])


@given(
    st.lists(
        st.builds(
            encounter,
            st.none() | HOSTILE,
            st.integers(0, 65535),
            address=st.ip_addresses().map(str) | st.just("fe80::1%eth0"),
            scope=st.sampled_from(["public", "private"]),
            trigger=st.none() | HOSTILE,
            protocol=st.sampled_from(["tcp", "udp"]),
            process=st.none() | st.builds(Process, pid=st.just(1), name=st.none() | HOSTILE),
            seen=st.sampled_from(["world", "browser"]),
        ),
        max_size=6,
    )
)
def test_whatever_was_reached_the_draft_loads_and_approves_nothing_public(records: list[Any]) -> None:
    found = loaded(drafted(*records))
    assert found.file.allow
    assert not any(entry.public for entry in found.file.allow)
