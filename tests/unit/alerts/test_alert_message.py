"""What a message says: only what was asked for, bounded, the same id when sent again; hostile text stays text."""

from __future__ import annotations

import email
import json
import re
from email.policy import SMTP
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from airgap_check.alerts import mail, message, syslog
from airgap_check.alerts.message import Alert
from airgap_check.alerts.settings import Destination, Smtp, Syslog
from tests.unit.alerts.alerting import change, known

if TYPE_CHECKING:
    from airgap_check.history.change import Change

HOSTILE = 'x"]\\\r\nBcc: evil@corp.example\r\n\r\n<13>1 - - - - - - \x1b[31m\u2028\x00\ud800é'
RELAY = Smtp(host="mail.corp.example", port=587, from_="airgap@corp.example", to=("soc@corp.example",))
COLLECTOR = Syslog(host="10.1.1.1", port=514, transport="tcp", facility="local3")


def told(change: Change, **terms: Any) -> Alert | None:
    return message.of(change, Destination(name="siem", **terms))


def alert(change: Change, **terms: Any) -> Alert:
    made = told(change, **terms)
    assert made is not None
    return made


def test_each_destination_hears_what_it_asked_for() -> None:
    everything = change(resolved=(known(2, "medium"),), blinded=("traffic: no rights",))
    assert alert(everything).counts == message.Counts(appeared=1, resolved=1, blinded=1, reasons=1)
    only = alert(everything, on=("resolved",))
    assert (only.appeared, len(only.resolved), only.blinded) == ((), 1, ())
    assert told(everything, on=("resolved",), min_severity="high") is None
    assert told(change(before="not_compliant"), on=("verdict", "resolved")) is None
    assert told(change(appeared=()), on=("verdict",)) is not None
    assert told(change(appeared=(), before=None, verdict="compliant"), on=("verdict",)) is None


def test_the_gravest_come_first_and_the_rest_is_counted() -> None:
    many = change(appeared=(*(known(number, "medium") for number in range(60)), known(99, "critical")))
    made = alert(many)
    assert (made.counts.appeared, len(made.appeared)) == (61, 50)
    assert made.appeared[0].severity == made.gravity == "critical"


def test_the_id_is_of_the_content_and_the_destination() -> None:
    assert alert(change()).id == alert(change()).id
    other = message.of(change(), Destination(name="mail"))
    assert len({alert(change()).id, alert(change(appeared=())).id, other.id if other else ""}) == 3


def test_a_body_is_cut_until_it_fits_and_stays_json() -> None:
    made = alert(change(appeared=tuple(known(number, message="y" * 600) for number in range(50))))
    for limit in (100_000, 8192, 2048):
        body = message.body(made, limit)
        assert len(body) <= limit
        assert msgspec.json.decode(body, type=Alert).counts.appeared == 50
    assert len(json.loads(message.body(made, 8192))["appeared"]) == 12


_TEXT = some.text(max_size=600) | some.just(HOSTILE)


@given(host=_TEXT, text=_TEXT)
def test_no_text_ends_a_header_a_field_or_a_message(host: str, text: str) -> None:
    hostile = known(1, rule=text, subject=text, message=text)
    made = alert(change(hostname=host, reasons=(text,), appeared=(hostile,), blinded=(text,)))
    assert made.subject.isprintable()
    _assert_mail(made)
    _assert_syslog(made)


def _assert_mail(made: Alert) -> None:
    written = mail.compose(RELAY, made).as_bytes(policy=SMTP)
    assert written.isascii()
    assert max(map(len, written.split(b"\r\n"))) <= 998
    read = email.message_from_bytes(written, policy=SMTP)
    assert sorted({name.lower() for name in read}) == [
        "auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to", "x-airgap-id",
    ]  # fmt: skip
    assert read["To"] == "soc@corp.example"
    (attached,) = read.iter_attachments()
    assert msgspec.json.decode(attached.get_content(), type=Alert) == made


def _assert_syslog(made: Alert) -> None:
    written = syslog.write(COLLECTOR, made)
    assert len(written) <= 8192
    assert not re.search(rb"[\x00-\x1f\x7f]", written)
    pattern = (
        rb"<155>1 2026-11-20T12:00:00\.000000Z [!-~]{1,255} airgap-check - alert "
        rb'\[alert@32473((?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*"){7})\] \xef\xbb\xbf(.*)'
    )
    match = re.fullmatch(pattern, written)
    assert match, written
    assert f'id="{made.id}"'.encode() in match[1]
    assert match[2].startswith(made.subject.encode())
    assert json.loads(match[2].removeprefix(made.subject.encode()))["id"] == made.id


def test_what_would_end_a_value_is_escaped() -> None:
    assert syslog._escaped('a"b]c\\d') == 'a\\"b\\]c\\\\d'


def test_priorities_are_those_of_the_rfc() -> None:
    grave = alert(change(appeared=(known(1, "critical"),)))
    calm = alert(change(before="not_compliant", verdict="compliant", appeared=()))
    for facility, number in (("kern", 0), ("daemon", 3), ("authpriv", 10), ("ftp", 11), ("local0", 16), ("local7", 23)):
        settings = Syslog(host="10.1.1.1", port=514, transport="udp", facility=facility)  # type: ignore[arg-type]
        assert syslog.write(settings, grave).startswith(b"<%d>1 " % (number * 8 + 2))
        assert syslog.write(settings, calm).startswith(b"<%d>1 " % (number * 8 + 5))
