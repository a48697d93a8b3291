"""The catalogue of variables that name, or imply, a place the product talks to; and what a value of one means."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from airgap_check.objectos.endpoint import is_malformed, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airgap_check.evidence import Posture
    from airgap_check.fact import Endpoint

Form = Literal[
    "endpoint",  # a URL, DSN, host or list of them
    "path-or-url",  # a URL is an endpoint, anything else a file
    "word",  # a switch or a credential: implies a destination without naming it
    "own",  # the product's own, inbound name: never a destination
]


class Variable(NamedTuple):
    """What is known of a variable; ``port_variable`` is the sibling that holds the port, ``port`` the default."""

    role: str
    form: Form
    port: int | None = None
    port_variable: str | None = None


_TABLE: tuple[tuple[str, Form, str], ...] = (
    ("control-plane", "endpoint", "OS_CLOUD_URL OS_MARKETPLACE_PUBLIC_BASE_URL"),
    ("control-plane", "word", "OS_CLOUD_API_KEY OS_TOKEN OS_CLI_CLIENT_ID"),
    ("artifact", "path-or-url", "OS_ARTIFACT_FILE OS_ARTIFACT_PATH OS_ARTIFACT_URL OS_INTERNAL_ARTIFACT_PATH"),
    ("database", "endpoint", "OS_BUSINESS_DB_URL OS_DATABASE_URL DATABASE_URL TURSO_DATABASE_URL"),
    ("database", "path-or-url", "OS_TELEMETRY_DB"),
    ("cluster", "endpoint", "OS_REDIS_URL REDIS_URL"),
    ("cluster", "word", "OS_CLUSTER_DRIVER"),
    ("smtp", "word", "OS_EMAIL_PROVIDER OS_MAIL_PROVIDER OS_EMAIL_API_KEY RESEND_API_KEY POSTMARK_TOKEN"),
    ("sms", "word", "OS_SMS_PROVIDER"),
    ("object-storage", "endpoint", "OS_STORAGE_S3_ENDPOINT AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 S3_ENDPOINT"),
    ("object-storage", "word", "OS_STORAGE_ADAPTER"),
    ("webhook", "word", "SLACK_BOT_TOKEN"),
    ("idp", "word", "GOOGLE_CLIENT_ID GITHUB_CLIENT_ID OS_AUTH_GOOGLE_ENABLED OS_SSO_ENABLED OS_SCIM_ENABLED"),
    ("idp", "word", "OS_AUTH_PASSWORD_REJECT_BREACHED"),
    ("monitoring", "endpoint", "OS_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_ENDPOINT OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
    ("monitoring", "endpoint", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OTEL_EXPORTER_OTLP_LOGS_ENDPOINT SENTRY_DSN"),
    ("monitoring", "endpoint", "OS_TELEMETRY_CLIENT_ERROR_REPORTING_DSN BETTER_AUTH_TELEMETRY_ENDPOINT"),
    ("monitoring", "word", "OS_OBS_EXPORTER BETTER_AUTH_TELEMETRY"),
    ("ai", "endpoint", "OS_AI_OPENAI_BASE_URL OS_AI_EMBEDDER_BASE_URL OS_AI_ACTION_API_BASE_URL"),
    ("ai", "endpoint", "OPENAI_BASE_URL ANTHROPIC_BASE_URL"),
    ("ai", "word", "OS_AI_PROVIDER OS_AI_EMBEDDER_PROVIDER AI_GATEWAY_MODEL AI_GATEWAY_API_KEY"),
    ("ai", "word", "OPENAI_API_KEY ANTHROPIC_API_KEY GOOGLE_GENERATIVE_AI_API_KEY"),
    ("proxy", "endpoint", "HTTP_PROXY HTTPS_PROXY ALL_PROXY FTP_PROXY SOCKS_PROXY GLOBAL_AGENT_HTTP_PROXY"),
    ("proxy", "endpoint", "http_proxy https_proxy all_proxy ftp_proxy socks_proxy GLOBAL_AGENT_HTTPS_PROXY"),
    ("proxy", "endpoint", "npm_config_proxy npm_config_http_proxy npm_config_https_proxy npm_config_https-proxy"),
    ("proxy", "endpoint", "NPM_CONFIG_PROXY NPM_CONFIG_HTTP_PROXY NPM_CONFIG_HTTPS_PROXY"),
    ("proxy", "word", "NODE_USE_ENV_PROXY"),
    ("own", "own", "OS_AUTH_URL BETTER_AUTH_URL OS_BASE_URL OS_RUNTIME_URL OS_TRUSTED_ORIGINS OS_CORS_ORIGIN"),
    ("own", "own", "OS_COOKIE_DOMAIN OS_ROOT_DOMAIN OS_PREVIEW_BASE_DOMAINS"),
    # Links and pictures in pages: the browser goes there, the server does not.
    ("own", "own", "OS_TERMS_URL OS_PRIVACY_URL OS_LOGO_URL OS_FAVICON_URL"),
)
CATALOGUE: Mapping[str, Variable] = {
    **{name: Variable(role, form) for role, form, names in _TABLE for name in names.split()},
    "OS_EMAIL_SMTP_HOST": Variable("smtp", "endpoint", 587, "OS_EMAIL_SMTP_PORT"),
    "OS_MAIL_SMTP_HOST": Variable("smtp", "endpoint", 587, "OS_MAIL_SMTP_PORT"),
}
# What every process of a runtime that may be its server must have been told; the rest, one of them at least.
OF_EACH = "OS_CLOUD_URL"
# What a runtime must have been told, by role: the variable to report when none of its names is set anywhere.
EXPECTED: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("OS_CLOUD_URL", "control-plane", frozenset({"OS_CLOUD_URL"})),
    (
        "OS_ARTIFACT_FILE",
        "artifact",
        frozenset({"OS_ARTIFACT_FILE", "OS_ARTIFACT_PATH", "OS_ARTIFACT_URL", "OS_INTERNAL_ARTIFACT_PATH"}),
    ),
    (
        "OS_BUSINESS_DB_URL",
        "database",
        frozenset({"OS_BUSINESS_DB_URL", "OS_DATABASE_URL", "DATABASE_URL", "TURSO_DATABASE_URL"}),
    ),
)

# Every setting of the product has the generic door OS_<NAMESPACE>_<KEY>, so an unknown name can be an endpoint too.
_GENERIC = re.compile(r"OS_(?:[A-Z0-9]+_)+(?:URL|URI|HOST|HOSTS|ENDPOINT|DSN|PROXY)\Z")
_AI_KEY = re.compile(r"OS_AI_[A-Z0-9_]+_API_KEY\Z")
_SMS_ACCOUNT = re.compile(r"OS_SMS_(?:TWILIO|ALIYUN)_[A-Z0-9_]+\Z")

_OFF = frozenset({"off", "none", "local", "disabled"})
_DISABLING = {"OS_CLOUD_URL": _OFF, "OS_MARKETPLACE_PUBLIC_BASE_URL": frozenset({"off", "none", "disabled", "false"})}
_OFF_IN_GENERAL = frozenset({"off", "none", "disabled", "false"})
_NO_WORDS = "false 0 no n f null nil undefined disable unset empty offline never nowhere blank airgap airgapped void"
_LOOK_ALIKES = _OFF | frozenset(_NO_WORDS.split())
# String.prototype.trim() of ECMAScript, which is what the product uses; Python's strip() takes other characters.
JS_BLANK = "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f"
JS_BLANK += "\u205f\u3000\ufeff"


@lru_cache(maxsize=4096)
def variable(name: str) -> Variable | None:
    """Return what is known of a variable, or None when it is of no interest."""
    known = CATALOGUE.get(name)
    if known:
        return known
    if _GENERIC.match(name):
        role = "webhook" if "WEBHOOK" in name else "proxy" if name.endswith("_PROXY") else "other"
        return Variable(role, "endpoint")
    if _AI_KEY.match(name):
        return Variable("ai", "word")
    return Variable("sms", "word") if _SMS_ACCOUNT.match(name) else None


def posture(name: str, value: str | None) -> Posture:
    """Say what a value amounts to: a disabling word of this very variable, something that only looks like one, ..."""
    if value is None:
        return "unset"
    trimmed = value.strip(JS_BLANK)
    if not trimmed:
        return "blank"
    if trimmed.lower() in _DISABLING.get(name, _OFF_IN_GENERAL):
        return "disabled"
    if _looks_disabled(trimmed):
        return "lookalike"
    known = variable(name)
    if known and known.form in {"word", "own"}:
        return "other"
    if "://" in trimmed or (known and known.form == "endpoint" and parse(trimmed)):
        return "url"
    return "other"


def _looks_disabled(text: str) -> bool:
    """Recognise ``"off"`` in literal quotes (docker's --env-file keeps them), ``false``, ``off # really`` and so on."""
    words = re.split(r"[^a-z0-9]+", text.lower().strip("\"'` \t;,#=-()[]{}<>"), maxsplit=1)
    return not re.search(r"[/:@]|\.\w", text) and (words[0] in _LOOK_ALIKES or not words[0])


def endpoints(name: str, value: str, settings: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """Return where a setting leads, its port taken from the sibling variable among ``settings`` where it has one."""
    known = variable(name)
    if known is None or known.form in {"word", "own"} or posture(name, value) in {"blank", "disabled", "lookalike"}:
        return ()
    if known.form == "path-or-url" and "://" not in value:
        return ()
    sibling = settings.get(known.port_variable or "", "").strip()
    port = int(sibling) if sibling.isascii() and sibling.isdecimal() and len(sibling) < 6 else known.port
    return parse(value, port=port if port and port < 65536 else None)


def is_unreadable(name: str, value: str) -> bool:
    """Tell whether a variable that should name a destination holds a template or something malformed."""
    known = variable(name)
    if known is None or known.form in {"word", "own"} or (known.form == "path-or-url" and "://" not in value):
        return False
    return is_malformed(value)
