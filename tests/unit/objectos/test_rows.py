"""Rows of the business database name destinations, and each is told with who would go there."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos import rows

TABLES = {table.name: table for table in rows.TABLES}
HOOK = "https://hooks.partner.example/in"


def names(table: str, *given_rows: rows.Row, told: tuple[str, ...] = ()) -> list[tuple[str, str | None, str]]:
    found = rows.references(TABLES[table], given_rows, told.__contains__)
    ends = ((one, one.endpoint) for one in found)
    return [(one.pointer, end.name or end.address if end else None, one.dialer) for one, end in ends]


@pytest.mark.parametrize(("active", "dialer"), [("1", "server-event"), ("true", "server-event"), (None, "server-event"),
                                                ("0", "nobody"), ("false", "nobody"), ("f", "nobody")])  # fmt: skip
def test_a_webhook_is_dialled_unless_it_is_switched_off(active: str | None, dialer: str) -> None:
    row: rows.Row = {"id": "k1", "url": HOOK, "active": active, "definition_json": "{}"}
    assert names("sys_webhook", row) == [("row[k1].url", "hooks.partner.example", dialer)]


def test_the_definition_of_a_webhook_may_name_another_place() -> None:
    row: rows.Row = {"id": "k1", "url": HOOK, "definition_json": json.dumps({"url": "https://other.example/"})}
    assert ("row[k1].definition_json.url", "other.example", "server-event") in names("sys_webhook", row)


def test_a_token_in_a_url_is_not_shown() -> None:
    row: rows.Row = {"id": "1", "url": "https://user:swordfish@hooks.partner.example/?token=swordfish"}
    assert "swordfish" not in repr(list(rows.references(TABLES["sys_webhook"], [row])))


def test_a_host_that_is_a_template_is_unknowable() -> None:
    (found,) = rows.references(TABLES["sys_webhook"], [{"id": "1", "url": "https://{{record.host}}/in"}])
    assert found.templated
    assert found.endpoint is None


def test_deliveries_are_told_once_a_place_and_status() -> None:
    queue: list[rows.Row] = [{"url": f"{HOOK}?n={number}", "status": "pending"} for number in range(9)]
    assert names("sys_http_delivery", *queue, {"url": HOOK, "status": "success"}) == [
        ("rows[status=pending].url", "hooks.partner.example", "server-event"),
        ("rows[status=success].url", "hooks.partner.example", "server-event"),
    ]


def setting(key: str, value: str, namespace: str = "mail") -> rows.Row:
    return {"id": key, "namespace": namespace, "key": key, "value": value, "scope": "global"}


def test_a_setting_is_the_variable_of_its_namespace_and_key_with_the_port_beside_it() -> None:
    (found,) = rows.references(
        TABLES["sys_setting"], [setting("smtp_host", "mail.partner.example"), setting("smtp_port", "2525")]
    )
    assert found.endpoint
    assert (found.endpoint.name, found.endpoint.port, found.role) == ("mail.partner.example", 2525, "smtp")


def test_a_setting_that_the_environment_overrides_is_not_in_force() -> None:
    row = setting("smtp_host", "mail.partner.example")
    assert [dialer for *_, dialer in names("sys_setting", row, told=("OS_MAIL_SMTP_HOST",))] == ["nobody"]


def test_a_setting_that_nobody_knows_but_is_called_like_a_destination_is_one() -> None:
    row = setting("partner_url", '"https://api.partner.example"', "custom")
    assert names("sys_setting", row) == [
        ("row[partner_url] OS_CUSTOM_PARTNER_URL", "api.partner.example", "server-event")
    ]


@pytest.mark.parametrize(("namespace", "key", "value", "host"), [
    ("mail", "provider", "resend", "api.resend.com"), ("sms", "provider", "twilio", "api.twilio.com"),
])  # fmt: skip
def test_a_provider_implies_its_service(namespace: str, key: str, value: str, host: str) -> None:
    assert host in [name for _, name, _ in names("sys_setting", setting(key, value, namespace))]


@pytest.mark.parametrize("value", ["", "mail", None])
def test_what_names_no_place_is_none(value: str | None) -> None:
    assert names("sys_setting", {"id": "1", "namespace": "mail", "key": "from_name", "value": value}) == []


def test_an_oidc_provider_is_fetched_by_the_server_and_visited_by_browsers() -> None:
    config = {
        "clientSecret": "swordfish", "tokenEndpoint": "https://idp.example/token",
        "authorizationEndpoint": "https://login.example/authorize",
    }  # fmt: skip
    row: rows.Row = {"id": "p", "issuer": "https://idp.example", "oidc_config": json.dumps(config)}
    assert names("sys_sso_provider", row) == [
        ("row[p].issuer", "idp.example", "server-event"),
        ("row[p].oidc_config.tokenEndpoint", "idp.example", "server-event"),
        ("row[p].oidc_config.authorizationEndpoint", "login.example", "browser"),
    ]
    assert "swordfish" not in repr(list(rows.references(TABLES["sys_sso_provider"], [row])))


def test_a_saml_provider_sends_browsers_and_its_issuer_is_a_mere_name() -> None:
    metadata = '<md:EntityDescriptor><md:SingleSignOnService Binding="x" Location="https://sso.example/redirect"/>'
    config = {"entryPoint": "https://sso.example/post", "idpMetadata": {"metadata": metadata}}
    row: rows.Row = {"id": "p", "issuer": "https://idp.example/id", "saml_config": json.dumps(config)}
    assert names("sys_sso_provider", row) == [
        ("row[p].issuer", "idp.example", "nobody"),
        ("row[p].saml_config.entryPoint", "sso.example", "browser"),
        ("row[p].saml_config.idpMetadata.metadata SingleSignOnService", "sso.example", "browser"),
    ]


@pytest.mark.parametrize(("state", "dialer"), [("active", "server-event"), (None, "server-event"), ("draft", "nobody")])
def test_metadata_is_walked_as_the_piece_of_an_artifact_that_it_is(state: str | None, dialer: str) -> None:
    piece = json.dumps({"name": "partner", "url": HOOK, "object": "demo_note"})
    row: rows.Row = {"id": "m", "type": "webhook", "metadata": piece, "state": state}
    assert ("hooks.partner.example", dialer) in [(name, who) for _, name, who in names("sys_metadata", row)]


CELLS = st.one_of(st.none(), st.text(max_size=60), st.from_regex(r"https?://[\w.{}:@/-]{1,40}"))
JSON = st.recursive(
    st.none() | st.text(max_size=9), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner)
)


@given(table=st.sampled_from(rows.TABLES), cells=st.lists(CELLS, min_size=8, max_size=8), nested=JSON)
def test_no_row_is_too_strange(table: rows.Table, cells: list[str | None], nested: object) -> None:
    row = dict(zip(table.columns, cells, strict=False)) | {table.columns[-1]: json.dumps(nested)}
    for found in rows.references(table, [row, dict.fromkeys(table.columns)]):
        assert found.text.isprintable()
        assert found.pointer.isprintable()


def test_a_control_character_hides_no_url() -> None:
    assert names("sys_webhook", {"id": "1", "url": f"\0 {HOOK}"}) == [
        ("row[1].url", "hooks.partner.example", "server-event")
    ]
