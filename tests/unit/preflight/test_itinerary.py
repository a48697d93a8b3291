"""Canaries that would prove nothing are refused, by name; what is listed is what is sent."""

from __future__ import annotations

from datetime import date

import pytest

from airgap_check.errors import InvalidFileError, UsageError
from airgap_check.evidence import Evidence
from airgap_check.preflight import itinerary
from tests.building import policy

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "127.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.7", "2001:db8::1", "100.64.0.1", "169.254.1.1",
        "169.254.169.254", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "0.0.0.0", "::1", "fe80::1",
        "fd00::1", "::ffff:10.0.0.1", "one.one.one.one",
    ],
)  # fmt: skip
def test_an_address_that_is_no_host_of_the_internet_is_a_fault_of_the_policy(address: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        policy(canaries={"addresses": [address]})
    assert address in str(caught.value)


@pytest.mark.parametrize("address", ["64:ff9b::808:808", "2002:808:808::1"])
def test_an_address_inside_another_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"canaries\.addresses") as caught:
        itinerary.useful_canaries(policy(canaries={"addresses": [address]}), TODAY)
    assert address in str(caught.value)


def test_an_address_that_the_policy_approves_or_calls_its_own_is_refused() -> None:
    entry = {"cidr": "1.1.1.0/24", "ports": [1], "public": True}
    for given in (
        policy(entry, canaries={"addresses": ["1.1.1.1"]}),
        policy(canaries={"addresses": ["1.1.1.1"]}, networks={"internal": ["1.1.1.0/24"]}),
    ):
        with pytest.raises(UsageError, match=r"1\.1\.1\.1"):
            itinerary.useful_canaries(given, TODAY)


@pytest.mark.parametrize("name", ["host.internal", "printer.local", "intranet", "db.bank.example", "app.corp.test"])
def test_a_name_that_the_internet_does_not_know_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"canaries\.names"):
        itinerary.useful_canaries(policy(canaries={"names": [name]}), TODAY)


def test_a_name_that_an_entry_approves_is_refused() -> None:
    given = policy({"host": "*.vendor.com", "ports": [1]}, canaries={"names": ["www.vendor.com"]})
    with pytest.raises(UsageError, match="approved"):
        itinerary.useful_canaries(given, TODAY)


def test_every_useless_canary_is_told() -> None:
    wrapped = ["2002:808:808::1", "1.1.1.1", "64:ff9b::808:808"]
    given = policy(canaries={"addresses": wrapped, "names": ["x.local", "vendor.com"]})
    with pytest.raises(UsageError) as caught:
        itinerary.useful_canaries(given, TODAY)
    assert len(str(caught.value).splitlines()) == 3


def test_hosts_of_the_internet_are_taken_each_once() -> None:
    given = policy(
        canaries={
            "addresses": ["1.1.1.1", "::ffff:1.1.1.1", "1.1.1.1%eth0", "2606:4700::1111"],
            "names": ["vendor.com"],
        }
    )
    assert [str(address) for address in itinerary.useful_canaries(given, TODAY)] == ["1.1.1.1", "2606:4700::1111"]


def test_without_runtime_and_canary_the_list_says_so() -> None:
    entry = {"role": "database", "cidr": "10.1.1.1/32", "ports": [5432]}
    settled = itinerary.settle(policy(entry), [Evidence(kind="environment", status="complete")], [], ["a.b"], TODAY)
    text = "\n".join(settled.lines(resolve=True))
    assert "needed   postgresql 10.1.1.1:5432" in text
    assert "a.b" in text
    assert "a.b" not in "\n".join(settled.lines(resolve=False))
    assert [fault for fault in settled.faults if "no canary" in fault]
    assert [fault for fault in settled.faults if "no runtime was found" in fault]
