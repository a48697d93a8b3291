"""A far host's program: takes alerts over HTTPS and by mail (STARTTLS, a login), and writes down what it was given.

It runs as ``python alerts_receiver.py FOLDER ADDRESS HTTPS-PORT SMTP-PORT``; FOLDER holds its certificate and key.
"""

from __future__ import annotations

import http.server
import json
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult


def _note(folder: Path, name: str, what: dict[str, Any]) -> None:
    with (folder / name).open("a") as file:
        file.write(json.dumps(what) + "\n")


class Relay:
    """Takes every mail of whoever logs in."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._word = ""

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        self._word = data.password.decode()
        return AuthResult(success=True)

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd calls it)
        what = {"to": envelope.rcpt_tos, "content": envelope.content.decode(), "password": self._word}
        _note(self._folder, "mailed", {**what, "tls": session.ssl is not None})
        return "250 OK"


def main(folder: Path, address: str, https: int, smtp: int) -> None:
    """Serve until somebody ends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.crt", folder / "server.key")

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            _note(folder, "posted", {"path": self.path, "headers": dict(self.headers), "body": body})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    relay = Relay(folder)
    controller = Controller(
        relay, hostname=address, port=smtp, tls_context=context, require_starttls=True, auth_require_tls=True,
        auth_required=True, authenticator=relay.authenticate,
    )  # fmt: skip
    controller.start()
    server = http.server.ThreadingHTTPServer((address, https), Hook)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
