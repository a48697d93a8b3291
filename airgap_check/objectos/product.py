"""Tells a runtime of the product from other processes, by its command line or by the settings that it was given."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OBJECTOS, OBJECTSTACK, UNKNOWN = "ObjectOS", "@objectstack/cli", "unknown"

# Whoever was given one of these is, or was started by, a runtime.
TELLTALES = frozenset(
    {
        "OS_ARTIFACT_FILE", "OS_ARTIFACT_PATH", "OS_ARTIFACT_URL", "OS_INTERNAL_ARTIFACT_PATH", "OS_BUSINESS_DB_URL",
        "OS_DATABASE_URL", "OS_CLOUD_URL", "OS_PROJECT_ID", "OS_ENVIRONMENT_ID",
    }
)  # fmt: skip
_INTERPRETERS = frozenset({"node", "nodejs", "bun", "deno", "tsx", "ts-node"})
_OPTIONS_WITH_VALUE = frozenset(
    {
        "-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--env-file",
        "--env-file-if-exists",
    }
)  # fmt: skip
_SUBCOMMANDS = frozenset({"start", "serve", "dev"})
# Programs that pass their environment on, or that people run beside it, and that do nothing with it themselves.
_BYSTANDER_NAMES = """
    sh bash dash zsh ksh ksh93 mksh fish ash busybox login su sudo doas runuser sshd sshd-session systemd tmux screen
    script env nohup setsid tini tini-static dumb-init docker-init catatonit timeout watch make systemd-run
    systemd-executor docker docker-compose podman conmon crun runc kubectl ssh s6-supervise s6-svscan runsv runsvdir
    tee less more cat tail head grep jq vi vim vim.basic vim.tiny nano top htop journalctl systemctl sleep psql curl
"""
_BYSTANDERS = frozenset(_BYSTANDER_NAMES.split())
# Scripts and titles of those that start a program for somebody and wait for it.
_RUNNERS = frozenset(
    {
        "npm", "npx", "npm-cli.js", "npx-cli.js", "pnpm", "pnpm.cjs", "yarn", "yarn.js", "corepack", "pm2", "daemon.js",
        "supervisord",
    }
)  # fmt: skip
_FLAGS = {"--artifact": "OS_ARTIFACT_PATH", "-a": "OS_ARTIFACT_PATH", "--database": "OS_DATABASE_URL",
          "-d": "OS_DATABASE_URL", "--home": "OS_HOME"}  # fmt: skip

# What a flag's variable wins over, though it would be the weaker one in the environment.
OVERRIDDEN = {"OS_ARTIFACT_PATH": ("OS_ARTIFACT_URL", "OS_INTERNAL_ARTIFACT_PATH")}
# The application's own program, which may read any variable that it likes.
CONFIGURATIONS = tuple(f"objectstack.config.{ending}" for ending in ("ts", "mts", "js", "mjs", "cjs"))


class Invocation(NamedTuple):
    """A command line of the product: which product, the script, the subcommand and what follows it."""

    product: str
    script: str
    subcommand: str
    arguments: tuple[str, ...]


def invocation(argv: Sequence[str]) -> Invocation | None:
    """Recognise ``[node [options]] .../os start``, ``objectstack serve``, ``objectos``; None for anything else."""
    rest = _from_script(argv)
    if not rest:
        return None
    name, *following = rest
    subcommand = next((word for word in following if not word.startswith("-")), "")
    stem = posixpath.basename(name).partition(".")[0]
    if stem == "objectos":
        return Invocation(OBJECTOS, name, subcommand, tuple(following))
    if subcommand not in _SUBCOMMANDS or not (stem in {"os", "objectstack"} or "/@objectstack/cli/" in name):
        return None
    return Invocation(OBJECTSTACK, name, subcommand, tuple(following))


def script(argv: Sequence[str]) -> str | None:
    """Return the script that a JavaScript interpreter runs, or None when this is no interpreter with a script."""
    rest = _from_script(argv)
    return rest[0] if rest and is_interpreter(_words(argv)[0]) else None


class EnvFile(NamedTuple):
    """A file of variables that an interpreter's option names; ``optional`` when it need not exist."""

    path: str
    optional: bool


