"""What runs in the observed cgroup: Python that makes attempts, with `os` and `socket` imported before it."""

import sys

CONVERSATION = """
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
two = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("198.18.1.1", 7001))
two.bind(("198.18.1.2", 7002))
for _ in range(3):
    one.sendto(b"question", ("198.18.1.2", 7002))
    two.recvfrom(99)
    two.sendto(b"answer", ("198.18.1.1", 7001))
    one.recvfrom(99)
two.sendto(b"news", ("198.18.1.3", 7003))
six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
other = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
six.bind(("2001:db8:1::6", 7006))
other.bind(("2001:db8:1::7", 7007))
other.sendto(b"question", ("2001:db8:1::6", 7006))
six.recvfrom(99)
six.sendto(b"answer", ("2001:db8:1::7", 7007))
both = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
both.bind(("::", 7008))
one.sendto(b"question", ("198.18.1.8", 7008))
both.recvfrom(99)
both.sendto(b"answer", ("::ffff:198.18.1.1", 7001))
print(os.getpid())
"""
TRY = """
for protocol, where, port in {tried}:
    family = socket.AF_INET6 if ":" in where else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if protocol == 6 else socket.SOCK_DGRAM)
    made.setblocking(False)
    made.connect_ex((where, port))
    made.close()
"""
AGAIN = """
open("{cgroup}/cgroup.procs", "w").write("0")
made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    for index in range({count}):
        made.sendto(b"x", ("198.18." + str(32 + index // 256) + "." + str(index % 256), 53))
    print(flush=True)
    if not os.read(0, 1):
        break
"""
CROWD = """
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("198.18.1.2", 7002))
for _ in range({count}):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("198.18.1.1", 0))
        client.sendto(b"question", ("198.18.1.2", 7002))
        server.sendto(b"answer", server.recvfrom(99)[1])
"""
FROM_PORTS = """
def sends(family, local, where, port):
    with socket.socket(family, socket.SOCK_DGRAM) as made:
        made.bind(("", local))
        made.sendto(b"x", (where, port))
for _ in range(2):
    for local in (68, 40001, 40002, 69):
        sends(socket.AF_INET, local, "198.18.0.1", 67)
    for local in (40003, 546):
        sends(socket.AF_INET6, local, "2001:db8:1::1", 547)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
    made.bind(("", 68))
    made.connect(("198.18.0.1", 67))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
    made.connect(("198.18.0.2", 67))
"""
INNER = """
import struct, subprocess, sys
acting = (
    "import socket, sys, threading\\n"
    "def attempt(port): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('198.18.1.1', port))\\n"
    "def both(): attempt(10), said.sendall(b'x'), said.recv(1)\\n"
    "said = socket.socket(socket.AF_UNIX); said.connect('\\\\0inner'); attempt(9)\\n"
    "thread = threading.Thread(target=both); thread.start(); thread.join()"
)
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind("\\0inner")
    listener.listen()
    inner = subprocess.Popen([*["unshare", "--pid", "--fork"] * {depth}, sys.executable, "-c", acting])
    with listener.accept()[0] as said:
        pid = struct.unpack("iii", said.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        said.recv(1)
        print(pid, *os.listdir("/proc/" + str(pid) + "/task"))
    assert inner.wait() == 0
"""
OUTER = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('198.18.0.1', 9))"
STAY = """
for where in (
    "127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.9", "0.0.0.0", "::", "126.255.255.255", "128.0.0.0",
    "0.0.0.1", "::2", "::ffff:128.0.0.1", "::127.0.0.1",
):
    made = socket.socket(socket.AF_INET6 if ":" in where else socket.AF_INET, socket.SOCK_DGRAM)
    made.connect_ex((where, 9))
"""
ODD = """
import struct
from contextlib import suppress
RAW, ETHERNET = socket.SOCK_RAW, b"\\xff" * 6 + b"\\2" * 6
def packet(protocol, to, rest, fragment=0):
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(rest), 1, fragment, 64, protocol, 0)
    return head + socket.inet_aton("203.0.113.1") + socket.inet_aton(to) + rest
def packet6(following, rest):
    ends = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::77")
    return struct.pack("!IHBB", 6 << 28, len(rest), following, 64) + ends + rest
UDP = struct.pack("!HHHH", 9, 53, 8, 0)
def send(family, kind, protocol, data, where, options=()):
    with socket.socket(family, kind, protocol) as made, suppress(OSError):
        for option in options:
            made.setsockopt(*option)
        for _ in range(2):
            made.sendto(data, where)
four, six = socket.AF_INET, socket.AF_INET6
for kind in (0, 3, 8, 13, 14):
    echo = struct.pack("!BBHHH", kind, 0, 0, 0, 1)
    send(four, RAW, 1, echo, ("203.0.113.7", 0))
    send(four, RAW, 1, echo, ("203.0.113.70", 0))
send(four, socket.SOCK_DGRAM, 1, struct.pack("!BBHHH", 8, 0, 0, 0, 1), ("203.0.113.8", 0))
send(six, socket.SOCK_DGRAM, 58, struct.pack("!BBHHH", 128, 0, 0, 0, 1), ("2001:db8::78", 0))
for kind in (1, 128, 129, 133, 138, 143):
    send(six, RAW, 58, struct.pack("!BBHHH", kind, 0, 0, 0, 1), ("2001:db8::7", 0))
send(four, RAW, 47, bytes(8), ("203.0.113.9", 0))
send(four, RAW, 17, UDP, ("203.0.113.71", 0))
send(four, RAW, 6, struct.pack("!HHIIBBHHH", 9, 443, 0, 0, 0x50, 2, 0, 0, 0), ("203.0.113.10", 0))
send(four, RAW, 6, struct.pack("!HHIIBBHHH", 9, 443, 0, 0, 0x50, 4, 0, 0, 0), ("203.0.113.11", 0))
send(four, RAW, 132, struct.pack("!HHII", 9, 99, 0, 0) + b"\\1\\0\\0\\4", ("203.0.113.14", 0))
send(four, RAW, 255, packet(17, "203.0.113.12", UDP), ("203.0.113.12", 0))
send(four, RAW, 255, packet(17, "203.0.113.13", UDP, 7), ("203.0.113.13", 0))
send(four, RAW, 255, packet(1, "203.0.113.15", b""), ("203.0.113.15", 0))
CHAINS = (
    (60, bytes((17, 0, 1, 4, 0, 0, 0, 0)) + UDP), (44, bytes((17, 0, 0, 0, 0, 0, 0, 1)) + UDP),
    (44, bytes((17, 0, 0, 9, 0, 0, 0, 1)) + UDP), (51, bytes((17, 4, 0, 0)) + bytes(20) + UDP),
    (43, bytes((60, 0, 0, 0, 0, 0, 0, 0)) + bytes((17, 1)) + bytes(14) + UDP), (59, b""), (60, b"x"),
    (60, bytes((60, 0, 1, 4, 0, 0, 0, 0)) * 9 + UDP), (6, UDP), (58, b"\\x88"),
)
for following, rest in CHAINS:
    send(six, RAW, 255, packet6(following, rest), ("2001:db8::77", 0), [(41, 36, 1)])
send(four, socket.SOCK_DGRAM, 17, b"x", ("203.0.113.9", 53))
with socket.socket(socket.AF_PACKET, RAW, 0) as made:
    made.bind(("out", 0))
    frames = [(0x0800, packet(17, "203.0.113.20", UDP)), (0x0800, packet(17, "203.0.113.21", UDP, 7)),
              (0x0800, packet(17, "203.0.113.73", UDP[:2] + bytes((0, 7)) + UDP[4:])), (0x0800, b"short"),
              (0x0806, bytes(28)), (0x0800, packet(17, "203.0.113.22", b"x")), (0x0800, packet(1, "203.0.113.74", b""))]
    frames += [(0x86DD, packet6(following, rest)) for following, rest in (*CHAINS, (17, UDP), (17, b"x"))]
    for ethertype, data in frames:
        for _ in range(2):
            made.send(ETHERNET + struct.pack("!H", ethertype) + data)
with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as made:
    for ethertype in (0x0800, 0x86DD, 0x88B5):
        made.sendto(packet(17, "203.0.113.23", UDP), ("out", ethertype, 0, 0, b"\\xff" * 6))
        made.sendto(packet(17, "203.0.113.23", UDP), ("lo", ethertype, 0, 0, b"\\xff" * 6))
"""
ROUTED = """
def way(kind, *hops):  # an IPv4 option with the way to go (RFC 791)
    return bytes((kind, 3 + 4 * len(hops), 4)) + b"".join(map(socket.inet_aton, hops))
def way6(*hops):  # an IPv6 header with it (RFC 8754)
    head = bytes((0, 2 * len(hops), 4, len(hops) - 1, len(hops) - 1, 0, 0, 0))
    return head + b"".join(socket.inet_pton(six, hop) for hop in hops)
def begin(family, where, options):
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setblocking(False)
        for option in options:
            made.setsockopt(*option)
        made.connect_ex((where, 443))
nothing, stamps = bytes((1,)), bytes((68, 12, 5, 0)) + bytes(8)
for number, options in enumerate((
    way(131, "203.0.113.30"), nothing * 20 + way(131, "203.0.113.31"), stamps + way(131, "203.0.113.32"),
    way(137, "203.0.113.33"), nothing * 33 + way(131, "203.0.113.34"), nothing * 40, stamps, b"",
)):
    for kind, protocol in ((socket.SOCK_DGRAM, 17), (RAW, 17), (RAW, 1)):
        send(four, kind, protocol, UDP, ("127.0.0.1", 53), [(0, 4, options)])
        send(four, kind, protocol, UDP, ("203.0.113." + str(40 + number), 53), [(0, 4, options)])
    begin(four, "127.0.0.1", [(0, 4, options)])
beyond = bytes((0, 0, 1, 4, 0, 0, 0, 0))
for number, chosen in enumerate(((57,), (57, 54), (57, 59), (55, 57), (59,))):
    way_there = way6("::1", "2001:db8::4" + str(number))
    options = [(41, option, way_there if option == 57 else beyond) for option in chosen]
    for kind, protocol in ((socket.SOCK_DGRAM, 17), (RAW, 17), (RAW, 58)):
        send(six, kind, protocol, UDP, ("::1", 53), options)
    begin(six, "::1", options)
"""
HOLD = """
held = [socket.socket(family, kind) for family in (2, 10) for kind in (1, 2)]
held[0].bind(("0.0.0.0", 7100))
held[0].listen()
held[1].connect(("198.18.0.5", 53))
held[3].connect(("2001:db8:1::6", 53))
held += [socket.socket(17, 3, 0), socket.socket(2, 3, 1), socket.socket(1, 1), os.pipe(), os.dup(held[1].fileno())]
client = socket.create_connection(("198.18.0.1", 7100))
print(os.getpid(), flush=True)
import time
time.sleep(100)
"""


def within(script: str) -> str:
    """Return what runs a script in a pid namespace inside."""
    argv = ["unshare", "--pid", "--fork", sys.executable, "-c", f"import os, socket\n{script}"]
    return f"\nimport subprocess\nsubprocess.run({argv!r}, check=True)\n"
