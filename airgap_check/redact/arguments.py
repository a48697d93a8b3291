"""Finds the secrets on a command line: what options, headers and the habits of well-known programs announce."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from airgap_check.redact import strings
from airgap_check.redact.names import is_secret_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airgap_check.redact.strings import Span

_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*(?:"|\\?\Z)|'[^']*(?:'|\Z)|\\.|\s*+=\s*+|[^\s"'\\]|\\\Z)++|\s++""", re.DOTALL)
_BLANK_WORD = re.compile(r"\S++")
_NEXT_OPTION = re.compile(r"\s--?[A-Za-z]")
_NUMBER_OR_PATH = re.compile(r"[\d:.,/-]*(?:/?(?:tcp|udp))?\Z|[.~]{0,2}/")
_NAMED = re.compile(r"(--?[A-Za-z0-9_.-]+|[A-Za-z_][A-Za-z0-9_.]*)=")
_COLON = re.compile(r"(--?|/|)([A-Za-z][A-Za-z0-9_-]{0,60}+):\s*+(?=\S)")
_HEADER_NAMES = """
    authorization proxy-authorization password passwd pass pwd token secret apikey api-key x-api-key x-auth-token
    cookie set-cookie private-token x-vault-token bearer
"""
_HEADERS = frozenset(_HEADER_NAMES.split())
_HEADER_OPTIONS = frozenset({"-H", "--header", "--proxy-header"})
_USER_OPTIONS = frozenset({"-u", "-U", "--user", "--proxy-user", "--username"})
_ANNOUNCE = frozenset({"password", "passwd", "bearer", "basic", "user_pw", "owner_pw"})
_ANNOUNCE_IN_TEXT = _ANNOUNCE | {"pass", "pwd", "secret", "token"}
_SHELL_OPTION = re.compile(r"-[a-z]{0,4}c\Z")
_OPERATORS = frozenset({"|", "||", "&&", ";", "&"})
_READS_SECRET = re.compile(
    r"sudo\s+(?:-\w+\s+){0,5}-\w*S|--(?:password|passphrase)?-?stdin|chpasswd|passphrase-fd|sshpass"
)
_ORACLE = frozenset({"sqlplus", "impdp", "expdp", "imp", "exp", "sqlldr", "rman", "sqlcl"})
_LDAP = dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete", "ldapwhoami", "ldappasswd"), "-w -a")
_SNMP = dict.fromkeys(("snmpwalk", "snmpget", "snmpset", "snmpbulkwalk", "snmptrap"), "-c -A -X")
# Options that hold a secret with these programs and something harmless with others.
_SECRET_OPTIONS = {
    program: frozenset(options.split())
    for program, options in {
        "sshpass": "-p", "redis-cli": "-a", "login": "-p -P", "openssl": "-k -K -pass", "psexec": "-p",
        **_LDAP, **_SNMP,
    }.items()
}  # fmt: skip
# Single-dash options of other programs (Go's flag package, find, java) which are not -p with a password after it.
_ORDINARY_WORDS = """
    package packages page pages parallel param params parent parse partition pass passin passive passout passphrase
    password path paths pattern peer peers perf period perm persist pid pidfile ping pipe platform plugin plugins
    policy pool port ports prefix preserve pretty print print0 printf priority process processes prod production
    profile progress project prompt proto protocol provider proxy prune public publish pull push
"""
_ORDINARY_P = frozenset(_ORDINARY_WORDS.split())


def spans(argv: Sequence[str]) -> Iterator[list[Span]]:
    """Return for each argument where its secrets stand."""
    programs = {argument.rpartition("/")[2] for argument in argv[:8]}
    last_is_secret = _gives_password_last(argv)
    before, earlier, header = "", "", False
    for index, argument in enumerate(argv):
        if header or _announces(before, earlier, argument, programs) or (last_is_secret and index == len(argv) - 1):
            yield [(0, len(argument))]
        elif " " in argument and (len(argv) == 1 or _SHELL_OPTION.match(before)):
            yield list(_shell(argument))
        else:
            yield _argument(argument, programs, is_header=before in _HEADER_OPTIONS) + list(_announced(argument))
        header = header or _is_secret_header(argument)
        before, earlier = argument, before


