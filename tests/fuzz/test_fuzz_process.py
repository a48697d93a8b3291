"""No environment block, command line, package.json or list of mounts breaks us."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap_check.collectors import command_line, process_environment
from airgap_check.kernel import foreign_path
from airgap_check.objectos import product

_WORDS = st.lists(
    st.text(max_size=20) | st.sampled_from(["node", "os", "start", "-p", "--password", "a://b:c@d", "-r", "-H"]),
    max_size=8,
)


@given(
    st.binary()
    | st.lists(st.sampled_from([b"OS_", b"OS_CLOUD_URL", b"=", b"\0", b"NODE_ENV", b"\xff", b"x"])).map(b"".join)
)
def test_any_block_gives_variables(block: bytes) -> None:
    for name in process_environment.of_interest(block):
        assert "=" not in name
        assert "\0" not in name


@given(_WORDS)
def test_any_command_line_is_survived(argv: list[str]) -> None:
    command_line.exposed(argv)
    product.script(argv)
    product.is_runner(argv)
    product.flags(argv)
    called = product.invocation(argv)
    if called:
        assert all(path.startswith("/") for path in product.package_files(called.script, "/srv"))


@given(st.binary() | st.text().map(str.encode))
def test_any_package_is_survived(text: bytes) -> None:
    found = product.package(text)
    assert found is None or found[1].isprintable()


@given(st.text("\\0123456789 /ax", max_size=40))
def test_any_mount_point_is_survived(text: str) -> None:
    assert isinstance(foreign_path._unescape(text), str)
