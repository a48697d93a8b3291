"""An allowlist in the form that the kernel can apply: prefixes and ports, each with the classes that it belongs to.

A destination is approved when the classes of its longest prefix and those of its protocol and port have one in common.
Class 0 approves every protocol and port. Prefixes carry the classes of those that cover them, as the kernel finds the
longest only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from airgap_check.address import Network

CLASSES = 63  # bits of a u64 without the top one, which the verifier would have to see as a sign
EVERYTHING = 1  # the bit of class 0: any port, and nobody counts how often


class Sieve(NamedTuple):
    """What may pass unreported.

    ``networks`` and ``ports`` map to a bit mask of classes; a port is keyed by IP protocol number and port, where port
    0 stands for every port of that protocol. ``entries`` holds, for class 1 and on, the names of the entries that a use
    of it is a use of. ``digest`` is that of the policy (hexadecimal).
    """

    networks: dict[Network, int]
    ports: dict[tuple[int, int], int]
    entries: tuple[tuple[str, ...], ...]
    digest: str


NOTHING = Sieve({}, {}, (), "")
