"""A process that a laboratory host runs to be found: it holds one socket, says ``ready`` and waits to be ended.

``python -I -S planted.py KIND [ARGUMENT ...]``; the kinds are the functions below whose names begin with ``plant_``.
Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_CLONE_NEWUSER = 0x10000000
_IP_ADD_MEMBERSHIP = 35  # linux/in.h

_held: list[socket.socket] = []


def _libc(call: str, *arguments: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, call)(*arguments):
        raise OSError(ctypes.get_errno(), call)


def _socket(address: str, kind: socket.SocketKind) -> socket.socket:
    held = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    _held.append(held)
    return held


def plant_idle(*_: str) -> None:
    """Hold nothing."""


def plant_tcp(address: str, port: str, count: str = "1", source: str = "") -> None:
    """Hold connections, made from a source address when one is given."""
    for _ in range(int(count)):
        connected = _socket(address, socket.SOCK_STREAM)
        if source:
            connected.bind((source, 0))
        connected.connect((address, int(port)))


def plant_crowd(address: str, port: str, count: str) -> None:
    """Hold many connections and one connected UDP socket, once told to go on."""
    _wait("planted")
    plant_tcp(address, port, count)
    plant_udp(address, port)


def plant_loop(count: str) -> None:
    """Hold both ends of many connections over loopback, once told to go on."""
    _wait("planted")
    listener = socket.create_server(("127.0.0.1", 0), backlog=int(count))
    _held.append(listener)
    for _ in range(int(count)):
        _held.append(socket.create_connection(listener.getsockname()))
        _held.append(listener.accept()[0])


def plant_pending(address: str, port: str) -> None:
    """Hold a connection that is never answered: SYN-SENT."""
    pending = _socket(address, socket.SOCK_STREAM)
    pending.settimeout(0)
    pending.connect_ex((address, int(port)))


def plant_attempt(address: str, port: str, protocol: str = "tcp") -> None:
    """Try to reach somebody, whatever comes of it, and let go at once."""
    kind = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "raw": socket.SOCK_RAW}[protocol]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind, socket.IPPROTO_ICMP if protocol == "raw" else 0) as attempt:
        attempt.settimeout(0.2)
        try:
            if protocol == "tcp":
                attempt.connect((address, int(port)))
            else:
                attempt.sendto(struct.pack("!BBHHH", 8, 0, 0xF7FF, 0, 0), (address, int(port)))
        except OSError:
            pass  # an attempt is an attempt, whatever its fate


def plant_udp(address: str, port: str, local: str = "0") -> None:
    """Hold a connected UDP socket that has sent nothing."""
    connected = _socket(address, socket.SOCK_DGRAM)
    if local != "0":
        connected.bind(("", int(local)))
    connected.connect((address, int(port)))


def plant_group(address: str, port: str) -> None:
    """Hold a UDP socket connected to a multicast group or the broadcast address."""
    connected = _socket(address, socket.SOCK_DGRAM)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    connected.connect((address, int(port)))


def plant_listener(address: str, port: str, protocol: str = "tcp") -> None:
    """Wait for others; what connects is completed by the kernel and stays in the backlog."""
    listener = _socket(address, socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    if protocol == "tcp":
        listener.listen(65535)


def plant_acceptor(address: str, port: str) -> None:
    """Wait for one peer, say so, accept it, and go on listening."""
    plant_listener(address, port)
    _say("listening")
    _held.append(_held[0].accept()[0])


def plant_raw() -> None:
    """Hold a raw IPv4 socket."""
    _held.append(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))


def plant_packet() -> None:
    """Hold a packet socket that could send any frame."""
    _held.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)))


def plant_namespace(address: str, port: str) -> None:
    """Hold a connection made in an unnamed network namespace, and stay in it. The test wires it up in between."""
    _libc("unshare", _CLONE_NEWNET)
    _wait("unwired")
    plant_tcp(address, port)


def plant_hidden(address: str, port: str) -> None:
    """Hold a connection of a network namespace that nothing but this open socket keeps alive."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    plant_namespace(address, port)
    _libc("setns", home, _CLONE_NEWNET)
    os.close(home)


def plant_whitewash(address: str, port: str) -> None:
    """Give a public address to a namespace of one's own, as any user may, and connect to it."""
    uid, gid = os.getuid(), os.getgid()
    _libc("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)
    _wait("unwired")
    plant_listener(address, port)
    plant_tcp(address, port)


def plant_joined(group: str) -> None:
    """Join a multicast group, without talking to it."""
    member = _socket("", socket.SOCK_DGRAM)
    member.setsockopt(socket.IPPROTO_IP, _IP_ADD_MEMBERSHIP, struct.pack("4s4s", socket.inet_aton(group), bytes(4)))


def _wait(word: str) -> None:
    """Say a word and wait for the test to answer."""
    _say(word)
    sys.stdin.readline()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    globals()[f"plant_{sys.argv[1]}"](*sys.argv[2:])
    _say("ready")
    while True:
        signal.pause()
