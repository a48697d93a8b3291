"""Reaches for everything in every way that an ordinary process has, and says what it did: a line of JSON a deed.

``python torture.py [--names N] [--connections N] [--mute] [--late SECONDS] [--linger SECONDS]``; standard library only,
as root or anybody. With ``--mute`` it asks for no name and waits for nobody, as in a world without answers. Every kind
goes to a destination of its own. Literal addresses are those of documentation (RFC 5737, 3849), names end in
``.example``: nobody would be met anywhere. A kind that was refused has the errno in ``refused``.
TORTURE_QUIC is the first datagram of a QUIC client, in base64: the standard library cannot make one.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import errno
import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = "torture: "  # what a line begins with that tells a deed
TIMES = 3  # each kind is done so often
SECRET = "s3cr3t-of-torture"  # is sent as a query's value, and must be told nowhere
DOMAIN = "torture.example"
MUTE = "--mute" in sys.argv
PATIENCE = 60.0  # seconds; a bound, not an expectation

IN, IN6, PACKET = socket.AF_INET, socket.AF_INET6, 17
STREAM, DATAGRAM, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
MPTCP, FASTOPEN, FASTOPEN_CONNECT = 262, 0x20000000, 30
_IO_URING_SETUP = 425  # on every architecture (asm-generic/unistd.h)
_CHILD = """
import socket, sys
made = socket.socket()
made.settimeout(float(sys.argv[3]))
try: made.connect((sys.argv[1], int(sys.argv[2])))
except OSError: pass
"""


class Place(NamedTuple):
    """Where a kind goes: addresses of its own, and names of its own."""

    number: int

    @property
    def four(self) -> str:
        return f"203.0.113.{self.number}"

    @property
    def six(self) -> str:
        return f"2001:db8:1::{self.number:x}"

    @property
    def port(self) -> int:
        return 4000 + self.number


def tell(kind: str, protocol: str, target: str, port: int | None, count: int, **more: object) -> None:
    """Print what was done; ``target`` is a name, or else an address."""
    deed = {"kind": kind, "protocol": protocol, "target": target, "port": port, "count": count, **more}
    sys.stdout.write(f"{MARK}{json.dumps(deed)}\n")


def tcp(
    address: str, port: int, family: int = IN, *, wait: bool = True, protocol: int = 0, device: str | None = None
) -> None:
    with socket.socket(family, STREAM, protocol) as made:
        if device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        made.settimeout(PATIENCE if wait and not MUTE else 0)
        with suppress(BlockingIOError):
            made.connect((address, port))


def fast_open_sendto(at: Place) -> None:
    with socket.socket(IN, STREAM) as made:
        made.setblocking(False)  # noqa: FBT003 - the name says it
        with suppress(BlockingIOError):
            made.sendto(b"x", FASTOPEN, (at.four, at.port))


def fast_open_connect(at: Place) -> None:
    with socket.socket(IN, STREAM) as made:
        made.setsockopt(socket.IPPROTO_TCP, FASTOPEN_CONNECT, 1)
        made.settimeout(0 if MUTE else PATIENCE)
        with suppress(BlockingIOError):
            made.connect((at.four, at.port))


def sendto(address: str, port: int, family: int = IN) -> None:
    with socket.socket(family, DATAGRAM) as made:
        made.sendto(b"x", (address, port))


def sendmsg(at: Place) -> None:
    with socket.socket(IN, DATAGRAM) as made:
        made.sendmsg([b"x"], [], 0, (at.four, at.port))


def connected(address: str, port: int, family: int = IN, *, send: bool = True) -> None:
    with socket.socket(family, DATAGRAM) as made:
        made.connect((address, port))
        if send:
            made.send(b"x")


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def echo() -> bytes:
    head = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def packet(target: str, port: int) -> bytes:
    """Return an IPv4 packet with a datagram in it."""
    datagram = struct.pack("!HHHH", 999, port, 9, 0) + b"x"
    ends = socket.inet_aton("203.0.113.254") + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + ends
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + datagram


def ping(address: str, kind: int, *, connect: bool) -> None:
    with socket.socket(IN, kind, socket.IPPROTO_ICMP) as made:
        if connect:
            made.connect((address, 0))
            made.send(echo())
        else:
            made.sendto(echo(), (address, 0))


def raw(address: str, protocol: int, data: bytes) -> None:
    with socket.socket(IN, RAW, protocol) as made:
        made.sendto(data, (address, 0))


def frame(at: Place, kind: int) -> None:
    """Send a packet past the IP layer, at the first interface that is not the loopback."""
    device = next(name for _, name in socket.if_nameindex() if name != "lo")
    data = packet(at.four, at.port)
    with socket.socket(PACKET, kind, 0) as made:
        if kind == RAW:
            made.bind((device, 0x0800))
            made.send(b"\xff" * 6 + b"\x02\0\0\0\0\1" + b"\x08\0" + data)
        else:
            made.sendto(data, (device, 0x0800, 0, 0, b"\xff" * 6))


def fork(at: Place) -> None:
    pid = os.fork()
    if not pid:
        try:
            tcp(at.four, at.port)
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def thread(at: Place) -> None:
    made = threading.Thread(target=tcp, args=(at.four, at.port))
    made.start()
    made.join()


def execute(at: Place) -> None:
    patience = "0" if MUTE else str(PATIENCE)
    subprocess.run([sys.executable, "-I", "-S", "-c", _CHILD, at.four, str(at.port), patience], check=True)


def daemon(at: Place, *, late: float = 0) -> None:
    """Dial as a grandchild in a session of its own, after its parent has gone; with ``late`` nobody waits for it."""
    reading, writing = os.pipe()
    parent = os.fork()
    if not parent:
        os.setsid()
        child = os.getpid()
        if os.fork():
            os._exit(0)
        try:
            while os.getppid() == child:
                time.sleep(0.01)
            time.sleep(late)
            tcp(at.four, at.port)
        finally:
            os._exit(0)
    os.waitpid(parent, 0)
    os.close(writing)
    if not late:
        os.read(reading, 1)  # its end
    os.close(reading)


def io_uring(_: Place) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(_IO_URING_SETUP, 4, ctypes.create_string_buffer(256))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "io_uring_setup")
    os.close(descriptor)


# Kinds with a literal address: what is said of it, and how it is done. Their order gives them their destinations.
Way = tuple[str, str, bool, "Callable[[Place], object]"]  # kind, protocol, whether it goes to the IPv6 address
WAYS: tuple[Way, ...] = (
    ("tcp_accepted", "tcp", False, lambda at: tcp(at.four, at.port)),
    ("tcp_nonblock_close", "tcp", False, lambda at: tcp(at.four, at.port, wait=False)),
    ("tcp_bound_to_lo", "tcp", False, lambda at: tcp(at.four, at.port, wait=False, device="lo")),
    ("tcp6", "tcp", True, lambda at: tcp(at.six, at.port, IN6)),
    ("tcp6_nonblock_close", "tcp", True, lambda at: tcp(at.six, at.port, IN6, wait=False)),
    ("tcp_v4mapped", "tcp", False, lambda at: tcp(f"::ffff:{at.four}", at.port, IN6)),
    ("udp_new_sock", "udp", False, lambda at: sendto(at.four, at.port)),
    ("udp_sendmsg", "udp", False, sendmsg),
    ("udp_connected", "udp", False, lambda at: connected(at.four, at.port)),
    ("udp_connect_only", "udp", False, lambda at: connected(at.four, at.port, send=False)),
    ("udp6_sendto", "udp", True, lambda at: sendto(at.six, at.port, IN6)),
    ("udp6_connected", "udp", True, lambda at: connected(at.six, at.port, IN6)),
    ("udp_v4mapped", "udp", False, lambda at: sendto(f"::ffff:{at.four}", at.port, IN6)),
    ("udp_v4mapped_conn", "udp", False, lambda at: connected(f"::ffff:{at.four}", at.port, IN6)),
    ("ping_raw", "icmp", False, lambda at: ping(at.four, RAW, connect=False)),
    ("ping_raw_conn", "icmp", False, lambda at: ping(at.four, RAW, connect=True)),
    ("ping_dgram", "icmp", False, lambda at: ping(at.four, DATAGRAM, connect=False)),
    ("ping_dgram_conn", "icmp", False, lambda at: ping(at.four, DATAGRAM, connect=True)),
    ("raw_hdrincl", "raw", False, lambda at: raw(at.four, socket.IPPROTO_RAW, packet(at.four, at.port))),
    ("raw_proto_gre", "raw", False, lambda at: raw(at.four, socket.IPPROTO_GRE, bytes(8))),
    ("packet_raw", "packet", False, lambda at: frame(at, RAW)),
    ("packet_dgram", "packet", False, lambda at: frame(at, DATAGRAM)),
    ("tfo_sendto", "tcp", False, fast_open_sendto),
    ("tfo_connect", "tcp", False, fast_open_connect),
    ("mptcp", "tcp", False, lambda at: tcp(at.four, at.port, protocol=MPTCP)),
    ("mptcp6", "tcp", True, lambda at: tcp(at.six, at.port, IN6, protocol=MPTCP)),
    ("fork_each", "tcp", False, fork),
    ("thread_each", "tcp", False, thread),
    ("exec_each", "tcp", False, execute),
    ("daemon", "tcp", False, daemon),
    ("io_uring", "tcp", False, io_uring),
)
LATE = Place(200)


def question(name: str) -> bytes:
    """Return a DNS message that asks for the address of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def dns_udp() -> None:
    with socket.socket(IN, DATAGRAM) as made:
        made.settimeout(PATIENCE)
        made.sendto(question(f"by-udp.{DOMAIN}"), ("203.0.113.201", 53))
        made.recv(4096)


