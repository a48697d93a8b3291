"""Runtimes are told from other processes."""

from __future__ import annotations

import pytest

from airgap_check.objectos import product


@pytest.mark.parametrize(
    ("line", "name", "subcommand"),
    [
        ("node /x/node_modules/.bin/os start", product.OBJECTSTACK, "start"),
        ("/usr/bin/node --max-old-space-size=99 -r ./hook.js /x/node_modules/@objectstack/cli/bin/run.js serve --ui",
        product.OBJECTSTACK, "serve"),
        ("os dev", product.OBJECTSTACK, "dev"),
        ("/usr/local/bin/objectstack --verbose start", product.OBJECTSTACK, "start"),
        ("/opt/objectos/bin/objectos", product.OBJECTOS, ""),
        ("node /srv/objectos.mjs serve", product.OBJECTOS, "serve"),
    ],
)  # fmt: skip
def test_a_command_line_of_the_product_is_recognised(line: str, name: str, subcommand: str) -> None:
    called = product.invocation(line.split())
    assert called
    assert (called.product, called.subcommand) == (name, subcommand)
    assert product.invocation([line]) == called, "a process that rewrote its title"


@pytest.mark.parametrize(
    "line",
    ["node server.js", "os build", "os", "vim objectos.md", "cat /x/@objectstack/cli/x", "node", "node -e x start", ""],
)
def test_other_command_lines_are_not(line: str) -> None:
    assert product.invocation(line.split()) is None


def test_files_that_an_option_names_are_known() -> None:
    options = ["--env-file=a.env", "--env-file", "b.env", "--inspect", "--env-file-if-exists=/c"]
    line = ["/usr/bin/node", *options, "x.js", "--env-file=d"]
    assert product.env_files(line) == [("a.env", False), ("b.env", False), ("/c", True)]
    assert product.script(line) == "x.js"
    assert product.script(["node dist/server.js"]) == "dist/server.js"
    assert product.script(["npm exec os start"]) is None
    assert not product.env_files(["docker", "run", "--env-file=x"])


def test_settings_of_the_product_make_a_runtime_but_not_of_a_shell() -> None:
    assert product.is_told(["PATH", "OS_PROJECT_ID"])
    assert not product.is_told(["PATH", "OS_PORT"])
    assert product.is_bystander("/usr/bin/bash")
    assert not product.is_bystander("/usr/bin/node")


@pytest.mark.parametrize(
    "argv",
    [
        ["npm exec os start"], ["npm start"], ["node", "/usr/bin/npx", "os"], ["PM2 v6.0.5: God Daemon (/root/.pm2)"],
        ["/usr/bin/node", "--run", "start"], ["/usr/bin/python3", "/usr/bin/supervisord", "-n"],
        ["/usr/bin/node", "/usr/lib/node_modules/pnpm/bin/pnpm.cjs", "start"],
    ],
)  # fmt: skip
def test_what_starts_programs_for_others_is_told_from_programs(argv: list[str]) -> None:
    assert product.is_runner(argv)
    assert not product.is_runner(["node", "dist/server.js", "npm"])


def test_flags_override_variables() -> None:
    flags = product.flags(["--database=file:/x", "-a", "https://h/x", "--artifact"])
    assert flags == [
        ("--database", "OS_DATABASE_URL", "file:/x"),
        ("-a", "OS_ARTIFACT_PATH", "https://h/x"),
        ("--artifact", "OS_ARTIFACT_PATH", ""),
    ]


@pytest.mark.parametrize(
    ("line", "environ_mode", "mode"),
    [
        ("os start", None, "production"),
        ("os start", "staging", "staging"),
        ("os dev", "staging", "development"),
        ("os serve --dev", None, "development"),
    ],
)
def test_the_mode_decides_which_files_are_read(line: str, environ_mode: str | None, mode: str) -> None:
    assert product.mode(environ_mode, product.invocation(line.split())) == mode
    assert product.mode("x", None) == "x"


@pytest.mark.parametrize(
    ("script", "path"),
    [
        ("/x/node_modules/.bin/os", "/x/node_modules/@objectstack/cli/package.json"),
        ("/x/node_modules/@objectstack/cli/bin/run.js", "/x/node_modules/@objectstack/cli/package.json"),
        ("node_modules/.bin/os", "/srv/node_modules/@objectstack/cli/package.json"),
        ("/usr/local/bin/os", "/usr/local/lib/node_modules/@objectstack/cli/package.json"),
        ("os", "/srv/node_modules/@objectstack/cli/package.json"),
    ],
)
def test_the_package_of_a_script_is_looked_for_nearby(script: str, path: str) -> None:
    assert path in product.package_files(script, "/srv")
    assert len(product.package_files(script, "/srv")) < 10


def test_a_package_states_product_and_version() -> None:
    assert product.package(b'{"name": "@objectstack/cli", "version": "17.4.0", "x": [1]}') == (
        product.OBJECTSTACK,
        "17.4.0",
    )
    assert product.package(b'{"name": "@bank/objectos", "version": "1\\u001b[31m"}') == (product.OBJECTOS, "1")
    assert product.package(b'{"name": "left-pad", "version": "1"}') is None


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff", b'{"name": 1}', b"[" * 100000])
def test_a_malformed_package_states_nothing(text: bytes) -> None:
    assert product.package(text) is None
