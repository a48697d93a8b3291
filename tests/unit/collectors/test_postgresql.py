"""A session with PostgreSQL leaves nothing to libpq's defaults, and an error never holds the password."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.collectors import postgresql_session
from airgap_check.collectors.postgresql_session import Login, Session
from airgap_check.collectors.stored_rows import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOGIN = Login("db.bank.example", "127.0.0.1", 1, "crm", "os", "swordfish")


def parsed(login: Login) -> Mapping[str, str]:
    from psycopg.conninfo import conninfo_to_dict

    return {name: str(value) for name, value in conninfo_to_dict(_conninfo(login)).items()}


def _conninfo(login: Login, version: int = 170000) -> str:
    return postgresql_session._conninfo(login, version).decode()


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_password_arrives_as_it_is(text: str) -> None:
    said = parsed(LOGIN._replace(password=text, database=text or "x"))
    assert (said.get("password", ""), said["dbname"]) == (text, text or "x")


def test_no_file_of_a_home_folder_and_no_other_server_takes_part() -> None:
    said = parsed(LOGIN)
    assert said["hostaddr"] == "127.0.0.1"
    assert said["gssencmode"] == "disable"
    assert "gss" not in said["require_auth"]
    for name in ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl"):
        assert not os.path.exists(said[name]), name
    assert "require_auth" not in _conninfo(LOGIN, 150000)


def test_every_keyword_that_a_variable_could_set_is_said_or_the_variable_is_taken_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PGSERVICE", "PGHOSTADDR", "PGOPTIONS", "PGPASSFILE"):
        monkeypatch.setenv(name, "planted")
    with pytest.raises(UnreadableError), Session(LOGIN, None):
        pass
    assert not [name for name in os.environ if name.startswith("PG")]


def test_a_server_that_refuses_gives_a_reason_without_the_password() -> None:
    with pytest.raises(UnreadableError) as caught, Session(LOGIN._replace(password="refused"), None):
        pass
    assert str(caught.value) == "the server refused", "the word stands in libpq's own error, and is the password here"


def test_without_psycopg_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UnreadableError, match=r"airgap-check\[postgres\]"), Session(LOGIN, None):
        pass


def test_a_deadline_that_is_over_is_one() -> None:
    with pytest.raises(UnreadableError, match=r"in time|refused"), Session(LOGIN, 0.0):
        pass
