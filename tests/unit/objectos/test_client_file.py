"""What package managers and container engines are told in files is read as they read it, without credentials."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap_check.objectos import client_file

NPMRC = b"""; a comment
registry = https://npm.bank.example/
@acme:registry=https://npm.partner.example/x
//npm.bank.example/:_authToken=hunter2hunter2
https-proxy=http://10.0.0.9:3128
cache=/var/cache
"""
PIP = b"""[global]
index-url = https://pypi.bank.example/simple
extra_index_url =
    https://a.example/simple
    # a comment
    https://b.example/simple
find-links: /srv/wheels
timeout = 9
"""
DAEMON = b"""{
  "registry-mirrors": ["https://mirror.bank.example"],
  "insecure-registries": ["10.0.0.0/8", "registry:5000"],
  "proxies": {"https-proxy": "http://10.0.0.9:3128", "no-proxy": "x"}
}"""
REGISTRIES = b"""unqualified-search-registries = ["registry.bank.example", "other.example"]
[[registry]]
prefix = "a.example"
location = "mirror.bank.example/a"
[[registry.mirror]]
location = "second.bank.example:5000"
[[registry]]
location = "bad.example"
blocked = true
"""


def _read(path: str, content: bytes) -> list[tuple[str, str, int, str]]:
    return [(one.key, one.value, one.line, one.variable) for one in client_file.read(path, content)]


def test_an_npmrc_names_registries_and_proxies_and_no_token() -> None:
    assert _read("/home/a/.npmrc", NPMRC) == [
        ("registry", "https://npm.bank.example/", 2, "npm_config_registry"),
        ("@acme:registry", "https://npm.partner.example/x", 3, "npm_config_registry"),
        ("https-proxy", "http://10.0.0.9:3128", 5, "HTTPS_PROXY"),
    ]


def test_a_pip_conf_may_go_on_in_the_next_line() -> None:
    assert _read("/etc/pip.conf", PIP) == [
        ("index-url", "https://pypi.bank.example/simple", 2, "npm_config_registry"),
        ("extra-index-url", "https://a.example/simple", 4, "npm_config_registry"),
        ("extra-index-url", "https://b.example/simple", 6, "npm_config_registry"),
        ("find-links", "/srv/wheels", 7, "PIP_FIND_LINKS"),
    ]


def test_a_daemon_json_names_mirrors_and_no_networks() -> None:
    assert _read("/etc/docker/daemon.json", DAEMON) == [
        ("registry-mirrors", "https://mirror.bank.example", 2, "npm_config_registry"),
        ("insecure-registries", "registry:5000", 3, "npm_config_registry"),
        ("https-proxy", "http://10.0.0.9:3128", 4, "HTTPS_PROXY"),
    ]


@pytest.mark.parametrize("path", ["/etc/containers/registries.conf", "/etc/containers/registries.conf.d/00-x.conf"])
def test_a_registries_conf_names_what_is_not_blocked(path: str) -> None:
    assert [(key, value, line) for key, value, line, _ in _read(path, REGISTRIES)] == [
        ("unqualified-search-registries", "registry.bank.example", 1),
        ("unqualified-search-registries", "other.example", 1),
        ("registry.location", "mirror.bank.example/a", 4),
        ("registry.mirror", "second.bank.example:5000", 6),
    ]


def test_the_first_version_of_a_registries_conf_is_read_too() -> None:
    old = b"[registries.search]\nregistries = ['a.example']\n[registries.insecure]\nregistries = []\n"
    assert [value for _, value, _, _ in _read("/etc/containers/registries.conf", old)] == ["a.example"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/docker/daemon.json", b"{"),
        ("/etc/docker/daemon.json", b"[]"),
        ("/etc/docker/daemon.json", b"[" * 100_000),
        ("/etc/containers/registries.conf", b"a = "),
        ("/etc/containers/registries.conf", b"a = " + b"[" * 100_000),
        ("/etc/npmrc", b"registry=https://h\n" * 1001),
    ],
)
def test_what_its_own_program_could_not_read_is_malformed(path: str, content: bytes) -> None:
    with pytest.raises(client_file.MalformedFileError):
        client_file.read(path, content)


@given(
    st.sampled_from(["a/.npmrc", "pip.conf", "daemon.json", "registries.conf"]), st.binary() | st.text().map(str.encode)
)
def test_any_content_is_read_or_malformed(path: str, content: bytes) -> None:
    try:
        found = client_file.read(path, content)
    except client_file.MalformedFileError:
        return
    assert all(one.value and one.line > 0 for one in found)
