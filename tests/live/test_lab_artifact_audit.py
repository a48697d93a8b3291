"""What an application says is judged by `audit`: where it leads by the allowlist, and what it gives away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.site import ARTIFACT, policy

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

HOOK, WAREHOUSE = "10.9.0.7", "10.9.0.8"
APPROVED = [
    {"name": "hooks", "role": "webhook", "cidr": HOOK, "ports": [443]},
    {"name": "warehouse", "role": "database", "cidr": WAREHOUSE, "ports": [5432]},
]
# An artifact that is written after the start, on a file system that can be written; an entry that a case does not use.
REMARKS = {"upgrade.restart-pending", "artifact.mount-writable", "policy.unused-entry"}
NODE = {"id": "post", "type": "http", "config": {"url": f"https://{HOOK}/x/{{record.id}}", "method": "POST"}}
APPLICATION: dict[str, Any] = {
    "manifest": {"id": "com.bank.core", "version": "1.0.0", "engines": {"protocol": "^17"}},
    "objects": [{"name": "note", "description": "see https://prose.example/help and hooks.partner.example"}],
    "datasources": [{"name": "dw", "driver": "postgres", "schemaMode": "external", "config": {"host": WAREHOUSE}}],
    "webhooks": [{"name": "created", "url": f"https://{HOOK}/notes"}],
    "flows": [{"name": "push", "nodes": [NODE]}],
    "actions": [{"name": "docs", "type": "url", "target": "/console/help"}],
}


def audited(site: Lab, content: object) -> Audit:
    """Audit a site whose runtime boots from an artifact."""
    site.near.write(ARTIFACT, content if isinstance(content, str) else json.dumps(content, indent=1))
    return site.audit(policy=policy(*APPROVED))


def found(audit: Audit, rule: str) -> list[str]:
    """Return what each finding says of the artifact, without its path."""
    return [str(finding["message"]).removeprefix(ARTIFACT).lstrip(": ") for finding in audit.findings(rule)]


def test_an_application_that_leads_where_the_policy_approves_changes_no_verdict(site: Lab) -> None:
    audit = audited(site, APPLICATION)
    assert audit.exit_code == 0, audit.summary()
    assert audit.failed() <= REMARKS, audit.summary()
    assert audit.coverage("artifact")["status"] == "complete"
    assert audit.coverage("artifact")["counts"] == {"artifacts": 1, "destinations": 3}
    for rule in ("endpoint.in-artifact", "endpoint.in-browser", "endpoint.unknowable", "artifact.secret-inside"):
        assert audit.outcome(rule) == "pass", audit.summary()


_LEADING: list[tuple[str, dict[str, Any], str, str]] = [
    ("endpoint.in-artifact", {"webhooks": [{"url": "https://hooks.partner.example:8443/x"}]}, "$.webhooks[0].url",
     "hooks.partner.example:8443 (server-event"),
    ("endpoint.in-artifact", {"datasources": [{"driver": "postgres", "schemaMode": "external",
     "config": {"host": "93.184.216.34"}}]}, "$.datasources[0].config.host",
     "93.184.216.34:5432 (server-boot, public: yes)"),
    ("endpoint.in-browser", {"actions": [{"type": "url", "target": "https://93.184.216.34/x"}]}, "$.actions[0].target",
     "93.184.216.34:443"),
    ("endpoint.unknowable", {"flows": [{"nodes": [{"type": "http", "config": {"url": "https://{record.host}/x"}}]}]},
     "$.flows[0].nodes[0].config.url", "https://{record.host}/x"),
    ("artifact.secret-inside", {"webhooks": [{"url": f"https://{HOOK}/x", "secret": "Ub7-kPq2xW9"}]},
     "$.webhooks[0].secret", "a value under secret"),
    ("artifact.build-path", {"extras": {"source": "/home/builder/app/x.ts"}}, "$.extras.source", "/home/builder/"),
    ("artifact.plugin-state", {"plugins": [{"name": "cloud.connection", "cfg": {"a": 1}}]}, "$.plugins[0]",
     "cloud.connection: cfg"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "part", "pointer", "says"), _LEADING)
def test_what_an_application_says_is_found_at_its_json_path(
    site: Lab, rule: str, part: dict[str, Any], pointer: str, says: str
) -> None:
    audit = audited(site, APPLICATION | part)
    (message,) = found(audit, rule)
    assert pointer in message, audit.summary()
    assert says in message, audit.summary()
    assert audit.exit_code == (1 if rule in {"endpoint.in-artifact", "artifact.secret-inside"} else 0), audit.summary()
    assert audit.failed() - REMARKS == {rule}, audit.summary()
    assert "Ub7-kPq2xW9" not in audit.stdout


def test_a_malformed_artifact_is_found_with_line_and_column(site: Lab) -> None:
    audit = audited(site, '{"manifest": {},\n "webhooks": [,]}')
    assert audit.exit_code == 1
    assert f"{ARTIFACT}:2:15" in str(audit.finding("artifact.malformed")["message"]), audit.summary()
    assert audit.outcome("endpoint.in-artifact") == "unknown"


def test_an_artifact_that_is_not_there_is_a_finding_of_its_own(site: Lab) -> None:
    site.near.path(ARTIFACT).unlink()
    audit = site.audit(policy=policy())
    assert audit.exit_code == 1
    assert "OS_ARTIFACT_FILE names it, and nothing is there" in str(audit.finding("artifact.absent")["message"])
    assert audit.coverage("artifact")["status"] == "complete"


def test_one_that_cannot_be_read_is_no_peace(site: Lab) -> None:
    site.near.path(ARTIFACT).unlink()
    site.near.path(ARTIFACT).mkdir()
    audit = site.audit(policy=policy())
    assert audit.exit_code == 4, audit.summary()
    assert audit.coverage("artifact")["status"] == "partial"


def test_an_empty_application_is_compliant(site: Lab) -> None:
    site.near.write(ARTIFACT, "{}")
    audit = site.audit(policy=policy())
    assert audit.exit_code == 0, audit.summary()
    assert audit.failed() <= REMARKS, audit.summary()
