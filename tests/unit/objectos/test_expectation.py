"""Where settings lead, what a word switches off, and what absence means."""

from __future__ import annotations

from typing import Any

import pytest

from airgap_check.evidence.fact import Place, Process
from airgap_check.objectos import catalogue
from airgap_check.objectos.expectation import expectations, silences
from airgap_check.objectos.settings import posture
from airgap_check.objectos.statement import setting

CLI = {"product": "@objectstack/cli", "version": "17.4.0"}


def given(*, place: Any = "process", product: Any = None, **environ: Any) -> list[Any]:
    return [
        setting(
            name, text, Place(kind=place, pid=1), environ, process=Process(pid=1, name="node"), **(product or {}),
        )
        for name, text in environ.items()
    ]  # fmt: skip


def due(settings: list[Any]) -> set[str]:
    return {one.end.name or "" for one in expectations(settings) if one.due}


def possible(settings: list[Any]) -> set[str]:
    return {one.end.name or "" for one in expectations(settings)}


def test_a_setting_leads_to_its_endpoint() -> None:
    assert due(given(OS_DATABASE_URL="postgres://db.bank.example/core")) == {"db.bank.example"}


@pytest.mark.parametrize("value", ["", " \t"])
def test_a_blank_control_plane_is_the_public_one_to_a_product_that_takes_it_so(value: str) -> None:
    assert due(given(product=CLI, OS_CLOUD_URL=value)) == {"cloud.objectos.ai"}


def test_to_a_product_that_is_then_offline_it_leads_nowhere() -> None:
    assert possible(given(product={"product": "ObjectOS", "version": "4.2.0"}, OS_CLOUD_URL="")) == set()


def test_of_a_product_that_could_not_be_told_it_may_but_need_not() -> None:
    settings = given(OS_CLOUD_URL="")
    assert (possible(settings), due(settings)) == ({"cloud.objectos.ai"}, set())


def test_an_endpoint_that_its_switch_leaves_off_by_default_is_not_due() -> None:
    settings = given(OS_OTLP_ENDPOINT="http://otlp.bank.example:4318")
    assert (possible(settings), due(settings)) == ({"otlp.bank.example"}, set())


def test_and_is_due_where_the_switch_is_on() -> None:
    settings = given(OS_OTLP_ENDPOINT="http://otlp.bank.example:4318", OS_OBS_EXPORTER="otlp")
    assert due(settings) == {"otlp.bank.example"}


def test_what_only_a_browser_dials_is_not_due() -> None:
    settings = given(GOOGLE_CLIENT_ID="abc")
    assert (due(settings), possible(settings)) == (
        {"oauth2.googleapis.com"}, {"oauth2.googleapis.com", "accounts.google.com"},
    )  # fmt: skip


def test_registries_of_tools_are_not_due() -> None:
    settings = given(npm_config_registry="https://npm.bank.example/")
    assert (due(settings), possible(settings)) == (set(), {"npm.bank.example"})


@pytest.mark.parametrize("place", ["own", "unit"])
def test_what_the_command_was_not_given_leads_nowhere(place: str) -> None:
    settings = given(place=place, OS_DATABASE_URL="postgres://db.bank.example/core", OS_CLOUD_URL="off")
    assert possible(settings) == set()
    assert [one for one in silences(settings) if one.stated] == []


@pytest.mark.parametrize(
    ("name", "value", "host"),
    [
        ("OS_CLOUD_URL", "off", "cloud.objectos.ai"),
        ("OS_EMAIL_PROVIDER", "log", "api.postmarkapp.com"),
        ("OS_MAIL_PROVIDER", "Log ", "api.resend.com"),
        ("OS_SMS_PROVIDER", "log", "api.twilio.com"),
        ("OS_STORAGE_ADAPTER", "local", "s3.amazonaws.com"),
        ("OS_AUTH_PASSWORD_REJECT_BREACHED", "false", "api.pwnedpasswords.com"),
        ("OS_AUTH_GOOGLE_ENABLED", "false", "oauth2.googleapis.com"),
        ("OS_AI_PROVIDER", "memory", "api.anthropic.com"),
    ],
)
def test_a_word_that_says_off_says_what_is_not_dialled(name: str, value: str, host: str) -> None:
    stated = [one for one in silences(given(**{name: value})) if one.stated]
    assert [one.stated and one.stated.name for one in stated] == [name]
    assert host in {end.name for one in stated for end in one.ends}


@pytest.mark.parametrize("value", ["resend", "smtp", "anything"])
def test_any_other_word_does_not(value: str) -> None:
    assert [one for one in silences(given(OS_EMAIL_PROVIDER=value)) if one.stated] == []


def test_one_statement_that_is_on_outweighs_those_that_are_off() -> None:
    settings = given(OS_EMAIL_PROVIDER="log") + given(OS_MAIL_PROVIDER="resend")
    assert [one for one in silences(settings) if one.stated] == []
    assert due(settings) == {"api.resend.com"}


def test_a_lookalike_switches_nothing_off() -> None:
    assert [one for one in silences(given(OS_CLOUD_URL='"off"')) if one.stated] == []
    assert posture("OS_CLOUD_URL", '"off"') == "lookalike"


def test_every_switch_silences_variables_that_exist() -> None:
    known = catalogue.load().variables
    switches = [one.switch for one in known.values() if one.switch]
    assert switches
    assert {name for switch in switches for name in switch.of} <= known.keys()
    assert all(word == word.lower() for switch in switches for word in switch.off)
