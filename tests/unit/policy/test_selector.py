from __future__ import annotations

import pytest

from airgap_check.evidence.fact import GONE, Process
from airgap_check.policy import Selector
from airgap_check.policy.selector import selects

CURL = Process(pid=7, executable="/usr/bin/curl")


@pytest.mark.parametrize(
    "selector", [{"unit": "objectos.service"}, {"container": "0" * 12}, {"image": "registry/one:1"}, {"pod": "1-2"}]
)
def test_a_cgroup_that_had_gone_may_have_been_anybodys(selector: dict[str, str]) -> None:
    assert selects(Selector(**selector), CURL, GONE, "root") == "unknown"
    assert selects(Selector(**selector), CURL, None, "root") == "no", "the root cgroup is nobody's"


def test_what_is_known_of_who_was_in_a_cgroup_that_had_gone_still_counts() -> None:
    assert selects(Selector(unit="objectos.service", user="objectos"), CURL, GONE, "root") == "no"
    assert selects(Selector(exe="/usr/bin/curl"), CURL, GONE, "root") == "yes"
