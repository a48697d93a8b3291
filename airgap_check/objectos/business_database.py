"""Tells which database a runtime keeps its business in: from its settings, in the order in which it reads them.

Sources: `resolveProjectDatabaseUrl`, `normalizeDatabaseUrl` and `detectDriverFromUrl` of @objectstack/runtime 17.4;
the ObjectOS wrapper reads `OS_BUSINESS_DB_URL` first.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import unquote

from airgap_check.objectos import endpoint
from airgap_check.objectos.keyword_string import pairs_of_query
from airgap_check.objectos.product import OBJECTOS, OBJECTSTACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airgap_check.evidence.fact import Endpoint

Kind = Literal["sqlite", "postgresql", "memory", "other"]

WRAPPER = "OS_BUSINESS_DB_URL"
DEFAULT_NAMES = ("objectstack.db", "dev.db", "standalone.db")  # the last two are of older versions, and still read


class Database(NamedTuple):
    """A database. ``named_by`` is the setting that names it, or what else does; ``url`` is unredacted.

    ``path`` is of an SQLite file, as the runtime wrote it; ``scheme`` what its URL begins with.
    """

    kind: Kind
    named_by: str
    url: str = ""
    path: str = ""
    scheme: str = ""


class Login(NamedTuple):
    """What a URL of PostgreSQL says; ``hosts`` are the servers that it names."""

    hosts: tuple[Endpoint, ...]
    database: str
    user: str
    password: str
    sslmode: str
    sslrootcert: str
    socket: bool
    options: str = ""


def named(product: str, settings: Mapping[str, str]) -> list[Database]:
    """Return the databases that the settings name: one, unless nobody knows which of two names this product reads."""
    # `env.OS_DATABASE_URL ?? env.DATABASE_URL`: an empty one hides the next, but not the one after that
    first = "OS_DATABASE_URL" if "OS_DATABASE_URL" in settings else "DATABASE_URL"
    common = next((name for name in (first, "TURSO_DATABASE_URL") if settings.get(name, "").strip()), None)
    wrapper = WRAPPER if product != OBJECTSTACK and settings.get(WRAPPER, "").strip() else None
    chosen = [name for name in (wrapper, common) if name]
    found = [of_url(settings[name], name) for name in (chosen[:1] if product == OBJECTOS else chosen)]
    if not found and settings.get("OS_DATABASE_DRIVER", "").strip().lower() in {"memory", "inmemory", "in-memory"}:
        found = [Database("memory", "OS_DATABASE_DRIVER")]
    return list({(one.kind, one.url): one for one in found}.values())


def of_url(text: str, named_by: str) -> Database:
    """Say what a database URL means to the runtime."""
    url = re.sub(r"\Asqlite:(?://)?", "file:", text.strip(), flags=re.IGNORECASE)
    scheme = (re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*(?=:)", url) or [""])[0].lower()
    if scheme in {"postgres", "postgresql", "pg"} and "://" in url:
        return Database("postgresql", named_by, url, scheme=scheme)
    if url.lower() in {":memory:", "file::memory:"} or scheme in {"memory", "mem"}:
        return Database("memory", named_by, url, scheme=scheme or "memory")
    if scheme == "wasm-sqlite":
        return Database("sqlite", named_by, url, re.sub(r"\A[^:]*:(?://)?(?:file:(?://)?)?", "", url), scheme)
    if scheme == "file":
        path = url[5:].removeprefix("//")
        return Database("sqlite", named_by, url, path, scheme) if path else Database("other", named_by, url, "", scheme)
    if "://" not in url:
        return Database("sqlite", named_by, url, url, scheme)
    return Database("other", named_by, url, scheme=scheme)


def default(
    directory: str | None, home: str | None, settings: Mapping[str, str], exists: Callable[[str], bool]
) -> Database | None:
    """Return the file that is used where no setting names one; None where its folder cannot be told.

    ``exists`` looks for a file as the runtime would find it, and may raise OSError.
    """
    folder = state_home(directory, home, settings, exists)
    if folder is None:
        return None
    paths = [posixpath.join(folder, "data", name) for name in DEFAULT_NAMES]
    path = next((path for path in paths if exists(path)), paths[0])
    return Database("sqlite", "its default", f"file:{path}", path, "file")


def state_home(
    directory: str | None, home: str | None, settings: Mapping[str, str], exists: Callable[[str], bool]
) -> str | None:
    """Return the folder of the runtime's state: OS_HOME, `.objectstack` of a project, or that of the home folder."""
    stated = settings.get("OS_HOME", "").strip()
    if stated.startswith("~"):
        return None if home is None else posixpath.normpath(posixpath.join(home, stated[1:].lstrip("/\\")))
    if stated:
        absolute = stated.startswith("/") or directory is not None
        return posixpath.normpath(posixpath.join(directory or "/", stated)) if absolute else None
    if directory is not None and exists(posixpath.join(directory, "objectstack.config.ts")):
        return posixpath.join(directory, ".objectstack")
    return None if home is None else posixpath.join(home, ".objectstack")


def login(url: str, settings: Mapping[str, str]) -> Login:
    """Read a URL of PostgreSQL as node-postgres does: what it leaves out may stand in the runtime's PG* variables."""
    main, _, query = url.partition("://")[2].partition("?")
    credentials, _, place = main.rpartition("@")
    hosts, _, database = place.partition("/")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    parameters = dict(pairs_of_query(query))
    user = user or settings.get("PGUSER", "")
    on_socket = not hosts or hosts.startswith(("/", "%2f", "%2F")) or parameters.get("host", "").startswith("/")
    return Login(
        hosts=() if on_socket else endpoint.parse(url),
        database=unquote(database) or settings.get("PGDATABASE", "") or user,
        user=user,
        password=password or settings.get("PGPASSWORD", ""),
        sslmode=parameters.get("sslmode", "prefer"),
        sslrootcert=parameters.get("sslrootcert", ""),
        socket=on_socket,
        options=parameters.get("options") or settings.get("PGOPTIONS", ""),
    )
