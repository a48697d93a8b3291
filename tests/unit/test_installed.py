"""What `--database` may dial: what the allowlist approves, and of a name's addresses never a public one by mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.evidence import Answer, Evidence
from airgap_check.evidence.fact import Endpoint
from airgap_check.installed import _Approved
from tests import building

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMED = Endpoint(name="DB.bank.example", port=5432)


def approved(entry: dict[str, Any], addresses: Sequence[str], **sections: Any) -> _Approved:
    ends = tuple(building.remote(address) for address in addresses)
    answer = Answer(name="db.bank.example", netns=1, source="dns", status="ok", addresses=ends)
    seen = [Evidence(kind="resolution", status="complete", records=(answer,))]
    policy = building.policy({"role": "database", "ports": [5432], **entry}, **sections)
    return _Approved(policy, seen, building.inspection())


@pytest.mark.parametrize(
    ("entry", "sections", "dialled"),
    [
        ({"host": "db.bank.example"}, {}, ["10.20.0.1"]),
        ({"host": "*.bank.example"}, {}, ["10.20.0.1"]),
        ({"host": "db.bank.example", "public": True}, {}, ["10.20.0.1", "93.184.216.34"]),
        ({"host": "db.bank.example"}, {"networks": {"internal": ["93.184.216.0/24"]}}, ["10.20.0.1", "93.184.216.34"]),
    ],
)
def test_a_public_address_behind_an_approved_name_is_dialled_only_where_that_is_approved(
    entry: dict[str, Any], sections: dict[str, Any], dialled: list[str]
) -> None:
    database = approved(entry, ["10.20.0.1", "93.184.216.34"], **sections)
    assert database.is_listed(NAMED)
    assert database.addresses(NAMED) == dialled


def test_a_database_that_no_entry_names_is_not_dialled() -> None:
    assert not approved({"host": "other.bank.example"}, ["10.20.0.1"]).is_listed(NAMED)
    assert not approved({"cidr": "10.20.0.0/28"}, []).is_listed(building.remote("93.184.216.34", 5432))
