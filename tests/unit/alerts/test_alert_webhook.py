"""Webhooks against a real HTTPS server on loopback: signed, delivered once, kept while it is down, never elsewhere."""

from __future__ import annotations

import hmac
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from airgap_check import alerts
from tests.live.servers import free_port
from tests.unit.alerts.alerting import (
    AUTHORITY,
    HERE,
    NAME,
    NOW,
    POLICY,
    SECRET,
    Posted,
    answer,
    change,
    known,
    load,
    pump,
    receiver,
    secret_file,
    spooled,
    webhook,
)
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from pathlib import Path

LOOPBACK = ip_address(HERE)
LATER = NOW + timedelta(hours=2)


def is_signed(posted: Posted) -> bool:
    moment, _, signature = posted.headers["x-airgap-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + posted.body
    return hmac.compare_digest(hmac.new(SECRET, signed, "sha256").hexdigest(), signature)


def test_a_change_arrives_once_as_signed_json(tmp_path: Path) -> None:
    with receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, server.port, headers={"X-Site": "bank"}))
        assert alerts.post(file, change(blinded=("traffic: no rights",)), str(tmp_path / "state")).lines == []
        assert pump(file, tmp_path / "state") == []
        assert pump(file, tmp_path / "state") == []
    (posted,) = server.posted
    assert is_signed(posted)
    assert posted.headers["x-airgap-signature"].startswith(f"t={int(NOW.timestamp())},")
    assert (posted.path, posted.headers["host"], posted.headers["x-site"]) == (
        "/hook?x=1", f"{HERE}:{server.port}", "bank",
    )  # fmt: skip
    alert = posted.alert
    assert alert["schema"] == "airgap-check/alert/1"
    assert alert["id"] == posted.headers["x-airgap-id"]
    assert (alert["host"], alert["before"], alert["verdict"]) == ("near", "compliant", "not_compliant")
    assert alert["subject"] == "airgap-check near: not compliant (was compliant): 1 new, 1 blinded"
    assert [finding["message"] for finding in alert["appeared"]] == ["node -> 10.9.9.1"]
    assert alert["blinded"] == ["traffic: no rights"]
    assert not spooled(tmp_path / "state")


def test_another_body_or_time_has_another_signature() -> None:
    from airgap_check.alerts.webhook import signature

    assert len({signature(SECRET, b"{}", 1), signature(SECRET, b"{ }", 1), signature(SECRET, b"{}", 2)}) == 3


def test_nothing_is_sent_or_written_without_a_change(tmp_path: Path) -> None:
    with receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, server.port))
        same = change(before="not_compliant", appeared=())
        assert alerts.post(file, same, str(tmp_path / "state")).lines == []
        assert pump(file, tmp_path / "state") == []
    assert server.posted == []
    assert not spooled(tmp_path / "state")


