"""Questions are given to whoever asked them, as far as that is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airgap_check.evidence import Evidence, Question
from airgap_check.evidence.fact import Endpoint, Process
from airgap_check.rehearsal.inquiries import attributed
from airgap_check.world.meeting import Inquiry

if TYPE_CHECKING:
    from airgap_check.evidence import AnyRecord

START = datetime(2026, 11, 23, tzinfo=UTC)
NODE, CURL = Process(pid=7, name="node"), Process(pid=8, name="curl")
SOCKETS = {1: NODE, 2: NODE, 3: CURL}


def question(count: int = 1, **how: Any) -> Question:
    server = Endpoint(address=how.pop("server", "127.0.0.53"), port=53, scope=how.pop("scope", "loopback"))
    fields: dict[str, Any] = {"netns": 1, "name": "cdn.example", "type": "A", "protocol": "dns", "count": count}
    return Question(server=server, **fields | how)


def asked(cookie: int, at: int = 0, name: str = "cdn.example", kind: str = "A") -> Inquiry:
    return Inquiry(at=at, type=kind, name=name, cookie=cookie)


def split(record: AnyRecord, *inquiries: Inquiry) -> list[Any]:
    evidence = Evidence(kind="traffic", status="complete", records=(record,))
    (told,) = attributed([evidence], inquiries, SOCKETS.get, lambda at: START + timedelta(microseconds=at))
    return list(told.records)


def test_what_one_process_asked_is_all_its_own() -> None:
    (one,) = split(question(5), asked(1), asked(2))
    assert (one.process, one.count) == (NODE, 5)


def test_what_several_asked_is_each_ones_and_the_rest_is_nobodys() -> None:
    found = split(question(4, status="nxdomain"), asked(1, 10), asked(2, 30), asked(3, 20))
    assert [(one.process, one.count, one.status) for one in found] == [
        (NODE, 2, "nxdomain"), (CURL, 1, "nxdomain"), (None, 1, "nxdomain")
    ]  # fmt: skip
    assert (found[0].first, found[0].last) == (START + timedelta(microseconds=10), START + timedelta(microseconds=30))


def test_a_socket_of_which_nobody_knows_whose_it_is_clears_nobody_and_accuses_nobody() -> None:
    found = split(question(2), asked(0), asked(3))
    assert [(one.process, one.count) for one in found] == [(CURL, 1), (None, 1)]
    assert [one.process for one in split(question(2), asked(0))] == [None]
    evidence = Evidence(kind="traffic", status="complete", records=(question(),))
    (told,) = attributed(
        [evidence], [asked(0)], {0: NODE}.get, lambda _: START
    )  # one whose own socket nobody could ask
    assert told == evidence


def test_there_are_never_more_than_were_seen() -> None:
    found = split(question(1), asked(1), asked(2), asked(3))
    assert sum(one.count for one in found) == 1


def test_another_name_or_type_or_server_is_another_question() -> None:
    others = asked(1, name="api.example"), asked(1, kind="AAAA")
    assert split(question(), *others) == [question()]
    for elsewhere in (question(server="9.9.9.9", scope="public"), question(server="127.0.0.1")):
        assert split(elsewhere, asked(1)) == [elsewhere]  # the second: of a forwarder that is part of the command
