"""Which variables matter, what their values amount to, and where they lead."""

from __future__ import annotations

import pytest

from airgap_check.objectos import settings


@pytest.mark.parametrize("value", ["off", "none", "local", "disabled", " OFF\t", "Disabled", "\ufeffoff\u00a0\n"])
def test_the_disabling_words_of_the_runtime_disable(value: str) -> None:
    assert settings.posture("OS_CLOUD_URL", value) == "disabled"


@pytest.mark.parametrize(
    "value",
    [
        "false",
        "0",
        "no",
        '"off"',
        "'off'",
        "null",
        "undefined",
        "disable",
        "offline",
        "off.",
        "off # really",
        '""',
        "\x1coff",
        "NO",
    ],
)
def test_what_only_looks_like_off_is_a_look_alike(value: str) -> None:
    assert settings.posture("OS_CLOUD_URL", value) in {"lookalike", "other"}
    assert settings.posture("OS_CLOUD_URL", value) != "disabled"
    assert not settings.endpoints("OS_CLOUD_URL", '"off"', {})


@pytest.mark.parametrize(
    "value", ["false", "0", "no", '"off"', "'off'", "null", "disable", "offline", '""', "off # really"]
)
def test_the_usual_look_alikes_are_named_so(value: str) -> None:
    assert settings.posture("OS_CLOUD_URL", value) == "lookalike"


@pytest.mark.parametrize(
    ("name", "value", "posture"),
    [
        ("OS_CLOUD_URL", None, "unset"),
        ("OS_CLOUD_URL", "", "blank"),
        ("OS_CLOUD_URL", " \t", "blank"),
        ("OS_CLOUD_URL", "https://cloud.objectos.ai", "url"),
        ("OS_CLOUD_URL", "cloud.objectos.ai", "url"),
        ("OS_CLOUD_URL", "off.bank.example", "url"),
        ("OS_MARKETPLACE_PUBLIC_BASE_URL", "false", "disabled"),
        ("OS_MARKETPLACE_PUBLIC_BASE_URL", "local", "lookalike"),
        ("OS_ARTIFACT_FILE", "/srv/objectstack.json", "other"),
        ("OS_ARTIFACT_FILE", "https://h/x.json", "url"),
        ("OS_DATABASE_URL", "file:/srv/data.db", "other"),
        ("OS_DATABASE_URL", "postgres://h/x", "url"),
        ("OS_EMAIL_SMTP_HOST", "mail.example", "url"),
        ("OS_EMAIL_PROVIDER", "resend", "other"),
    ],
)
def test_a_value_has_a_posture(name: str, value: str | None, posture: str) -> None:
    assert settings.posture(name, value) == posture


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("OS_CLOUD_URL", "control-plane"),
        ("OS_ARTIFACT_FILE", "artifact"),
        ("OS_BUSINESS_DB_URL", "database"),
        ("DATABASE_URL", "database"),
        ("OS_REDIS_URL", "cluster"),
        ("OS_EMAIL_SMTP_HOST", "smtp"),
        ("OS_STORAGE_S3_ENDPOINT", "object-storage"),
        ("OS_TEAM_WEBHOOK_URL", "webhook"),
        ("OS_OTLP_ENDPOINT", "monitoring"),
        ("OS_AI_DEEPSEEK_API_KEY", "ai"),
        ("https_proxy", "proxy"),
        ("npm_config_https_proxy", "proxy"),
        ("OS_AUTH_URL", "own"),
        ("OS_KNOWLEDGE_RAGFLOW_BASE_URL", "other"),
        ("OS_X_HOST", "other"),
        ("OS_X_Y_DSN", "other"),
    ],
)
def test_a_variable_has_a_role(name: str, role: str) -> None:
    known = settings.variable(name)
    assert known
    assert known.role == role


@pytest.mark.parametrize(
    "name",
    ["NO_PROXY", "no_proxy", "PATH", "OS_PORT", "OS_HOST", "X_OS_URL", "os_x_url", "OS_URLS", "OS_EMAIL_SMTP_PORT"],
)
def test_other_variables_are_of_no_interest(name: str) -> None:
    assert settings.variable(name) is None


def test_the_port_of_a_mail_server_comes_from_its_sibling() -> None:
    def port(environ: dict[str, str]) -> int | None:
        (end,) = settings.endpoints("OS_EMAIL_SMTP_HOST", "mail.example", environ)
        return end.port

    assert port({}) == 587
    assert port({"OS_EMAIL_SMTP_PORT": " 25 "}) == 25
    assert port({"OS_EMAIL_SMTP_PORT": "99999"}) is None
    assert port({"OS_MAIL_SMTP_PORT": "25"}) == 587


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OS_AUTH_URL", "https://own.example"),
        ("OS_EMAIL_PROVIDER", "smtp.example"),
        ("OS_ARTIFACT_PATH", "artifact.example/x"),
        ("OS_CLOUD_URL", "off"),
        ("PATH", "https://h"),
    ],
)
def test_some_settings_lead_nowhere(name: str, value: str) -> None:
    assert not settings.endpoints(name, value, {})


def test_a_fetched_artifact_leads_somewhere() -> None:
    (end,) = settings.endpoints("OS_ARTIFACT_PATH", "https://h.example/x.json#sha256=0", {})
    assert (end.name, end.port) == ("h.example", 443)


def test_a_template_is_known_to_lead_nowhere_known() -> None:
    assert settings.is_unreadable("OS_OTLP_ENDPOINT", "https://{{host}}/")
    assert not settings.is_unreadable("OS_OTLP_ENDPOINT", "https://h/")
    assert not settings.is_unreadable("OS_EMAIL_PROVIDER", "{{x}}")
    assert not settings.is_unreadable("OS_ARTIFACT_PATH", "{{x}}")
