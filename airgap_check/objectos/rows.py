"""Knows which tables of the business database name destinations, and reads them out of a row.

Columns differ by version of the product, so a table is read by the columns that it has. What is encrypted at rest is
never asked for. Sources: the schemas in the packages plugin-webhooks, service-settings, service-messaging,
platform-objects and @better-auth/sso that the runtime ships.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check.objectos import artifact, endpoint, settings
from airgap_check.objectos.artifact import Found
from airgap_check.redact import printable, url, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from airgap_check.evidence.asset import Dialer

Row = dict[str, str | None]

CELL = 1 << 20  # characters of one value: metadata of a kind is a few thousand, and a row may hold gigabytes
ROWS = 5000  # of one table
_TEXT = 512
_CONTROLS = "".join(map(chr, range(33)))  # what URL parsers drop at both ends (WHATWG URL, 4.4)


class Table(NamedTuple):
    """A table that may name destinations: the columns to ask for, and those without which it says nothing.

    ``key`` is the column that tells a row. Rows that agree in ``grouped`` are one: a queue holds millions.
    """

    name: str
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    key: str | None = "id"
    grouped: bool = False


TABLES = (
    Table("sys_webhook", ("id", "url", "active", "definition_json"), ("url",)),
    Table("sys_setting", ("id", "namespace", "key", "value", "scope"), ("namespace", "key", "value")),
    Table("sys_sso_provider", ("id", "issuer", "oidc_config", "saml_config"), ("issuer",)),
    Table("sys_http_delivery", ("url", "status"), ("url",), key=None, grouped=True),
    Table("sys_metadata", ("id", "type", "name", "state", "metadata"), ("type", "metadata")),
)


def references(table: Table, rows: Sequence[Row], told: Callable[[str], bool] = lambda _: False) -> Iterator[Found]:
    """Yield what the rows of a table name; ``told`` says of a variable whether it overrides a stored setting."""
    if table.name == "sys_setting":
        yield from _settings(rows, told)
        return
    read = {"sys_webhook": _webhook, "sys_sso_provider": _provider, "sys_metadata": _metadata}.get(table.name)
    if read is None:
        yield from _deliveries(rows)
        return
    for index, row in enumerate(rows):
        yield from read(row, f"row[{_shown(row.get('id') or str(index), 64)}]")


def _shown(text: str, limit: int = _TEXT) -> str:
    return url(printable(text[: limit * 4]))[:limit]


def _named(text: str | None, pointer: str, role: str | None, dialer: Dialer) -> Iterator[Found]:
    """Yield the places that one text names; a template in place of the host is one that nobody can know."""
    if not text or not text.strip():
        return
    text = text[: _TEXT * 4].strip(_CONTROLS)
    shown = _shown(text)
    ends = endpoint.parse(text)
    for end in ends:
        yield Found(pointer, shown, role, dialer, end, False)  # noqa: FBT003  (the field `templated` of a tuple)
    if not ends and re.search(r"\{[^}]*\}|\$[A-Za-z_{(]", text[:_TEXT]):
        yield Found(pointer, shown, role, dialer, None, True)  # noqa: FBT003


def _is_false(text: str | None) -> bool:
    """Tell whether a boolean column says no; SQLite stores numbers, PostgreSQL says `f` or `false`."""
    return text is not None and text.strip().lower() in {"0", "f", "false", "no", "off", "0.0"}


def _webhook(row: Row, at: str) -> Iterator[Found]:
    """Read `sys_webhook`; the server calls the column `url`, and takes the rest from the definition beside it."""
    dialer: Dialer = "nobody" if _is_false(row.get("active")) else "server-event"
    yield from _named(row.get("url"), f"{at}.url", "webhook", dialer)
    definition = decoded(row.get("definition_json"))
    if isinstance(definition, dict):
        inner = definition.get("url")
        if isinstance(inner, str) and inner != row.get("url"):
            yield from _named(inner, f"{at}.definition_json.url", "webhook", dialer)


def _deliveries(rows: Iterable[Row]) -> Iterator[Found]:
    """Read `sys_http_delivery`: what was sent, and what still will be. A place is stated once for each status."""
    stated: set[tuple[object, str]] = set()
    for row in rows:
        status = _shown(row.get("status") or "unknown", 32)
        for found in _named(row.get("url"), f"rows[status={status}].url", "webhook", "server-event"):
            key = (found.endpoint or found.text, status)
            if key not in stated:
                stated.add(key)
                yield found


def _settings(rows: Sequence[Row], told: Callable[[str], bool]) -> Iterator[Found]:
    """Read `sys_setting`: each row is the variable ``OS_<NAMESPACE>_<KEY>``, which overrides it where it is set."""
    stored: dict[str | None, dict[str, str]] = {}
    for row in rows:
        if (door := _door(row)) and (text := _stored(row)):
            stored.setdefault(row.get("scope"), {})[door] = text
    for index, row in enumerate(rows):
        door, text = _door(row), _stored(row)
        known = settings.variable(door) if door else None
        if not (door and text and known):
            continue
        pointer = f"row[{_shown(row.get('id') or str(index), 64)}] {_shown(door, 128)}"
        shown = value(door, text[: _TEXT * 4])[:_TEXT]
        dialer: Dialer = "nobody" if told(door) else "server-event"
        for end in settings.endpoints(door, text, stored[row.get("scope")])[:64]:
            yield Found(pointer, shown, known.role, dialer, end, False)  # noqa: FBT003


def _door(row: Row) -> str | None:
    namespace, key = row.get("namespace"), row.get("key")
    if not namespace or not key or len(namespace) + len(key) > _TEXT:
        return None
    return re.sub(r"[^A-Z0-9]+", "_", f"OS_{namespace}_{key}".upper())


def _stored(row: Row) -> str | None:
    """Return the value of a setting as a variable would have it; text may be stored as a JSON string."""
    text = row.get("value")
    if text and text.startswith('"'):
        inner = decoded(text)
        return inner if isinstance(inner, str) else text
    return text


_OIDC: Mapping[str, Dialer] = {
    "issuer": "server-event", "discoveryEndpoint": "server-event", "tokenEndpoint": "server-event",
    "jwksEndpoint": "server-event", "userInfoEndpoint": "server-event", "authorizationEndpoint": "browser",
}  # fmt: skip
_SAML: Mapping[str, Dialer] = {"entryPoint": "browser", "logoutUrl": "browser"}
_LOCATION = re.compile(r'<(?:\w+:)?(\w+)\b[^<>]{0,2048}?\bLocation\s*=\s*"([^"<>]{1,2048})"')


def _provider(row: Row, at: str) -> Iterator[Found]:
    """Read `sys_sso_provider`: the server fetches what OIDC discovers, browsers are sent where SAML says."""
    oidc, saml = decoded(row.get("oidc_config")), decoded(row.get("saml_config"))
    is_saml = isinstance(saml, dict) and not isinstance(oidc, dict)
    # The issuer of SAML is an identifier that only looks like a URL; that of OIDC is where discovery begins.
    yield from _named(row.get("issuer"), f"{at}.issuer", "idp", "nobody" if is_saml else "server-event")
    if isinstance(oidc, dict):
        for name, dialer in _OIDC.items():
            yield from _named(_text(oidc.get(name)), f"{at}.oidc_config.{name}", "idp", dialer)
    if isinstance(saml, dict):
        for name, dialer in _SAML.items():
            yield from _named(_text(saml.get(name)), f"{at}.saml_config.{name}", "idp", dialer)
        yield from _saml_metadata(saml.get("idpMetadata"), f"{at}.saml_config.idpMetadata")


def _saml_metadata(metadata: object, at: str) -> Iterator[Found]:
    """Read the metadata of an identity provider, as JSON or as XML (SAML 2.0 metadata, 2.2.2: Location)."""
    if not isinstance(metadata, dict):
        return
    for name in ("singleSignOnService", "singleLogoutService"):
        services = metadata.get(name)
        for index, service in enumerate(services[:64] if isinstance(services, list) else ()):
            if isinstance(service, dict):
                pointer = f"{at}.{name}[{index}].Location"
                yield from _named(_text(service.get("Location")), pointer, "idp", "browser")
    xml = _text(metadata.get("metadata")) or ""
    for match in list(_LOCATION.finditer(xml[:CELL]))[:64]:
        dialer: Dialer = "server-event" if match[1] == "ArtifactResolutionService" else "browser"
        yield from _named(match[2], f"{at}.metadata {match[1]}", "idp", dialer)


def _metadata(row: Row, at: str) -> Iterator[Found]:
    """Read `sys_metadata`: one piece of an artifact a row, of the kind that `type` names."""
    piece = decoded(row.get("metadata"))
    in_force = (row.get("state") or "active").strip().lower() == "active"
    for found in artifact.walk_item(row.get("type") or "", piece, f"{at}.metadata") if piece is not None else ():
        if isinstance(found, Found):
            yield found if in_force else found._replace(dialer="nobody")


def _text(something: object) -> str | None:
    return something if isinstance(something, str) else None


def decoded(text: str | None) -> object:
    """Decode JSON that may be none; what is not JSON is None, as the runtime takes it."""
    if not text or len(text) > CELL:
        return None
    try:
        return msgspec.json.decode(text.encode(errors="replace"))
    except (msgspec.DecodeError, RecursionError):
        return None
