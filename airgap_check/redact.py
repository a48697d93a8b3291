"""Knows what a secret looks like in a variable, a connection string and a command line, and takes it out.

It errs on the side of hiding: a harmless word lost costs a reader little, a password in a report costs its owner a lot.
Every scan is linear in the text, because the text is whatever a process chose to call itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REDACTED = "<redacted>"

_SECRET_WORDS = re.compile(
    "SECRET|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|TOKEN|KEY|CREDENTIAL|AUTHORIZATION|BEARER|JWT|SIGNATURE|HEADERS\\Z|"
    r"(?:\A|[^A-Z])(?:(?:PASS|PWD|PW|SALT|SAS|SIG)(?![A-Z])|AUTH\Z)|[A-Z](?:PASS|PWD)\Z"
)
_INNOCENT_WORDS = re.compile("KEYBOARD|KEYMAP|KEYCLOAK|KEYSTONE|KEYSPACE|KEYWORD|TOKENIZER|BYPASS|COMPASS|OLDPWD")
_FILE_NAME_ENDS = ("FILE", "FILENAME", "PATH", "DIR", "DIRECTORY", "STORE", "STDIN", "PROMPT")
_PARAMETERS = frozenset({"PWD", "COOKIE", "SET-COOKIE", "PASSIN", "PASSOUT", "USERPWD"})


def is_secret_name(name: str) -> bool:
    """Tell whether a variable, option, header or parameter of this name holds a secret."""
    upper = name.strip().upper()
    if upper == "PWD":  # the shell's working directory
        return False
    return _SECRET_WORDS.search(_INNOCENT_WORDS.sub("", upper)) is not None


def value(name: str, text: str) -> str:
    """Return the value of a variable as it may be shown; blank stays blank, so that its posture can be read."""
    text = printable(text)
    if text.strip() and is_secret_name(name) and not _names_a_file(name, text):
        return REDACTED
    return url(text)


def _names_a_file(name: str, text: str) -> bool:
    """Tell whether a secret is not here but in the file named (the *_FILE convention of containers)."""
    return name.upper().endswith(_FILE_NAME_ENDS) and text.startswith(("/", "./", "../", "~/"))


def url(text: str) -> str:
    """Return a URL, a connection string or any text without credentials; what is no secret stays as it is."""
    text = printable(text)
    if "PRIVATE KEY-----" in text:
        return REDACTED
    if _SCHEME.match(text):  # a blank inside is then part of a (badly written) password
        return _scrub(text)
    if _NEXT_PAIR.search(text):  # ADO and ODBC: a blank does not end a value
        text = _scrub_assignments(text)
    return "".join(_scrub_words(text))


def command(argv: Sequence[str]) -> str:
    """Return a command line as one printable text without secrets."""
    return " ".join(_scrub_arguments([printable(argument) for argument in argv]))


# --- connection strings ----------------------------------------------------------------------------------------------

_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.:-]{0,60}://")
_URL_START = re.compile(r"(?<![A-Za-z0-9+.:-])[A-Za-z][A-Za-z0-9+.:-]{0,60}://")
_ASSIGNMENT = re.compile(r"(?<![A-Za-z0-9_.\[\]%-])([A-Za-z0-9_.\[\]%-]++)(\s*+[\"']\s*+:|\s*+=)\s*+")
_GLANCE = 300  # characters of a value that tell a path from a secret
_NEXT_PAIR = re.compile(r";\s*+[A-Za-z][A-Za-z _]{0,40}+=")
_IMAGE_DIGEST = re.compile(r"sha(?:256|384|512):[0-9a-fA-F]+")
_TOKEN_IN_PATH = re.compile(r"(?<=/)(?=[^/?#]*[a-z])(?=[^/?#]*[A-Z])(?=[^/?#]*[0-9])[A-Za-z0-9_-]{20,}+(?=[/?#]|\Z)")


def _scrub(text: str) -> str:
    """Take credentials out of one word, or one URL."""
    return _scrub_assignments(_scrub_user_info(text))


def _scrub_user_info(text: str) -> str:
    starts = [match.span() for match in _URL_START.finditer(text)]
    if not starts:
        return _scrub_bare_user_info(text)
    pieces = [_scrub_bare_user_info(text[: starts[0][0]])]
    for index, (begin, end) in enumerate(starts):
        stop = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        pieces += [text[begin:end], _scrub_after_scheme(text[begin:end], text[end:stop])]
    return "".join(pieces)


def _scrub_after_scheme(scheme: str, rest: str) -> str:
    """Hide the user info. A raw ``/`` or ``@`` in a password moves its end to the last ``@`` of the text."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    at = rest.rfind("@")
    if at >= 0 and authority and ("@" in authority or _odd_port(authority) or not scheme.lower().startswith("http")):
        return f"{REDACTED}{rest[at:]}"
    if at < 0 and _odd_port(authority):
        return f"{REDACTED}{rest[len(authority) :]}"
    # Slack, Teams and Discord put the credential of a webhook into its path.
    path, comma, more = _TOKEN_IN_PATH.sub(REDACTED, rest[len(authority) :]).partition(",")
    return authority + path + comma + ",".join(_scrub_bare_user_info(word) for word in more.split(","))


