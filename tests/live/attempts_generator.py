"""Makes attempts to connect, each to an address of its own, and says which process made which: KIND N CGROUP.

Prints JSON: ``shares`` lists (pid, first, count) of the processes, each of which made the attempts from the first on;
``errors`` counts what the kernel said, by number.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import threading
from collections import Counter
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES = 10  # that share the attempts of one kind
HERE, DROPPED, UNANSWERED, BLACKHOLE, ROUTELESS, PROHIBITED, UNREACHABLE = (
    IPv4Address(address) for address in (
        "198.18.0.0", "198.18.64.0", "198.18.128.0", "198.18.192.0", "198.19.0.0", "198.19.64.0", "198.19.128.0",
    )
)  # fmt: skip
HERE6 = IPv6Address("2001:db8:1::")
OPEN, CLOSED = 5000, 9
MPTCP, FASTOPEN, FASTOPEN_CONNECT = 262, 0x20000000, 30
STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
IN, IN6 = socket.AF_INET, socket.AF_INET6

errors: Counter[int] = Counter()


def tcp(base: IPv4Address, port: int = CLOSED, *, wait: bool = True, protocol: int = 0) -> Callable[[int], None]:
    def attempt(index: int) -> None:
        with socket.socket(IN, STREAM, protocol) as made:
            made.setblocking(wait)
            made.connect((str(base + index), port))

    return attempt


def tcp6(prefix: str, base: IPv4Address | IPv6Address) -> Callable[[int], None]:
    def attempt(index: int) -> None:
        with socket.socket(IN6, STREAM) as made:
            made.connect((f"{prefix}{base + index}", CLOSED))

    return attempt


def udp(family: int, prefix: str, base: IPv4Address | IPv6Address, port: int = 53) -> Callable[[int], None]:
    shared = socket.socket(family, DATAGRAM)

    def attempt(index: int) -> None:
        shared.sendto(b"x", (f"{prefix}{base + index}", port))

    return attempt


def udp_connected(index: int, *, send: bool = True) -> None:
    with socket.socket(IN, DATAGRAM) as made:
        made.connect((str(HERE + index), 53))
        if send:
            made.send(b"x")


def fast_open_sendto(index: int) -> None:
    with socket.socket(IN, STREAM) as made:
        made.setblocking(False)  # noqa: FBT003 - the name says it
        made.sendto(b"x", FASTOPEN, (str(HERE + index), CLOSED))


def fast_open_connect(index: int) -> None:
    with socket.socket(IN, STREAM) as made:
        made.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
        made.connect((str(HERE + index), CLOSED))


def ping(index: int) -> None:
    with socket.socket(IN, DATAGRAM, socket.IPPROTO_ICMP) as made:
        made.connect((str(HERE + index), 0))
        made.send(struct.pack("!BBHHH", 8, 0, 0, 0, index))


def thread(index: int) -> None:
    made = threading.Thread(target=try_one, args=(tcp(HERE), index))
    made.start()
    made.join()


KINDS: dict[str, Callable[[], Callable[[int], None]]] = {
    "accepted and closed": lambda: tcp(HERE, OPEN),
    "refused": lambda: tcp(HERE),
    "closed at once": lambda: tcp(HERE, wait=False),
    "dropped by the local firewall": lambda: tcp(DROPPED, wait=False),
    "unanswered": lambda: tcp(UNANSWERED, wait=False),
    "black hole": lambda: tcp(BLACKHOLE),
    "no route": lambda: tcp(ROUTELESS),
    "prohibited": lambda: tcp(PROHIBITED),
    "unreachable": lambda: tcp(UNREACHABLE),
    "TCP over IPv6": lambda: tcp6("", HERE6),
    "TCP to a mapped address": lambda: tcp6("::ffff:", HERE),
    "UDP unconnected": lambda: udp(IN, "", HERE),
    "UDP connected": lambda: udp_connected,
    "UDP connected and silent": lambda: lambda index: udp_connected(index, send=False),
    "UDP without a route": lambda: udp(IN, "", ROUTELESS),
    "UDP dropped by the local firewall": lambda: udp(IN, "", DROPPED),
    "UDP over IPv6": lambda: udp(IN6, "", HERE6),
    "UDP to a mapped address": lambda: udp(IN6, "::ffff:", HERE),
    "Fast Open by sendto": lambda: fast_open_sendto,
    "Fast Open by connect": lambda: fast_open_connect,
    "MPTCP": lambda: tcp(HERE, protocol=MPTCP),
    "ping": lambda: ping,
    "a process for each": lambda: tcp(HERE),
    "a thread for each": lambda: thread,
}


def try_one(attempt: Callable[[int], None], index: int) -> None:
    try:
        attempt(index)
    except OSError as error:
        errors[error.errno or 0] += 1


def share(kind: str, first: int, count: int) -> int:
    """Make some of the attempts in a process of their own, which tells its errors and is gone."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        errors.clear()
        attempt = KINDS[kind]()
        for index in range(first, first + count):
            try_one(attempt, index)
        os.write(theirs, json.dumps(errors).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as file:
        for number, times in json.load(file).items():
            errors[int(number)] += times
    os.waitpid(pid, 0)
    return pid


def main(kind: str, count: int, cgroup: str) -> None:
    with open(f"{cgroup}/cgroup.procs", "w", encoding="ascii") as file:
        file.write("0")
    step = 1 if kind == "a process for each" else max(1, count // PROCESSES)
    shares = [(share(kind, first, step), first, step) for first in range(0, count, step)]
    json.dump({"shares": shares, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