def test_a_server_that_is_down_is_told_later_in_order_and_once(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with receiver(tmp_path) as gone:
        port = gone.port
    file = load(tmp_path, webhook(tmp_path, port))
    for number in (1, 2):
        alerts.post(file, change(appeared=(known(number),), finished=NOW + timedelta(seconds=number)), str(state))
    (line,) = pump(file, state)
    assert '"to 0" was not told: 127.0.0.1 refused: Connection refused; 2 kept' in line
    with receiver(tmp_path, port=port) as server:
        assert pump(file, state) == []
        assert server.posted == [], "it is to wait before it tries again"
        assert pump(file, state, now=LATER) == []
        assert pump(file, state, now=LATER) == []
    assert [posted.alert["appeared"][0]["subject"] for posted in server.posted] == ["node 1", "node 2"]
    assert "1 attempts since 2026-11-20 12:00:00" in server.posted[0].alert["undelivered"][0]
    assert server.posted[1].alert["undelivered"] == []


@pytest.mark.parametrize("status", [302, 401, 404, 429, 500, 503])
def test_what_somebody_may_mend_is_tried_again(tmp_path: Path, status: int) -> None:
    with receiver(tmp_path) as server, receiver(tmp_path) as elsewhere:
        server.answers = [(status, {"Location": f"https://{HERE}:{elsewhere.port}/"})]
        file = load(tmp_path, webhook(tmp_path, server.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
        assert f"HTTP status {status}" in line
        assert len(spooled(tmp_path / "state")) == 1
        assert pump(file, tmp_path / "state", now=LATER) == []
    first, second = server.posted
    assert first.alert["id"] == second.alert["id"]
    assert elsewhere.posted == []


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_what_will_never_be_taken_is_given_up_and_counted(tmp_path: Path, status: int) -> None:
    with receiver(tmp_path) as server:
        server.answers = [(status, {})]
        file = load(tmp_path, webhook(tmp_path, server.port))
        for number in (1, 2):
            alerts.post(file, change(finished=NOW + timedelta(seconds=number)), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state")
        assert f"given up: HTTP status {status}" in line
    assert [posted.alert["dropped"] for posted in server.posted] == [0, 1]
    assert not spooled(tmp_path / "state")


def test_the_pauses_double_up_to_an_hour_and_a_clock_that_was_set_back_ends_them(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with receiver(tmp_path) as gone:
        file = load(tmp_path, webhook(tmp_path, gone.port))
    alerts.post(file, change(), str(state))
    tried = [minute for minute in range(250) if pump(file, state, now=NOW + timedelta(minutes=minute))]
    assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert pump(file, state, now=NOW + timedelta(hours=1)), "it was to wait until a time that is hours ahead"


def test_a_receiver_may_ask_for_time_but_not_for_ever(tmp_path: Path) -> None:
    with receiver(tmp_path) as server:
        server.answers = [(503, {"Retry-After": "600"}), (503, {"Retry-After": "999999"})]
        file = load(tmp_path, webhook(tmp_path, server.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        for minutes in (0, 5, 11, 70, 72):
            pump(file, tmp_path / "state", now=NOW + timedelta(minutes=minutes))
    assert len(server.posted) == 3


def test_a_certificate_of_another_name_or_authority_is_refused(tmp_path: Path) -> None:
    for hosts, authority, why in (
        (["other.corp.example"], AUTHORITY, "not valid for"),
        ([HERE], mint("Evil Root", authority=True), "unable to get local issuer certificate"),
    ):
        place = tmp_path / hosts[0]
        place.mkdir()
        with receiver(place, hosts, authority) as server:
            file = load(place, webhook(place, server.port))
            alerts.post(file, change(), str(place / "state"))
            (line,) = pump(file, place / "state")
            assert why in line
        assert server.posted == []


def test_the_name_is_verified_and_the_address_is_that_of_the_run(tmp_path: Path) -> None:
    with receiver(tmp_path, hosts=[NAME]) as server:
        file = load(tmp_path, webhook(tmp_path, server.port, NAME))
        alerts.check(file, POLICY, NOW.date())
        alerts.post(file, change(), str(tmp_path / "state"))
        for nothing in ((), (answer(LOOPBACK, source="observed"),), (answer(LOOPBACK, private=True),)):
            (line,) = pump(file, tmp_path / "state", nothing)
            assert "siem.corp.example was not resolved by this run" in line
            for standing in (tmp_path / "state" / "spool").glob("*.standing"):
                standing.unlink()
        assert pump(file, tmp_path / "state", [answer(LOOPBACK)]) == []
    assert len(server.posted) == 1


def test_an_address_that_the_policy_does_not_approve_is_never_dialled(tmp_path: Path) -> None:
    file = load(tmp_path, webhook(tmp_path, 443, NAME))
    alerts.post(file, change(), str(tmp_path / "state"))
    (line,) = pump(file, tmp_path / "state", [answer(ip_address("93.184.216.34"))])
    assert "siem.corp.example is 93.184.216.34, which the policy does not approve" in line


def test_proxies_and_key_logs_of_the_environment_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://{HERE}:9")
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    with receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, server.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        assert pump(file, tmp_path / "state") == []
    assert len(server.posted) == 1
    assert not (tmp_path / "keys").exists()


def test_no_secret_is_kept_shown_or_quoted(tmp_path: Path) -> None:
    token = b"canary-token-abcdef"
    with receiver(tmp_path) as server:
        server.answers = [(500, {}), (204, {})]
        header_files = {"Authorization": secret_file(tmp_path, token, "token")}
        settings = webhook(tmp_path, server.port, header_files=header_files)
        settings["webhook"]["url"] += "&path=canary-path"
        file = load(tmp_path, settings)
        alerts.post(file, change(), str(tmp_path / "state"))
        lines = pump(file, tmp_path / "state")
        kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
        names = " ".join(str(path) for path in (tmp_path / "state").rglob("*"))
    assert server.posted[0].headers["authorization"] == token.decode()
    assert lines
    assert b"canary" not in kept + names.replace(str(tmp_path), "").encode() + "".join(lines).encode()


def test_one_that_hangs_takes_neither_all_the_time_nor_the_others_alerts(tmp_path: Path) -> None:
    import socket

    with socket.create_server((HERE, 0)) as deaf, receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, deaf.getsockname()[1]), webhook(tmp_path, server.port))
        alerts.post(file, change(), str(tmp_path / "state"))
        (line,) = pump(file, tmp_path / "state", seconds=6)
    assert '"to 0" was not told: TLS failed: it took too long' in line
    assert len(server.posted) == 1


def test_what_cannot_be_kept_is_sent_at_once_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state/spool").chmod(0o777)
    state = tmp_path / "state"
    with receiver(tmp_path) as server:
        file = load(tmp_path, webhook(tmp_path, server.port), webhook(tmp_path, free_port()))
        posted = alerts.post(file, change(), str(state))
        assert [line.partition(":")[0] for line in posted.lines] == ["alerts"] * 2
        lines = pump(file, state, unkept=posted.unkept)
        assert '"to 1": was not told, and will not be: 127.0.0.1 refused' in lines[0]
        assert "others can write to it" in lines[1]
        pump(file, state)
    (one,) = server.posted
    assert is_signed(one)


def test_what_cannot_be_kept_goes_to_nobody_who_is_not_approved(tmp_path: Path) -> None:
    (tmp_path / "state/spool").mkdir(parents=True)
    (tmp_path / "state/spool").chmod(0o777)
    file = load(tmp_path, webhook(tmp_path, 443, "10.9.9.9"))
    posted = alerts.post(file, change(), str(tmp_path / "state"))
    line, _ = pump(file, tmp_path / "state", unkept=posted.unkept)
    assert "it goes to 10.9.9.9:443, which no entry of the policy approves" in line
