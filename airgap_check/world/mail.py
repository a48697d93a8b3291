"""Takes mail: accepts whatever comes, and keeps nothing but the domains it is from and for (RFC 5321, RFC 4954).

Not aiosmtpd: that keeps a whole message in memory, and TLS of its own beneath it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airgap_check.dissect.name import host as host_name
from airgap_check.redact import printable
from airgap_check.world.line import Secured

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_LONGEST = 12288  # bytes of a line: those of AUTH are the longest (RFC 4954 4)
_DONE = b"250 2.0.0 OK\r\n"
_AUTHENTICATED = b"235 2.7.0 Authentication successful\r\n"
_SIMPLE = {
    b"RSET": _DONE, b"NOOP": _DONE, b"VRFY": b"252 2.0.0 it may be\r\n", b"EXPN": b"252 2.0.0 it may be\r\n",
    b"HELP": b"214 2.0.0 accepted: everything\r\n",
}  # fmt: skip


def greeting(account: Account, host: Host) -> bytes:
    """Return what a server of mail says first."""
    return f"220 {_named(account, host)} ESMTP\r\n".encode()


async def converse(line: Line, account: Account, host: Host) -> Line | None:
    """Accept mail until the client has said good-bye; the greeting has been said."""
    while (said := await line.until(b"\n", _LONGEST)) is not None:
        verb, _, rest = said.strip().partition(b" ")
        verb = verb.upper()
        if verb == b"STARTTLS" and not isinstance(line, Secured):
            account.ask("STARTTLS")
            await line.send(b"220 2.0.0 go ahead\r\n")
            line.said.clear()  # what came before TLS was not said within it
            return line
        if verb == b"QUIT":
            account.ended = account.ended or "closed after QUIT"
            await line.send(b"221 2.0.0 good-bye\r\n")
            return None
        if verb == b"DATA":
            await _take_message(line)
        elif verb == b"BDAT":
            if not await _take_chunk(line, rest):
                return None
        elif verb == b"AUTH":
            await _authenticate(line, account, rest)
        else:
            await line.send(_answer(verb, rest, line, account, host))
    return None


def _answer(verb: bytes, rest: bytes, line: Line, account: Account, host: Host) -> bytes:
    if verb in {b"EHLO", b"LHLO"}:
        account.ask(f"{verb.decode()} {host_name(rest.strip())}")
        offers = ["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "SIZE 104857600"]
        offers += ["AUTH PLAIN LOGIN XOAUTH2"] + ([] if isinstance(line, Secured) else ["STARTTLS"])
        lines = [_named(account, host), *offers]
        return "".join(f"250{' ' if each is lines[-1] else '-'}{each}\r\n" for each in lines).encode()
    if verb == b"HELO":
        account.ask(f"HELO {host_name(rest.strip())}")
        return f"250 {_named(account, host)}\r\n".encode()
    if verb in {b"MAIL", b"RCPT"}:
        account.ask(f"{verb.decode()} {'FROM' if verb == b'MAIL' else 'TO'}:{_domain(rest)}")
        return _DONE
    return _SIMPLE.get(verb, b"500 5.5.2 what is that?\r\n")


def _domain(rest: bytes) -> str:
    """Return *<…@domain>* of a path: who it is does not matter here."""
    path = rest.partition(b":")[2].strip().partition(b">")[0].lstrip(b"<")
    if not path:
        return "<>"
    _, at, name = path.rpartition(b"@")
    return f"<…@{printable(host_name(name))}>" if at else "<…>"


async def _take_message(line: Line) -> None:
    """Hear a message out, to the line that is a dot; its bytes are gone as soon as they are heard."""
    await line.send(b"354 go ahead\r\n")
    tail = b"\r\n"
    while True:
        data = tail + line.take()
        end = data.find(b"\r\n.\r\n")
        if end >= 0:
            line.said[:0] = data[end + 5 :]
            break
        tail = data[-4:]
        if not await line.more():
            return
    await line.send(b"250 2.0.0 accepted\r\n")


async def _take_chunk(line: Line, rest: bytes) -> bool:
    """Hear a chunk out (RFC 3030); False where it says no size, or does not come."""
    size, _, last = rest.partition(b" ")
    if not size.isdigit() or len(size) > 10:
        return False
    left = int(size)
    while left:
        if not line.said and not await line.more():
            return False
        left -= len(line.take(left))
    await line.send(b"250 2.0.0 accepted\r\n" if last else _DONE)
    return True


async def _authenticate(line: Line, account: Account, rest: bytes) -> None:
    """Let anybody in; who it is, and by what password, is not kept."""
    mechanism, _, initial = rest.strip().partition(b" ")
    account.ask(f"AUTH {printable(mechanism.decode('latin-1'))[:20].upper()}")
    steps = (b"VXNlcm5hbWU6", b"UGFzc3dvcmQ6") if mechanism.upper() == b"LOGIN" else (b"",)
    for step in steps[bool(initial) :]:
        await line.send(b"334 " + step + b"\r\n")
        if await line.until(b"\n", _LONGEST) is None:
            return
    await line.send(_AUTHENTICATED)


def _named(account: Account, host: Host) -> str:
    return host.name_of(account).encode("ascii", "replace").decode()[:255]
