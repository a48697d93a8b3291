"""Knows whether the rules of routing look up the table of local routes first, for every packet.

Source: ip-rule(8), include/uapi/linux/fib_rules.h.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import NamedTuple

from airgap_check.kernel import netlink, netns

_NETLINK_ROUTE = 0
_NEW_RULE, _GET_RULE = 32, 34  # RTM_NEWRULE, RTM_GETRULE
_MESSAGE = struct.Struct("=BBBBBBBBI")  # fib_rule_hdr: family, lengths of source and destination, tos, table ... flags
_LOCAL = 255  # RT_TABLE_LOCAL
_LOOK_UP = 1  # FR_ACT_TO_TBL
_SUPPRESSED = 14  # FRA_SUPPRESS_PREFIXLEN
_UNCONDITIONAL = frozenset({6, _SUPPRESSED, 15, 18, 21})  # FRA_PRIORITY, FRA_TABLE, FRA_PAD, FRA_PROTOCOL
_NONE = b"\xff\xff\xff\xff"
_WITHOUT_RULES = frozenset({errno.EAFNOSUPPORT, errno.EOPNOTSUPP})


class Rule(NamedTuple):
    """A rule of a family; ``local`` says that it looks up the table of local routes for every packet."""

    family: int
    local: bool


def local_first(family: int) -> bool:
    """Tell whether every packet of a family is looked up in the local routes of the calling thread's namespace first.

    Raises OSError; a kernel without rules always does so. In the initial namespace the administrator sets the rules (as
    Cilium and VRFs need them), so that they are not held against him.
    """
    if _is_initial():
        return True
    rules: list[Rule] = []
    request = netlink.dump_request(_GET_RULE, _MESSAGE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0))
    with netlink.connect(_NETLINK_ROUTE) as channel:
        try:
            netlink.dump(channel, request, lambda data: parse(data, rules))
        except OSError as error:
            if error.errno not in _WITHOUT_RULES:
                raise
    ours = [rule for rule in rules if rule.family == family]
    return not ours or ours[0].local


def _is_initial() -> bool:
    """Tell whether the calling thread is in the namespace of process 1; that of this process where we may not look."""
    try:
        initial = os.stat("/proc/1/ns/net").st_ino
    except OSError:
        initial = os.stat("/proc/self/ns/net").st_ino
    return initial == netns.own_inode()


def parse(data: netlink.Bytes, found: list[Rule]) -> bool:
    """Add the rules of one datagram in their order; tell whether the dump has ended.

    Raises OSError as `netlink.ends` does.
    """
    for message in netlink.messages(data):
        if message is None:
            return True
        kind, start, end = message
        if kind != _NEW_RULE:
            continue
        if end - start < _MESSAGE.size:
            raise netlink.malformed()
        family, destination, source, tos, table, _, _, action, flags = _MESSAGE.unpack_from(data, start)
        values = {
            name: bytes(data[first:last]) for name, first, last in netlink.attributes(data, start + _MESSAGE.size, end)
        }
        for_all = not (destination or source or tos or flags) and values.keys() <= _UNCONDITIONAL
        for_all = for_all and values.get(_SUPPRESSED, _NONE) == _NONE
        found.append(Rule(family, for_all and table == _LOCAL and action == _LOOK_UP))
    return False