def _ask(stream: socket.socket, name: str) -> None:
    message = question(name)
    stream.sendall(struct.pack("!H", len(message)) + message)
    if not stream.recv(4096):
        raise OSError(errno.ECONNRESET, "no answer")


def dns_tcp() -> None:
    with socket.create_connection(("203.0.113.202", 53), PATIENCE) as made:
        _ask(made, f"by-tcp.{DOMAIN}")


def _encrypted(stream: socket.socket, name: str) -> ssl.SSLSocket:
    return ssl.create_default_context().wrap_socket(stream, server_hostname=name)


def dns_over_tls() -> None:
    name = f"dot.{DOMAIN}"
    with socket.create_connection((name, 853), PATIENCE) as made, _encrypted(made, name) as inner:
        _ask(inner, f"by-dot.{DOMAIN}")


def _fetch(to: http.client.HTTPConnection, method: str, target: str, body: bytes | None = None, **head: str) -> None:
    try:
        to.request(method, target, body, {name.replace("_", "-"): text for name, text in head.items()})
        to.getresponse().read()
    finally:
        to.close()


def dns_over_https() -> None:
    to = http.client.HTTPSConnection(f"doh.{DOMAIN}", 443, timeout=PATIENCE)
    _fetch(to, "POST", "/dns-query", question(f"by-doh.{DOMAIN}"), Content_Type="application/dns-message")


