"""A template is known by its name or by the product's variables in it; placeholders are no secrets, secrets are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.release import secret, template


@pytest.mark.parametrize(
    "name",
    [".env.example", "deploy/.env.template", "env.template", "objectos.env.sample", ".env.production.example",
     "production.example.env", "template.env", "environment.template", ".ENV.EXAMPLE", "env-template.txt",
     "dotenv.example", "envfile.example", "airgap.env.example.txt"],
)  # fmt: skip
def test_names_of_templates(name: str) -> None:
    assert template.is_named(name)


@pytest.mark.parametrize("name", [".env", "README.md", "environment.md", "example.md", "envelope.example.json5x"])
def test_other_names(name: str) -> None:
    assert not template.is_named(name)


def test_a_plain_environment_file_is_one_by_its_contents() -> None:
    assert template.may_be_one("objectos.env")
    assert template.may_be_one("env.txt")
    assert not template.may_be_one("notes.md")
    assert template.sets_product("A=1\n  export OS_CLOUD_URL = off\n")
    assert template.sets_product("# OS_CLOUD_URL=off\n")
    assert not template.sets_product("A=1\nPOS_X=1\n")


def test_the_last_line_counts_and_names_its_place() -> None:
    read = template.read({"a": "OS_CLOUD_URL=x\n\nOS_CLOUD_URL=off\n", "b": "DATABASE_URL=\n"})
    assert read.variables["OS_CLOUD_URL"][:3] == ("off", "a", 3)
    assert list(read.values({"DATABASE_URL", "OS_CLOUD_URL"})) == ["off"]


def test_what_each_file_says_is_kept() -> None:
    read = template.read({"a": "OS_CLOUD_URL=x\n", "b": "OS_CLOUD_URL=off\n"})
    assert [variables["OS_CLOUD_URL"].value for variables in read.files.values()] == ["x", "off"]


@pytest.mark.parametrize(
    "text",
    [
        "AUTH_SECRET=9f8a7c6b5d4e\nAUTH_SECRET=CHANGE_ME\n",
        "# AUTH_SECRET=9f8a7c6b5d4e",
        "#export AUTH_SECRET=9f8a7c6b5d4e\r\n",
    ],
)
def test_a_secret_is_one_wherever_it_stands(text: str) -> None:
    assert [(name, one.line) for name, one in template.read({"a": text}).secrets] == [("AUTH_SECRET", 1)]


@pytest.mark.parametrize(
    "text",
    ["# AUTH_SECRET=32 bytes in base64", "# AUTH_SECRET=CHANGE_ME", "# see AUTH_SECRET=9f8a7c6b5d4e"],
)
def test_a_comment_on_a_secret_is_none(text: str) -> None:
    assert not template.read({"a": text}).secrets


@pytest.mark.parametrize(
    ("name", "copy"),
    [(".env.example", ".env"), ("a/env.template", ".env"), ("objectos.env.sample", "objectos.env"),
     ("env-template.txt", ".env"), (".env.production.example", ".env.production"),
     ("production.example.env", "production.env"), ("prod.env", "prod.env")],
)  # fmt: skip
def test_the_file_that_a_template_is_copied_to(name: str, copy: str) -> None:
    assert template.copied_to(name) == copy


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_a_pin_is_read_as_it_stands_even_where_dotenv_takes_it_for_a_comment(quote: str) -> None:
    read = template.read({"a": f"OS_ARTIFACT_URL={quote}file:///o.json#sha256={'A' * 64}{quote}\r\nB=1"})
    assert template.pin(read.variables["OS_ARTIFACT_URL"]) == "a" * 64
    assert template.pin(read.variables["B"]) is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AUTH_SECRET", "9f8a7c6b5d4e3f2a"), ("OS_DATABASE_URL", "postgres://o:Tr0ub4dor@db:5432/o"),
        ("SMTP_PASSWORD", "hunter22"), ("API_KEY", "sk-live-1234567890"), ("X", "https://user:Tr0ub4dor@host/"),
        ("X_URL", "https://ghp_9f8a7c6b5d4e@host/"), ("OS_REDIS_URL", "redis://:Tr0ub4dor@r:6379"),
    ],
)  # fmt: skip
def test_real_secrets(name: str, text: str) -> None:
    assert secret.is_real(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("AUTH_SECRET", ""), ("AUTH_SECRET", "CHANGE_ME"), ("AUTH_SECRET", "change-me-please"),
        ("PASSWORD", "xxxxxxxx"),
        ("AUTH_SECRET", "<openssl rand -base64 32>"), ("AUTH_SECRET", "${AUTH_SECRET}"), ("TOKEN", "your-token"),
        ("OS_DATABASE_URL", "postgres://objectos:<password>@<host>:5432/objectos"),
        ("PASSWORD", "DB_PASSWORD"),
        ("OS_DATABASE_URL", "postgres://objectos:CHANGE_ME@db:5432/o"), ("TOKEN_TTL", "3600"), ("PASSWORD", "****"),
        ("DATABASE_URL", "postgres://user:password@db/x"), ("SECRET_FILE", "/run/secrets/x"), ("OS_PORT", "8080"),
        ("OS_DATABASE_URL", "postgres://objectos@db:5432/o"),
        ("GPG_KEY", "A035C8C19219BA821ECEA86B64E628F8D684696D"), ("OS_AUTH_TOKEN_ENABLED", "true"),
    ],
)  # fmt: skip
def test_what_is_none(name: str, text: str) -> None:
    assert not secret.is_real(name, text)


@given(st.text(max_size=60), st.text(max_size=200))
def test_no_text_breaks_it(name: str, text: str) -> None:
    assert secret.is_real(name, text) in {True, False}
    read = template.read({"a": f"{name}={text}\n{text}"})
    for one in read.variables.values():
        template.pin(one)
