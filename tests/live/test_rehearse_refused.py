"""Where no world can be sealed nothing starts, and what is missing is said."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.lab import NOBODY, Lab, checker_environment
from tests.live.rehearsed import Rehearsal

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.live

POLICY = {
    "version": 1,
    "allow": [{"name": "db", "role": "database", "cidr": ["10.20.0.5/32"], "ports": [5432]}],
    "runtime": {"expected": False},
}
# In a user namespace of one's own the limit on more of them is one's own as well.
LIMITED = (
    "unshare",
    "--user",
    "--map-current-user",
    "--keep-caps",
    "sh",
    "-c",
    'echo 0 > /proc/sys/user/$0 && exec "$@"',
)
POWERLESS = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all")


def rehearse(lab: Lab, limit: str, under: Sequence[str]) -> Rehearsal:
    lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(POLICY))
    tool = [sys.executable, "-m", "airgap_check", "rehearse", "--format", "json", "--"]
    argv = [*LIMITED, limit, *under, *tool, "sh", "-c", "echo the command ran >&2"]
    return Rehearsal(*lab.near.output(argv, env=checker_environment(user=NOBODY), user=NOBODY))


@pytest.mark.parametrize(
    ("limit", "under", "words"),
    [
        ("max_user_namespaces", POWERLESS, ("user namespace", "user.max_user_namespaces=0")),
        ("max_net_namespaces", (), ("network namespace", "No space left on device")),
        ("max_pid_namespaces", (), ("pid namespace", "No space left on device")),
        ("max_mnt_namespaces", (), ("mount namespace", "No space left on device")),
    ],
)
def test_what_the_kernel_refuses_is_named_and_nothing_runs(
    lab: Lab, limit: str, under: Sequence[str], words: tuple[str, ...]
) -> None:
    audit = rehearse(lab, limit, under)
    assert audit.exit_code == 4, audit.summary()
    assert audit.coverage("world")["status"] == "unavailable"
    for word in words:
        assert word in audit.coverage("world")["reason"]
    assert "the command ran" not in audit.stderr


def test_a_command_that_does_not_exist_is_bad_usage(lab: Lab) -> None:
    lab.near.write("/etc/airgap-check/policy.yaml", json.dumps(POLICY))
    audit = Rehearsal(*lab.near.output(
        [sys.executable, "-m", "airgap_check", "rehearse", "--format", "json", "--", "no-such-program"],
        env=checker_environment(),
    ))  # fmt: skip
    assert audit.exit_code == 2, audit.summary()
    assert "no-such-program" in audit.stderr
    assert audit.stdout == ""
