"""Finds the secrets inside a URL, a connection string or any other text that is one value.

Each detector returns spans (begin, end) of the original text; the caller hides their union, so that no detector can be
misled by what another one took away. Where a text can be read in two ways, the reading that hides more wins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airgap_check.redact.names import is_secret_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]

# A URL begins the text or follows a separator; a :// anywhere else belongs to a password, or to a path.
_URL_START = re.compile(
    r"(?:\A|(?<=[\s,;|=\"'`(<\[{]))(?:(?:r2dbc|jdbc):(?:[A-Za-z0-9+._-]{1,40}+:(?!//)){0,3})?[A-Za-z][A-Za-z0-9+._-]{0,60}+://"
)
_ASSIGNMENT = re.compile(r"(?<![A-Za-z0-9_.\[\]%-])([A-Za-z0-9_.\[\]%-]++)(\s*+[\"']\s*+:|\s*+=)\s*+")
# The only parameters known well enough to end the secret before them: it may hold any separator itself.
_PLAIN_PARAMETERS = """
    host hostaddr server port user username userid uid dbname database db schema ssl sslmode sslrootcert tls encrypt
    timeout connect_timeout pool_timeout connection_limit application_name charset encoding replicaSet authSource
    authMechanism retryWrites directConnection parseTime loc prepare pgbouncer EndpointSuffix InitialCatalog
