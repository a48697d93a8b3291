"""Brings whatever enters a network namespace to one socket a protocol, wherever it was going to.

Source: include/uapi/linux/netfilter/{nfnetlink,nf_tables}.h, Documentation/networking/tproxy.rst.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING

from airgap_check.kernel import netlink
from airgap_check.kernel.netlink import attribute

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a socket needs to take what was not sent to it, and to speak for others: IP_TRANSPARENT, IPV6_TRANSPARENT.
TRANSPARENT = {socket.AF_INET: (socket.IPPROTO_IP, 19), socket.AF_INET6: (socket.IPPROTO_IPV6, 75)}
_NETFILTER, _SUBSYSTEM = 12, 10  # NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES
_BEGIN, _END = 16, 17  # NFNL_MSG_BATCH_BEGIN and _END
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE = 0, 3, 6
_REQUEST, _ACKNOWLEDGE, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_INET = 1  # NFPROTO_INET: both families
_PREROUTING, _MANGLE = 0, -150  # the hook, and where in it
_REGISTER = 8  # NFT_REG32_00
_NESTED = 0x8000
_L4PROTO, _EQUAL = 16, 0  # NFT_META_L4PROTO, NFT_CMP_EQ
_TABLE = b"airgap-check\0"
_CHAIN = b"everything\0"


def redirect(ports: Mapping[int, int]) -> None:
    """Bring each IP protocol to the local port of a socket with IP_TRANSPARENT, in the calling thread's namespace.

    Raises OSError: what the kernel answers; ENOENT and EOPNOTSUPP mean that it has no nf_tables or no tproxy.
    """
    hook = _nested(4, _be32(1, _PREROUTING) + _be32(2, _MANGLE & 0xFFFFFFFF))
    changes = [
        (_NEW_TABLE, _CREATE, attribute(1, _TABLE)),
        (_NEW_CHAIN, _CREATE, attribute(1, _TABLE) + attribute(3, _CHAIN) + hook + attribute(7, b"filter\0")),
        *((_NEW_RULE, _CREATE | _APPEND, _rule(number, port)) for number, port in ports.items()),
    ]
    messages = [netlink.message(_BEGIN, _REQUEST, 0, _header(0, _SUBSYSTEM))]
    for sequence, (kind, flags, body) in enumerate(changes, 1):
        messages.append(
            netlink.message(_SUBSYSTEM << 8 | kind, _REQUEST | _ACKNOWLEDGE | flags, sequence, _header(_INET) + body)
        )
    messages.append(netlink.message(_END, _REQUEST, 0, _header(0, _SUBSYSTEM)))
    with netlink.connect(_NETFILTER) as channel:
        channel.send(b"".join(messages))
        _await(channel, len(changes))


def _await(channel: socket.socket, acknowledgements: int) -> None:
    """Take in the kernel's answer to each change; raises the first failure."""
    while acknowledgements > 0:
        data, position = channel.recv(1 << 16), 0
        while position < len(data):
            netlink.ends(data, position)  # raises what the kernel reports
            position += netlink.aligned(struct.unpack_from("=I", data, position)[0])
            acknowledgements -= 1
    if acknowledgements:
        raise OSError(errno.EBADMSG, "the kernel answered more often than it was asked")


def _rule(protocol: int, port: int) -> bytes:
    """*meta l4proto PROTOCOL tproxy to :PORT*, for both families."""
    expressions = (
        ("meta", _be32(1, _REGISTER) + _be32(2, _L4PROTO)),
        ("cmp", _be32(1, _REGISTER) + _be32(2, _EQUAL) + _nested(3, attribute(1, bytes([protocol])))),
        ("immediate", _be32(1, _REGISTER) + _nested(2, attribute(1, struct.pack(">H", port)))),
        ("tproxy", _be32(1, 0) + _be32(3, _REGISTER)),
    )
    listed = b"".join(_nested(1, attribute(1, name.encode() + b"\0") + _nested(2, data)) for name, data in expressions)
    return attribute(1, _TABLE) + attribute(2, _CHAIN) + _nested(4, listed)


def _header(family: int, resource: int = 0) -> bytes:
    return struct.pack(">BBH", family, 0, resource)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _nested(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)
