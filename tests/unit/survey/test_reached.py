"""What a rehearsed command reached for: grouped, judged, and compared with what was predicted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from airgap_check.evidence import Question, Setting
from airgap_check.evidence.asset import Reference
from airgap_check.evidence.fact import Place, Process, Workload
from airgap_check.evidence.rehearsed import Visit
from airgap_check.survey import Survey
from tests.building import STARTED, connection, encounter, inspection, policy, rehearsal, remote

if TYPE_CHECKING:
    from datetime import datetime

    from airgap_check.evidence import AnyRecord
    from airgap_check.finding import Reached
    from airgap_check.policy import Policy

HOOK = Reference(
    path="/srv/app/objectstack.json", pointer="$.webhooks[0].url", text="", dialer="server-event", seen="artifact",
    endpoint=remote("10.1.2.3", 8443),
)  # fmt: skip


def reached(*records: AnyRecord, under: Policy | None = None) -> tuple[Reached, ...]:
    found = Survey(rehearsal(*records), under or policy()).reached
    assert found is not None
    return found


def test_of_a_host_nothing_is_told() -> None:
    survey = Survey(inspection(connection("1.1.1.1")), policy())
    assert (survey.reached, survey.predicted_unseen) == (None, None)


def test_addresses_of_one_name_are_one_destination_and_ports_are_several() -> None:
    found = reached(
        encounter("cloud.objectos.ai"),
        encounter("Cloud.ObjectOS.ai.", address="2001:2::7", count=3),
        encounter("cloud.objectos.ai", 80),
    )
    assert [(one.remote.name, one.remote.port, one.count) for one in found] == [
        ("cloud.objectos.ai", 80, 1), ("cloud.objectos.ai", 443, 4),
    ]  # fmt: skip
    assert found[1].addresses == ("198.18.3.4", "2001:2::7")
    assert found[1].remote.address is None, "an address of the rehearsal means nothing outside"


def test_requests_triggers_and_times_are_told_once_and_counted() -> None:
    one, two = STARTED + timedelta(seconds=1), STARTED + timedelta(seconds=9)
    (found,) = reached(
        encounter("a.com", trigger="GET /a", request="GET /x", spoken="http", encrypted=True, first=two, last=two),
        encounter("a.com", trigger="GET /a", request="GET /x", spoken="http", first=one, count=2),
        encounter("a.com", ended="reset", spoken="nothing", process=Process(pid=13, name="curl")),
    )
    assert [(occasion.trigger, occasion.count) for occasion in found.occasions] == [("GET /a", 3), (None, 1)]
    assert (found.requests, found.ended, found.who) == (("GET /x",), ("reset",), ("node", "curl"))
    assert (found.spoken, found.encrypted) == (("http",), True)
    assert (found.first, found.last) == (one, two)


def test_the_machine_itself_is_no_destination() -> None:
    assert reached(encounter(None, address="127.0.0.1")) == ()


def test_what_is_refused_comes_first_and_of_that_what_is_public() -> None:
    approved = policy({"host": "ok.bank.example", "ports": [443]})
    found = reached(
        encounter("ok.bank.example", scope="private"),
        encounter("x.bank.example", scope="private"),
        encounter("z.com"),
        under=approved,
    )
    assert [one.remote.name for one in found] == ["z.com", "x.bank.example", "ok.bank.example"]
    assert found[2].by == "entry 0"


def test_a_destination_is_judged_by_the_worst_that_is_in_it() -> None:
    only = policy({"host": "a.bank.example", "for": {"exe": "/usr/bin/node"}})
    good, bad = (Process(pid=1, name=name, executable=f"/usr/bin/{name}") for name in ("node", "curl"))
    (found,) = reached(
        encounter("a.bank.example", scope="private", process=good),
        encounter("a.bank.example", scope="private", process=bad),
        under=only,
    )
    assert found.allowed == "no"


def test_a_prediction_fits_by_address_and_port() -> None:
    (found,) = reached(HOOK, encounter(None, 8443, address="10.1.2.3"))
    assert found.predicted == ("$.webhooks[0].url in objectstack.json",)
    (found,) = reached(HOOK, encounter(None, 8444, address="10.1.2.3"))
    assert found.predicted == ()


def test_a_setting_says_what_it_is_and_in_which_process() -> None:
    setting = Setting(
        name="OS_CLOUD_URL", posture="unset", place=Place(kind="process", pid=9), product="@objectstack/cli",
        version="17.4.0", process=Process(pid=9, name="node"),
    )  # fmt: skip
    (found,) = reached(setting, encounter("cloud.objectos.ai"))
    assert found.predicted == ("OS_CLOUD_URL (unset) in process node",)


def test_an_address_that_was_made_up_for_a_name_predicts_nothing_for_it() -> None:
    literal = Reference(
        path="a.json", pointer="$", text="", dialer="server-boot", seen="artifact", endpoint=remote("198.18.3.4", 443)
    )
    (found,) = reached(literal, encounter("cloud.objectos.ai"))
    assert found.predicted == ()


def test_a_name_that_was_only_asked_for_is_told_once_and_one_that_was_dialled_is_not_told_again() -> None:
    def asked(name: str) -> Question:
        return Question(netns=1, name=name, type="A", protocol="dns", server=remote("127.0.0.53", 53))

    found = reached(asked("a.com"), asked("_x._tcp.a.com"), asked("b.com"), encounter("b.com"))
    assert [(one.protocol, one.remote.name, one.remote.port, one.count) for one in found] == [
        ("dns", "a.com", None, 2), ("tcp", "b.com", 443, 1),
    ]  # fmt: skip


def test_what_was_never_seen_is_told_only_where_everything_was() -> None:
    whole = Survey(rehearsal(HOOK), policy())
    part = Survey(rehearsal(HOOK, status={"world": "partial"}), policy())
    assert [one.predicted for one in whole.predicted_unseen or ()] == [("$.webhooks[0].url in objectstack.json",)]
    assert part.predicted_unseen is None


def test_a_name_that_was_only_asked_for_names_the_visits_within_which_it_was() -> None:
    def at(seconds: int) -> datetime:
        return STARTED + timedelta(seconds=seconds)

    def asked(name: str, first: int, last: int) -> Question:
        server = remote("127.0.0.53", 53)
        return Question(
            netns=1, name=name, type="A", protocol="dns", server=server, first=at(first), last=at(last), count=5
        )

    found = reached(
        asked("a.com", 1, 12),
        asked("b.com", 3, 4),
        asked("c.com", 10, 30),
        Visit(label="script", outcome="done", first=at(0), last=at(20)),
        Visit(label="GET /within", outcome="done", first=at(3), last=at(10)),
    )
    assert {one.remote.name: [occasion.trigger for occasion in one.occasions] for one in found} == {
        "a.com": ["script"],
        "b.com": ["GET /within"],
        "c.com": ["script", None],
    }


def test_a_name_that_was_asked_for_was_seen() -> None:
    named = Reference(
        path="a.json", pointer="$", text="", dialer="server-boot", seen="artifact",
        endpoint=encounter("hooks.partner.com").remote,
    )  # fmt: skip
    question = Question(netns=1, name="hooks.partner.com", type="A", protocol="dns", server=remote("127.0.0.53", 53))
    assert Survey(rehearsal(named, question), policy()).predicted_unseen == ()


@pytest.mark.parametrize(("unit", "verdict"), [("objectos.service", "yes"), ("other.service", "no"), (None, "unknown")])
def test_a_destination_is_judged_for_whom_the_command_stands(unit: str | None, verdict: str) -> None:
    only = policy({"host": "db.bank.example", "for": {"unit": "objectos.service"}})
    stands_for = Workload(kind="unit", id=unit, name=unit) if unit else None
    (found,) = reached(encounter("db.bank.example", scope="private", workload=stands_for), under=only)
    assert found.allowed == verdict
