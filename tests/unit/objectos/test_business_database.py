"""Which database a runtime uses is told as the runtime tells it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos.business_database import default, login, named, of_url
from airgap_check.objectos.product import OBJECTOS, OBJECTSTACK, UNKNOWN

BOTH = {"OS_BUSINESS_DB_URL": "postgres://a.example/x", "OS_DATABASE_URL": "file:b.db"}


@pytest.mark.parametrize(
    ("product", "names"),
    [
        (OBJECTOS, ["OS_BUSINESS_DB_URL"]),
        (OBJECTSTACK, ["OS_DATABASE_URL"]),
        (UNKNOWN, ["OS_BUSINESS_DB_URL", "OS_DATABASE_URL"]),
    ],
)
def test_each_product_reads_its_own_variable_and_of_an_unknown_one_both_are_read(
    product: str, names: list[str]
) -> None:
    assert [one.named_by for one in named(product, BOTH)] == names


def test_an_empty_url_hides_the_next_name_but_not_the_one_after() -> None:
    settings = {"OS_DATABASE_URL": " ", "DATABASE_URL": "file:a.db", "TURSO_DATABASE_URL": "libsql://b.turso.io"}
    assert [one.named_by for one in named(OBJECTSTACK, settings)] == ["TURSO_DATABASE_URL"]


@pytest.mark.parametrize(
    ("url", "kind", "path"),
    [
        ("file:/srv/data.db", "sqlite", "/srv/data.db"),
        ("file:///srv/data.db", "sqlite", "/srv/data.db"),
        ("sqlite:///srv/data.db", "sqlite", "/srv/data.db"),
        ("file:./data.db", "sqlite", "./data.db"),
        ("data.db", "sqlite", "data.db"),
        ("wasm-sqlite:///srv/a.db", "sqlite", "/srv/a.db"),
        (":memory:", "memory", ""),
        ("memory://", "memory", ""),
        ("postgresql://u@h/d", "postgresql", ""),
        ("pg://u@h/d", "postgresql", ""),
        ("mysql://u@h/d", "other", ""),
        ("mongodb+srv://h/d", "other", ""),
        ("libsql://x.turso.io", "other", ""),
    ],
)
def test_a_url_means_what_the_runtime_makes_of_it(url: str, kind: str, path: str) -> None:
    found = of_url(url, "OS_DATABASE_URL")
    assert (found.kind, found.path) == (kind, path)


@pytest.mark.parametrize(
    ("settings", "files", "path"),
    [
        ({}, [], "/home/os/.objectstack/data/objectstack.db"),
        ({}, ["/home/os/.objectstack/data/dev.db"], "/home/os/.objectstack/data/dev.db"),
        ({}, ["/srv/objectstack.config.ts"], "/srv/.objectstack/data/objectstack.db"),
        ({"OS_HOME": "/var/os"}, ["/srv/objectstack.config.ts"], "/var/os/data/objectstack.db"),
        ({"OS_HOME": "~/state"}, [], "/home/os/state/data/objectstack.db"),
        ({"OS_HOME": "state"}, [], "/srv/state/data/objectstack.db"),
    ],
)
def test_where_none_is_named_it_lies_in_the_state_folder(settings: dict[str, str], files: list[str], path: str) -> None:
    found = default("/srv", "/home/os", settings, files.__contains__)
    assert found
    assert found.path == path


def test_without_a_home_nobody_can_tell() -> None:
    assert default("/srv", None, {}, lambda _: False) is None


def test_a_login_is_what_the_url_says_and_the_runtime_s_variables_for_the_rest() -> None:
    found = login("postgres://os%40x:p%2Fw@db1.example:5433,db2.example/crm?sslmode=verify-full", {"PGPASSWORD": "no"})
    assert [(host.name, host.port) for host in found.hosts] == [("db1.example", 5433), ("db2.example", 5432)]
    assert (found.user, found.password, found.database, found.sslmode) == ("os@x", "p/w", "crm", "verify-full")
    assert login("postgres://h.example", {"PGUSER": "u", "PGPASSWORD": "w"})[1:4] == ("u", "u", "w")


@pytest.mark.parametrize("url", ["postgres:///crm", "postgres://%2Frun%2Fpg/crm", "postgres://u@h/crm?host=/run/pg"])
def test_a_socket_is_told_from_a_server(url: str) -> None:
    assert login(url, {}).socket


@given(st.text(max_size=80))
def test_no_url_is_too_strange(text: str) -> None:
    found = of_url(text, "OS_DATABASE_URL")
    assert found.kind in {"sqlite", "postgresql", "memory", "other"}
    login(text, {})
