"""What of a look at a rehearsal is the command's, and what is only this machine's."""

from __future__ import annotations

from airgap_check.evidence import Evidence, Setting
from airgap_check.evidence.fact import Place
from airgap_check.rehearsal.inside import _of_the_command

OWN = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="own"))
UNIT = Setting(name="HTTPS_PROXY", posture="url", place=Place(kind="unit", unit="docker.service"))
PROCESS = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="process", pid=7))
FILE = Setting(name="OS_CLOUD_URL", posture="disabled", place=Place(kind="file", path="/srv/.env"))


def kept(*settings: Setting) -> tuple[Setting, ...]:
    evidence = Evidence(kind="environment", status="complete", records=settings)
    return tuple(_of_the_command(evidence).of(Setting))


def test_units_of_this_machine_say_nothing_of_the_command() -> None:
    assert kept(UNIT, FILE, PROCESS) == (FILE, PROCESS)


def test_our_own_environment_is_the_commands_unless_that_was_seen_itself() -> None:
    assert kept(OWN, FILE) == (OWN, FILE)
    assert kept(OWN, FILE, PROCESS) == (FILE, PROCESS)