def _odd_port(authority: str) -> bool:
    """Tell whether what stands where a port should be may be a password (``u:p`` of ``u:p/w@host``)."""
    for host in authority.split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not port.isdecimal() and not port.startswith(("$", "{")):
            return True
    return False


def _scrub_bare_user_info(text: str) -> str:
    """Hide ``user:password`` of ``user:password@tcp(host:3306)/database`` and its like without a scheme."""
    before, at, after = text.rpartition("@")
    user, colon, password = before.partition(":")
    if not (at and colon and password) or _IMAGE_DIGEST.match(after):
        return text
    prefix = user.rpartition("=")[0]
    return f"{prefix}{'=' if prefix else ''}{REDACTED}@{after}"


def _scrub_assignments(text: str) -> str:
    """Hide the value of ``name=value`` and ``"name": value``: up to the next ``&`` in a query, else to the end."""
    pieces, position = [], 0
    while match := _ASSIGNMENT.search(text, position):
        pieces.append(text[position : match.end()])
        position = match.end()
        glance = text[position : position + _GLANCE]
        if not _is_secret_parameter(match[1], glance, first=match.start() == 0) or glance.startswith(REDACTED):
            continue
        in_query = "?" in text[: match.start()] and "=" in match[2]
        end = text.find("&", position) if in_query else -1
        position = end if end >= 0 else len(text)
        if glance:
            pieces.append(REDACTED)
    return "".join(pieces) + text[position:]


def _is_secret_parameter(name: str, text: str, *, first: bool = True) -> bool:
    name = name.lstrip("-")
    if name == "PWD" and first and text.startswith("/") and ";" not in text:  # the shell's, not that of ODBC
        return False
    return (is_secret_name(name) or name.upper() in _PARAMETERS) and not _names_a_file(name, text)


# --- words and command lines -----------------------------------------------------------------------------------------

