"""Where each part of an artifact leads, who would dial it, and what leads nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.objectos.artifact import Flaw, Found, walk, walk_item


def _found(value: Any) -> list[tuple[str, str | None, str]]:
    """List (pointer, host:port or None where it is a template, dialer) of an artifact."""
    whole = {"manifest": {"id": "a"}, **value}
    return [(one.pointer, _place(one), one.dialer) for one in walk(whole, "$") if isinstance(one, Found)]


def _place(one: Found) -> str | None:
    if one.endpoint is None:
        assert one.templated
        return None
    return f"{one.endpoint.name or one.endpoint.address}:{one.endpoint.port}"


def _flaws(value: Any) -> list[tuple[str, str | None]]:
    whole = {"manifest": {"id": "a"}, **value}
    return [(one.aspect, one.pointer) for one in walk(whole, "$") if isinstance(one, Flaw)]


_HTTP = {"type": "http", "config": {"url": "https://h.example/x"}}
_EVENT, _BOOT, _BROWSER, _NOBODY = "server-event", "server-boot", "browser", "nobody"


@pytest.mark.parametrize(
    ("artifact", "expected"),
    [
        (
            {"datasources": [{"driver": "postgres", "schemaMode": "external", "config": {"host": "pg.example"}}]},
            [("$.datasources[0].config.host", "pg.example:5432", _BOOT)],
        ),
        (
            {"datasources": [{"driver": "mysql", "config": {"host": "db", "port": 3307}}]},
            [("$.datasources[0].config.host", "db:3307", _EVENT)],
        ),
        (
            {"datasources": [{"driver": "turso", "config": {"url": "file:x", "syncUrl": "libsql://t.example"}}]},
            [("$.datasources[0].config.syncUrl", "t.example:443", _EVENT)],
        ),
        (
            {"datasources": [{"driver": "mongodb", "active": False, "config": {"url": "mongodb://m.example/x"}}]},
            [("$.datasources[0].config.url", "m.example:27017", _NOBODY)],
        ),
        (
            {"datasources": [{"driver": "mysql", "config": {"host": "db"}}, {"config": {"host": "{{env.DB}}"}}]},
            [("$.datasources[0].config.host", "db:3306", _EVENT), ("$.datasources[1].config.host", None, _EVENT)],
        ),
        ({"webhooks": [{"url": "https://w.example/x"}]}, [("$.webhooks[0].url", "w.example:443", _EVENT)]),
        (
            {"webhooks": [{"url": "https://w.example/x", "isActive": False}]},
            [("$.webhooks[0].url", "w.example:443", _NOBODY)],
        ),
        ({"webhooks": [{"url": "https://w.example/{id}?a={{b}}"}]}, [("$.webhooks[0].url", "w.example:443", _EVENT)]),
        ({"webhooks": [{"url": "https://{tenant}.w.example/"}]}, [("$.webhooks[0].url", None, _EVENT)]),
        ({"webhooks": [{"url": "${BASE}/x"}]}, [("$.webhooks[0].url", None, _EVENT)]),
        ({"webhooks": [{"url": "https://w.example:{port}/"}]}, [("$.webhooks[0].url", None, _EVENT)]),
        ({"webhooks": [{"url": "https://{user}@w.example/"}]}, [("$.webhooks[0].url", "w.example:443", _EVENT)]),
        ({"flows": [{"nodes": [_HTTP]}]}, [("$.flows[0].nodes[0].config.url", "h.example:443", _EVENT)]),
        (
            {"flows": [{"nodes": [{"config": {"branches": [{"nodes": [_HTTP]}]}}]}]},
            [("$.flows[0].nodes[0].config.branches[0].nodes[0].config.url", "h.example:443", _EVENT)],
        ),
        (
            {"flows": [{"nodes": [{"config": {"try": {"nodes": [_HTTP]}, "catch": {"nodes": [_HTTP]}}}]}]},
            [
                ("$.flows[0].nodes[0].config.try.nodes[0].config.url", "h.example:443", _EVENT),
                ("$.flows[0].nodes[0].config.catch.nodes[0].config.url", "h.example:443", _EVENT),
            ],
        ),
        (
            {"flows": [{"nodes": [{"type": "loop", "config": {"body": {"nodes": [_HTTP]}}}]}]},
            [("$.flows[0].nodes[0].config.body.nodes[0].config.url", "h.example:443", _EVENT)],
        ),
        (
            {"flows": [{"nodes": [{"type": "notify", "config": {"actionUrl": "https://h.example/"}}]}]},
            [("$.flows[0].nodes[0].config.actionUrl", "h.example:443", _BROWSER)],
        ),
        (
            {"flows": [{"nodes": [{"config": {"url": {"dialect": "cel", "source": "record.url"}}}]}]},
            [("$.flows[0].nodes[0].config.url", None, _EVENT)],
        ),
        (
            {"connectors": [{"provider": "openapi", "providerConfig": {"spec": "https://s.example/openapi.json"}}]},
            [("$.connectors[0].providerConfig.spec", "s.example:443", _BOOT)],
        ),
        (
            {
                "connectors": [
                    {"provider": "openapi", "providerConfig": {"spec": {"servers": [{"url": "https://s.example"}]}}}
                ]
            },
            [("$.connectors[0].providerConfig.spec.servers[0].url", "s.example:443", _EVENT)],
        ),
        (
            {"connectors": [{"provider": "mcp", "providerConfig": {"transport": {"url": "http://mcp:8080/x"}}}]},
            [("$.connectors[0].providerConfig.transport.url", "mcp:8080", _BOOT)],
        ),
        (
            {"connectors": [{"provider": "mcp", "transport": {"command": "x", "args": ["-y", "http://a.example"]}}]},
            [("$.connectors[0].transport.args[1]", "a.example:80", _BOOT)],
        ),
        (
            {"connectors": [{"provider": "rest", "providerConfig": {"baseUrl": "api.example:8443"}}]},
            [("$.connectors[0].providerConfig.baseUrl", "api.example:8443", _EVENT)],
        ),
        (
            {"connectors": [{"provider": "rest", "authentication": {"tokenUrl": "https://idp.example/t"}}]},
            [("$.connectors[0].authentication.tokenUrl", "idp.example:443", _EVENT)],
        ),
        ({"connectors": [{"provider": "slack"}]}, [("$.connectors[0].provider", "slack.com:443", _EVENT)]),
        (
            {"connectors": [{"provider": "slack", "providerConfig": {"baseUrl": "https://chat.bank.example"}}]},
            [("$.connectors[0].providerConfig.baseUrl", "chat.bank.example:443", _EVENT)],
        ),
        (
            {"plugins": [{"name": "marketplace-proxy", "cloudUrl": "https://cloud.example"}]},
            [("$.plugins[0].cloudUrl", "cloud.example:443", _NOBODY)],
        ),
        (
            {"actions": [{"type": "url", "target": "https://a.example"}]},
            [("$.actions[0].target", "a.example:443", _BROWSER)],
        ),
        (
            {"objects": [{"actions": [{"newTabUrl": "https://a.example"}]}]},
            [("$.objects[0].actions[0].newTabUrl", "a.example:443", _BROWSER)],
        ),
        (
            {"apps": [{"areas": [{"navigation": [{"url": "//a.example/x"}]}]}]},
            [("$.apps[0].areas[0].navigation[0].url", "a.example:443", _BROWSER)],
        ),
        (
            {"dashboards": [{"header": {"actions": [{"actionUrl": "http://a.example"}]}}]},
            [("$.dashboards[0].header.actions[0].actionUrl", "a.example:80", _BROWSER)],
        ),
        (
            {"views": [{"data": {"provider": "api", "read": {"url": "https://a.example/v"}}}]},
            [("$.views[0].data.read.url", "a.example:443", _BROWSER)],
        ),
        (
            {"pages": [{"source": "<script src='//c.example/x.js'></script><a href=https://d.example>"}]},
            [("$.pages[0].source", "c.example:443", _BROWSER), ("$.pages[0].source", "d.example:443", _BROWSER)],
        ),
        ({"apis": [{"type": "proxy", "target": "http://b.example/"}]}, [("$.apis[0].target", "b.example:80", _EVENT)]),
        (
            {"agents": [{"model": {"baseURL": "https://ai.example"}}]},
            [("$.agents[0].model.baseURL", "ai.example:443", _EVENT)],
        ),
        ({"novelty": {"syslog-host": "log.a.example"}}, [("$.novelty.syslog-host", "log.a.example:None", _EVENT)]),
        ({"novelty": {"hosts": ["a.b.example", "10.1.2.3"]}}, [
            ("$.novelty.hosts[0]", "a.b.example:None", _EVENT), ("$.novelty.hosts[1]", "10.1.2.3:None", _EVENT),
        ]),
        ({"novelty": {"a b": {"url": "https://n.example"}}}, [('$.novelty["a b"].url', "n.example:443", _EVENT)]),
    ],
)  # fmt: skip
def test_each_destination_is_found_where_it_stands_with_who_dials_it(
    artifact: dict[str, Any], expected: list[tuple[str, str | None, str]]
) -> None:
    assert _found(artifact) == expected


@pytest.mark.parametrize(
    "artifact",
    [
        {"actions": [{"type": "url", "target": text}]}
        for text in (
            "/records/{id}",
            "./x",
            "?q=1",
            "#top",
            "mailto:a@b.example",
            "tel:1",
            "data:text/plain,x",
            "run_flow",
        )
    ]
    + [
        {"apps": [{"branding": {"logo": "https://cdn.example/logo.png", "url": "https://cdn.example"}}]},
        {"emailTemplates": [{"bodyHtml": "<a href='https://x.example'>", "url": "https://x.example"}]},
        {"docs": [{"content": "see https://x.example"}]},
        {"translations": [{"en": {"objects": {"a": {"url": "https://x.example"}}}}]},
        {"data": [{"object": "a", "records": [{"url": "https://x.example", "host": "x.example"}]}]},
        {"objects": [{"description": "see https://x.example", "fields": {"url": {"type": "url", "label": "URL"}}}]},
        {"hooks": [{"body": {"language": "js", "source": "fetch('https://x.example')", "url": "https://x.example"}}]},
        {"actions": [{"type": "script", "body": {"source": "'https://x.example'"}}]},
        {"flows": [{"nodes": [{"config": {"body": {"url": "https://x.example"}}}]}]},
        {"server": {"host": "0.0.0.0", "port": 8080}, "api": {"baseUrl": "https://crm.bank.example"}},
        {
            "objects": [
                {"datasource": "default", "fields": {"a": {"endpoint": "crm.create_account", "url": "record.website"}}}
            ]
        },
        {"pages": [{"source": "<svg xmlns='http://www.w3.org/2000/svg'> // not a link"}]},
    ],
)
def test_what_leads_nowhere_is_no_destination(artifact: dict[str, Any]) -> None:
    assert _found(artifact) == []


@pytest.mark.parametrize(
    ("kind", "value", "dialer"),
    [
        ("webhook", {"url": "https://x.example"}, _EVENT),
        ("view", {"data": {"read": {"url": "https://x.example"}}}, _BROWSER),
        ("dashboards", {"url": "https://x.example"}, _BROWSER),
        ("unheard_of", {"url": "https://x.example"}, _EVENT),
        ("email_template", {"url": "https://x.example"}, None),
    ],
)
def test_a_single_piece_of_metadata_is_walked_by_its_kind(kind: str, value: Any, dialer: str | None) -> None:
    assert [one.dialer for one in walk_item(kind, value, "$.metadata") if isinstance(one, Found)] == [dialer] * bool(
        dialer
    )


def test_a_column_of_a_row_is_walked_by_its_names() -> None:
    (one,) = walk({"issuer": "https://idp.example", "clientId": "x"}, "oidc_config")
    assert isinstance(one, Found)
    assert (one.pointer, one.dialer) == ("oidc_config.issuer", _EVENT)


_SECRET = "Ub7-kPq2xW9"


@pytest.mark.parametrize(
    ("artifact", "pointer"),
    [
        ({"datasources": [{"config": {"host": "db", "password": _SECRET}}]}, "$.datasources[0].config.password"),
        ({"datasources": [{"config": {"url": f"postgres://u:{_SECRET}@db.example/x"}}]}, "$.datasources[0].config.url"),
        ({"webhooks": [{"secret": _SECRET}]}, "$.webhooks[0].secret"),
        ({"webhooks": [{"headers": {"Authorization": f"Bearer {_SECRET}"}}]}, "$.webhooks[0].headers.Authorization"),
        ({"webhooks": [{"headers": {"X-Api-Key": _SECRET}}]}, "$.webhooks[0].headers.X-Api-Key"),
        ({"webhooks": [{"url": f"https://h.example/x?token={_SECRET}"}]}, "$.webhooks[0].url"),
        ({"connectors": [{"auth": {"type": "api-key", "key": _SECRET}}]}, "$.connectors[0].auth.key"),
        ({"plugins": [{"name": "x", "options": {"token": _SECRET}}]}, "$.plugins[0].options.token"),
        ({"flows": [{"nodes": [{"config": {"signingSecret": _SECRET}}]}]}, "$.flows[0].nodes[0].config.signingSecret"),
        ({"docs": [{"content": "-----BEGIN PRIVATE KEY-----\nMIIx\n"}]}, "$.docs[0].content"),
        ({"data": [{"records": [{"note": "ghp_0123456789abcdefABCDEF"}]}]}, "$.data[0].records[0].note"),
    ],
)  # fmt: skip
def test_a_secret_is_found_and_never_shown(artifact: dict[str, Any], pointer: str) -> None:
    assert ("secret-inside", pointer) in _flaws(artifact)
    assert _SECRET not in repr(list(walk({"manifest": {}, **artifact}, "$")))


@pytest.mark.parametrize(
    "artifact",
    [
        {"datasources": [{"config": {"password": "${DB_PW}"}, "external": {"credentialsRef": "secret:dw/password"}}]},
        {"connectors": [{"auth": {"credentialRef": "env:SLACK", "token": "{{secrets.slack}}"}}]},
        {"webhooks": [{"headers": {"Authorization": "Bearer {token}"}, "secret": ""}]},
        {"webhooks": [{"url": "https://h.example/x?token={token}"}]},
        {"objects": [{"fields": {"password": {"type": "password", "label": "Password"}}}]},
        {"views": [{"labels": {"password": "Password", "token": "API token"}}]},
        {"novelty": {"credentials": "include", "primaryKey": "id", "sortKey": "name", "csrfToken": "x1"}},
        {"translations": [{"en": {"password": "Passwort"}}]},
    ],
)  # fmt: skip
def test_a_reference_to_a_secret_or_a_label_is_none(artifact: dict[str, Any]) -> None:
    assert _flaws(artifact) == []


@pytest.mark.parametrize("path", ["/home/ada/crm/src/x.ts", "C:\\Users\\ada\\crm\\x.ts", "/Users/ada/crm/x.ts"])
def test_a_path_of_the_building_machine_is_found(path: str) -> None:
    assert _flaws({"functions": {"a": {"file": path}}}) == [("build-path", "$.functions.a.file")]
    assert _flaws({"docs": [{"content": path}]}) == []


def test_a_route_of_the_application_is_no_build_path() -> None:
    assert _flaws({"apps": [{"home": "/home/x", "url": "/home/ada/crm/x"}]}) == []


def test_written_out_state_of_a_plugin_is_found_once_a_plugin() -> None:
    state = [{"name": "a", "version": "1"}, {"name": "b", "cfg": {"deep": {"er": 1}}}, "c"]
    assert _flaws({"plugins": state}) == [("plugin-state", "$.plugins[1]")]


def test_control_characters_and_depth_harm_nothing() -> None:
    deep: Any = {"url": "https://x.example"}
    for _ in range(5000):
        deep = {"n": deep}
    (one,) = walk({"\x1b[31m": deep}, "$")
    assert isinstance(one, Found)
    assert "\x1b" not in one.pointer
    assert len(one.pointer) < 1100
