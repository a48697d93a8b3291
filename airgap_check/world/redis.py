"""Answers clients of Redis: nothing is stored, and everything succeeds. Keeps commands, never what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line

_MOST_WORDS, _LONGEST_WORD, _LONGEST_COMMAND = 1024, 1 << 16, 24
_INFO = b"# Server\r\nredis_version:7.2.0\r\nloading:0\r\n"
_OK, _NOTHING = b"+OK\r\n", b"$-1\r\n"
_ANSWERS = {
    "PING": b"+PONG\r\n", "INFO": b"$%d\r\n%s\r\n" % (len(_INFO), _INFO), "COMMAND": b"*0\r\n", "KEYS": b"*0\r\n",
    "HELLO": b"-ERR unknown command 'HELLO'\r\n", "DBSIZE": b":0\r\n", "SCAN": b"*2\r\n$1\r\n0\r\n*0\r\n",
    "ROLE": b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "MULTI": _OK, "EXEC": b"*0\r\n",
}  # fmt: skip
_READS = frozenset({"GET", "HGET", "LPOP", "RPOP", "BLPOP", "BRPOP", "GETDEL", "GETEX", "EVAL", "EVALSHA", "XREAD"})
_COUNTS = frozenset({"DEL", "EXISTS", "EXPIRE", "INCR", "DECR", "LLEN", "SADD", "HSET", "LPUSH", "RPUSH", "PUBLISH"})


async def converse(line: Line, account: Account, host: Host) -> Line | None:  # noqa: ARG001 -- as all who converse
    """Answer commands until the client closes."""
    while (command := await _command(line)) is not None:
        account.ask(command)
        if command in {"SUBSCRIBE", "PSUBSCRIBE"}:
            await line.listen()
            return None
        answer = _NOTHING if command in _READS else b":1\r\n" if command in _COUNTS else _OK
        await line.send(_ANSWERS.get(command, answer))
        if command == "QUIT":
            return None
    return None


async def _command(line: Line) -> str | None:
    """Take a command with its arguments, and return its name in capitals; None at the end, or where it is none."""
    first = await line.until(b"\n")
    if first is None:
        return None
    first = first.strip()
    if not first.startswith(b"*"):
        return _named(first.split(b" ")[0])  # inline
    words = _number(first[1:], _MOST_WORDS)
    if not words:
        return None
    name = None
    for _ in range(words):
        length = await line.until(b"\n")
        size = _number(length.strip()[1:], _LONGEST_WORD) if length and length.startswith(b"$") else None
        word = await line.exactly(size + 2) if size is not None else None
        if word is None:
            return None
        name = name or _named(word[:-2])
    return name


def _number(text: bytes, most: int) -> int | None:
    """Return a number that is not too large."""
    return int(text) if text.isdigit() and len(text) <= 6 and int(text) <= most else None


def _named(word: bytes) -> str:
    name = word[:_LONGEST_COMMAND].decode("latin-1").upper()
    return name if name.isascii() and name.replace(".", "").isalnum() else "?"
