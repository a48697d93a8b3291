"""Knows which destinations the configuration of a rehearsed command leads to, before anybody has seen it dial."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airgap_check.domain import normal
from airgap_check.evidence import Setting
from airgap_check.evidence.asset import Reference
from airgap_check.objectos.expectation import expectations, silences
from airgap_check.policy.allowlist import NEVER_EGRESS

if TYPE_CHECKING:
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.evidence.inspection import Inspection

_STATIC = frozenset({"artifact", "state", "database"})  # who reads what names places before they are dialled
_LONGEST_WORD = 20
_BY_SERVER = frozenset({"server-boot", "server-event"})


class Prediction(NamedTuple):
    """A destination that something leads to; ``due`` where a server dials it, ``by`` says what leads there."""

    record: Setting | Reference
    end: Endpoint
    by: str
    due: bool
    role: str | None


class Off(NamedTuple):
    """What a setting says is not dialled; ``names`` are the variables that it silences, its own among them."""

    setting: Setting
    by: str
    ends: tuple[Endpoint, ...]
    names: frozenset[str]


class Predictions:
    """The predictions of one inspection, by name and by address."""

    def __init__(self, inspection: Inspection) -> None:
        """Collect what settings and references lead to."""
        settings = list(inspection.of("environment").of(Setting))
        self.all = [
            Prediction(one.setting, one.end, _said(one.setting), one.due, one.setting.role)
            for one in expectations(settings)
            if one.end.scope not in NEVER_EGRESS
        ]
        for record in inspection.records(Reference):
            if record.endpoint and record.seen in _STATIC and record.endpoint.scope not in NEVER_EGRESS:
                by = f"{record.pointer} in {_last(record.path)}".strip()
                due = record.dialer in _BY_SERVER and not record.templated
                self.all.append(Prediction(record, record.endpoint, by, due, record.role))
        self.off = [
            Off(one.stated, _said(one.stated), one.ends, one.variables) for one in silences(settings) if one.stated
        ]
        self._by_host: dict[str, list[Prediction]] = {}
        for one in self.all:
            for host in hosts(one.end):
                self._by_host.setdefault(host, []).append(one)

    def of(self, end: Endpoint) -> list[Prediction]:
        """Return what leads to a destination."""
        found = [one for host in hosts(end) for one in self._by_host.get(host, ())]
        return list({id(one): one for one in found if fits(one.end, end)}.values())


def hosts(end: Endpoint) -> tuple[str, ...]:
    """Return by what a destination is known: its name, or else its addresses; that of a name is made up."""
    if end.name:
        return (normal(end.name),)
    return tuple(text for text in (end.address, end.inner) if text)


def fits(said: Endpoint, reached: Endpoint) -> bool:
    """Tell whether two destinations may be the same; a port that is not said may be any."""
    same = not set(hosts(said)).isdisjoint(hosts(reached))
    return same and (said.port is None or reached.port is None or said.port == reached.port)


def _said(setting: Setting) -> str:
    """Say what a setting says, and where: ``OS_CLOUD_URL (unset) in process node``."""
    word = {"unset": " (unset)", "blank": " (blank)"}.get(setting.posture, "")
    if setting.posture == "disabled" or _is_word(setting):
        word = f"={setting.value.strip()}" if setting.value.strip().isalnum() else " (a word for off)"
    if setting.place.kind == "file" and setting.place.path:
        where = f"{_last(setting.place.path)}:{setting.place.line}" if setting.place.line else _last(setting.place.path)
    else:
        where = f"process {setting.process.name}" if setting.process and setting.process.name else "the environment"
    return f"{setting.name}{word} in {where}"


def _is_word(setting: Setting) -> bool:
    """Tell whether its value is a word that may be shown: of a switch, and short."""
    return setting.posture == "other" and setting.value.strip().isalnum() and len(setting.value) < _LONGEST_WORD


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2] or path