"""
_NEXT_PLAIN = re.compile(
    rf"[&;,\s][\"'\s]{{0,4}}+(?:{'|'.join(_PLAIN_PARAMETERS.split())})(?:[\"']\s{{0,4}}+:|\s{{0,4}}+=)",
    re.IGNORECASE,
)
_GLANCE = 300  # characters of a value that tell a path from a secret
_IMAGE_DIGEST = re.compile(r"sha(?:256|384|512):[0-9a-fA-F]+")
_PACKAGE_VERSION = re.compile(r"(?:[v^~]?\d+(?:\.\d+){0,2}(?:[-+][\w.-]*+)?|latest|next)\Z")
# Slack, Teams and Discord put the credential of a webhook into its path.
_TOKEN_IN_PATH = re.compile(r"(?<=/)(?=[^/?#]*[a-z])(?=[^/?#]*[A-Z])(?=[^/?#]*[0-9])[A-Za-z0-9_-]{20,}+(?=[/?#,\s]|\Z)")
_WEBHOOK = re.compile(
    r"\A(?:hooks\.slack\.com/(?:services|workflows)/[^/]*/[^/]*/|(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks/|"
    r"api\.telegram\.org/(?:file/)?bot)"
)
_KNOWN_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(?:eyJ[A-Za-z0-9_-]{5,2000}+\.[A-Za-z0-9_-]{2,}+(?:\.[A-Za-z0-9_-]*+)*+|gh[pousr]_[A-Za-z0-9_]{16,}+|"
    r"github_pat_[A-Za-z0-9_]{16,}+|glpat-[A-Za-z0-9_.-]{8,}+|xox[a-z]-[A-Za-z0-9_-]{8,}+|SG\.[A-Za-z0-9_.-]{8,}+|"
    r"sk[-_](?=[a-z_-]{0,80}+[A-Z0-9])[A-Za-z0-9_-]{8,}+|(?:AKIA|ASIA)[A-Z0-9]{12,}+|npm_[A-Za-z0-9]{30,}+)"
)
_ORACLE = re.compile(r"jdbc:oracle:[A-Za-z0-9]{1,10}:", re.IGNORECASE)
_EASY_CONNECT = re.compile(r"(?:\A|(?<=\s))[\w$#.-]{1,64}+/(?!/)")  # scott/tiger@host:1521/service
_PGPASS = re.compile(r"(?![0-9A-Fa-f:.]++(?:[\s/%,]|\Z))[\w.*-]{1,255}+:(?:\d{1,5}+|\*):[^:]{0,64}+:[^:]{1,64}+:")
_KEYWORDS = re.compile(r"\s*+(?:[{\[]|[A-Za-z][A-Za-z0-9_. -]{0,40}+=)")
_PLACES = ("file:", "unix:", "sqlite:", "http+unix:")


def spans(text: str) -> list[Span]:
    """Return where the secrets of a text stand, in any order and perhaps overlapping."""
    if "PRIVATE KEY-----" in text:
        return [(0, len(text))]
    found = [match.span() for match in _KNOWN_TOKEN.finditer(text)]
    covered = 0  # up to where assignments are dealt with
    for end, resume, more in _pieces(text):
        found += more
        for span in _assignments(text, max(resume, covered), end):
            found.append(span)
            covered = span[1]
        if covered == len(text):  # the rest is hidden
            break
    return found


def looks_like_token(text: str) -> bool:
    """Tell whether a text begins with a token of a well-known make."""
    return _KNOWN_TOKEN.match(text) is not None


def _pieces(text: str) -> Iterator[tuple[int, int, list[Span]]]:
    """Cut a text before each URL: (end, where to look for assignments from, spans of user info and tokens)."""
    starts = [match.span() for match in _URL_START.finditer(text)]
    last_at = text.rfind("@")
    first = starts[0][0] if starts else len(text)
    if (
        starts
        and _odd_port(text[:first].split("/", maxsplit=1)[0])
        and last_at >= first
        and not _ends_name(text, first)
    ):
        yield len(text), 0, _bare_user_info(text, 0, len(text))
        return
    yield first, 0, _bare_user_info(text, 0, first)
    for index, (begin, end) in enumerate(starts):
        stop = starts[index + 1][0] if index + 1 < len(starts) else len(text)
        authority = re.split(r"[/?#]", text[end:stop], maxsplit=1)[0]
        swallows = stop < len(text) and "@" not in text[end:stop] and last_at >= stop and _odd_port(authority)
        if swallows:  # a separator and :// within a password
            stop = len(text)
        resume, found = _after_scheme(text, begin, end, stop)
        yield stop, resume, found
        if swallows:
            return


def _ends_name(text: str, end: int) -> bool:
    return text[end - 1] in "=\"'"


# --- user info -------------------------------------------------------------------------------------------------------


def _after_scheme(text: str, begin: int, start: int, stop: int) -> tuple[int, list[Span]]:
    """Find the user info, and where assignments begin. A raw delimiter in a password moves its end."""
    scheme, rest = text[begin:start].lower(), text[start:stop]
    authority = re.split(r"[/?#;]" if scheme.startswith("jdbc:") else r"[/?#]", rest, maxsplit=1)[0]
    parameter = _first_parameter(rest)
    at = rest.rfind("@", 0, parameter) if _is_plain(authority) else rest.rfind("@")
    odd = _odd_port(authority)
    if at >= 0 and not scheme.startswith(_PLACES):
        web = scheme.startswith("http")
        if not web or odd or "@" in authority or ":" in rest[:at] or not _is_plain_name(authority):
            return start + min(at, parameter), [(start, start + at)]
    if at < 0 and odd:
        return start, [(start, start + len(authority))]
    hook = _WEBHOOK.match(rest)
    if hook:
        return start, [(start + hook.end(), stop)]
    slash = start + len(authority)
    return start, [match.span() for match in _TOKEN_IN_PATH.finditer(text, slash, stop)]


def _first_parameter(rest: str) -> int:
    """Return where the first secret parameter of a query begins: an ``@`` after it may be its own."""
    for match in _ASSIGNMENT.finditer(rest):
        before = rest[match.start() - 1 : match.start()]
        if before and before in "?&;#" and is_secret_parameter(match[1], "", first=False):
            return match.start()
    return len(rest)


def _is_plain(authority: str) -> bool:
    """Tell whether what may be hosts and ports cannot be the beginning of ``user:password`` instead."""
    hosts = authority.rpartition("@")[2].split(",")
    return not _odd_port(authority) and all(":" not in host or _is_plain_name(host) for host in hosts)


def _is_plain_name(host: str) -> bool:
    return "." in host or host.startswith("[") or host.partition(":")[0] == "localhost"


def _odd_port(authority: str) -> bool:
    """Tell whether what stands where a port should be may be a password (``u:p`` of ``u:p/w@host``)."""
    for host in authority.rpartition("@")[2].split(","):
        port = host.rpartition("]")[2].partition(":")[2]
        if port and not port.isdecimal() and not re.match(r"\$\{\w+\}\Z|\$\w+\Z|\{\w+\}\Z", port):
            return True
    return False


def _bare_user_info(text: str, begin: int, end: int) -> list[Span]:
    """Find ``user:password`` of ``user:password@tcp(host:3306)/database`` and its like without a scheme."""
    text = text[begin:end]
    found = []
    line = _PGPASS.match(text)
    if line:
        found.append((begin + line.end(), end))
    before, at, after = text[: _last_at(text)].rpartition("@")
    oracle = _ORACLE.match(text)
    if not at or (_IMAGE_DIGEST.match(after) and not oracle):
        return found
    if oracle:
        return [(begin + oracle.end(), begin + len(before))]
    user, colon, password = before.partition(":")
    if colon and password:
        found.append((begin + user.rfind("=") + 1, begin + len(before)))
    easy = _EASY_CONNECT.search(before)
    if easy and not _PACKAGE_VERSION.match(after):
        found.append((begin + easy.start(), begin + len(before)))
    return found


def _last_at(text: str) -> int:
    """Return where to look back from for user info: an ``@`` in the password of a keyword string or of JSON is none."""
    end, at = len(text), text.rfind("@")
    if at >= 0 and _KEYWORDS.match(text):
        for begin, stop in reversed(list(_assignments(text, 0, end))):
            if at >= stop:
                break
            if begin <= at:
                end, at = begin, text.rfind("@", 0, begin)
    return end


# --- name=value ------------------------------------------------------------------------------------------------------


def _assignments(text: str, begin: int, stop: int) -> Iterator[Span]:
    """Find the secret of ``name=value`` and ``"name": value``: up to a well-known parameter, else to the end."""
    position = begin
    while match := _ASSIGNMENT.search(text, position, stop):  # without the stop, each piece would search all others
        position = match.end()
        glance = text[position : position + _GLANCE]
        if is_secret_parameter(match[1], glance, first=match.start() == 0):
            plain = _NEXT_PLAIN.search(text, max(position - 1, 0))
            end = plain.start() if plain else len(text)
            yield position, max(end, position)
            position = max(end, position)
