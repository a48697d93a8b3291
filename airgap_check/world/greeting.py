"""Says what a server says first, at the ports of protocols in which the client waits for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.world import mail, mysql

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

PATIENCE = 1.0  # seconds of silence, until a client is taken for one that waits
MYSQL = 3306
_SSH = 22
_MAIL, _SECURE_MAIL = frozenset({25, 587, 1025, 2525}), 465
_OTHERS = {
    21: b"220 rehearsal\r\n", 22: b"SSH-2.0-rehearsal\r\n", 110: b"+OK rehearsal\r\n", 143: b"* OK rehearsal\r\n",
}  # fmt: skip
_SECURE_OTHERS = {990: _OTHERS[21], 993: _OTHERS[143], 995: _OTHERS[110]}
# Where clients speak first, and what comes before they do is a fault: connections are made before they are needed.
_CLIENT_FIRST = frozenset({
    53, 80, 389, 443, 636, 853, 1433, 1521, 1883, 2379, 3000, 3128, 4317, 4318, 5432, 5671, 5672, 6379, 6380, 6443,
    8000, 8080, 8443, 8883, 9000, 9042, 9092, 9200, 9443, 11211, 27017,
})  # fmt: skip


def at_once(account: Account, host: Host, *, secure: bool) -> bytes | None:
    """Return what is to be said before the client has said anything; None where it is to speak first."""
    port = account.port
    if port == _SECURE_MAIL if secure else port in _MAIL:
        return mail.greeting(account, host)
    if port == MYSQL and not secure:
        return mysql.greeting()
    return _SECURE_OTHERS.get(port) if secure else _OTHERS.get(port)


def after_silence(account: Account, host: Host) -> bytes | None:
    """Return what may be said to a client that says nothing: servers of mail are found at any port."""
    return None if account.port in _CLIENT_FIRST or account.port == MYSQL else mail.greeting(account, host)


def turns_down(account: Account) -> bool:
    """Tell whether a port is one of FTP, IMAP or POP3."""
    return account.port in _SECURE_OTHERS or (account.port in _OTHERS and account.port != _SSH)


async def refuse(line: Line, account: Account) -> None:
    """Turn a client of FTP, IMAP or POP3 down, a line at a time."""
    greeted = _OTHERS.get(account.port) or _SECURE_OTHERS[account.port]
    while (said := await line.until(b"\n")) is not None:
        tag = said.split(b" ")[0][:32]
        await line.send(
            {b"2": b"502 not here\r\n", b"+": b"-ERR not here\r\n"}.get(greeted[:1], tag + b" NO not here\r\n")
        )
