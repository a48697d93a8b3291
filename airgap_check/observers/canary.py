"""Fails on purpose: makes one attempt of each kind in network namespaces of its own, from which nothing leads outside.

A stand-alone script of the standard library, run as ``python -I -S canary.py``. It makes two namespaces, *near* for
itself and *far* for its peers, joined by a veth pair, or one with loopback only where there is no veth. Lines of JSON:
it reads who it is, says that it is ready, waits for a line, says of each mode how it ended, and waits for the end.
Source: rtnetlink(7), include/uapi/linux/{rtnetlink,if_link,if_addr,neighbour,veth}.h, prctl(2), unshare(2).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple


class Mode(NamedTuple):
    """One attempt to make: its name and kind (tcp udp routed raw ping packet dns), and where it goes.

    ``place`` is what is there: *wire* (an answer), *silence*, *unreachable* or *prohibit* (such a route), *nowhere*.
    """

    name: str
    kind: str
    address: str
    port: int
    place: str


_PORT = 443  # where the far end listens
_PATIENCE, _SILENCE = 2.5, 0.15  # seconds of waiting for an answer, even to a second SYN after 1 s; and for none
# The network beyond the wire and our own address there; everything else has no route.
_WIRED = {socket.AF_INET: ("192.0.2.0", 24, "192.0.2.1"), socket.AF_INET6: ("2001:db8::", 64, "2001:db8::1")}
UNICAST, BLACKHOLE = 1, 6  # RTN_UNICAST and so on
_FAILING = {"unreachable": 7, "prohibit": 8}
LOOPBACK, VETH = 1, 77  # indices of the interfaces; the second is ours to choose
MAC = {"near": bytes.fromhex("020000000001"), "far": bytes.fromhex("020000000002")}
_NEW_LINK, _NEW_ADDRESS, NEW_ROUTE, _NEW_NEIGHBOUR = 16, 20, 24, 28
_ACKNOWLEDGE, CREATE = 0x5, 0x605  # NLM_F_REQUEST | NLM_F_ACK, and NLM_F_CREATE | NLM_F_EXCL
# Requests for an echo (RFC 792, RFC 4443); the checksum of the second is the kernel's to fill in.
_ECHO = {socket.AF_INET: b"\x08\0\xf7\xfe\0\0\0\1", socket.AF_INET6: b"\x80\0\0\0\0\0\0\1"}
_CLONE_NEWNET, _PR_SET_PDEATHSIG = 0x40000000, 1
_ENDS, _DEEPEST = (signal.SIGTERM, signal.SIGALRM), 32  # at most so many cgroups, one in the other
_SIOCGIFFLAGS, _RUNNING = 0x8913, 0x40  # include/uapi/linux/sockios.h, if.h


class Channel:
    """Speaks rtnetlink to the network namespace that it was opened in, wherever the process goes."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.settimeout(1)

    def ask(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request; raises OSError with what the kernel answers."""
        self._socket.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        if number := -struct.unpack_from("=i", self._socket.recv(1 << 16), 16)[0]:
            raise OSError(number, os.strerror(number))

    def up(self, index: int) -> None:
        """Set an interface up."""
        self.ask(_NEW_LINK, _ACKNOWLEDGE, struct.pack("=BxHiII", 0, 0, index, 1, 1))

    def pair(self, far: int) -> None:
        """Create a veth pair: one end here, the other in the namespace of a descriptor."""
        end = struct.pack("=BxHiII", 0, 0, VETH, 0, 0)
        peer = end + attribute(3, b"far\0") + attribute(1, MAC["far"]) + attribute(28, struct.pack("=i", far))
        kind = attribute(18, attribute(1, b"veth\0") + attribute(2, attribute(1, peer)))
        self.ask(_NEW_LINK, CREATE, end + attribute(3, b"near\0") + attribute(1, MAC["near"]) + kind)

    def assign(self, index: int, address: str) -> None:
        """Give an interface an address, usable at once (IFA_F_NODAD)."""
        family, packed = pack(address)
        head = struct.pack("=BBBBI", family, 8 * len(packed), 2, 0, index)
        self.ask(_NEW_ADDRESS, CREATE, head + attribute(2, packed) + attribute(1, packed))

    def route(self, address: str, length: int | None = None, kind: int = UNICAST, index: int = 0) -> None:
        """Add a route to an address or a network: out of an interface, or of a kind that fails."""
        family, packed = pack(address)
        scope = 253 if index and family == socket.AF_INET else 0
        length = 8 * len(packed) if length is None else length
        head = struct.pack("=BBBBBBBBI", family, length, 0, 0, 254, 4, scope, kind, 0)
        out = attribute(4, struct.pack("=I", index)) if index else b""
        self.ask(NEW_ROUTE, CREATE, head + attribute(1, packed) + out)

    def neighbour(self, address: str, mac: bytes) -> None:
        """Say for good where an address is, so that nobody has to ask for it (NUD_PERMANENT)."""
        family, packed = pack(address)
        head = struct.pack("=BxxxiHBB", family, VETH, 0x80, 0, 0)
        self.ask(_NEW_NEIGHBOUR, CREATE, head + attribute(1, packed) + attribute(2, mac))


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute of a request."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def pack(address: str) -> tuple[int, bytes]:
    """Return the family of an address, and its bytes."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


class Ground:
    """Where the attempts are made. ``reason`` says why there is no wire, ``blocked`` why a family cannot be used."""

    def __init__(self, modes: list[Mode]) -> None:
        self.reason = ""
        self.blocked: dict[int, str] = {}
        _leave_network()
        descriptor = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._far, self._listener = Channel(), socket.create_server(("", _PORT))
        _leave_network()
        self.namespaces = [os.stat("/proc/self/ns/net").st_ino]
        self._near, self._index = Channel(), VETH
        try:
            self._near.pair(descriptor)
            self.namespaces.append(os.fstat(descriptor).st_ino)
        except OSError as error:
            self.reason = f"the kernel made no veth pair: {error.strerror}"
            self._far, self._listener, self._index = self._near, socket.create_server(("", _PORT)), LOOPBACK
        os.close(descriptor)
        self._build(modes)

    def _build(self, modes: list[Mode]) -> None:
        for channel in {self._near, self._far}:
            channel.up(LOOPBACK)
            channel.up(self._index)
        for family, wire in _WIRED.items():
            try:
                self._wire(*wire)
                for mode in modes:
                    if pack(mode.address)[0] == family:
                        self._place(mode)
            except OSError as error:
                self.blocked[family] = f"not possible here: {error.strerror}"
        if self._index == VETH:
            self._wait_for_carrier()

    def _wire(self, network: str, length: int, address: str) -> None:
        self._near.assign(self._index, address)
        if self._index == VETH:
            self._near.route(network, length, index=VETH)
            self._far.route(address, index=VETH)
            self._far.neighbour(address, MAC["near"])
            self._far.route(network, length, BLACKHOLE)  # what nobody has is dropped, even where this host forwards
        elif ":" not in address:
            self._near.route(network, length, index=LOOPBACK)  # what loopback brings back and nobody has is dropped

    def _place(self, mode: Mode) -> None:
        if mode.place in _FAILING:
            self._near.route(mode.address, kind=_FAILING[mode.place])
        if mode.place == "wire":
            self._far.assign(self._index, mode.address)
        if mode.place in {"wire", "silence"} and self._index == VETH:
            self._near.neighbour(mode.address, MAC["far"])

    def _wait_for_carrier(self) -> None:
        """Wait until both ends send; the kernel joins them a moment after both are up."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            for name, end in ((b"near", here), (b"far", self._listener)):
                for _ in range(100):
                    flags = fcntl.ioctl(end, _SIOCGIFFLAGS, struct.pack("16sH22x", name, 0))
                    if struct.unpack_from("=H", flags, 16)[0] & _RUNNING:
                        break
                    time.sleep(0.005)
        for channel in (self._near, self._far):
            channel.up(VETH)  # whoever sets the carrier holds the lock that this waits for


def _leave_network() -> None:
    """Move to a new network namespace, in which our group may ping, and no interface looks for a router by itself."""
    _call("unshare", _CLONE_NEWNET)
    for name, text in (("ipv4/ping_group_range", f"{os.getegid()}\t" * 2), ("ipv6/conf/default/addr_gen_mode", "1")):
        with suppress(OSError), open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _call(name: str, *arguments: int) -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def attempt(mode: Mode, name: str) -> dict[str, Any]:
    """Make one attempt; return how it ended, or why it was not made."""
    family = socket.AF_PACKET if mode.kind == "packet" else pack(mode.address)[0]
    kind = {"tcp": socket.SOCK_STREAM, "raw": socket.SOCK_RAW}.get(mode.kind, socket.SOCK_DGRAM)
    icmp = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    try:
        end = socket.socket(family, kind, icmp if mode.kind in {"raw", "ping"} else 0)
    except OSError as error:
        return {"mode": mode.name, "why": f"no such socket can be made: {error.strerror}"}
    with end:
        end.settimeout(0)
        try:
            ending = _connect(end, mode) if mode.kind == "tcp" else _send(end, mode, name)
        except OSError as error:
            ending = errno.errorcode.get(error.errno or 0, str(error))
    return {"mode": mode.name, "ending": ending}


def _connect(end: socket.socket, mode: Mode) -> str:
    number = end.connect_ex((mode.address, mode.port))
    if number == errno.EINPROGRESS:
        if not select.select((), (end,), (), _SILENCE if mode.place == "silence" else _PATIENCE)[1]:
            return "silence"
        number = end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))
    return "accepted"


def _send(end: socket.socket, mode: Mode, name: str) -> str:
    if mode.kind == "packet":
        device = dict(socket.if_nameindex()).get(VETH, "lo")
        header = bytes.fromhex("4500001c 00000000 40010000 c0000201") + pack(mode.address)[1]  # IPv4 (RFC 791)
        end.sendto(header + _ECHO[socket.AF_INET], (device, 0x0800, 0, 0, MAC["far"]))
    elif mode.kind == "routed":  # to ourselves by way of the address: a routing header (RFC 8754) leads there first
        way = bytes.fromhex("0004040101000000") + pack("::1")[1] + pack(mode.address)[1]
        end.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RTHDR, way)
        end.sendto(b"airgap-check", ("::1", mode.port))
    else:
        data = {"udp": b"airgap-check", "dns": question(name)}.get(mode.kind, _ECHO[end.family])
        end.sendto(data, (mode.address, mode.port))
    return "sent"


def question(name: str) -> bytes:
    """Return a DNS query for the address of a name (RFC 1035, 4)."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    return struct.pack(">6H", 0xA6C, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def _withdraw(cgroup: str) -> None:
    """Leave the throw-away cgroup below our directory and remove it: there may be nobody else left to do so."""
    for depth in range(_DEEPEST):
        with suppress(OSError):  # a cgroup with controllers of its own takes no process; the root takes any
            with open("../" * depth + "cgroup.procs", "r+b", buffering=0) as file:  # "w" would make it
                file.write(b"0")  # whoever writes
            os.rmdir(cgroup)
            return


def _say(fact: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(fact).encode() + b"\n")


def _stop(*_: object) -> None:
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise SystemExit(1)


def main() -> None:
    """Do it all, for at most the seconds that were given; the death of the parent, too, is an end."""
    who = json.loads(sys.stdin.readline())
    try:
        for number in _ENDS:
            signal.signal(number, _stop)
        signal.setitimer(signal.ITIMER_REAL, who["seconds"])
        _call("prctl", _PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == who["parent"]:
            _perform(who["name"], [Mode(*row) for row in who["modes"]])
    except OSError as error:
        with suppress(OSError):
            _say({"failed": error.strerror})
    finally:
        try:  # the end of the input comes a moment before the signal that the parent is dead
            for number in _ENDS:
                signal.signal(number, signal.SIG_IGN)
        finally:
            if who["cgroup"]:
                _withdraw(who["cgroup"])


def _perform(name: str, modes: list[Mode]) -> None:
    ground = Ground(modes)
    _say({"namespaces": ground.namespaces, "reason": ground.reason})
    if not sys.stdin.readline():
        return
    for mode in modes:
        why = ground.blocked.get(pack(mode.address)[0])
        _say({"mode": mode.name, "why": why} if why else attempt(mode, name))
    _say({"done": True})
    sys.stdin.readline()  # the namespaces stay until the last look at them


if __name__ == "__main__":
    main()
