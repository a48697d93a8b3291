"""What a runtime was told is found, or said to be unreadable, however it is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.live.lab_host import PYTHON, Running
from tests.live.site import SETTINGS, assert_finding, policy

if TYPE_CHECKING:
    from tests.live.lab import Lab

CLOUD = "https://cloud.example.com"
MUST_BE_OFF = {"cloud_url": "must-be-off"}
_START = """
import ctypes, os, signal, struct, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def mount(source, target, kind, flags=0, data=None):
    words = [None if word is None else word.encode() for word in (source, target, kind, data)]
    assert not libc.mount(*words[:3], ctypes.c_ulong(flags), words[3]), ctypes.get_errno()
def ready():
    print("ready", flush=True)
    while True: time.sleep(100)
"""
_TWIN = """
assert not libc.unshare(0x20000)  # CLONE_NEWNS
mount(None, "/", None, 1 << 18 | 1 << 14)  # MS_PRIVATE | MS_REC
os.makedirs("/run/app", exist_ok=True)
mount("tmpfs", "/run/app", "tmpfs")
with open("/run/app/.env", "w") as file: file.write("OS_CLOUD_URL={value}\\n")
os.chdir("/run/app")
ready()
"""
# A FUSE server that answers the first request (FUSE_INIT, fuse(4)) and never another one.
_DEAD_FUSE = """
fuse = os.open("/dev/fuse", os.O_RDWR)
os.makedirs("/run/fuse")
mount("dead", "/run/fuse", "fuse", 0, f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other")
_, _, unique = struct.unpack("<IIQ", os.read(fuse, 65536)[:16])
body = struct.pack("<IIIIHHIIHHI", 7, 31, 0, 0, 12, 10, 131072, 1, 0, 0, 0) + bytes(28)
os.write(fuse, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
ready()
"""
_FIRST_THREAD_ENDS = """
def go():
    while open(f"/proc/{os.getpid()}/stat").read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.01)
    ready()
threading.Thread(target=go).start()
libc.pthread_exit(None)
"""
_ZEROED = """
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
ctypes.memset(int(fields[47]), 0, int(fields[48]) - int(fields[47]))
ready()
"""
_PARENT = """
subprocess.Popen(["/run/lab/bin/child", "-I", "-S", "-c", "import time; time.sleep(1000)"], env={environ!r})
ready()
"""


def _run(lab: Lab, name: str, program: str, env: dict[str, str]) -> Running:
    for link in (name, "child"):
        if not lab.near.path(f"/run/lab/bin/{link}").is_symlink():
            lab.near.path(f"/run/lab/bin/{link}").symlink_to(PYTHON)
    lab.near.write(f"/run/lab/{name}.py", _START + program)
    running = lab.near.run([f"/run/lab/bin/{name}", "-I", "-S", f"/run/lab/{name}.py"], env=env)
    running.expect("ready")
    return running


def test_two_mount_namespaces_may_have_different_files_at_one_path(lab: Lab) -> None:
    _run(lab, "first", _TWIN.replace("{value}", "off"), SETTINGS)
    _run(lab, "second", _TWIN.replace("{value}", CLOUD), SETTINGS)
    assert_finding(
        lab.audit(policy=policy(runtime=MUST_BE_OFF)), "environment.cloud-url-set", process="second", value=CLOUD
    )


@pytest.mark.parametrize("link", ["/run/lab/objectos/.env", "/etc/hosts"])
def test_a_link_into_a_dead_mount_does_not_stop_the_audit(site: Lab, link: str) -> None:
    _run(site, "server", _DEAD_FUSE, {})
    site.near.path(link).unlink(missing_ok=True)  # ln -f would look at where it is to lead, and hang
    site.near.path(link).symlink_to("/run/fuse/x")
    named = {"name": "reports", "role": "database", "host": ["db.bank.example"], "ports": [5432]}
    audit = site.audit("--max-time", "10s", policy=policy(named))
    assert audit.exit_code == 4, audit.summary()
    assert "on a fuse file system" in audit.stdout


def test_a_process_whose_first_thread_has_ended_is_looked_at(site: Lab) -> None:
    _run(site, "headless", _FIRST_THREAD_ENDS, SETTINGS | {"OS_CLOUD_URL": CLOUD})
    assert_finding(site.audit(policy=policy()), "environment.cloud-url-set", process="headless", value=CLOUD)


def test_a_blanked_environment_is_no_empty_one(site: Lab) -> None:
    _run(site, "blank", _ZEROED, SETTINGS | {"OS_CLOUD_URL": CLOUD})
    audit = site.audit(policy=policy())
    assert audit.exit_code == 4, audit.summary()
    assert "blanked or unmapped" in audit.stdout


def test_a_child_is_not_excused_by_what_its_parent_was_told(lab: Lab) -> None:
    _run(lab, "parent", _PARENT.format(environ=SETTINGS), SETTINGS | {"OS_CLOUD_URL": "off"})
    assert_finding(lab.audit(policy=policy(runtime=MUST_BE_OFF)), "environment.cloud-url-set", process="child")


def test_a_parent_is_excused_by_what_its_child_was_told(lab: Lab) -> None:
    _run(lab, "parent", _PARENT.format(environ=SETTINGS | {"OS_CLOUD_URL": "off"}), SETTINGS)
    audit = lab.audit(policy=policy(runtime=MUST_BE_OFF))
    assert audit.outcome("environment.cloud-url-set") == "pass", audit.summary()
