"""A headless Chromium that has nowhere to go but this machine, found on PATH, started and ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from airgap_check.drivers.devtools import BrowserError, Devtools
from airgap_check.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from airgap_check.drivers.devtools import Event

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATH = "/usr/local/bin:/usr/bin:/bin"
_FAREWELL = 3.0  # seconds from asking it to end until it is made to
_FEATURES = (
    "OptimizationHints", "MediaRouter", "DialMediaRouteProvider", "Translate", "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater", "InterestFeedContentSuggestions", "HttpsUpgrades",
    "WebRtcHideLocalIpsWithMdns",
)  # fmt: skip
# Nothing that it wants for itself may leave, nor be looked up: no name but our own exists. What pages want is stopped
# before it gets that far, and WebRTC, which none of this concerns, may not use UDP.
_FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp", "--disable-quic",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-extensions", "--disable-client-side-phishing-detection", "--disable-domain-reliability",
    "--disable-breakpad", "--disable-field-trial-config", "--no-first-run", "--no-default-browser-check",
    "--no-service-autorun", "--metrics-recording-only", "--password-store=basic", "--use-mock-keychain", "--mute-audio",
    "--disable-popup-blocking",
    f"--disable-features={','.join(_FEATURES)}",
)  # fmt: skip
# It reads commands from descriptor 3 and writes to 4, wherever ours are.
_START = """import os
from sys import argv
os.dup2(int(argv[1]), 3)
os.dup2(int(argv[2]), 4)
os.execv(argv[3], argv[3:])
"""


def find(path: str | None = None) -> str:
    """Return where the browser is; ``path`` is searched, else PATH. Raises `UsageError` where there is none."""
    searched = path if path is not None else os.environ.get("PATH", _PATH)
    found = next((program for name in _NAMES if (program := shutil.which(name, path=searched))), None)
    if found is None:
        raise UsageError("--browser needs Chromium (Debian package: chromium) or Google Chrome on PATH")
    return found


class Chromium:
    """A browser under way; used as a context, it and all of its processes have gone at the end.

    Everything that it writes goes to ``profile``, a directory that the caller makes and removes. ``pid`` leads a
    session of its own.
    """

    def __init__(self, program: str, profile: str, hear: Callable[[Event], None]) -> None:
        """Start it. Raises `BrowserError`."""
        theirs_in, self._writing = _pipe()
        self._reading, theirs_out = _pipe()
        command = [sys.executable, "-I", "-S", "-c", _START, str(theirs_in), str(theirs_out), program, *_FLAGS]
        try:
            self._process = subprocess.Popen(  # noqa: S603  (the browser that the user has asked for)
                [*command, f"--user-data-dir={profile}", "about:blank"],
                pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True,
                env={"PATH": _PATH, "HOME": profile, "TMPDIR": profile, "LC_ALL": "C.UTF-8"},
            )  # fmt: skip
        except OSError as error:
            os.close(self._writing)
            os.close(self._reading)
            raise BrowserError(error.strerror or "the browser could not be started") from error
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self.pid = self._process.pid
        self.tools = Devtools(self._reading, self._writing, hear)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End it; its pipe is closed first, at which it ends by itself, and tidies up."""
        with suppress(BrowserError):
            self.tools.tell("Browser.close")
        os.close(self._writing)
        deadline = time.monotonic() + _FAREWELL
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.close(self._reading)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def _pipe() -> tuple[int, int]:
    """Make a pipe, both ends far from the descriptors that a browser has theirs at."""
    ends = os.pipe()
    try:
        return fcntl.fcntl(ends[0], fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(ends[1], fcntl.F_DUPFD_CLOEXEC, 10)
    finally:
        os.close(ends[0])
        os.close(ends[1])