def https() -> None:
    _fetch(http.client.HTTPSConnection(f"web.{DOMAIN}", 443, timeout=PATIENCE), "GET", f"/deep?token={SECRET}")


def six_only() -> None:
    ((_, _, _, _, end), *_) = socket.getaddrinfo(f"six.{DOMAIN}", 8443, IN6, STREAM)
    with socket.socket(IN6, STREAM) as made:
        made.settimeout(PATIENCE)
        made.connect(end)
        made.sendall(b"six only\n")


def tunnel() -> None:
    to = http.client.HTTPSConnection(f"proxy.{DOMAIN}", 3128, timeout=PATIENCE)
    to.set_tunnel(f"behind.{DOMAIN}", 443)
    _fetch(to, "GET", "/through")


def forwarded() -> None:
    to = http.client.HTTPConnection(f"forwarder.{DOMAIN}", 3128, timeout=PATIENCE)
    _fetch(to, "GET", f"http://beyond.{DOMAIN}/absolute")


def quic() -> None:
    with socket.socket(IN, DATAGRAM) as made:
        made.sendto(base64.b64decode(os.environ["TORTURE_QUIC"]), (f"quic.{DOMAIN}", 443))


def asked_only() -> None:
    socket.getaddrinfo(f"asked-only.{DOMAIN}", 443, IN, STREAM)