_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*(?:"|\\?\Z)|'[^']*(?:'|\Z)|\\.|\s*+=\s*+|[^\s"'\\]|\\\Z)++|\s++""", re.DOTALL)
_NUMBER_OR_PATH = re.compile(r"[\d:.,/-]*(?:/?(?:tcp|udp))?\Z|[.~]{0,2}/")
_HEADER_OPTIONS = frozenset({"-H", "--header", "--proxy-header"})
_USER_OPTIONS = frozenset({"-u", "-U", "--user", "--proxy-user", "--username"})
_ASK_FOR_PASSWORD = frozenset({"sshpass", "redis-cli", "ldapsearch", "ldapmodify", "ldapadd", "ldapwhoami", "login"})
_ANNOUNCE = frozenset({"password", "passwd", "bearer", "basic"})
# Single-dash options of other programs (Go's flag package, find, java) which are not -p with a password after it.
_ORDINARY_WORDS = """
    package packages page pages parallel param params parent parse partition pass passin passive passout passphrase
    password path paths pattern peer peers perf period perm persist pid pidfile ping pipe platform plugin plugins
    policy pool port ports prefix preserve pretty print print0 printf priority process processes prod production
    profile progress project prompt proto protocol provider proxy prune public publish pull push
"""
_ORDINARY_P = frozenset(_ORDINARY_WORDS.split())


def _scrub_words(text: str) -> Iterator[str]:
    """Scrub a text that may be a whole command line in one argument, keeping its blanks."""
    words = [match[0] for match in _WORD.finditer(text)]
    if len(words) <= 1:
        yield _scrub(text)
        return
    scrubbed = iter(_scrub_arguments([word for word in words if not word.isspace()]))
    for word in words:
        yield word if word.isspace() else next(scrubbed)


def _scrub_arguments(argv: Sequence[str]) -> Iterator[str]:
    programs = {argument.rpartition("/")[2] for argument in argv[:8]}
    asks = bool(programs & _ASK_FOR_PASSWORD) or any(name.startswith("mongo") for name in programs)
    before = ""
    header = False
    for argument in argv:
        if header or _announces_secret(before, argument, asks=asks):
            yield REDACTED if argument else argument
        else:
            yield _scrub_argument(argument, is_header=before in _HEADER_OPTIONS)
        header = header or _is_secret_header(argument)
        before = argument


def _is_secret_header(word: str) -> bool:
    """Tell whether ``Authorization:`` stands alone, so that the rest of this text is the secret."""
    name = word.strip("\"'{[(,-")
    return name.endswith(":") and _is_secret_parameter(name[:-1].rstrip("\"'"), "")


def _announces_secret(before: str, argument: str, *, asks: bool) -> bool:
    """Tell whether an argument is the secret that the one before it announced."""
    if before.lower().strip("\"'") in _ANNOUNCE:
        return True
    if before in _USER_OPTIONS:
        return ":" in argument or "%" in argument
    if before in {"-p", "-P"}:
        return asks or not _NUMBER_OR_PATH.match(argument)
    if before in {"-a", "-w"}:
        return asks
    if not before.startswith("-") or "=" in before:
        return before.endswith("=") and _is_secret_parameter(before[:-1], argument)
    name = before.lstrip("-").lower()
    if before.startswith("--no-") or name.endswith(("-stdin", "-prompt")):
        return False
    return len(name) > 1 and ":" not in name and _is_secret_parameter(name, argument)


def _scrub_argument(argument: str, *, is_header: bool) -> str:
    """Scrub one argument by itself: an attached value, a header, a command line inside, or a connection string."""
    option = re.match(r"(--?[A-Za-z0-9_.-]+|[A-Za-z_][A-Za-z0-9_.]*)=", argument)
    if option and argument[option.end() :]:
        rest = argument[option.end() :]
        if _is_secret_parameter(option[1], rest) or _announces_secret(option[1], rest, asks=False):
            return f"{option[0]}{REDACTED}"
        return option[0] + url(rest)
    attached = argument[:2]
    if attached in {"-p", "-P"} and len(argument) > 2 and not _is_ordinary(argument):
        return f"{attached}{REDACTED}"
    if attached in {"-u", "-U"} and (":" in argument or "%" in argument) and not argument.startswith(("-url", "-uri")):
        return f"{attached}{REDACTED}"
    name, colon, _ = argument.removeprefix("-H").partition(":")
    if (is_header or attached == "-H") and colon and _is_secret_parameter(name.strip(), ""):
        return f"{argument[: argument.index(':') + 1]} {REDACTED}"
    inner = argument.strip("\"'")
    if inner and argument[0] in "\"'":  # a quoted word of a command line inside an argument
        begin = argument.index(inner)
        return argument[:begin] + url(inner) + argument[begin + len(inner) :]
    return url(argument)


def _is_ordinary(argument: str) -> bool:
    return re.split(r"[^a-z0-9]", argument[1:].lower(), maxsplit=1)[0] in _ORDINARY_P


# --- what a terminal may be shown ------------------------------------------------------------------------------------

_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]")


def printable(text: str) -> str:
    """Return text without control characters, ANSI sequences and direction overrides; blanks become spaces."""
    if text.isprintable():
        return text
    return "".join(_printable_character(character) for character in _ANSI.sub("", text))


def _printable_character(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return "\N{REPLACEMENT CHARACTER}" if "\ud800" <= character <= "\udfff" else ""