def env_files(argv: Sequence[str]) -> list[EnvFile]:
    """Return the files of ``--env-file`` and ``--env-file-if-exists``; a later one overrides an earlier one.

    Source: Node.js's command-line options; bun and deno have the first one too.
    """
    found = []
    for option in _split(argv)[0]:
        name, equals, path = option[0].partition("=")
        path = path if equals else "".join(option[1:])
        if name in {"--env-file", "--env-file-if-exists"} and path and "\0" not in path:
            found.append(EnvFile(path, name != "--env-file"))
    return found


def is_interpreter(program: str) -> bool:
    """Tell whether a program runs JavaScript."""
    return posixpath.basename(program) in _INTERPRETERS


def _from_script(argv: Sequence[str]) -> list[str]:
    """Return a command line without the interpreter before the script."""
    return _split(argv)[1]


def _split(argv: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Return the options of the interpreter, each with its value, and the command line from the script on."""
    rest = _words(argv)
    options = []
    if rest and is_interpreter(rest[0]):
        del rest[0]
        while rest and rest[0].startswith("-"):
            length = 2 if rest[0] in _OPTIONS_WITH_VALUE else 1
            options.append(rest[:length])
            del rest[:length]
    return options, rest


def _words(argv: Sequence[str]) -> list[str]:
    """Return a command line in words; one word is that of a process that rewrote its title."""
    return argv[0].split() if len(argv) == 1 else list(argv)


def is_bystander(program: str) -> bool:
    """Tell whether an executable is of a program that does nothing with the settings: a shell, an init, a pager."""
    return posixpath.basename(program) in _BYSTANDERS


def is_runner(argv: Sequence[str]) -> bool:
    """Tell whether a process starts programs for others: ``npm exec os start``, ``node --run start``, pm2's daemon.

    Any program may call itself so. It is believed of one that did start what is recognised.
    """
    options, rest = _split(argv)
    name = posixpath.basename(rest[0]) if rest else ""
    if name.startswith("python") and len(rest) > 1:
        name = posixpath.basename(rest[1])
    return name.lower() in _RUNNERS or any(option[0].partition("=")[0] == "--run" for option in options)


def is_told(names: Iterable[str]) -> bool:
    """Tell whether the variables of a process are those of a runtime."""
    return not TELLTALES.isdisjoint(names)


def flags(arguments: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return what the command line itself sets, as (flag, the variable that it overrides, value)."""
    found = []
    for index, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if flag in _FLAGS:
            value = value if equals else "".join(arguments[index + 1 : index + 2])
            found.append((flag, _FLAGS[flag], value))
    return found


def mode(environ_mode: str | None, called: Invocation | None) -> str:
    """Return the mode whose .env files are read: ``dev`` and ``--dev`` mean development, silence means production."""
    if called and (called.subcommand == "dev" or "--dev" in called.arguments):
        return "development"
    return environ_mode or "production"


def package_files(script: str, directory: str) -> list[str]:
    """Return where the package.json of a script may be, best first; ``directory`` is the working directory."""
    path = posixpath.normpath(posixpath.join(directory, script))
    above = [path]
    while len(above) < 6 and above[-1] not in {"/", ""}:
        above.append(posixpath.dirname(above[-1]))
    bundled = "@objectstack/cli/package.json"
    found = [posixpath.join(folder, "package.json") for folder in above[1:4]]
    found += [posixpath.join(folder, bundled) for folder in above if posixpath.basename(folder) == "node_modules"]
    found += [posixpath.join(folder, "lib/node_modules", bundled) for folder in above[2:3]]  # /usr/local/bin/os
    return [*found, posixpath.join(directory, "node_modules", bundled)]


class _Package(msgspec.Struct):
    name: str = ""
    version: str = ""


def package(text: bytes) -> tuple[str, str] | None:
    """Return the product and version that a package.json states; None when it is of something else, or malformed."""
    try:
        stated = msgspec.json.decode(text, type=_Package)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if stated.name == OBJECTSTACK:
        return OBJECTSTACK, printable(stated.version)[:64]
    return (OBJECTOS, printable(stated.version)[:64]) if posixpath.basename(stated.name) == "objectos" else None
