"""What somebody says of an address or of who called, and the packets that leave all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.lab import NOBODY, PUBLIC
from tests.live.lab_host import PYTHON
from tests.live.site import UNIT, assert_finding, policy
from tests.live.vigil import Vigil

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

pytestmark = pytest.mark.live

ELSEWHERE = "10.66.6.6"
_HEAD = """
import socket, subprocess, sys, time
def ip(line, check=True):
    subprocess.run(["ip", *line.split()], check=check)
def udp(port):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("0.0.0.0", port))
    return made
"""
_WAIT = "print('ready', flush=True); sys.stdin.readline()\n"
_LINGER = "\nprint('done', flush=True); time.sleep(600)\n"

# Root in a container says that an address is his own, or everybody's, and has it routed away.
_NARROWER = "ip('addr add 10.66.6.6/32 dev lo'); ip('route del local 10.66.6.6 table local');"
_RULED = """
ip('addr add 10.66.6.6/32 dev lo')
ip('rule add pref 5 lookup local'); ip('rule del pref 0'); ip('rule add pref 1 lookup main')
"""
_NEIGHBOURS = """
ip('addr add 10.66.6.5/30 broadcast 10.66.6.6 dev eth0'); ip('route del broadcast 10.66.6.6 table local', check=False)
ip('route add 10.66.6.6/32 via 172.17.0.1')
"""
_SEND = "\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.66.6.6', 9999))"

# He plays the public peer that speaks first, and then answers him.
_STAGED = f"""
ip('addr add {PUBLIC}/32 dev lo')
server, client = udp(7000), udp(0)
client.close(); client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); client.bind(('{PUBLIC}', 9999))
client.sendto(b'hi', ('127.0.0.1', 7000)); server.recvfrom(10); client.close()
ip('addr del {PUBLIC}/32 dev lo')
server.sendto(b'x', ('{PUBLIC}', 9999))
"""
# Sockets from before the watch that look like a server's.
_TWIN = f"a, b = udp(7777), udp(7777); a.connect(('{PUBLIC}', 9999))\n"
_CALLED = f"""
def tcp():
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(('0.0.0.0', 7777))
    return made
a = tcp(); a.connect(('{PUBLIC}', 443)); b = tcp(); b.listen()
"""


def _in_a_container(site: Lab, code: str, before: str = "") -> Audit:
    """Let root in a container run code while the host is watched, and some before."""
    script = _HEAD + before + _WAIT + code + _LINGER
    container = site.near.run(["unshare", "-n", PYTHON, "-I", "-S", "-u", "-c", script], cgroup="docker")
    container.expect("ready")
    site.wire_container(container.pid)
    with Vigil(site, policy=policy()) as vigil:
        container.go_on()
        container.expect("done")
        return vigil.end()


@pytest.mark.parametrize("decree", [_NARROWER, _RULED, _NEIGHBOURS], ids=["own", "own by a rule", "broadcast"])
def test_who_calls_an_address_his_own_does_not_hide_that_he_sends_there(site: Lab, decree: str) -> None:
    audit = _in_a_container(site, decree + _SEND)
    assert audit.exit_code == 1, audit.summary()
    record = assert_finding(audit, "connection.not-allowlisted", remote__address=ELSEWHERE, seen="attempts")
    assert record["remote"]["scope"] == "private"


def test_an_address_that_is_really_a_container_s_own_is_no_egress(site: Lab) -> None:
    audit = _in_a_container(site, _SEND, before="ip('link set lo up'); ip('addr add 10.66.6.6/32 dev lo')\n")
    assert audit.exit_code == 0, audit.summary()


def test_who_stages_a_public_caller_does_not_hide_the_answer(site: Lab) -> None:
    site.assign(PUBLIC)
    audit = _in_a_container(site, "ip('link set lo up')" + _STAGED)
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "connection.public-destination", remote__address=PUBLIC, state="reply")


@pytest.mark.parametrize("code", [_TWIN, _CALLED], ids=["UDP", "TCP"])
def test_a_socket_from_before_that_looks_like_a_server_s_is_not_excused_when_it_is_public(site: Lab, code: str) -> None:
    site.serve(PUBLIC, 443)
    script = _HEAD + code + _WAIT + "a.send(b'x')" + _LINGER
    before = site.near.run([PYTHON, "-I", "-S", "-u", "-c", script], cgroup=UNIT, user=NOBODY)
    before.expect("ready")
    with Vigil(site, policy=policy()) as vigil:
        before.go_on()
        before.expect("done")
        audit = vigil.end()
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "connection.public-destination", remote__address=PUBLIC, direction="unknown")
