"""Alerts to a real collector, rsyslog: what it writes down after UDP, TCP and TLS is what was sent."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check import alerts
from tests.live import servers
from tests.unit.alerts.alerting import AUTHORITY, HERE, NOW, authority_file, change, known, load, pump, spooled
from tests.unit.probes.minting import mint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.live
_CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k" preserveFQDN="on" net.enableDNS="off"
       defaultNetstreamDriverCAFile="{folder}/authority.pem" defaultNetstreamDriverCertFile="{folder}/server.crt"
       defaultNetstreamDriverKeyFile="{folder}/server.key")
template(name="whole" type="list") {{
  constant(value="{{") property(name="pri" outname="pri" format="jsonf") constant(value=",")
  property(name="hostname" outname="hostname" format="jsonf") constant(value=",")
  property(name="app-name" outname="program" format="jsonf") constant(value=",")
  property(name="msgid" outname="msgid" format="jsonf") constant(value=",")
  property(name="structured-data" outname="data" format="jsonf") constant(value=",")
  property(name="msg" outname="text" format="jsonf") constant(value="}}\\n") }}
module(load="imudp") module(load="imptcp") module(load="imtcp")
ruleset(name="keep") {{ action(type="omfile" file="{folder}/log" template="whole" flushOnTXEnd="on") }}
input(type="imudp" address="{here}" port="{udp}" ruleset="keep")
input(type="imptcp" address="{here}" port="{tcp}" ruleset="keep")
input(type="imtcp" address="{here}" port="{tls}" ruleset="keep"
      streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
"""


class Collector:
    """A running rsyslog: its ports and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.ports = {"udp": servers.free_port(), "tcp": servers.free_port(), "tls": servers.free_port()}
        self.folder = folder
        self._read = 0

    def lines(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many more lines."""
        deadline = time.monotonic() + 30
        while True:
            log = self.folder / "log"
            text = log.read_text() if log.exists() else ""
            new = text[self._read :].splitlines(keepends=True)
            if (len(new) >= count and new[-1].endswith("\n")) or time.monotonic() > deadline:
                self._read = len(text)
                return [json.loads(line) for line in new]
            time.sleep(0.02)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    folder = tmp_path_factory.mktemp("rsyslog")
    mint("collector", AUTHORITY, hosts=[HERE]).write(folder)
    authority_file(folder)
    made = Collector(folder)
    (folder / "rsyslog.conf").write_text(_CONFIGURATION.format(folder=folder, here=HERE, **made.ports))
    argv = ["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    with servers.running(argv, made.ports["tls"]):
        yield made


def destination(collector: Collector, folder: Path, transport: str) -> dict[str, Any]:
    settings = {"host": HERE, "port": collector.ports[transport], "transport": transport, "facility": "local3"}
    return {"syslog": {**settings, **({"ca_file": authority_file(folder)} if transport == "tls" else {})}}


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_what_is_written_down_is_what_was_sent(collector: Collector, tmp_path: Path, transport: str) -> None:
    file = load(tmp_path, destination(collector, tmp_path, transport))
    hostile = known(1, message='line\n<13>1 next "quoted" [x]\\ \u00e9')
    news = [
        change(appeared=(hostile,)),
        change(finished=NOW + timedelta(seconds=1), appeared=tuple(known(number) for number in range(60))),
    ]
    for one in news:
        assert alerts.post(file, one, str(tmp_path / "state")).lines == []
    assert pump(file, tmp_path / "state") == []
    assert not spooled(tmp_path / "state")
    first, second = collector.lines(2)
    assert (first["pri"], first["hostname"], first["program"], first["msgid"]) == (
        "155",
        "near",
        "airgap-check",
        "alert",
    )
    assert 'verdict="not_compliant" before="compliant" appeared="1"' in first["data"]
    text = first["text"].lstrip("\ufeff ").removeprefix("airgap-check near: not compliant (was compliant): 1 new ")
    alert = json.loads(text)
    assert f'id="{alert["id"]}"' in first["data"]
    assert alert["appeared"][0]["message"] == 'line <13>1 next "quoted" [x]\\ \u00e9'
    assert 'appeared="60"' in second["data"]
    assert json.loads(second["text"][second["text"].index("{") :])["counts"]["appeared"] == 60


def test_a_collector_with_another_certificate_hears_nothing(collector: Collector, tmp_path: Path) -> None:
    settings = destination(collector, tmp_path, "tls")
    (tmp_path / "authority.pem").write_bytes(mint("Other Root", authority=True).pem)
    file = load(tmp_path, settings)
    alerts.post(file, change(), str(tmp_path / "state"))
    (line,) = pump(file, tmp_path / "state")
    assert "its certificate is not accepted" in line
    assert len(spooled(tmp_path / "state")) == 1


def test_a_collector_that_is_down_is_told_when_it_is_back(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("later")
    mint("collector", AUTHORITY, hosts=[HERE]).write(folder)
    authority_file(folder)
    later = Collector(folder)
    (folder / "rsyslog.conf").write_text(_CONFIGURATION.format(folder=folder, here=HERE, **later.ports))
    file = load(tmp_path, *(destination(later, tmp_path, transport) for transport in ("udp", "tcp", "tls")))
    alerts.post(file, change(), str(tmp_path / "state"))
    assert len(pump(file, tmp_path / "state")) == 3
    argv = ["rsyslogd", "-n", "-f", str(folder / "rsyslog.conf"), "-i", str(folder / "pid")]
    with servers.running(argv, later.ports["tls"]):
        assert pump(file, tmp_path / "state", now=NOW + timedelta(minutes=2)) == []
        assert pump(file, tmp_path / "state", now=NOW + timedelta(minutes=4)) == []
        assert len(later.lines(3)) == 3
    assert not spooled(tmp_path / "state")