def text_spans(text: str) -> list[Span]:
    """Return where the secrets of a value stand: a connection string, or words with an option."""
    single = " " not in text and (text.startswith("-") or not _NAMED.match(text))
    words = _argument(text, set(), is_header=False) if single else []
    return [*words, *strings.spans(text), *_announced(text)]


def _announced(value: str) -> Iterator[Span]:
    """Find in a text with blanks what a word announces: then all that follows it, up to the next option."""
    if " " not in value.strip():
        return
    before, earlier, programs = "", "", _programs(_BLANK_WORD.findall(value[:1000])[:8])
    hidden = 0
    for match in _BLANK_WORD.finditer(value):
        word, begin = match[0], match.start()
        to_end = _is_secret_header(before) or _follows(before, word)
        if begin >= hidden and (to_end or _announces(before, earlier, word, programs)):
            option = None if to_end else _NEXT_OPTION.search(value, begin)
            hidden = option.start() if option else len(value)
            yield begin, hidden
            if hidden == len(value):
                return
        elif begin >= hidden:
            for first, last in _argument(word, programs, is_header=False):
                yield begin + first, begin + last
        before, earlier = word, before


def _follows(before: str, word: str) -> bool:
    return not word.startswith("=") and before.lower().strip("\"'{[(,:") in _ANNOUNCE_IN_TEXT


def _shell(line: str) -> Iterator[Span]:
    """Find the secrets of a command line that is one text, by the words a shell would make of it."""
    yield from _piped(line)
    words = [match.span() for match in _WORD.finditer(line) if not match[0].isspace()]
    programs: set[str] = set()
    before, earlier, running = "", "", False
    for index, (begin, end) in enumerate(words):
        word = line[begin:end]
        inner = word.strip("\"'") if word[0] in "\"'" else word
        if before in _OPERATORS or before.endswith(";") or not index:
            programs = _programs(line[first:last] for first, last in words[index : index + 8])
            running = False
        running = running and not word.startswith("-") and word not in _OPERATORS
        if running or _is_secret_header(before) or _announces(before, earlier, inner, programs):
            running = running or (before.startswith("--") and word[0] not in "\"'")
            yield begin, end
        elif inner:
            found = [*_argument(inner, programs, is_header=before in _HEADER_OPTIONS), *_announced(inner)]
            inset = begin + word.index(inner)
            yield from ((inset + first, inset + last) for first, last in found)
            running = word.startswith("--") and "=" in word and is_secret_parameter(word.partition("=")[0], inner)
        before, earlier = inner, before


def _programs(words: Sequence[str] | Iterator[str]) -> set[str]:
    return {word.rpartition("/")[2] for word in words}


def _piped(line: str) -> Iterator[Span]:
    """Find ``echo secret`` in front of a program that reads one from its standard input."""
    begin = 0
    parts = line.split("|")
    for part, after in pairwise(parts):
        echo = re.search(r"(?:echo|printf)\s+", part)
        if echo and _READS_SECRET.search(after):
            yield begin + echo.end(), begin + len(part.rstrip())
        begin += len(part) + 1


def _is_secret_header(word: str) -> bool:
    """Tell whether ``Authorization:`` stands alone, so that the rest of this text is the secret."""
    name = word.strip("\"'{[(,-")
    return name.endswith(":") and is_secret_parameter(name[:-1].rstrip("\"'"), "")


def _gives_password_last(argv: Sequence[str]) -> bool:
    program = argv[0].rpartition("/")[2] if argv else ""
    if program == "htpasswd":
        return any(re.match(r"-[a-zA-Z]*b", argument) for argument in argv[1:])
    return program == "wpa_passphrase" and len(argv) > 2


