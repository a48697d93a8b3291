"""Decides whether a runtime's PostgreSQL may be asked, and asks it from where the runtime stands."""

from __future__ import annotations

import os
import time
from functools import partial
from typing import TYPE_CHECKING

from airgap_check.address import parse
from airgap_check.collectors import postgresql
from airgap_check.collectors.stored_rows import TableRows, UnreadableError
from airgap_check.kernel import netns, procfs
from airgap_check.objectos import business_database
from airgap_check.redact import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airgap_check.collectors.installations import Installation
    from airgap_check.evidence.fact import Endpoint
    from airgap_check.objectos.business_database import Database

_PORT = 5432
_CERTIFICATES = 1 << 20
_SSLMODES = frozenset({"disable", "allow", "prefer", "require", "verify-ca", "verify-full", "no-verify"})


def read(
    installation: Installation,
    database: Database,
    approves: Callable[[Endpoint], bool],
    addresses: Callable[[Endpoint], Sequence[str]],
    deadline: float | None,
) -> list[TableRows]:
    """Ask the first server of a URL that answers.

    Raises `UnreadableError` where none may be asked or none answers, and OSError where the namespace has gone.
    """
    login = business_database.login(database.url, installation.settings)
    if login.socket or not login.hosts:
        what = "is reached through a Unix socket, which is not followed" if login.socket else "names no server"
        raise UnreadableError(f"{what}; --database reads PostgreSQL over TCP")
    if not login.user:
        raise UnreadableError("names no user to connect as")
    if login.sslmode not in _SSLMODES:
        raise UnreadableError("asks for an sslmode that is not known")
    if installation.netns is None:
        raise UnreadableError("the network namespace of its runtime cannot be told")
    refused = next((host for host in login.hosts if host.scope != "loopback" and not approves(host)), None)
    if refused:
        raise UnreadableError("the allowlist does not approve its server, so that it was not dialled")
    certificates = _certificates(installation, login.sslrootcert)
    try:
        return _ask(installation, login, addresses, f"/proc/self/fd/{certificates}" if certificates else "", deadline)
    finally:
        if certificates is not None:
            os.close(certificates)


def _ask(
    installation: Installation,
    login: business_database.Login,
    addresses: Callable[[Endpoint], Sequence[str]],
    certificates: str,
    deadline: float | None,
) -> list[TableRows]:
    here = netns.Namespace(
        installation.netns or 0,
        "process",
        (installation.process.pid,),
        ((0, f"/proc/{installation.thread}/ns/net"),),
    )
    failures: list[str] = []
    for host in login.hosts:
        if deadline is not None and time.monotonic() > deadline:
            failures.append("the time limit came first")
            break
        address = next((text for text in _numeric(host, addresses) if parse(text)), None)
        if address is None:
            failures.append(f"{host.name} was not resolved, and is not asked for here")
            continue
        to = postgresql.Login(
            host=host.name or address,
            address=address,
            port=host.port or _PORT,
            database=login.database,
            user=login.user,
            password=login.password,
            sslmode="require" if login.sslmode == "no-verify" else login.sslmode,
            sslrootcert=certificates,
            options=login.options,
        )
        try:
            return netns.inside(here, partial(postgresql.read, to, deadline))
        except UnreadableError as error:
            failures.append(str(error))
    raise UnreadableError(printable("; ".join(dict.fromkeys(failures)))[:300])


def _numeric(host: Endpoint, addresses: Callable[[Endpoint], Sequence[str]]) -> Sequence[str]:
    if host.address:
        return (host.address,)
    return ("127.0.0.1",) if host.scope == "loopback" else addresses(host)


def _certificates(installation: Installation, stated: str) -> int | None:
    """Copy the certificates that a runtime trusts into our own memory, for libpq reads them by a path of its own."""
    path = installation.path(stated) if stated and stated != "system" else None
    if path is None:
        return None
    content = procfs.read_in_root(installation.thread, path, _CERTIFICATES)
    descriptor = os.memfd_create("certificates", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return descriptor
