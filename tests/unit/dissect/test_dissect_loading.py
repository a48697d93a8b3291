from __future__ import annotations

import subprocess
import sys

AT_ONCE = """
import os, threading
from airgap_check.dissect import encapsulation
names = [name for name in os.environ if name.startswith("XDG_")]
ready, found = threading.Barrier(8), []
def load():
    ready.wait()
    found.append(encapsulation._scapy())
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8, "a thread has failed"
assert [name for name in os.environ if name.startswith("XDG_")] == names
"""


def test_threads_that_load_the_dissectors_at_once_leave_the_environment_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
