"""Makes nftables messages as the kernel sends them, for tests without a kernel."""

from __future__ import annotations

import struct

TABLE, CHAIN, RULE, ELEMENTS, OBJECT = 0, 3, 6, 12, 18
INET = 1


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def nested(kind: int, *values: bytes) -> bytes:
    return attribute(0x8000 | kind, b"".join(values))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i", value))


def be64(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


def message(kind: int, *attributes: bytes, family: int = INET) -> bytes:
    body = struct.pack("=BBH", family, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), 10 << 8 | kind, 2, 1, 0) + body


def expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def counter(packets: int) -> bytes:
    return expression("counter", be64(1, packets * 60), be64(2, packets))


def verdict(code: int, chain: str = "") -> bytes:
    return nested(2, be32(1, code), text(2, chain) if chain else b"")


def immediate(code: int, chain: str = "") -> bytes:
    return expression("immediate", be32(1, 0), nested(2, verdict(code, chain)))


DROP, ACCEPT = immediate(0), immediate(1)
REJECT = expression("reject", be32(1, 0))
MATCH = expression("cmp", be32(1, 1))


def jump(chain: str) -> bytes:
    return immediate(-3, chain)


def shared(name: str) -> bytes:
    return expression("objref", be32(1, 1), text(2, name))


def by_map(name: str) -> bytes:
    return expression("lookup", text(1, name), be32(2, 1), be32(3, 0))


def target(name: str) -> bytes:
    return expression("target", text(1, name), be32(2, 0))


def comment(value: str) -> bytes:
    raw = value.encode() + b"\0"
    return attribute(7, bytes([5, 1, 9, 0, len(raw)]) + raw)


def table(name: str = "filter", handle: int = 1) -> bytes:
    return message(TABLE, text(1, name), be64(4, handle))


def chain(name: str, hook: int | None = None, policy: int = 1, packets: int | None = None, handle: int = 1) -> bytes:
    parts = [text(1, "filter"), be64(2, handle), text(3, name)]
    if hook is not None:
        parts += [nested(4, be32(1, hook), be32(2, 0)), be32(5, policy)]
    if packets is not None:
        parts.append(nested(8, be64(1, 0), be64(2, packets)))
    return message(CHAIN, *parts)


def rule(chain_name: str, handle: int, *expressions: bytes, note: bytes = b"") -> bytes:
    return message(RULE, text(1, "filter"), text(2, chain_name), be64(3, handle), nested(4, *expressions), note)


def counter_object(name: str, packets: int, handle: int = 1) -> bytes:
    return message(
        OBJECT, text(1, "filter"), text(2, name), be32(3, 1), nested(4, be64(1, 0), be64(2, packets)), be64(6, handle)
    )


def elements(*verdicts: bytes) -> bytes:
    return message(ELEMENTS, text(1, "filter"), text(2, "map"), nested(3, *(nested(1, nested(2, v)) for v in verdicts)))
