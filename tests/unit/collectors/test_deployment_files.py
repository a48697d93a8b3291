"""What deployment files say becomes evidence, and what they do not say becomes its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from airgap_check.collectors.deployment import collect
from airgap_check.engine import Terms, judge
from airgap_check.errors import UsageError
from airgap_check.evidence import AnyRecord, Setting
from airgap_check.evidence.asset import Check, Image
from tests.building import RULES, inspection, policy

if TYPE_CHECKING:
    from pathlib import Path

FINE = f"""
services:
  app:
    image: r.bank.example/objectos@sha256:{"a" * 64}
    pull_policy: never
    networks: [back]
    environment: {{OS_CLOUD_URL: "off", OS_ARTIFACT_FILE: /srv/app/objectstack.json}}
    volumes: ["./objectstack.json:/srv/app/objectstack.json:ro"]
networks: {{back: {{internal: true}}}}
"""


def test_files_that_say_everything_are_complete_evidence_without_a_failed_check(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FINE)
    evidence = collect([str(tmp_path)], None)
    assert (evidence.status, evidence.reason) == ("complete", "")
    assert evidence.counts == {"files": 1, "services": 1, "settings": 2, "images": 1, "openings": 0}
    assert {one.outcome for one in evidence.of(Check)} == {"passed"}
    assert [one.seen for one in evidence.of(Setting)] == ["deployment", "deployment"]
    assert len(list(evidence.of(Image))) == 1
    assert evidence.blind


def test_a_file_that_cannot_be_read_makes_it_partial(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FINE + "  - nonsense: [\n")
    evidence = collect([str(tmp_path)], None)
    assert evidence.status == "partial"
    assert "1 faults" in evidence.reason


def test_a_path_without_deployment_files_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no compose file"):
        collect([str(tmp_path)], None)
    with pytest.raises(UsageError, match="no such file"):
        collect([str(tmp_path / "none")], None)


def test_what_was_collected_can_be_recorded_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FINE)
    records = collect([str(tmp_path)], None).records
    assert msgspec.json.decode(msgspec.json.encode(records), type=tuple[AnyRecord, ...]) == records


def failed(path: Path) -> dict[str, list[tuple[str | None, int | None]]]:
    """Judge the files by every shipped rule: what failed at medium or above, and where."""
    extra = [collect([str(path)], None)]
    report = judge(
        inspection(extra=extra), RULES, policy(DATABASE, release={"images": ["sha256:" + "a" * 64]}), Terms()
    )
    found: dict[str, list[tuple[str | None, int | None]]] = {}
    for result in report.results:
        for finding in result.findings:
            if result.severity != "low":
                place = finding.record.get("place", finding.record)
                found.setdefault(result.rule, []).append((place["path"].rpartition("/")[2], place["line"]))
    return found


DATABASE = {"role": "database", "cidr": "10.20.0.5/32", "ports": [5432]}


def test_the_shipped_rules_find_nothing_wrong_with_what_the_policy_approves(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(FINE.replace('OS_CLOUD_URL: "off", ', ""))
    assert failed(tmp_path) == {}


def test_the_shipped_rules_point_to_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        """\
services:
  objectos:
    image: objectos:latest
    pull_policy: always
    cap_add: [NET_ADMIN]
    environment:
      OS_CLOUD_URL: ${OS_CLOUD_URL:-}
      OS_BUSINESS_DB_URL: postgres://10.9.9.9:5432/crm
      OS_ARTIFACT_FILE: /srv/app/objectstack.json
    volumes: ["./dist:/srv/app"]
"""
    )
    assert failed(tmp_path) == {
        "environment.cloud-url-set": [("compose.yaml", 7)],
        "environment.endpoint-not-allowlisted": [("compose.yaml", 8)],
        "deployment.image-floating": [("compose.yaml", 3)],
        "deployment.pull-policy": [("compose.yaml", 4)],
        "deployment.privileged-or-host-network": [("compose.yaml", 5)],
        "deployment.network-not-internal": [("compose.yaml", 2)],
        "deployment.artifact-mount-writable": [("compose.yaml", 10)],
    }


def test_a_network_policy_that_lets_out_more_than_the_allowlist_is_found(tmp_path: Path) -> None:
    (tmp_path / "k8s.yaml").write_text(
        f"""\
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec: {{containers: [{{name: c, image: 'x@sha256:{"a" * 64}'}}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: n}}
spec:
  podSelector: {{}}
  egress:
    - to: [{{ipBlock: {{cidr: 10.20.0.5/32}}}}]
      ports: [{{port: 5432}}]
    - to: [{{ipBlock: {{cidr: 10.20.0.0/24}}}}]
"""
    )
    assert failed(tmp_path) == {"deployment.network-policy-too-wide": [("k8s.yaml", 14)]}
