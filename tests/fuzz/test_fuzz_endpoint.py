"""No text breaks the reading of endpoints, and what is read is well formed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.evidence.fact import endpoint as stated
from airgap_check.objectos import endpoint, keyword_string, settings

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_PIECES = st.sampled_from(
    ["://", ":", "@", ",", ";", "/", "?", "#", "=", "%40", "%2F", "[", "]", "(", ")", " ", "host", "port=1", "jdbc:",
    "mysql:",
     "mongodb+srv", "postgres", "http", "8.8.8.8", "0x08", "::1", "99999", "é", "'", '"', "\\", "..", "localhost",
     "file", "\x00", "\ud800"]
)  # fmt: skip
_HOST = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,8}){0,3}", fullmatch=True).filter(
    lambda name: not name.endswith((".db", ".js", ".mjs", ".json", ".sock", ".sqlite"))
)
_USER_INFO = st.text("abcXYZ019-._~!$&'()*+=@", max_size=12)


@given(st.text() | st.lists(_PIECES, max_size=20).map("".join))
def test_any_text_gives_well_formed_endpoints_or_none(text: str) -> None:
    for end in endpoint.parse(text):
        assert end.port is None or 0 < end.port < 65536
        assert bool(end.name) != bool(end.address)
        assert end.name is None or (end.name == end.name.lower() and not set(end.name) & set("/:@ ,;?#[]\x00"))
    assert not (endpoint.is_malformed(text) and endpoint.parse(text))
    keyword_string.is_one(text)
    keyword_string.hosts(text)


@given(st.text(max_size=30), st.text() | st.lists(_PIECES, max_size=12).map("".join) | st.none())
def test_any_value_has_a_posture(name: str, value: str | None) -> None:
    for known in (name, "OS_CLOUD_URL", "OS_ARTIFACT_PATH", "OS_EMAIL_SMTP_HOST"):
        posture = settings.posture(known, value)
        assert (posture == "unset") == (value is None)
        if value is not None:
            settings.endpoints(known, value, {"OS_EMAIL_SMTP_PORT": value})
            settings.is_unreadable(known, value)


@given(
    _USER_INFO,
    st.lists(_HOST, min_size=1, max_size=3, unique=True),
    st.integers(1, 65535),
    st.sampled_from(["postgres", "amqp"]),
)
def test_every_host_of_a_url_is_found_whatever_the_password(
    user_info: str, hosts: list[str], port: int, scheme: str
) -> None:
    written = ",".join(f"{host}:{port}" for host in hosts)
    found = endpoint.parse(f"{scheme}://{user_info}@{written}/db?x=y")
    assert [(end.name, end.port) for end in found] == [(host, port) for host in hosts]


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_is_found_in_every_form(address: IPv4Address | IPv6Address, port: int) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    texts = [f"redis://u:p@{host}:{port}/0", f"{host}:{port}", f"host={address} port={port}", f"a:1,{host}:{port}"]
    if address.version == 4:
        texts += [f"http://{int(address)}:{port}", f"http://{int(address):#x}:{port}/", f"u:p@tcp({address}:{port})/x"]
    for text in texts:
        end = endpoint.parse(text)[-1]
        assert end == stated(address, port)


@given(st.text("abcXYZ019-._~!$&'()*+=@:/?#;,% ", max_size=12), st.sampled_from(["Bearer", "Basic", "user u pass"]))
def test_no_endpoint_comes_from_what_is_announced_as_a_secret(text: str, announcement: str) -> None:
    secret = f"zq7{text}7qz"
    for written in (
        f"{announcement} {secret}",
        f"db.example --password {secret}",
        f"host=db.example user=u password={secret}",
        f"db.example:5432:app:u:{secret}",
        f"jdbc:sqlserver://db.example;user=u;password={secret}",
        f"postgres://db.example/app?user=u&password={secret}",
    ):
        assert not [end for end in endpoint.parse(written) if end.name and ("zq7" in end.name or "7qz" in end.name)]
