"""No hosts file makes its reader fail, and a name is bound to exactly the addresses of its lines."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.names import hosts

NAMES = st.sampled_from(["db", "db.example", "www.example"])
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


@given(st.text(), st.lists(NAMES))
def test_any_text_binds_only_what_was_asked_about(text: str, names: list[str]) -> None:
    assert set(hosts.bound(text, names)) <= set(names)


@given(st.lists(st.tuples(ADDRESSES, st.lists(NAMES, min_size=1))))
def test_a_name_has_the_addresses_of_its_lines_in_order(lines: list[tuple[object, list[str]]]) -> None:
    text = "".join(f"{address}\t{' '.join(names).upper()} # db www.example\n" for address, names in lines)
    found = hosts.bound(text, ["db", "db.example", "www.example"])
    for name in ("db", "db.example", "www.example"):
        expected = dict.fromkeys(ip_address(str(address)) for address, names in lines if name in names)
        assert found.get(name, ()) == tuple(expected)
