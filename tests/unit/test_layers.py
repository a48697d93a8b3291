"""The architecture, as a test: who may import whom, who may touch the outside, who may open a socket."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airgap_check"
NAME = "airgap_check"

# From the bottom up: a module may import what stands before it, and its own line.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("redact", "address", "yamlfile", "manifest", "input"),
    ("domain",),
    ("evidence",),
    ("finding",),
    ("kernel", "recording", "dissect"),
    ("objectos", "names"),
    ("history",),
    ("deployment",),
    ("release",),
    ("collectors", "captures", "probes", "drivers"),
    ("observers",),
    ("world",),
    ("view",),
    ("rule",),
    ("rulebook",),
    ("policy",),
    ("objectos.derive", "survey"),
    ("result",),
    ("engine",),
    ("plan",),
    ("reporters",),
    ("pseudonyms",),
    ("installed", "proposal"),
    ("baseline", "comparison"),
    ("host", "output", "explanation", "snapshot", "remembrance", "service"),
    ("alerts", "archive", "scheduling"),
    ("watching",),
    ("audit",),
    ("bundling", "preflight", "rehearsal", "watching.rounds"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
PURE = {
    "address", "domain", "evidence", "finding", "view", "rule", "policy", "survey", "result", "engine", "dissect",
    "watching.lapse", "watching.news", "watching.sieving",
}  # fmt: skip
OUTSIDE = {"os", "socket", "subprocess", "time", "sys", "pathlib", "random"}
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def _module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def _layer(module: str) -> int:
    """Return the level of a module: the longest name in LAYERS that it is, or is inside of."""
    names = [(name, level) for level, names in enumerate(LAYERS) for name in names]
    fitting = [(len(name), level) for name, level in names if module == name or module.startswith(name + ".")]
    assert fitting, f"{module} stands in no layer: place it in LAYERS"
    return max(fitting)[1]


def _imports(path: Path) -> set[str]:
    """List every module that a file imports, type-checking blocks and functions included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module.partition(".")[0] == NAME:
                found |= {f"{node.module}.{alias.name}" for alias in node.names if _is_module(node.module, alias.name)}
    return found


def _is_module(package: str, name: str) -> bool:
    place = PACKAGE.parent.joinpath(*package.split("."), name)
    return place.with_suffix(".py").exists() or place.is_dir()


def _ours(path: Path) -> set[str]:
    prefix = NAME + "."
    return {name.removeprefix(prefix) for name in _imports(path) if name.startswith(prefix)}


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_a_module_imports_only_from_below(path: Path) -> None:
    module = _module(path)
    if not module:
        assert not _ours(path)
        return
    for imported in _ours(path):
        same_place = imported.partition(".")[0] == module.partition(".")[0]
        assert same_place or _layer(imported) < _layer(module), f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(PURE))
def test_the_middle_touches_nothing_outside(module: str) -> None:
    for path in MODULES:
        if (
            f"{_module(path)}.".startswith(f"{module}.") and _module(path) != "dissect.encapsulation"
        ):  # scapy wants an environment
            roots = {name.partition(".")[0] for name in _imports(path)}
            assert not roots & OUTSIDE, path


def test_reporters_know_only_findings_and_below() -> None:
    for path in (PACKAGE / "reporters").rglob("*.py"):
        for imported in _ours(path):
            assert imported.startswith("reporters") or _layer(imported) <= _layer("finding"), f"{path.name}: {imported}"


def test_only_derive_knows_both_the_product_and_the_policy() -> None:
    for folder in ("collectors", "kernel", "objectos", "names"):
        for path in (PACKAGE / folder).glob("*.py"):
            if path.name != "derive.py":
                assert "policy" not in _ours(path), path.name


