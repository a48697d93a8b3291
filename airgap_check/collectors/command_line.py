"""Finds secrets on command lines, where every user of a host can read them.

Unlike `redact`, which would rather hide too much, this only names what it is sure of: it makes a finding.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HINT = re.compile(rb"pass|secret|token|key|credential|authorization|://|\0-p|\0-u|sqlplus|impdp|expdp", re.IGNORECASE)
_SECRETS = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "credentials", "apikey", "api-key",
    "auth-key", "access-key", "secret-key", "private-key",
)  # fmt: skip
_ENDINGS = tuple(f"-{word}" for word in _SECRETS)
# A path, standard input, something that another program will replace, or a reference to a secret kept elsewhere.
_ELSEWHERE = ("/", "./", "../", "~/", "@", "-", "$", "{", "<", "env:", "file:", "id=", "type=", "src=")
_OPTION = re.compile(r"--?[A-Za-z][A-Za-z0-9._-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"(?:-H|--header=|--proxy-header=)?\s*(?:proxy-)?authorization:\s*\S", re.IGNORECASE)
_ORACLE = frozenset({"sqlplus", "impdp", "expdp", "sqlldr", "rman"})
_ORACLE_LOGIN = re.compile(r"[A-Za-z][\w$#]*+/[^/@]")
_MYSQL = re.compile(r"(?:mysql|mariadb)[a-z-]*")


def may_expose(command_line: bytes) -> bool:
    """Tell cheaply whether the bytes of /proc/PID/cmdline deserve a closer look."""
    return _HINT.search(command_line) is not None


def exposed(argv: Sequence[str]) -> list[str]:
    """Name what carries a secret on a command line, each once: ``--password``, ``-p``, ``URL``, ``Authorization``."""
    if len(argv) == 1:  # a process that rewrote its title
        argv = argv[0].split()
    return list(dict.fromkeys(_exposed(argv)))


def _exposed(argv: Sequence[str]) -> Iterator[str]:
    program = posixpath.basename(argv[0]) if argv else ""
    for index, word in enumerate(argv[1:], start=1):
        name, equals, value = word.partition("=")
        if not equals and index + 1 < len(argv):
            value = argv[index + 1]
        announces = _OPTION.fullmatch(name) or (equals and _VARIABLE.fullmatch(name))
        if announces and _names_secret(name) and _is_secret(value):
            yield name
        elif _has_url_password(word):
            yield "URL"
        elif _HEADER.match(word):
            yield "Authorization"
        elif program in _ORACLE and _ORACLE_LOGIN.match(word):
            yield "login"
        elif _is_attached(program, word) or _is_announced(program, word, value):
            yield word[:2]


def _names_secret(name: str) -> bool:
    words = re.sub(r"[._]", "-", name.lstrip("-").lower())
    return words in _SECRETS or words.endswith(_ENDINGS)


def _is_secret(value: str) -> bool:
    """Tell whether a value is a secret itself; MySQL's clients overwrite theirs with the letter x."""
    return bool(value.strip("xX*")) and not value.startswith(_ELSEWHERE)


def _has_url_password(word: str) -> bool:
    _, scheme, rest = word.partition("://")
    if not scheme:
        return False
    user_info, at, _ = re.split(r"[/?#\s]", rest, maxsplit=1)[0].rpartition("@")
    return bool(at) and _is_secret(user_info.partition(":")[2])


def _is_attached(program: str, word: str) -> bool:
    """Recognise ``-pX``, of the programs whose ``-p`` is a password and nothing else."""
    return word.startswith("-p") and (program == "sshpass" or bool(_MYSQL.fullmatch(program))) and _is_secret(word[2:])


def _is_announced(program: str, word: str, value: str) -> bool:
    if program == "sshpass" and word == "-p":
        return _is_secret(value)
    if program == "lftp" and word in {"-u", "--user"}:
        return _is_secret(value.partition(",")[2])
    return program == "curl" and word in {"-u", "--user", "-U", "--proxy-user"} and bool(value.partition(":")[2])
