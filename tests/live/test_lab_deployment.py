"""An audit that is given deployment files judges what they would start, beside what runs, by file and line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.live.site import assert_compliant, policy, serious

if TYPE_CHECKING:
    from tests.live.lab import Audit, Lab

FOLDER = "/run/lab/deploy"
IMAGE = "registry.bank.example/objectos@sha256:" + "a" * 64
APPROVED = {"release": {"images": ["sha256:" + "a" * 64]}}
COMPOSE = f"""\
services:
  objectos:
    image: {IMAGE}
    pull_policy: never
    networks: [back]
    environment:
      OS_ARTIFACT_FILE: /srv/app/objectstack.json
      OS_BUSINESS_DB_URL: postgres://10.20.0.5:5432/crm
    volumes: ["./objectstack.json:/srv/app/objectstack.json:ro"]
networks:
  back: {{internal: true}}
"""
CLUSTER = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: objectos, namespace: crm}}
spec:
  template:
    metadata: {{labels: {{app: objectos}}}}
    spec:
      containers:
        - name: app
          image: {IMAGE}
          env:
            - {{name: OS_DATABASE_URL, value: "postgres://10.20.0.5:5432/crm"}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: egress, namespace: crm}}
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
    - to: [{{ipBlock: {{cidr: 10.20.0.5/32}}}}]
      ports: [{{protocol: TCP, port: 5432}}]
"""


def audited(site: Lab, **files: str) -> Audit:
    for name, text in files.items():
        site.near.write(f"{FOLDER}/{name.replace('__', '.')}", text)
    return site.audit("--deployment", FOLDER, policy=policy(**APPROVED))


def found(audit: Audit, rule: str) -> list[tuple[Any, Any]]:
    """Return file and line of each finding."""
    records = [finding["record"] for finding in audit.findings(rule)]
    places = [record.get("place", record) for record in records]
    return [(str(place["path"]).rpartition("/")[2], place["line"]) for place in places]


def test_files_that_ask_for_what_the_policy_approves_change_no_verdict(site: Lab) -> None:
    audit = audited(site, compose__yaml=COMPOSE, k8s__yaml=CLUSTER)
    assert_compliant(audit)
    assert audit.coverage("deployment")["counts"]["services"] == 2


def test_a_compose_file_that_opens_the_gap_is_found_line_by_line(site: Lab) -> None:
    text = COMPOSE.replace(IMAGE, "objectos:latest").replace("[back]", "[out]").replace(":ro", "")
    text = text.replace("postgres://10.20.0.5:5432", "postgres://10.9.9.9:5432") + "  out: {}\n"
    text = text.replace(
        "    environment:\n", "    cap_add: [NET_ADMIN]\n    environment:\n      OS_CLOUD_URL: ${OS_CLOUD_URL:-}\n"
    )
    audit = audited(site, compose__yaml=text)
    assert audit.exit_code == 1, audit.summary()
    assert found(audit, "environment.cloud-url-set") == [("compose.yaml", 8)]
    assert found(audit, "environment.endpoint-not-allowlisted") == [("compose.yaml", 10)]
    assert found(audit, "deployment.image-floating") == [("compose.yaml", 3)]
    assert found(audit, "deployment.network-not-internal") == [("compose.yaml", 5)]
    assert found(audit, "deployment.privileged-or-host-network") == [("compose.yaml", 6)]
    assert found(audit, "deployment.artifact-mount-writable") == [("compose.yaml", 11)]
    assert serious(audit) == {
        "environment.cloud-url-set", "environment.endpoint-not-allowlisted", "deployment.image-floating",
        "deployment.privileged-or-host-network", "deployment.network-not-internal",
        "deployment.artifact-mount-writable",
    }  # fmt: skip


def test_a_cluster_without_default_deny_and_one_that_lets_out_more_than_the_allowlist(site: Lab) -> None:
    audit = audited(site, k8s__yaml=CLUSTER.replace("policyTypes: [Egress]", "policyTypes: [Ingress]"))
    assert serious(audit) == {"deployment.network-not-isolated"}
    audit = audited(site, k8s__yaml=CLUSTER.replace("10.20.0.5/32", "10.20.0.0/16"))
    assert serious(audit) == {"deployment.network-policy-too-wide"}
    assert found(audit, "deployment.network-policy-too-wide") == [("k8s.yaml", 21)]


MORE = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: more, namespace: crm}
spec: %s
"""


def test_what_one_policy_denies_another_one_may_let_pass(site: Lab) -> None:
    dns = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {a: b}},"
    dns += " podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]}"
    assert_compliant(audited(site, k8s__yaml=CLUSTER + MORE % dns))
    for spec in ("{podSelector: {}, egress: [{}]}", "{podSelector: {}, policyTypes: [Egress], egress: [{to: []}]}"):
        audit = audited(site, k8s__yaml=CLUSTER + MORE % spec)
        assert serious(audit) == {"deployment.network-policy-too-wide"}, audit.summary()
        assert found(audit, "deployment.network-policy-too-wide") == [("k8s.yaml", 27)] * 2
    cluster = "{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}"
    assert serious(audited(site, k8s__yaml=CLUSTER + MORE % cluster)) == {"deployment.network-policy-too-wide"}


def test_an_empty_egress_without_its_type_holds_nothing_back(site: Lab) -> None:
    open_one = CLUSTER[: CLUSTER.index("---")] + MORE % "{podSelector: {}, egress: []}"
    assert serious(audited(site, k8s__yaml=open_one)) == {"deployment.network-not-isolated"}


def test_policies_alone_are_judged(site: Lab) -> None:
    audit = audited(site, netpol__yaml=MORE % "{podSelector: {app: x}, policyTypes: [Egress], egress: [{}]}")
    assert serious(audit) == {"deployment.network-policy-too-wide"}


def test_a_unit_that_starts_a_container_is_judged_as_one(site: Lab) -> None:
    run = f"/usr/bin/docker run --network none --pull never -e OS_CLOUD_URL=%s {IMAGE}"
    unit = "[Service]\nExecStart=" + run
    assert "environment.cloud-url-set" in serious(audited(site, objectos__service=unit % "https://cloud.objectos.ai"))
    bare = unit.replace("-e OS_CLOUD_URL=%s ", "")
    assert_compliant(audited(site, objectos__service=bare))
    audit = audited(site, objectos__service=bare.replace("none", "host"))
    assert serious(audit) == {"deployment.privileged-or-host-network"}


def test_a_project_that_talks_to_its_own_database_is_fine_and_an_empty_one_proves_nothing(site: Lab) -> None:
    own = COMPOSE.replace("10.20.0.5:5432", "db:5432").replace(
        "networks:\n  back", f"  db: {{image: '{IMAGE}', pull_policy: never, networks: [back]}}\nnetworks:\n  back"
    )
    assert_compliant(audited(site, compose__yaml=own))
    assert audited(site, compose__yaml="services: {}\n").exit_code == 4


def test_a_file_that_cannot_be_read_fails_and_a_template_leaves_it_open(site: Lab) -> None:
    audit = audited(site, compose__yaml=COMPOSE + "  - [\n")
    assert audit.exit_code == 1, audit.summary()
    assert "deployment.malformed" in serious(audit)
    audit = audited(site, compose__yaml=COMPOSE, k8s__yaml="apiVersion: v1\nkind: Pod\nspec: {{ .Values.x }}\n  a: [\n")
    assert audit.exit_code == 4, audit.summary()


def test_a_path_with_nothing_to_read_is_a_mistake(site: Lab) -> None:
    assert site.audit("--deployment", "/nonexistent", policy=policy()).exit_code == 2
