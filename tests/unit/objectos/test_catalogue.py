"""The catalogue knows every variable of the product, and what each means where it is not there."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.errors import InvalidFileError
from airgap_check.objectos import catalogue, settings

# Each that names or implies an endpoint, as the product's source and runs have it.
NAMES = [
    "OS_CLOUD_URL",
    "OS_MARKETPLACE_PUBLIC_BASE_URL",
    "OS_CLOUD_API_KEY",
    "OS_TOKEN",
    "OS_CLI_CLIENT_ID",
    "OS_RUNTIME_URL",
    "OS_ARTIFACT_PATH",
    "OS_ARTIFACT_URL",
    "OS_INTERNAL_ARTIFACT_PATH",
    "OS_ARTIFACT_FILE",
    "OS_DATABASE_URL",
    "DATABASE_URL",
    "TURSO_DATABASE_URL",
    "OS_BUSINESS_DB_URL",
    "OS_PROJECT_ID",
    "OS_ENVIRONMENT_ID",
    "OS_TELEMETRY_DB",
    "OS_CLUSTER_DRIVER",
    "OS_REDIS_URL",
    "REDIS_URL",
    "OS_EMAIL_PROVIDER",
    "OS_MAIL_PROVIDER",
    "OS_EMAIL_SMTP_HOST",
    "OS_EMAIL_SMTP_PORT",
    "OS_EMAIL_SMTP_SECURE",
    "OS_EMAIL_SMTP_USER",
    "OS_EMAIL_SMTP_PASSWORD",
    "OS_MAIL_SMTP_HOST",
    "OS_MAIL_SMTP_PORT",
    "OS_MAIL_SMTP_SECURE",
    "OS_MAIL_SMTP_USER",
    "OS_MAIL_SMTP_PASSWORD",
    "OS_EMAIL_API_KEY",
    "RESEND_API_KEY",
    "POSTMARK_TOKEN",
    "OS_SMS_PROVIDER",
    "OS_SMS_TWILIO_ACCOUNT_SID",
    "OS_SMS_TWILIO_AUTH_TOKEN",
    "OS_SMS_ALIYUN_ACCESS_KEY_ID",
    "OS_STORAGE_ADAPTER",
    "OS_STORAGE_S3_ENDPOINT",
    "OS_STORAGE_S3_REGION",
    "OS_STORAGE_S3_BUCKET",
    "OS_STORAGE_LOCAL_ROOT",
    "OS_STORAGE_ROOT",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "OS_AUTH_GOOGLE_ENABLED",
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
    "OS_SSO_ENABLED",
    "OS_SCIM_ENABLED",
    "OS_AUTH_PASSWORD_REJECT_BREACHED",
    "OS_AUTH_URL",
    "BETTER_AUTH_URL",
    "OS_BASE_URL",
    "OS_TRUSTED_ORIGINS",
    "OS_CORS_ORIGIN",
    "OS_COOKIE_DOMAIN",
    "OS_ROOT_DOMAIN",
    "OS_PREVIEW_BASE_DOMAINS",
    "OS_OBS_EXPORTER",
    "OS_OTLP_ENDPOINT",
    "OS_OTLP_HEADERS",
    "OS_TELEMETRY_CLIENT_ERROR_REPORTING_DSN",
    "BETTER_AUTH_TELEMETRY",
    "BETTER_AUTH_TELEMETRY_ENDPOINT",
    "AI_GATEWAY_MODEL",
    "AI_GATEWAY_API_KEY",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_GENERATIVE_AI_API_KEY",
    "OS_AI_PROVIDER",
    "OS_AI_OPENAI_API_KEY",
    "OS_AI_DEEPSEEK_API_KEY",
    "OS_AI_DASHSCOPE_API_KEY",
    "OS_AI_CLOUDFLARE_API_KEY",
    "OS_AI_SILICONFLOW_API_KEY",
    "OS_AI_OPENROUTER_API_KEY",
    "OS_AI_OPENAI_BASE_URL",
    "OS_AI_EMBEDDER_BASE_URL",
    "OS_AI_EMBEDDER_PROVIDER",
    "OS_AI_ACTION_API_BASE_URL",
    "OS_KNOWLEDGE_ADAPTER",
    "OS_KNOWLEDGE_TURSO_URL",
    "OS_KNOWLEDGE_RAGFLOW_BASE_URL",
    "SLACK_BOT_TOKEN",
    "OS_TERMS_URL",
    "OS_PRIVACY_URL",
    "OS_LOGO_URL",
    "OS_FAVICON_URL",
    "OS_MCP_SERVER_ENABLED",
    "OS_MODE",
    "OS_RUNTIME_PORT",
    "OS_PLATFORM_SSO",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NODE_USE_ENV_PROXY",
    "NODE_OPTIONS",
]
PUBLIC_WHEN_UNSET = {
    "OS_CLOUD_URL", "OS_AI_OPENAI_BASE_URL", "OS_AI_EMBEDDER_BASE_URL", "OS_AI_EMBEDDER_PROVIDER",
    "OS_STORAGE_S3_ENDPOINT",
}  # fmt: skip
TALKERS = [
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
    "npm_config_@acme:registry",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "GOPROXY",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "SENTRY_DSN",
    "NEXT_TELEMETRY_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "GCE_METADATA_HOST",
    "AWS_ENDPOINT_URL_SQS",
    "https_proxy",
    "ALL_PROXY",
]


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_of_the_product_is_known_and_whether_its_absence_is_public(name: str) -> None:
    known = catalogue.load().find(name)
    assert known
    assert (known.unset is not None and known.unset.public) == (name in PUBLIC_WHEN_UNSET)


@pytest.mark.parametrize("name", TALKERS)
def test_what_talks_silently_around_a_runtime_is_known(name: str) -> None:
    assert settings.variable(name)


def test_no_registry_is_known_by_a_host_name() -> None:
    registries = [one for one in catalogue.load().variables.values() if one.role == "registry"]
    assert registries
    assert not [one for one in registries if one.implies or one.unset]


@pytest.mark.parametrize(
    ("name", "value", "beside", "hosts"),
    [
        ("OS_EMAIL_PROVIDER", "resend", {}, ["api.resend.com"]),
        ("OS_EMAIL_PROVIDER", " Postmark ", {}, ["api.postmarkapp.com"]),
        ("OS_EMAIL_PROVIDER", "smtp", {}, []),
        ("OS_EMAIL_PROVIDER", "log", {}, []),
        ("OS_SMS_PROVIDER", "twilio", {}, ["api.twilio.com"]),
        ("OS_STORAGE_ADAPTER", "s3", {}, ["s3.amazonaws.com"]),
        ("OS_STORAGE_ADAPTER", "s3", {"OS_STORAGE_S3_ENDPOINT": "http://s3.bank.example"}, []),
        ("OS_STORAGE_ADAPTER", "s3", {"OS_STORAGE_S3_ENDPOINT": " "}, ["s3.amazonaws.com"]),
        ("GOOGLE_CLIENT_ID", "42.apps.example", {}, ["accounts.google.com", "oauth2.googleapis.com"]),
        ("GITHUB_CLIENT_ID", "42", {}, ["github.com", "api.github.com"]),
        ("OS_AUTH_PASSWORD_REJECT_BREACHED", "TRUE", {}, ["api.pwnedpasswords.com"]),
        ("OS_AUTH_PASSWORD_REJECT_BREACHED", "false", {}, []),
        ("OS_AUTH_PASSWORD_REJECT_BREACHED", "0", {}, []),
        ("OPENAI_API_KEY", "sk-x", {"OPENAI_BASE_URL": "http://llm.bank.example"}, []),
        ("OS_AI_PROVIDER", "deepseek", {}, ["api.deepseek.com"]),
        ("OS_AI_PROVIDER", "memory", {}, []),
        ("SLACK_BOT_TOKEN", "xoxb-1", {}, ["slack.com"]),
        ("GOPROXY", "https://go.bank.example|direct,off", {}, ["go.bank.example", "off"]),
    ],
)
def test_a_word_leads_where_it_stands_for(name: str, value: str, beside: dict[str, str], hosts: list[str]) -> None:
    assert [end.name for end in settings.endpoints(name, value, beside)] == hosts


def test_the_task_metadata_service_of_a_cloud_is_an_address() -> None:
    (end,) = settings.endpoints("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", {})
    assert (end.address, end.port) == ("169.254.170.2", 80)


def test_a_catalogue_with_faults_says_where() -> None:
    with pytest.raises(InvalidFileError, match=r"settings\.yaml:\d+:\d+: "):
        catalogue.parse("settings.yaml", b"products: {}\nvariables: [{names: [A], role: x, form: words}]\n")


def test_a_name_that_stands_twice_is_refused() -> None:
    twice = (
        b"products: {}\ndoor: {prefix: OS_, endings: [URL], roles: {}}\npatterns: []\n"
        b"variables: [{names: [A], aliases: [B], role: x, form: word}, {names: [B], role: y, form: word}]\n"
    )
    with pytest.raises(ValueError, match="B stands twice"):
        catalogue.parse("settings.yaml", twice)


def test_a_legacy_name_says_what_has_replaced_it() -> None:
    known = catalogue.load().variables
    assert known["DATABASE_URL"].current == "OS_DATABASE_URL"
    assert known["OS_DATABASE_URL"].current is None


def test_help_does_not_read_the_catalogue() -> None:
    script = (
        "import sys\nfrom airgap_check.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'airgap_check.objectos.catalogue' not in sys.modules, 'catalogue'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@given(st.text(), st.text(), st.dictionaries(st.sampled_from(NAMES), st.text(max_size=9), max_size=3))
def test_any_name_and_value_has_an_answer(name: str, value: str, beside: dict[str, str]) -> None:
    settings.variable(name)
    for known in ("OS_EMAIL_PROVIDER", "GOPROXY", "OS_STORAGE_ADAPTER", name):
        settings.endpoints(known, value, beside)