def _announces(before: str, earlier: str, argument: str, programs: set[str]) -> bool:
    """Tell whether an argument is the secret that the one before it announced."""
    if before.lower().strip("\"'").rpartition(":")[2] in _ANNOUNCE and not argument.startswith("="):
        return True
    if earlier == "set" and is_secret_parameter(before.rpartition(":")[2], argument):  # aws configure set, npm config
        return True
    if _takes_secret(before, argument, programs):
        return True
    if not before.startswith("-") or "=" in before:
        return before.endswith("=") and is_secret_parameter(before[:-1], argument)
    name = before.lstrip("-").lower()
    if before.startswith("--no-") or name.endswith(("-stdin", "-prompt")):
        return False
    return len(name) > 1 and ":" not in name and is_secret_parameter(name, argument)


def _takes_secret(option: str, argument: str, programs: set[str]) -> bool:
    """Tell whether an option of some programs, which means something else to others, has a secret here."""
    if option in _USER_OPTIONS:
        return ":" in argument or "%" in argument or ("," in argument and "lftp" in programs)
    if option in {"-p", "-P"} and not _NUMBER_OR_PATH.match(argument):
        return True
    if option in {"-p", "-P"} and any(name.startswith("mongo") for name in programs):
        return True
    if option in {"-a", "--auth"} and ":" in argument and programs & {"http", "https", "xh"}:
        return True
    if option in {"-b", "--cookie"}:
        return "=" in argument
    if option == "login" and "vault" in programs:
        return not argument.startswith("-")
    return any(option in _SECRET_OPTIONS.get(program, ()) for program in programs)


def _argument(argument: str, programs: set[str], *, is_header: bool) -> list[Span]:
    """Find secrets in one argument by itself: an attached value, a header, or a connection string."""
    end = len(argument)
    attached = argument[:2]
    if attached in {"-p", "-P"} and end > 2 and not _is_ordinary(argument):
        return [(2, end)]
    named = _NAMED.match(argument)
    if named and named.end() < end:
        rest = argument[named.end() :]
        if is_secret_parameter(named[1], rest) or _announces(named[1], "", rest, programs):
            return [(named.end(), end)]
        inside = [*strings.spans(rest), *_announced(rest)]
        return [(named.end() + first, named.end() + last) for first, last in inside]
    if attached in {"-u", "-U"} and (":" in argument or "%" in argument) and not argument.startswith(("-url", "-uri")):
        return [(2, end)]
    name, colon, _ = argument.removeprefix("-H").partition(":")
    if (is_header or attached == "-H") and colon and is_secret_parameter(name.strip(), ""):
        return [(argument.index(":") + 1, end)]
    return _by_program(argument, programs) + _after_colon(argument) + strings.spans(argument)


def _by_program(argument: str, programs: set[str]) -> list[Span]:
    if "chpasswd" in programs and ":" in argument:
        return [(argument.index(":") + 1, len(argument))]
    if programs & _ORACLE and "/" in argument[1:] and argument[0] not in "/.@":
        at = argument.rfind("@")
        return [(0, at if at > 0 else len(argument))]
    return []


def _after_colon(argument: str) -> list[Span]:
    """Find the secret of ``--password:x``, ``/password:x`` and ``Authorization:x``."""
    colon = _COLON.match(argument)
    if not colon or argument.startswith("//", colon.end()):
        return []
    if colon[1] and not (colon[1] == "/" and argument.startswith("/", colon.end())):  # not the volume /keys:/keys
        known = is_secret_parameter(colon[2], "")
    else:
        known = colon[2].lower() in _HEADERS
    return [(colon.end(), len(argument))] if known else []


def _is_ordinary(argument: str) -> bool:
    return re.split(r"[^a-z0-9]", argument[1:].lower(), maxsplit=1)[0] in _ORDINARY_P
