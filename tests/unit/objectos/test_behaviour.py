"""What a product makes of its settings depends on its version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos import behaviour
from airgap_check.objectos.product import OBJECTOS, OBJECTSTACK, UNKNOWN


@pytest.mark.parametrize(
    ("product", "version", "meaning"),
    [
        (OBJECTSTACK, "17.4.0", "public"),
        (OBJECTSTACK, "9.9.0", "public"),
        (OBJECTSTACK, "v10.0.0-rc.1", "public"),
        (OBJECTSTACK, "9.9.0-rc.1", "unknown"),
        (OBJECTSTACK, "9.8.9", "unknown"),
        (OBJECTSTACK, None, "unknown"),
        (OBJECTSTACK, "latest", "unknown"),
        (OBJECTOS, "4.2.0", "offline"),
        (OBJECTOS, "0.0.1", "offline"),
        (OBJECTOS, None, "unknown"),
        (UNKNOWN, "17.4.0", "unknown"),
        (None, None, "unknown"),
        ("something else", "1.0.0", "unknown"),
    ],
)
def test_an_unset_control_plane_means(product: str | None, version: str | None, meaning: str) -> None:
    assert behaviour.unset_means(product, version) == meaning


@pytest.mark.parametrize(
    ("name", "product", "version", "answer"),
    [
        ("OS_ARTIFACT_FILE", OBJECTSTACK, "17.4.0", "no"),
        ("OS_BUSINESS_DB_URL", OBJECTSTACK, None, "no"),
        ("OS_PROJECT_ID", OBJECTSTACK, "17.4.0", "no"),
        ("OS_PROJECT_ID", OBJECTSTACK, "5.2.0", "yes"),
        ("OS_PROJECT_ID", OBJECTSTACK, None, "unknown"),
        ("OS_ENVIRONMENT_ID", OBJECTSTACK, "17.4.0", "yes"),
        ("OS_ENVIRONMENT_ID", OBJECTSTACK, "5.2.0", "no"),
        ("OS_ARTIFACT_URL", OBJECTSTACK, "16.9.9", "no"),
        ("OS_ARTIFACT_URL", OBJECTSTACK, "17.0.0", "yes"),
        ("OS_ARTIFACT_URL", OBJECTSTACK, "17.0.0-rc.6", "no"),
        ("OS_ARTIFACT_FILE", OBJECTOS, "4.2.0", "yes"),
        ("OS_ARTIFACT_PATH", OBJECTOS, "4.2.0", None),
        ("OS_ARTIFACT_FILE", UNKNOWN, None, "unknown"),
        ("OS_CLOUD_URL", UNKNOWN, None, None),
        ("OS_X_URL", OBJECTSTACK, "17.4.0", None),
        ("HTTPS_PROXY", OBJECTSTACK, "17.4.0", None),
        ("OS_ARTIFACT_FILE", None, None, None),
    ],
)
def test_a_variable_is_read_or_not(name: str, product: str | None, version: str | None, answer: str | None) -> None:
    assert behaviour.reads(name, product, version) == answer


def test_no_foreign_variable_is_ever_said_to_be_ignored() -> None:
    from airgap_check.objectos import catalogue

    blamed = {name for name, one in catalogue.load().variables.items() if one.read}
    assert all(name.startswith("OS_") or name == "DATABASE_URL" for name in blamed)


@pytest.mark.parametrize(
    ("product", "version", "given", "boots"),
    [
        (OBJECTSTACK, "17.4.0", {"OS_ARTIFACT_PATH": "/a", "OS_ARTIFACT_URL": "https://h/b"}, ["https://h/b"]),
        (OBJECTSTACK, "16.0.0", {"OS_ARTIFACT_PATH": "/a", "OS_ARTIFACT_URL": "https://h/b"}, ["/a"]),
        (OBJECTSTACK, "17.4.0", {"OS_ARTIFACT_PATH": "/a", "OS_INTERNAL_ARTIFACT_PATH": "/b"}, ["/b"]),
        (OBJECTSTACK, "17.4.0", {"OS_ARTIFACT_FILE": "/a"}, []),
        (OBJECTSTACK, "17.4.0", {"OS_ARTIFACT_PATH": " ", "OS_ARTIFACT_URL": ""}, []),
        (OBJECTOS, "4.2.0", {"OS_ARTIFACT_FILE": "/a", "OS_ARTIFACT_PATH": "/b"}, ["/a"]),
        (OBJECTOS, "4.2.0", {"OS_ARTIFACT_PATH": "/b"}, ["/b"]),
        (UNKNOWN, None, {"OS_ARTIFACT_FILE": "/a"}, ["/a"]),
        (UNKNOWN, None, {"OS_ARTIFACT_FILE": "/a", "OS_ARTIFACT_PATH": "/b"}, ["/a", "/b"]),
    ],
)
def test_a_product_boots_from_what_it_prefers(
    product: str, version: str | None, given: dict[str, str], boots: list[str]
) -> None:
    assert [text for _, text in behaviour.artifacts(product, version, given)] == boots


def test_what_is_expected_are_the_names_that_the_product_reads() -> None:
    by_role = {role: (name, set(names)) for name, role, names in behaviour.expected(OBJECTSTACK, "17.4.0")}
    assert by_role["artifact"] == (
        "OS_ARTIFACT_PATH", {"OS_ARTIFACT_PATH", "OS_ARTIFACT_URL", "OS_INTERNAL_ARTIFACT_PATH"},
    )  # fmt: skip
    assert by_role["database"] == ("OS_DATABASE_URL", {"OS_DATABASE_URL", "DATABASE_URL", "TURSO_DATABASE_URL"})
    by_role = {role: (name, set(names)) for name, role, names in behaviour.expected(UNKNOWN, None)}
    assert "OS_BUSINESS_DB_URL" in by_role["database"][1]
    assert by_role["control-plane"] == ("OS_CLOUD_URL", {"OS_CLOUD_URL"})


@given(st.text())
def test_any_text_is_a_version_or_none(text: str) -> None:
    assert behaviour.order(text) is None or behaviour.unset_means(OBJECTSTACK, text) in {"public", "unknown"}
