"""A machine with loopback and one wire that leads nowhere, where drivers are tried; says as JSON what came of it.

Runs as ``python -m tests.live.driver_scenes SCENE ARGUMENT`` in network and pid namespaces of its own. Every frame that
anybody sends over the wire is told as well: none may be.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airgap_check import drivers
from airgap_check.drivers import browser
from airgap_check.kernel import procfs
from tests.live import runtime
from tests.live.lab_host import CHECKOUT, PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

_ETH_P_ALL = 3
HERE = "http://localhost:{port}"

INDEX = """<!doctype html><title>index</title>
<link rel="preconnect" href="https://preconnected.cdn.example">
<link rel="dns-prefetch" href="//prefetched.cdn.example">
<link rel="stylesheet" href="https://fonts.cdn.example/css?family=Inter&key=hush">
<style>@font-face { font-family: F; src: url(https://fonts.cdn.example/inter.woff2) } p { font-family: F }</style>
<p>text</p>
<img src="https://tiles.map.example/1/2/3.png"> <img src="http://192.0.2.77/pixel.gif">
<div style="height: 5000px"></div> <img loading="lazy" src="https://below.cdn.example/late.png">
<script src="https://code.cdn.example/app.js" crossorigin></script>
<script type="module">
  setTimeout(() => { const s = document.createElement('script'); s.src = 'https://lazy.cdn.example/chunk.js';
    s.onload = () => fetch('https://next.cdn.example/step', {credentials: 'include'}); document.body.append(s); }, 300);
  new Worker('/worker.js'); new Worker('/module.js', {type: 'module'}); new SharedWorker('/shared.js');
  navigator.serviceWorker.register('/service.js');
  navigator.sendBeacon('https://beacon.cdn.example/b', 'x');
  fetch('https://api.cdn.example/v1?token=hush', {method: 'POST', headers: {'X-Thing': '1'}, body: '{}'});
  new WebSocket('wss://socket.cdn.example/live'); new WebSocket('ws://192.0.2.78:81/live');
  new EventSource('https://events.cdn.example/stream');
  new Image().src = '/moved'; new WebTransport('https://transport.cdn.example/wt');
  new RTCPeerConnection({iceServers: [{urls: 'stun:192.0.2.79:3478'}]}).createDataChannel('x');
</script>
<iframe src="/frame"></iframe> <iframe src="https://frame.cdn.example/"></iframe>
<a href="/second?a=1">second</a> <a href="/second?a=2#x">same</a> <a href="/logout">leave</a>
<a href="https://elsewhere.example/">elsewhere</a> <a href="/file.zip">file</a> <a href="/tabs">tabs</a>
"""
PAGES = {
    "/": ("text/html", INDEX),
    "/frame": ("text/html", "<script src='https://inframe.cdn.example/x.js'></script>"),
    "/second": ("text/html", "<script>alert(1); open('https://window.cdn.example/')</script><a href='/third'>t</a>"),
    "/third": ("text/html", "<script>location = 'https://gone.cdn.example/away'</script>"),
    "/tabs": (
        "text/html",
        """<b role=tab aria-selected=true>1</b><b role=tab onclick="fetch('https://tab.cdn.example/map.json')">2</b>""",
    ),
    "/logout": ("text/html", "<script src='https://logout.cdn.example/x.js'></script>"),
    "/worker.js": (
        "text/javascript",
        "fetch('https://worker.cdn.example/data'); importScripts('https://imported.cdn.example/i.js')",
    ),
    "/module.js": ("text/javascript", "import 'https://module.cdn.example/m.js'"),
    "/shared.js": ("text/javascript", "fetch('https://shared.cdn.example/data')"),
    "/service.js": ("text/javascript", "oninstall = () => fetch('https://service.cdn.example/data')"),
}  # fmt: skip


class _Pages(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers.get('Cookie', '')}".strip())
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://moved.cdn.example/there")
            self.end_headers()
            return
        kind, text = PAGES.get(self.path.partition("?")[0], ("text/plain", ""))
        self.send_response(200 if text else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _wire(told: dict[str, Any]) -> Iterator[None]:
    """Stand on a machine with a route to everywhere, and count what is sent there."""
    for name in ("all", "default"):  # the kernel looks for neighbours by itself
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6").write_text("0")
    for command in (
        "link set lo up",
        "link add wire type veth peer name end", "link set end up", "link set wire arp off up",
        "address add 198.51.100.2/24 dev wire", "route add default via 198.51.100.1",
    ):  # fmt: skip
        subprocess.run(["ip", *command.split()], check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL)) as capture:
        capture.bind(("wire", 0))
        capture.setblocking(False)  # noqa: FBT003  (its name)
        yield
        frames = []
        while True:
            try:
                frames.append(capture.recv(128).hex())
            except BlockingIOError:
                break
        told["frames"] = frames


def crawl(told: dict[str, Any], pages: str) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Pages)
    threading.Thread(target=server.serve_forever).start()
    diary = drivers.Diary()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        fetched = browser.browse(
            HERE.format(port=server.server_port), diary, profile, cookies={"session": "s3cret"}, stop=threading.Event(),
            limits=browser.Limits(pages=int(pages)),
        )  # fmt: skip
    server.shutdown()
    server.server_close()
    told |= {"fetched": [entry._asdict() for entry in fetched], "asked": _Pages.asked, "own": sorted(diary.own_pids)}
    told["visits"], told["omitted"] = [entry._asdict() for entry in diary.visits], diary.omitted
    told["left"] = [pid for pid in procfs.pids() if pid not in {1, os.getpid()} and not procfs.is_zombie(pid)]


def drive(told: dict[str, Any], order: str) -> None:
    """Drive the real runtime; the order is JSON: what to drive, its environment, how many pages to open."""
    wanted = json.loads(order)
    modules = runtime.installed()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Path(folder, "log").open("w") as log:
        shutil.copy(wanted["artifact"], Path(folder, "artifact.json"))
        environ = {
            "PATH": f"{modules}/node/bin:{modules}/.bin:{PATH}", "HOME": folder, "NODE_ENV": "production",
            "OS_ARTIFACT_PATH": f"{folder}/artifact.json", **wanted["environ"],
        }  # fmt: skip
        command = [str(modules / ".bin" / "os"), "start"]
        process = subprocess.Popen(command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        diary, stop = drivers.Diary(), threading.Event()
        driven = drivers.prepare(wanted["kind"])(drivers.Where(None, process.pid, environ, folder), diary, stop)
        if wanted["pages"]:
            fetched = browser.browse(
                HERE.format(port=driven.port), diary, f"{folder}/profile", cookies=driven.cookies, stop=stop,
                limits=browser.Limits(pages=wanted["pages"]), pages=driven.pages,
            )  # fmt: skip
            told["fetched"] = [entry._asdict() for entry in fetched]
        process.kill()
        process.wait()
        told |= {"port": driven.port, "cookies": driven.cookies, "log": Path(folder, "log").read_text()[-4000:]}
        told["visits"] = [entry._asdict() for entry in diary.visits]


def perform(scene: str, argument: str) -> dict[str, Any]:
    """Perform a scene in namespaces of its own, and return what it says."""
    command = [
        "unshare",
        "-n",
        "-p",
        "-f",
        "--mount-proc",
        "--kill-child",
        sys.executable,
        "-m",
        __name__,
        scene,
        argument,
    ]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    said: dict[str, Any] = {}
    with _wire(said):
        {"crawl": crawl, "drive": drive}[sys.argv[1]](said, sys.argv[2])
        time.sleep(0.2)
    sys.stdout.write(json.dumps(said))