def test_third_party_libraries_have_one_home() -> None:
    homes = {
        "cryptography": ("dissect", "probes", "pseudonyms", "release", "world.authority"),
        "dns": ("names", "dissect", "world.answers"),
        "h11": ("world.http1",),
        "h2": ("world.http2",),
        "jinja2": ("reporters.html_report",),
        "markupsafe": ("reporters.html_report",),
        "numpy": ("captures",),
        "rich": ("reporters.console_report",),
        "psycopg": ("collectors.postgresql_session",),
        "zstandard": ("release.flow", "archive"),
        "yaml": ("yamlfile", "manifest"),
        "psutil": ("kernel", "collectors"),
        "scapy": ("dissect",),
    }
    for path in MODULES:
        for root in {name.partition(".")[0] for name in _imports(path)} & homes.keys():
            assert _module(path).startswith(homes[root]), f"{_module(path)} imports {root}"


def _opens_sockets(path: Path) -> bool:
    if any(
        name.startswith(("dns.query", "asyncio", "ssl", "urllib.request", "http.client")) for name in _imports(path)
    ):
        return True
    makers = {"socket", "create_connection", "create_server", "socketpair", "fromfd"}
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in makers
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "socket"
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_the_complete_list_of_who_opens_sockets() -> None:
    openers = {_module(path) for path in MODULES if _opens_sockets(path)}
    # The senders are names.query, probes.dial, and the canary in its own network namespace; the others ask this kernel,
    # or listen. probes.tls speaks over what it is given, and collectors.postgresql_session lets libpq dial an approved
    # database. alerts.line dials what alerts.approval says the policy approves; alerts.webhook and alerts.mail speak
    # HTTP and SMTP over it and dial nothing. service sends datagrams to the service manager's own local socket, alone.
    # world.* answer in a network namespace that leads nowhere, but for two: world.ferry dials this very machine, at
    # places that a person has named, and world.publication the command's own ports.
    # drivers.http alone speaks to the command that is rehearsed, at 127.0.0.1.
    # kernel.foreign_socket asks what others opened; observers.oversight and its script overseen share a pair.
    assert openers == {
        "alerts.line", "alerts.webhook", "drivers.http",
        "kernel.foreign_socket",
        "kernel.netlink", "kernel.netns_cookie", "kernel.packet", "names.query", "observers.canary",
        "observers.overseen", "observers.oversight", "probes.dial",
        "probes.tls", "service",
        "world.authority", "world.datagrams", "world.doors", "world.enclosure", "world.far", "world.ferry",
        "world.ground", "world.host", "world.interior", "world.line", "world.publication", "world.reception",
        "world.teller", "world.through",
    }  # fmt: skip


def test_alerts_are_sent_by_the_alarm_alone_to_what_the_approval_names() -> None:
    users = {_module(path) for path in MODULES if any(name.partition(".")[0] == "alerts" for name in _ours(path))}
    assert {name for name in users if name.partition(".")[0] != "alerts"} == {"commands.alarm"}
    senders = {"alerts.webhook", "alerts.mail", "alerts.syslog"}
    assert {_module(path) for path in MODULES if senders & _ours(path)} == {"alerts.dispatch"}
    assert {_module(path) for path in MODULES if "alerts.approval" in _ours(path)} == {"alerts", "alerts.dispatch"}


def test_the_sender_is_called_by_the_resolution_collector_alone() -> None:
    callers = {_module(path) for path in MODULES if "names.query" in _ours(path)}
    assert callers == {"collectors.resolution"}


def test_no_module_is_longer_than_the_design_allows_and_the_median_is_short() -> None:
    lengths = {_module(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > 300} == {}
    assert sorted(lengths.values())[len(lengths) // 2] <= 120


def test_broad_excepts_stand_in_cli_and_around_scapy_alone() -> None:
    broad = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler) and (
                node.type is None or (isinstance(node.type, ast.Name) and node.type.id == "Exception")
            ):
                broad.add(_module(path))
    assert broad == {"cli", "dissect.encapsulation"}


def test_one_wall_clock_one_reader_of_argv_one_exit() -> None:
    for path in MODULES:
        text = path.read_text()
        if _module(path) != "cli":
            assert "datetime.now" not in text, path
            assert "time.time(" not in text, path
            assert "sys.argv" not in text, path
            assert "sys.exit" not in text, path
