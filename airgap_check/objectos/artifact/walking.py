"""Walks the decoded parts of an artifact and says where they lead and what they give away.

The walk keeps its own stack, so that no depth of nesting breaks it, and writes a pointer only for what it reports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airgap_check.objectos.artifact import area as areas
from airgap_check.objectos.artifact import destination, leak
from airgap_check.objectos.artifact.found import Found
from airgap_check.objectos.artifact.pointer import Node, write
from airgap_check.objectos.artifact.sink import Sink
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airgap_check.evidence.asset import Dialer
    from airgap_check.objectos.artifact.area import Area, Meaning
    from airgap_check.objectos.artifact.destination import Destination
    from airgap_check.objectos.artifact.found import Flaw

_LENGTH = 512
_SHAPE = 64  # names of a structure that is worth remembering
_DRIVERS = {
    "postgres": 5432, "pg": 5432, "mysql": 3306, "mariadb": 3306, "mongo": 27017, "mssql": 1433, "sqlserver": 1433,
    "oracle": 1521, "redis": 6379, "clickhouse": 8123, "turso": 443, "libsql": 443, "cassandra": 9042, "elastic": 9200,
}  # fmt: skip
# Providers that go somewhere without being told (packages/connectors/slack/src/slack-connector.ts).
_PROVIDERS = {"slack": "https://slack.com/api"}
_BARE_PLUGIN = frozenset(
    {"id", "name", "type", "version", "enabled", "package", "dependencies", "description", "label"}
)


def walk(value: object, root: str) -> Iterator[Found | Flaw]:
    """Walk a decoded piece: a whole artifact by its parts, anything else (a column of a row) by its names."""
    sink = Sink(bounded=False)
    if isinstance(value, dict) and isinstance(value.get("manifest"), dict):
        for name, part in value.items():
            walk_part(areas.section(str(name)), part, Node(Node(None, root), str(name)), sink)
    else:
        walk_part(areas.GENERIC, value, Node(None, root), sink)
    yield from sink.found
    yield from sink.flaws()


def walk_item(kind: str, value: object, root: str) -> Iterator[Found | Flaw]:
    """Walk one piece of metadata of a kind: a ``webhook``, a ``flow``, a ``datasource`` ..."""
    sink = Sink(bounded=False)
    walk_part(areas.of_kind(kind), value, Node(None, root), sink)
    yield from sink.found
    yield from sink.flaws()


def walk_part(area: Area, value: object, place: Node, sink: Sink, *, wary: bool = True) -> None:
    """Walk a part of an artifact; without ``wary`` no text in it is a secret, or a path, by its looks."""
    stack = [_Frame(place.parent, place.key, value, area, dialer=area.dialer, under=place.name, port=None)]
    while stack:
        frame = stack.pop()
        if frame.area is areas.QUIET and not wary:
            continue
        children: list[_Frame] = []
        if isinstance(frame.value, dict):
            _mapping(frame, children, sink, wary=wary)
        elif isinstance(frame.value, list):
            _sequence(frame, children, sink, wary=wary)
        elif isinstance(frame.value, str):
            _text(frame, frame.under, frame.value, place, sink, wary=wary)
        children.reverse()
        stack += children


class _Frame(Node):
    """A structure to be walked: who would dial what it names, the name that it stands under, the port beside it."""

    __slots__ = ("area", "dialer", "port", "under", "value")

    def __init__(
        self,
        parent: Node | None,
        key: str | int,
        value: Any,
        area: Area,
        *,
        dialer: Dialer,
        under: str,
        port: int | None,
    ) -> None:
        self.parent, self.key = parent, key
        self.value, self.area, self.dialer, self.under, self.port = value, area, dialer, under, port


def _sequence(frame: _Frame, children: list[_Frame], sink: Sink, *, wary: bool) -> None:
    """Walk a list; its texts stand under the name of the list."""
    telling = areas.meaning(frame.area, frame.under).kind != "nothing"
    for index, item in enumerate(frame.value):
        if isinstance(item, str):
            if wary or telling:
                _text(frame, frame.under, item, Node(frame, index), sink, wary=wary)
        elif item and isinstance(item, (dict, list)):
            children.append(
                _Frame(frame, index, item, frame.area, dialer=frame.dialer, under=frame.under, port=frame.port)
            )


def _mapping(frame: _Frame, children: list[_Frame], sink: Sink, *, wary: bool) -> None:
    value, area = frame.value, frame.area
    if "port" in value:
        frame.port = _port(value["port"]) or frame.port
    if area in _SETTLED:
        _settle(frame, sink)
    telling = areas.telling(area, tuple(value)) if len(value) <= _SHAPE else value.keys()
    for name, item in value.items():
        kind = type(item)
        if kind is str:
            if wary or name in telling:
                _text(frame, name, item, Node(frame, name), sink, wary=wary)
        elif item and (kind is dict or kind is list):
            children.append(_below(frame, name, item))
            if kind is dict and "dialect" in item and areas.meaning(area, name).kind in {"url", "host"}:
                one = destination.Destination(str(item.get("source", "")), None)
                _destination(frame, areas.meaning(area, name), one, children[-1], sink)


def _below(frame: _Frame, name: str, item: Any) -> _Frame:
    """Enter a structure. What nobody dials stays so below, and what is dialled at boot with its datasource as well."""
    steps_below = isinstance(item, dict) and "nodes" in item  # the body of a loop, not that of a request
    into = frame.area if steps_below else areas.below(frame.area, name)
    stays = (
        into is frame.area or frame.dialer == "nobody" or (into.role == "database" and frame.dialer == "server-boot")
    )
    dialer = frame.dialer if stays else into.dialer
    return _Frame(frame, name, item, into, dialer=dialer, under=name, port=frame.port)


def _port(value: object) -> int | None:
    """Read a port as a number or as digits."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6:
        value = int(value)
    if isinstance(value, (int, float)) and 0 < value < 65536 and value == int(value):
        return int(value)
    return None


