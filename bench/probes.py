"""How long the probes of a preflight take: fifty endpoints over a wire, ten of which never answer.

``python -m bench.probes`` prints the figure; silence has to be waited for, so that it shows whether all wait at once.
"""

from __future__ import annotations

import json
import sys

from bench.figure import Figure
from tests.live.lab import FAR, Lab
from tests.live.lab_host import CHECKOUT

_ANSWERING, _SILENT = 40, 10
_AIM = 10.0  # seconds
_SERVE = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(4096): self.request.sendall(b"+PONG\\r\\n" if b"PING" in data else b"+OK\\r\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("0.0.0.0", 6379), Echo)
print("ready", flush=True)
server.serve_forever()
"""
_PROBE = f"""
import json, sys, threading, time
from datetime import UTC, datetime
from ipaddress import ip_address
from airgap_check.kernel import netns
from airgap_check.probes import performance
from airgap_check.probes.errand import Errand, Need
from airgap_check.probes.vantage_point import VantagePoint
here = VantagePoint(netns.Namespace(netns.own_inode(), "process"))
hosts = [f"10.40.0.{{n}}" for n in range(1, {_ANSWERING} + 1)] + [f"10.41.0.{{n}}" for n in range(1, {_SILENT} + 1)]
errands = [Errand(Need(host, 6379, "redis", "none"), here, None, ip_address(host)) for host in hosts]
began = time.monotonic()
outcome = performance.perform(errands, datetime.now(UTC), threading.Event())
seconds = time.monotonic() - began
print(json.dumps([seconds, [record.outcome for record in outcome.records]]))
"""


def measure() -> list[Figure]:
    """Probe once, in a laboratory; an endpoint that ends otherwise than it should is an error, not a figure."""
    with Lab() as lab:
        for number in range(1, _ANSWERING + 1):
            lab.assign(f"10.40.0.{number}")
        lab.far.run(["python3", "-c", _SERVE]).expect("ready")
        lab.far.check(["nft", "-f", "-"], stdin=_DROP)
        lab.near.ip(f"route add 10.40.0.0/15 via {FAR}")
        said = lab.near.check([sys.executable, "-c", _PROBE], env={"PYTHONPATH": str(CHECKOUT), "HOME": "/run/lab"})
    seconds, outcomes = json.loads(said)
    if (outcomes.count("reached"), outcomes.count("timeout")) != (_ANSWERING, _SILENT):
        raise RuntimeError(f"the laboratory is broken: {outcomes}")
    detail = f"{len(outcomes)} endpoints, {_SILENT} of them silent"
    return [Figure("probes of a preflight, wall", seconds, "s", _AIM, detail)]


_DROP = """
table inet silence { chain in { type filter hook prerouting priority -300; ip daddr 10.41.0.0/16 drop; }; }
"""


if __name__ == "__main__":
    for figure in measure():
        sys.stdout.write(f"{figure.what}: {figure.value:.2f} {figure.unit} ({figure.detail})\n")
