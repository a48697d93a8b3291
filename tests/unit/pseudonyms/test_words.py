"""What becomes of names, paths, URLs and sentences."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.domain import is_special
from airgap_check.pseudonyms import Key
from airgap_check.pseudonyms.reveal import Revealing
from airgap_check.pseudonyms.text import Masking

KEY = Key(bytes(range(32)))
MASKING = Masking(KEY)


def revealed(text: str) -> str:
    return Revealing(KEY).text(text)


@pytest.mark.parametrize(
    "text",
    [
        "cloud.objectos.ai", "localhost", "index.docker.io", "/usr/bin/node", "objectos.service", "postgres", "root",
        "/etc/airgap-check/policy.yaml", "OS_CLOUD_URL", "17.4.0", "2026-11-20T12:00:00Z", "https://cloud.objectos.ai",
        "3 network namespaces; sockets 1,234", "node[412] (unit objectos.service)", "127.0.0.1:5432", "CAP_NET_ADMIN",
        "A process talks, or tries to talk, to a public address", "Connection refused", "30s",
    ],
)  # fmt: skip
def test_what_everybody_knows_stays_readable(text: str) -> None:
    assert MASKING.text(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("postgresql://alice:secret@db1.bank.quux:5432/ledger", ("postgresql://", ":5432/")),
        ("/home/alice/plans.yaml", ("/home/", ".yaml")),
        ("registry.bank.quux:5000/team/app@sha256:" + "ab" * 32, (":5000/", "@sha256:" + "ab" * 32)),
        ("curl[977] asked zanzibar", ("curl[977]", "asked")),
        ("alice@bank.example", ("@", ".example")),
        ("acme.cloud.objectos.ai", (".cloud.objectos.ai",)),
        ("10.9.9.9:443/tcp (ESTAB)", (":443/tcp (ESTAB)",)),
    ],
)
def test_what_says_nothing_of_the_site_stays_around_a_pseudonym(text: str, kept: tuple[str, ...]) -> None:
    hidden = MASKING.text(text)
    assert hidden != text
    assert all(part in hidden for part in kept)
    assert revealed(hidden) == text


def test_names_of_one_domain_share_its_suffix() -> None:
    one, other = MASKING.host("db1.bank.quux"), MASKING.host("db2.bank.quux")
    assert one.split(".")[1:] == other.split(".")[1:]
    assert one.split(".")[0] != other.split(".")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [("DB1.Bank.quux", "db1.bank.quux"), ("bänk.quux", "xn--bnk-qla.quux"), ("zanzibar", "ZANZIBAR")],
)
def test_one_name_has_one_pseudonym_however_it_is_written(one: str, other: str) -> None:
    assert MASKING.host(one) == MASKING.host(other)


def test_a_wildcard_a_last_dot_and_a_service_label_stay() -> None:
    bank = MASKING.host("bank.quux")
    assert MASKING.host("*.bank.quux") == f"*.{bank}"
    assert MASKING.host("bank.quux.") == f"{bank}."
    assert MASKING.host("_ldap._tcp.bank.quux") == f"_ldap._tcp.{bank}"


@pytest.mark.parametrize("name", ["1.1.1.10.in-addr.arpa", "1.10.in-addr.arpa"])
def test_a_reversed_name_is_of_the_pseudonym_of_its_address(name: str) -> None:
    hidden = MASKING.host(name)
    assert hidden.endswith(".in-addr.arpa")
    assert hidden != name
    assert revealed(hidden) == name


def test_a_name_of_the_reverse_tree_and_its_address_agree() -> None:
    labels = MASKING.host("4.3.2.10.in-addr.arpa").removesuffix(".in-addr.arpa").split(".")
    assert ".".join(reversed(labels)) == MASKING.foreign("10.2.3.4")


LABEL = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(".".join)


@given(NAME, st.sampled_from(["", ".example", ".internal", ".com", ".bank"]))
def test_a_name_means_as_much_to_the_public_tree_as_before(name: str, suffix: str) -> None:
    assert is_special(MASKING.host(name + suffix)) == is_special(name + suffix)


@given(st.lists(NAME, min_size=2, max_size=2, unique=True))
def test_two_names_have_two_pseudonyms(names: list[str]) -> None:
    assert MASKING.host(names[0]) != MASKING.host(names[1])


@given(st.text(max_size=200))
def test_any_text_is_hidden_without_a_fault(text: str) -> None:
    for hide in (MASKING.text, MASKING.foreign, MASKING.label, MASKING.host):
        assert hide(text) == hide(text)


@given(st.text(max_size=60))
def test_a_text_without_addresses_is_taken_back(text: str) -> None:
    if not any(character in text for character in ".:"):
        assert revealed(MASKING.foreign(text)) == text


@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.sampled_from(["{}", "[{}]", "({}:443)", "x={}", "{}/24", "http://{}/", "{}."]),
)
def test_an_address_is_found_wherever_it_stands(third: int, fourth: int, around: str) -> None:
    address = f"10.77.{third}.{fourth}"
    assert address not in MASKING.text(around.format(address)).replace("10.77.0.0/24", "")


def test_a_name_made_of_words_of_ours_is_hidden_where_a_text_speaks_of_it() -> None:
    masking = Masking(KEY)
    assert masking.text("the core database was not reached") == "the core database was not reached"
    masking.meet("core database")
    hidden = masking.text("the core database was not reached")
    assert hidden == f"the {masking.label('core database')} was not reached"
    assert masking.text("the core databases") == "the core databases"


def test_a_host_called_like_a_word_of_ours_is_hidden_where_a_text_speaks_of_it() -> None:
    masking = Masking(KEY)
    masking.meet_host("gateway")
    assert masking.text("asked gateway for it") == f"asked {masking.host('gateway')} for it"


@pytest.mark.parametrize(
    "text",
    [
        "10.77.3", "v10.77.3", "10.77.772", "10.5047044", "93.184.337", "192.168.7", "192.168", "172.20.4-zz", "481516",
        "/home/core/archive.yaml", "~/archive", "sha256:" + "ab" * 32, "/srv/tenants/481516/data",
    ],
)  # fmt: skip
def test_other_ways_to_write_an_address_numbers_of_accounts_paths_and_digests_are_hidden(text: str) -> None:
    for hidden in (MASKING.text(text) if not text.isdigit() else "", MASKING.foreign(text)):
        assert text not in hidden
        assert not {"core", "archive", "481516", "tenants"} & set(hidden.replace(".", "/").split("/"))
    assert revealed(MASKING.foreign(text)) == text


@pytest.mark.parametrize("text", ["17.4.0", "5.15.167", "6.1.0-28-amd64", "2026.11.4", "412", "65535", "1.5"])
def test_versions_and_small_numbers_stay(text: str) -> None:
    assert MASKING.foreign(text) == text


def test_the_mask_of_a_network_stays_and_its_address_does_not() -> None:
    assert MASKING.foreign("10.77.3.0/255.255.255.0").endswith("/255.255.255.0")


def test_what_a_host_wrote_in_words_of_ours_is_hidden_where_a_text_speaks_of_it() -> None:
    masking = Masking(KEY)
    masking.meet_foreign("core/archive:backup")
    assert masking.text("the image core/archive:backup is not pinned") == (
        f"the image {masking.foreign('core/archive:backup')} is not pinned"
    )
