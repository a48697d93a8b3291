"""Speaks to one PostgreSQL server with libpq, read-only, without asking a resolver, and never beyond a deadline.

psycopg's own connection class waits as long as the server likes; its `pq` layer is libpq as it is, which does not wait.
Source: PostgreSQL's documentation, 34.1.2 (keywords), 34.4 (asynchronous commands), 34.6 (one row at a time).
"""

from __future__ import annotations

import os
import select
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self

from airgap_check.collectors.stored_rows import UnreadableError
from airgap_check.redact import printable, url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from psycopg.pq.abc import PGconn, PGresult

SECONDS = 10.0  # for a connection and all that is asked over it
_STATEMENT_MS = 5000
_REQUIRE_AUTH = 160000  # the libpq that knows the keyword


class Login(NamedTuple):
    """Whom to connect to and as whom. ``address`` is numeric: libpq looks up what is not.

    ``options`` are those that the runtime's session has: a search path among them decides which tables it means.
    """

    host: str
    address: str
    port: int
    database: str
    user: str
    password: str = ""
    sslmode: str = "prefer"
    sslrootcert: str = ""
    options: str = ""


class Session:
    """A connection in a read-only transaction. Raises `UnreadableError` for whatever goes wrong."""

    def __init__(self, login: Login, deadline: float | None) -> None:
        """Remember whom to connect to; ``with`` connects."""
        self._login = login
        self._end = min(deadline or float("inf"), time.monotonic() + SECONDS)
        self._connection: PGconn | None = None

    def __enter__(self) -> Self:
        try:
            from psycopg import pq
        except ImportError:
            reason = "PostgreSQL is not read without psycopg: install the extra airgap-check[postgres]"
            raise UnreadableError(reason) from None
        _forget_environment()
        self._pq = pq
        self._connection = pq.PGconn.connect_start(_conninfo(self._login, pq.version()))
        with ExitStack() as stack:
            stack.callback(self._connection.finish)
            self._connect(self._connection)
            self.order("BEGIN TRANSACTION READ ONLY")
            for setting in (
                "default_transaction_read_only = on", f"statement_timeout = {_STATEMENT_MS}", "lock_timeout = 1000",
                "row_security = off",  # rows that a policy hides are an error then, and not just missing
            ):  # fmt: skip
                self.order(f"SET LOCAL {setting}")
            stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._connection is not None:
            self._connection.finish()  # which ends the transaction as well: nothing was written

    def order(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        for _ in self.ask(statement, 0):
            pass

    def ask(self, query: str, limit: int) -> Iterator[list[str | None]]:
        """Yield the rows of a query as text; more than ``limit`` of them are refused, however they were asked for."""
        connection, pq = self._open(), self._pq
        while self._next(connection) is not None:
            pass  # what is left of a query that nobody read to its end
        self._guard(partial(connection.send_query, query.encode()))
        connection.set_single_row_mode()
        count = 0
        while (result := self._next(connection)) is not None:
            if result.status == pq.ExecStatus.SINGLE_TUPLE:
                count += 1
                if count > limit:
                    raise UnreadableError("the server sends more rows than it was asked for")
                yield [_decoded(result.get_value(0, column)) for column in range(result.nfields)]
            elif result.status not in {pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK}:
                raise UnreadableError(self._said(_decoded(result.get_error_message().encode()) or ""))

    def savepoint(self) -> None:
        """Let one query fail without the rest of the transaction."""
        self.order("SAVEPOINT one")

    def back(self) -> None:
        """Go on after a query that failed."""
        self.order("ROLLBACK TO SAVEPOINT one")

    def _open(self) -> PGconn:
        assert self._connection is not None
        return self._connection

    def _connect(self, connection: PGconn) -> None:
        status = self._pq.PollingStatus
        waits = {status.READING: select.POLLIN, status.WRITING: select.POLLOUT}
        while (now := status(connection.connect_poll())) != status.OK:
            if now == status.FAILED:
                raise UnreadableError(self._said(connection.get_error_message()))
            self._wait(connection, waits[now])
        connection.nonblocking = 1

    def _next(self, connection: PGconn) -> PGresult | None:
        """Return the next result, None after the last."""
        while connection.flush():
            self._wait(connection, select.POLLIN | select.POLLOUT)
        while connection.is_busy():
            self._wait(connection, select.POLLIN)
            self._guard(connection.consume_input)
        return connection.get_result()

    def _guard(self, work: Callable[[], None]) -> None:
        from psycopg import Error

        try:
            work()
        except Error as error:
            raise UnreadableError(self._said(str(error))) from None

    def _wait(self, connection: PGconn, events: int) -> None:
        left = self._end - time.monotonic()
        poll = select.poll()
        poll.register(connection.socket, events)
        if left <= 0 or not poll.poll(left * 1000):
            raise UnreadableError("the server did not answer in time")

    def _said(self, message: str) -> str:
        """Return the first line of an error, without the password should a server send it back."""
        line = url(printable(message.strip().partition("\n")[0]))[:200]
        secret = self._login.password
        return "the server refused" if secret and secret in line else line or "the server broke off"


def _decoded(raw: bytes | None) -> str | None:
    return None if raw is None else bytes(raw).decode(errors="replace")


def _forget_environment() -> None:
    """Take libpq's variables out of our own environment: PGSERVICE alone would send us somewhere else."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _conninfo(login: Login, version: int) -> bytes:
    """Write a connection string in which nothing is left to defaults: files in HOME, Kerberos, other servers."""
    said = {
        "host": login.host, "hostaddr": login.address, "port": str(login.port), "dbname": login.database,
        "user": login.user, "password": login.password, "application_name": "airgap-check", "connect_timeout": "10",
        "client_encoding": "UTF8", "sslmode": login.sslmode, "sslrootcert": login.sslrootcert or _NO_FILE,
        "sslcert": _NO_FILE, "sslkey": _NO_FILE, "sslcrl": _NO_FILE, "sslcrldir": _NO_FILE, "passfile": _NO_FILE,
        "gssencmode": "disable", "options": login.options, "target_session_attrs": "any",
    }  # fmt: skip
    if version >= _REQUIRE_AUTH:
        said["require_auth"] = "password,md5,scram-sha-256,none"
    return " ".join(f"{name}='{_quoted(text)}'" for name, text in said.items()).encode()


_NO_FILE = "/dev/null/none"  # cannot exist


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
