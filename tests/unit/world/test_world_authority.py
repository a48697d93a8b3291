from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check.dissect.name import host
from airgap_check.world import authority as module
from airgap_check.world.authority import Authority

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority(NOW)


def test_every_run_has_an_authority_of_its_own_that_signs_servers_alone(authority: Authority) -> None:
    ours, other = (x509.load_pem_x509_certificate(each.certificate) for each in (authority, Authority(NOW)))
    assert ours.public_key() != other.public_key()
    constraints = ours.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert constraints.ca
    assert constraints.path_length == 0
    assert ours.not_valid_before_utc == NOW - timedelta(days=1)


@pytest.mark.parametrize("name", ["cloud.example", "198.18.0.7", "2001:2::7", "a" * 63 + "." + "b" * 63 + ".example"])
def test_a_server_is_certified_by_it_for_one_name(authority: Authority, name: str) -> None:
    certificate = authority._certify(name)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    (alternative,) = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert str(alternative.value) == name
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_contexts_are_kept_as_long_as_there_is_room_and_no_file_is(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_KEPT", 2)
    before = len(os.listdir("/proc/self/fd"))
    first, second = authority.context("a.example"), authority.context("b.example")
    assert authority.context("a.example") is first
    authority.context("c.example")
    assert authority.context("a.example") is first
    assert authority.context("b.example") is not second
    assert len(os.listdir("/proc/self/fd")) == before


@settings(deadline=None, max_examples=50)
@given(st.binary(min_size=1, max_size=300))
def test_whatever_a_client_calls_it_there_is_a_certificate(authority: Authority, name: bytes) -> None:
    assert authority.context(host(name))
