"""Real servers on loopback for the probes to talk to; each runs for the length of a ``with``, and ends with it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from airgap_check.kernel import syscalls
from tests.live.lab_host import LabError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence

    from tests.live.lab_host import Host
    from tests.unit.probes.minting import Pair

_LOWEST = 10_000  # of the ports that are handed out
LOOPBACK = "127.0.0.1"
_PATIENCE = 60.0  # seconds until a server listens; a bound, not an expectation


def free_port() -> int:
    """Return a port that nobody listens on just now, and that the kernel gives to nobody who asks for any port."""
    given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.SystemRandom().randrange(_LOWEST, given) if given > 2 * _LOWEST else 0  # 0: any, it must do
        with suppress(OSError), socket.create_server((LOOPBACK, port)) as server:
            return int(server.getsockname()[1])


@contextmanager
def folder_of(user: str) -> Iterator[Path]:
    """Make a folder that a server's own user may write to."""
    with tempfile.TemporaryDirectory(prefix="server-") as name:
        shutil.chown(name, user)
        yield Path(name)


@contextmanager
def running(
    argv: Sequence[str | Path], port: int, *, user: str | None = None, stop: int = signal.SIGTERM
) -> Iterator[int]:
    """Run a server until the end of the block, and begin it when the port answers; yield the pid."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            user=user, group=user, extra_groups=[] if user else None, cwd="/", start_new_session=True,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise LabError(f"{argv[0]} did not come up:\n{log.read()[-2000:]}")
                time.sleep(0.05)
            yield process.pid
        finally:
            process.send_signal(stop)
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def connected_in(host: Host, address: str, port: int) -> socket.socket:
    """Connect from inside of a host's network."""
    found: list[socket.socket] = []

    def connect() -> None:
        syscalls.setns(host.netns, syscalls.CLONE_NEWNET)
        deadline = time.monotonic() + _PATIENCE
        while not found and time.monotonic() < deadline:
            with suppress(ConnectionRefusedError):
                found.append(socket.create_connection((address, port), timeout=_PATIENCE))
            time.sleep(0 if found else 0.05)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    if not found:
        raise LabError(f"nobody answers at {address}:{port}")
    return found[0]


@contextmanager
def postgresql(tls: Pair | None = None) -> Iterator[tuple[int, Path]]:
    """Run Debian's PostgreSQL, which asks everybody for a password; yield its port and its log."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    port = free_port()
    with folder_of("postgres") as folder:
        data = folder / "data"
        word = folder / "word"
        word.write_text("no-secret\n")
        shutil.chown(word, "postgres")
        _once([programs / "initdb", "--no-sync", "--auth=scram-sha-256", f"--pwfile={word}", "-D", data], "postgres")
        log = folder / "log"
        options: list[str | Path] = ["-D", data, "-h", LOOPBACK, "-p", str(port), "-k", folder, "-F"]
        options += ["-c", "logging_collector=on", "-c", f"log_directory={folder}", "-c", "log_filename=log"]
        if tls:
            for path in tls.write(folder):
                shutil.chown(path, "postgres")
            options += ["-c", "ssl=on", "-c", f"ssl_cert_file={folder}/server.crt"]
            options += ["-c", f"ssl_key_file={folder}/server.key"]
        with running([programs / "postgres", *options], port, user="postgres", stop=signal.SIGINT):
            yield port, log


@contextmanager
def mariadb(tls: Pair | None = None) -> Iterator[int]:
    """Run Debian's MariaDB."""
    port = free_port()
    with folder_of("mysql") as folder:
        options = []
        if tls:
            for path in tls.write(folder):
                shutil.chown(path, "mysql")
            options = [f"--ssl-cert={folder}/server.crt", f"--ssl-key={folder}/server.key"]
        with running(mariadb_command(folder, LOOPBACK, port, *options), port, user="mysql"):
            yield port


def mariadb_command(folder: Path, address: str, port: int, *options: str) -> list[str]:
    """Make a MariaDB's data in a folder of its user, and return how to start it."""
    data = f"--datadir={folder}/data"
    how = ["--no-defaults", "--skip-test-db", "--auth-root-authentication-method=normal"]
    _once(["mariadb-install-db", *how, data], "mysql")
    account = folder / "account.sql"  # without one for other hosts, those are turned away before they are greeted
    account.write_text("CREATE USER crm@'%' IDENTIFIED BY 'correct-horse';\n")
    shutil.chown(account, "mysql")
    places = [
        f"--init-file={account}",
        f"--socket={folder}/socket",
        f"--pid-file={folder}/pid",
        f"--bind-address={address}",
        f"--port={port}",
    ]
    return [shutil.which("mariadbd") or "mariadbd", "--no-defaults", data, *places, *options]


@contextmanager
def redis(*options: str) -> Iterator[int]:
    """Run Debian's Redis."""
    port = free_port()
    with running(["redis-server", "--port", str(port), "--bind", LOOPBACK, "--save", "", *options], port):
        yield port


@contextmanager
def object_store() -> Iterator[int]:
    """Run moto's S3."""
    port = free_port()
    with running([sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)], port):
        yield port


@contextmanager
def identity_provider() -> Iterator[int]:
    """Run an OpenID provider."""
    port = free_port()
    with running([sys.executable, "-m", "oidc_provider_mock", "--host", LOOPBACK, "--port", str(port)], port):
        yield port


@contextmanager
def mail_server(context: ssl.SSLContext | None = None, *, implicit: bool = False) -> Iterator[int]:
    """Run a mail server; with a context it offers STARTTLS, or begins with TLS."""
    begin, upgrade = (context, None) if implicit else (None, context)
    controller = Controller(Sink(), hostname=LOOPBACK, port=free_port(), ssl_context=begin, tls_context=upgrade)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def _once(argv: Sequence[str | Path], user: str) -> None:
    done = subprocess.run(
        [str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, user=user, group=user,
        extra_groups=[], cwd="/", env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}, check=False,
    )  # fmt: skip
    if done.returncode:
        raise LabError(f"{argv[0]}: {done.stdout}{done.stderr}")
