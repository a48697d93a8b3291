"""The users of this host, from /etc/passwd as a file: the name service might ask a directory, or DNS."""

from __future__ import annotations

from typing import NamedTuple

from airgap_check.errors import UsageError
from airgap_check.input import read_bytes

_PASSWD = "/etc/passwd"  # noqa: S105  (a path)
_LIMIT = 1 << 24


class Account(NamedTuple):
    """A user and his group."""

    uid: int
    gid: int


def find(name: str) -> Account | None:
    """Return the first account of a name, as passwd(5) is read; None where there is none."""
    try:
        text = read_bytes(_PASSWD, _LIMIT).decode(errors="replace")
    except UsageError:
        return None
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) == 7 and fields[0] == name and fields[2].isdecimal() and fields[3].isdecimal():
            return Account(int(fields[2]), int(fields[3]))
    return None
