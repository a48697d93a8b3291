"""What a host remembers from one audit to the next: releases changed in place, switched, lost; who could write them."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.lab import NOBODY, Audit, Lab, checker_environment
from tests.live.lab_host import PYTHON
from tests.live.site import OBJECTOS, PASSWORD, UNIT, assert_compliant, assert_violation, policy, serious

if TYPE_CHECKING:
    from tests.live.lab_host import Running

FOLDER = "/run/lab/objectos"
STATE = "/var/lib/airgap-check"
OLD, NEW = '{"manifest": {"version": "1.0.0"}}', '{"manifest": {"version": "2.0.0"}}'
DATABASE_URL = f"postgres://objectos:{PASSWORD}@10.20.0.5:5432/objectos"


def start(lab: Lab, artifact: str, user: tuple[int, int] | None = None, **settings: str) -> Running:
    """Start what looks like ObjectOS, to boot from an artifact."""
    lab.near.write(f"{FOLDER}/{OBJECTOS[0]}", OBJECTOS[1])
    told = {"OS_ARTIFACT_FILE": artifact, "OS_BUSINESS_DB_URL": DATABASE_URL, **settings}
    return lab.near.plant("idle", name="node", cgroup=UNIT, cwd=FOLDER, env=told, user=user)


def restart(lab: Lab, running: Running, artifact: str) -> Running:
    running.signal(15)
    running.wait()
    return start(lab, artifact)


def release(lab: Lab, version: str, content: str) -> str:
    path = f"{FOLDER}/releases/{version}/objectstack.json"
    lab.near.write(path, content)
    return path


def audit(lab: Lab, *options: str, **rest: Any) -> Audit:
    return lab.audit(*options, policy=policy(**rest))


@pytest.fixture
def host(lab: Lab) -> Lab:
    """A near host with a /var/lib of its own, which it shares with nobody."""
    lab.near.check(["mount", "-t", "tmpfs", "-o", "mode=755", "none", "/var/lib"])
    return lab


def test_an_artifact_that_is_changed_in_place_is_found_by_the_next_audit(host: Lab) -> None:
    path = release(host, "v1", OLD)
    running = start(host, path)
    assert_compliant(audit(host))
    assert host.near.path(f"{STATE}/history.sqlite").stat().st_mode & 0o777 == 0o600
    assert host.near.path(STATE).stat().st_mode & 0o777 == 0o700
    host.near.check(["rm", "-r", f"{FOLDER}/releases/v1"])
    release(host, "v1", NEW)
    found = audit(host)
    assert {"artifact.changed-in-place", "upgrade.restart-pending", "upgrade.no-rollback"} <= found.failed()
    assert found.exit_code == 1
    restart(host, running, path)
    later = audit(host)
    assert serious(later) == {"artifact.changed-in-place", "upgrade.no-rollback"}, later.summary()
    assert path in later.finding("artifact.changed-in-place")["message"]


def test_a_new_release_beside_the_old_one_is_compliant_until_the_old_one_is_lost(host: Lab) -> None:
    running = start(host, release(host, "v1", OLD))
    assert_compliant(audit(host))
    restart(host, running, release(host, "v2", NEW))
    assert_compliant(audit(host))
    host.near.check(["rm", "-r", f"{FOLDER}/releases/v1"])
    record = assert_violation(audit(host), "upgrade.no-rollback", workload=UNIT)
    assert "releases/v1/objectstack.json" in record["detail"]
    release(host, "v1", OLD)
    assert_compliant(audit(host))
    release(host, "v1", '{"manifest": {"version": "1.0.0", "changed": true}}')
    assert "has another content now" in assert_violation(audit(host), "upgrade.no-rollback")["detail"]


def test_switching_a_link_to_the_next_release_is_an_upgrade_and_no_tampering(host: Lab) -> None:
    release(host, "v1", OLD)
    release(host, "v2", NEW)
    link = f"{FOLDER}/current"
    host.near.check(["ln", "-s", "releases/v1", link])
    running = start(host, f"{link}/objectstack.json")
    assert_compliant(audit(host))
    host.near.check(["ln", "-sfn", "releases/v2", link])
    switched = audit(host)
    assert serious(switched) == {"upgrade.restart-pending"}, switched.summary()
    assert switched.exit_code == 0
    restart(host, running, f"{link}/objectstack.json")
    assert_compliant(audit(host))


def mode(lab: Lab, *commands: str) -> None:
    for command in commands:
        lab.near.check(command.split())


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ([f"chown 65534 {FOLDER}/releases/v1/objectstack.json"], "owns the file"),
        ([f"chmod 666 {FOLDER}/releases/v1/objectstack.json"], "may write the file"),
        ([f"chmod 777 {FOLDER}/releases"], f"in the place of {FOLDER}/releases/v1"),
    ],
)
def test_a_service_that_could_write_its_artifact_or_replace_it_is_found(
    host: Lab, commands: list[str], said: str
) -> None:
    path = release(host, "v1", OLD)
    start(host, path, user=NOBODY)
    assert_compliant(audit(host))
    mode(host, *commands)
    found = audit(host)
    assert said in found.finding("artifact.writable")["record"]["detail"], found.summary()
    assert found.exit_code == 1


def test_a_read_only_mount_keeps_everybody_out(host: Lab) -> None:
    path = release(host, "v1", OLD)
    mode(host, f"chown -R 65534 {FOLDER}/releases/v1")
    start(host, path, user=NOBODY)
    assert "artifact.writable" in audit(host).failed()
    mode(host, f"mount --bind {FOLDER}/releases {FOLDER}/releases", f"mount -o remount,ro,bind {FOLDER}/releases")
    passed = audit(host)
    assert not {"artifact.writable", "artifact.mount-writable"} & passed.failed(), passed.summary()
    assert passed.outcome("artifact.mount-writable") == "pass"


def test_the_same_artifact_is_judged_for_each_service_that_runs_it(host: Lab) -> None:
    path = release(host, "v1", OLD)
    mode(host, f"chown 65534 {path}")
    start(host, path)
    assert_compliant(audit(host))
    host.near.plant(
        "idle", name="worker", cgroup="worker.service", cwd=FOLDER, user=NOBODY,
        env={"OS_ARTIFACT_FILE": path, "OS_BUSINESS_DB_URL": DATABASE_URL},
    )  # fmt: skip
    assert_violation(audit(host), "artifact.writable", workload="worker.service")


def test_only_the_listed_artifact_is_approved(host: Lab) -> None:
    start(host, release(host, "v1", OLD))
    listed = {"artifacts": [f"sha256:{hashlib.sha256(OLD.encode()).hexdigest()}"]}
    assert_compliant(audit(host, release=listed))
    other = {"artifacts": [f"sha256:{hashlib.sha256(NEW.encode()).hexdigest()}"]}
    assert_violation(audit(host, release=other), "artifact.not-approved")


def test_runs_at_the_same_time_wait_for_each_other(host: Lab) -> None:
    start(host, release(host, "v1", OLD))
    host.near.write("/etc/airgap-check/policy.yaml", json.dumps(policy()))
    argv = ["sh", "-c", '"$@" & first=$!; "$@" >/dev/null; second=$?; wait $first; exit $((second + $?))', "sh"]
    tool = [sys.executable, "-m", "airgap_check", "audit", "--quiet"]
    code, output, errors = host.near.output([*argv, *tool], env=checker_environment())
    assert code == 0, output + errors


@pytest.mark.parametrize("owner", ["65534", "0"])
def test_a_state_folder_of_somebody_else_is_refused(host: Lab, owner: str) -> None:
    start(host, release(host, "v1", OLD))
    mode(host, "mkdir -m 777 /run/lab/state", f"chown {owner} /run/lab/state")
    refused = audit(host, "--state", "/run/lab/state")
    assert refused.exit_code == 2
    assert "state folder /run/lab/state" in refused.stderr
    mode(host, f"mkdir -m 777 -p {STATE}", f"chown {owner} {STATE}")
    assert audit(host).exit_code == 4, "the default one, which nobody named, leaves doubts"


def test_an_ordinary_user_remembers_only_where_he_says(host: Lab) -> None:
    start(host, release(host, "v1", OLD), user=NOBODY)
    audit(host, user=NOBODY)
    assert not host.near.path(STATE).exists()


def test_a_database_on_fuse_is_on_a_network_file_system_and_nobody_is_kept_waiting(host: Lab) -> None:
    """The file system is a real one whose server never answers: who touches it hangs."""
    mount = (
        "import ctypes, os, signal\n"
        "os.makedirs('/run/lab/share')\n"
        "fd = os.open('/dev/fuse', os.O_RDWR)\n"
        "options = f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode()\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.mount(b'share', b'/run/lab/share', b'fuse.sshfs', 0, options):\n"
        "    raise OSError(ctypes.get_errno(), 'mount')\n"
        "print('mounted', flush=True)\n"
        "signal.pause()\n"
    )
    server = host.near.run([PYTHON, "-I", "-c", mount])
    server.expect("mounted")
    start(host, release(host, "v1", OLD), OS_BUSINESS_DB_URL="file:/run/lab/share/data/crm.sqlite")
    found = assert_violation(audit(host), "environment.database-on-network-filesystem", workload=UNIT)
    assert found["subject"] == "/run/lab/share/data/crm.sqlite"
