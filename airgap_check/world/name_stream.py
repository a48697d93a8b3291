"""Answers DNS over a stream: one message after the other, each behind its length (RFC 7766, RFC 7858)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airgap_check.world.account import Account
    from airgap_check.world.host import Host
    from airgap_check.world.line import Line


async def converse(line: Line, account: Account, host: Host) -> Line | None:
    """Answer questions until the client closes."""
    while (size := await line.exactly(2)) is not None:
        question = await line.exactly(int.from_bytes(size, "big"))
        reply = host.answers.reply(question) if question is not None else None
        if reply is None or reply.wire is None:
            return None
        for asked in reply.lines:
            account.ask(asked)
        await line.send(len(reply.wire).to_bytes(2, "big") + reply.wire)
    return None