# --- what a structure says of itself as a whole ----------------------------------------------------------------------

_SETTLED = frozenset({areas.DATASOURCES, areas.WEBHOOKS, areas.CONNECTORS, areas.PLUGINS})


def _settle(frame: _Frame, sink: Sink) -> None:
    """Work out whether a structure is in use, when it is dialled, at which port, and where it goes untold."""
    value, area = frame.value, frame.area
    if area is areas.PLUGINS:
        _plugin(frame, sink)
        return
    if area is areas.DATASOURCES and "driver" in value:
        driver = str(value["driver"]).lower().rpartition(".")[2]
        frame.port = next((number for name, number in _DRIVERS.items() if driver.startswith(name)), None)
        if value.get("schemaMode") == "external" or value.get("autoConnect") is True:
            frame.dialer = "server-boot"
    switch = "enabled" if area is areas.CONNECTORS else "isActive" if area is areas.WEBHOOKS else "active"
    if value.get(switch) is False:
        frame.dialer = "nobody"
    provider = value.get("provider")
    if area is areas.CONNECTORS and isinstance(provider, str) and provider in _PROVIDERS:
        settings = value.get("providerConfig")
        if not (isinstance(settings, dict) and settings.get("baseUrl")):
            _text(frame, "url", _PROVIDERS[provider], Node(frame, "provider"), sink, wary=False)


def _plugin(frame: _Frame, sink: Sink) -> None:
    """Report a plug-in whose state was written out with the artifact."""
    if isinstance(frame.key, int) and not isinstance(frame.parent_key, int) and frame.under == "plugins":
        kept = [printable(str(name)[:64]) for name in frame.value if name not in _BARE_PLUGIN]
        if kept:
            detail = f"{printable(str(frame.value.get('name') or 'a plug-in')[:64])}: {', '.join(kept[:8])}"
            sink.flaw("plugin-state", detail, write(frame))


# --- texts -----------------------------------------------------------------------------------------------------------


def _text(frame: _Frame, name: str, text: str, place: Node, sink: Sink, *, wary: bool) -> None:
    """Judge one text by the name that it stands under, and by its looks."""
    area = frame.area
    meaning = areas.meaning(area, name)
    secret = leak.looks_secret(text) if wary else None
    if meaning.kind == "secret":
        if not secret and leak.is_secret_value(name, text):
            secret = f"a value under {printable(name[:64])}"
    elif meaning.kind == "nothing":
        if area.sight != "quiet" and (path := leak.build_path(text)):
            sink.flaw("build-path", url(path)[:_LENGTH], write(place))
    elif meaning.kind != "arguments" or "://" in text:
        if not secret and meaning.kind != "markup" and leak.hides_in_url(text):
            secret = "a credential in a URL"  # noqa: S105 - says what was found, and not which
        if meaning.kind == "markup":
            found = tuple(destination.in_markup(text))
        else:
            found = destination.read(text, port=frame.port, host=area.hosts and meaning.kind == "host")
        for one in found:
            _destination(frame, meaning, one, place, sink)
    if secret:
        sink.flaw("secret-inside", secret, write(place))


def _destination(frame: _Frame, meaning: Meaning, one: Destination, place: Node, sink: Sink) -> None:
    dialer = frame.dialer if frame.dialer == "nobody" else meaning.dialer or frame.dialer
    role = meaning.role or frame.area.role
    if sink.wants(one.endpoint, one.text, dialer, role):
        text = leak.shown_url(one.text)[:_LENGTH]
        sink.found.append(Found(write(place), text, role, dialer, one.endpoint, templated=one.endpoint is None))
