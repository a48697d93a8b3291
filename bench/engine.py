"""Times the engine alone: connections that differ, most of them approved, under the shipped rules."""

from __future__ import annotations

import time
from statistics import median

from airgap_check import rulebook
from airgap_check.engine import Terms, judge
from tests.building import connection, inspection, policy

_RECORDS = 20_000
_ROUNDS = 5


def measure() -> tuple[int, int, float]:
    """Return how many records were judged, by how many rules about connections, and the median seconds it took."""
    rules = rulebook.load()
    approving = policy(
        {"cidr": "10.20.0.0/16", "ports": [5432, "6432-6440"]}, {"cidr": "10.40.0.25/32", "ports": [587]}
    )
    records = [connection(f"10.20.{number >> 8 & 255}.{number & 255}", 5432) for number in range(_RECORDS - 20)]
    records += [connection(f"10.99.0.{number}", 443) for number in range(20)]
    seen = inspection(*records)
    times = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        judge(seen, rules, approving, Terms())
        times.append(time.process_time() - began)
    return len(records), sum(1 for rule in rules.rules if rule.kind == "connection"), median(times)