# Kinds that say something: kind, protocol, name or address, port, and what is to be told of it besides.
SAYING: tuple[tuple[str, str, str, int | None, str, Callable[[], None]], ...] = (
    ("dns_udp", "udp", "203.0.113.201", 53, f"by-udp.{DOMAIN}", dns_udp),
    ("dns_tcp", "tcp", "203.0.113.202", 53, f"by-tcp.{DOMAIN}", dns_tcp),
    ("dot", "tcp", f"dot.{DOMAIN}", 853, f"by-dot.{DOMAIN}", dns_over_tls),
    ("doh", "tcp", f"doh.{DOMAIN}", 443, f"by-doh.{DOMAIN}", dns_over_https),
    ("https", "tcp", f"web.{DOMAIN}", 443, "GET /deep", https),
    ("six_only", "tcp", f"six.{DOMAIN}", 8443, "six only", six_only),
    ("connect_proxy", "tcp", f"proxy.{DOMAIN}", 3128, f"behind.{DOMAIN}", tunnel),
    ("forward_proxy", "tcp", f"forwarder.{DOMAIN}", 3128, f"beyond.{DOMAIN}", forwarded),
    ("quic", "udp", f"quic.{DOMAIN}", 443, f"quic.{DOMAIN}", quic),
)  # fmt: skip


def repeat(deed: Callable[[], object], times: int = TIMES) -> dict[str, object]:
    """Do it so often; what was refused the last time is said by number, and in words for a reader."""
    fault: dict[str, object] = {}
    for _ in range(times):
        try:
            deed()
        except OSError as error:
            fault = {"refused": error.errno, "words": str(error)}
    return fault


def greet(name: str) -> None:
    socket.create_connection((name, 443), PATIENCE).close()


def crowd(count: int) -> None:
    """Open and close connections to one place, by four threads."""
    address = socket.gethostbyname(f"many.{DOMAIN}")

    def some() -> None:
        for _ in range(count // 4):
            tcp(address, 8080)

    threads = [threading.Thread(target=some) for _ in range(4)]
    for made in threads:
        made.start()
    for made in threads:
        made.join()
    tell("many", "tcp", f"many.{DOMAIN}", 8080, count // 4 * 4)


def speak_out(names: int, connections: int) -> None:
    """Do what needs answers."""
    for kind, protocol, target, to, said, speak in SAYING:
        fault = repeat(speak)
        tell(kind, protocol, target, to, TIMES, said=said, **fault)
    asked_only()
    tell("asked_only", "name", f"asked-only.{DOMAIN}", None, 1)
    for number in range(names):
        name = f"host-{number}.{DOMAIN}"
        fault = repeat(partial(greet, name), 1)
        tell("names", "tcp", name, 443, 1, **fault)
    crowd(connections)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--mute", action="store_true")
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--linger", type=float, default=0)
    wanted = parser.parse_args()
    for number, (kind, protocol, six, deed) in enumerate(WAYS, 1):
        at = Place(number)
        port = at.port if protocol in {"tcp", "udp"} else None
        fault = repeat(partial(deed, at))
        tell(kind, protocol, at.six if six else at.four, port, TIMES, **fault)
    if not MUTE:
        speak_out(wanted.names, wanted.connections)
    if wanted.late:
        tell("late_daemon", "tcp", LATE.four, LATE.port, 1)
        sys.stdout.flush()
        daemon(LATE, late=wanted.late)
    sys.stdout.flush()
    time.sleep(wanted.linger)


if __name__ == "__main__":
    main()
