"""Kubernetes manifests are read together, as the cluster would put them together."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest

from tests.unit.deployment.written import checks, places, reading, variables

if TYPE_CHECKING:
    from pathlib import Path

    from airgap_check.deployment import Reading

CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: crm}
data: {OS_CLOUD_URL: "off", LEVEL: info}
"""
SECRET = f"""
apiVersion: v1
kind: Secret
metadata: {{name: db, namespace: crm}}
data: {{url: {b64encode(b"postgres://u:hunter22@db.bank.example:5432/x").decode()}}}
stringData: {{DB_PASSWORD: hunter22}}
"""


def deployed(folder: Path, container: str, *more: str, spec: str = "") -> Reading:
    workload = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: app, namespace: crm}}
spec:
  template:
    metadata: {{labels: {{app: objectos}}}}
    spec:
      {spec or "restartPolicy: Always"}
      containers:
        - {{name: main, image: 'x@sha256:{"a" * 64}', {container}}}
"""
    return reading(folder, k8s__yaml="---".join([workload, *more]))


NAME = "Deployment/app main"


def test_variables_come_from_config_maps_and_secrets_and_later_ones_may_use_earlier_ones(tmp_path: Path) -> None:
    found = deployed(
        tmp_path,
        """envFrom: [{configMapRef: {name: settings}, prefix: P_}, {configMapRef: {name: settings}},
                     {secretRef: {name: db}}],
           env: [{name: HOST, value: db}, {name: U, value: "http://$(HOST):1/$(NONE)/$$(HOST)"},
                 {name: OS_DATABASE_URL, valueFrom: {secretKeyRef: {name: db, key: url}}},
                 {name: LEVEL, valueFrom: {configMapKeyRef: {name: settings, key: LEVEL}}},
                 {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}, {name: EMPTY}]""",
        CONFIG,
        SECRET,
    )
    given = variables(found, NAME)
    assert given["P_OS_CLOUD_URL"] == given["OS_CLOUD_URL"] == "off"
    assert given["U"] == "http://db:1/$(NONE)/$(HOST)"
    assert (given["EMPTY"], given["LEVEL"], "NODE" in given) == ("", "info", False)
    assert found.failures == ()


def test_a_secret_is_judged_by_where_it_leads_and_never_shown(tmp_path: Path) -> None:
    found = deployed(
        tmp_path,
        """env: [{name: OS_DATABASE_URL, valueFrom: {secretKeyRef: {name: db, key: url}}},
                 {name: OS_CLOUD_URL, value: 'off'}]""",
        SECRET,
    )
    database = next(setting for setting in found.settings if setting.name == "OS_DATABASE_URL")
    assert database.value == "<redacted>"
    assert [(end.name, end.port) for end in database.endpoints] == [("db.bank.example", 5432)]
    assert "hunter22" not in repr((found.settings, found.checks, found.failures))
    assert database.place.line is not None


def test_what_is_not_among_the_files_is_said_and_nothing_is_concluded_from_it(tmp_path: Path) -> None:
    found = deployed(
        tmp_path,
        """envFrom: [{configMapRef: {name: other}}],
           env: [{name: OS_DATABASE_URL, valueFrom: {secretKeyRef: {name: db, key: x}}}]""",
    )
    assert found.settings == ()
    assert any("ConfigMap other" in reason for reason in found.failures)
    assert any("OS_DATABASE_URL" in reason for reason in found.failures)


@pytest.mark.parametrize("value", ["off", "5432", "true", "no"])
def test_a_value_that_is_no_text_is_what_the_cluster_refuses(tmp_path: Path, value: str) -> None:
    found = deployed(tmp_path, f"env: [{{name: OS_CLOUD_URL, value: {value}}}]")
    (fault,) = checks(found, "deployment-malformed")
    assert "write it in quotes" in fault.detail
    assert not checks(deployed(tmp_path, f"env: [{{name: OS_CLOUD_URL, value: '{value}'}}]"), "deployment-malformed")


@pytest.mark.parametrize(
    ("image", "policy", "asks"),
    [
        ("x", "", True), ("x:latest", "", True), ("x:1", "", False), ("x@sha256:" + "a" * 64, "", False),
        ("x:1", "imagePullPolicy: Always", True), ("x", "imagePullPolicy: Never", False),
    ],
)  # fmt: skip
def test_when_the_cluster_asks_a_registry_by_itself(tmp_path: Path, image: str, policy: str, *, asks: bool) -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: ["
    pod += f"{{name: c, image: '{image}', {policy}}}]}}\n"
    assert bool(checks(reading(tmp_path, pod__yaml=pod), "pull-policy")) == asks


@pytest.mark.parametrize(
    ("spec", "container"),
    [
        ("hostNetwork: true", ""), ("hostPID: true", ""), ("", "securityContext: {privileged: true}"),
        ("", "securityContext: {capabilities: {add: [NET_ADMIN]}}"),
        ("volumes: [{name: s, hostPath: {path: /run/containerd/containerd.sock}}]", ""),
    ],
)  # fmt: skip
def test_each_way_out_of_its_own_network_is_found(tmp_path: Path, spec: str, container: str) -> None:
    assert len(checks(deployed(tmp_path, container, spec=spec), "privileges")) == 1


@pytest.mark.parametrize(
    ("volume", "mount", "writable"),
    [
        ("hostPath: {path: /srv}", "", True), ("hostPath: {path: /srv}", "readOnly: true", False),
        ("configMap: {name: a}", "", False), ("persistentVolumeClaim: {claimName: a}", "", True),
        ("persistentVolumeClaim: {claimName: a, readOnly: true}", "", False), ("emptyDir: {}", "", True),
    ],
)  # fmt: skip
def test_the_mount_that_holds_the_artifact_should_be_read_only(
    tmp_path: Path, volume: str, mount: str, *, writable: bool
) -> None:
    found = deployed(
        tmp_path,
        f"""env: [{{name: OS_ARTIFACT_PATH, value: /srv/app/objectstack.json}}],
            volumeMounts: [{{name: a, mountPath: /srv/app, {mount}}}]""",
        spec=f"volumes: [{{name: a, {volume}}}]",
    )
    assert bool(checks(found, "artifact-mount")) == writable


def test_every_kind_with_a_pod_and_every_kind_of_container_is_read(tmp_path: Path) -> None:
    pod = "{spec: {containers: [{name: c, image: 'x:1'}], initContainers: [{name: i, image: 'x:2'}]}}"
    kinds = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"]
    items = [
        f"{{apiVersion: apps/v1, kind: {kind}, metadata: {{name: n}}, spec: {{template: {pod}}}}}" for kind in kinds
    ]
    items.append(
        f"{{apiVersion: batch/v1, kind: CronJob, metadata: {{name: n}}, "
        f"spec: {{jobTemplate: {{spec: {{template: {pod}}}}}}}}}"
    )
    found = reading(tmp_path, list__yaml=f"apiVersion: v1\nkind: List\nitems: [{', '.join(items)}]\n")
    assert {one.name for one in found.services} == {f"{kind}/n {name}" for kind in [*kinds, "CronJob"] for name in "ci"}


def test_json_manifests_are_read_with_their_lines(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        pod__json='{"apiVersion": "v1", "kind": "Pod",\n "spec": {"containers": [\n{"name": "c", "image": "x"}]}}',
    )
    assert places(checks(found, "image-floating")) == [("pod.json", 3)]


def test_a_template_and_a_kustomization_are_not_known_for_what_they_become(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        chart__yaml="apiVersion: v1\nkind: Pod\nspec: {{ .Values.spec }}\n  x: [\n",
        kustomization__yaml="apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: crm\n",
    )
    assert len(checks(found, "deployment-malformed", "unknown")) == 2
    assert not checks(found, "deployment-malformed")
    assert len(found.failures) >= 2


def test_files_that_are_no_manifests_are_left_alone(tmp_path: Path) -> None:
    found = reading(
        tmp_path, values__yaml="image: [\n", chart__yaml="name: x\nversion: 1\n", package__json='{"kind": "x"}'
    )
    assert (found.files, found.checks, found.failures) == (0, (), ())


def test_a_secret_that_is_no_base64_is_a_fault(tmp_path: Path) -> None:
    found = deployed(tmp_path, "", "\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: 'not base64!'}\n")
    (fault,) = checks(found, "deployment-malformed")
    assert "not base64!" not in fault.detail


def test_a_pod_of_any_api_is_a_workload(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        k8s__yaml="""
        apiVersion: serving.knative.dev/v1
        kind: Service
        metadata: {name: crm}
        spec: {template: {spec: {containers: [{name: c, image: 'os:latest', env: [{name: OS_CLOUD_URL, value: x}]}]}}}
        """,
    )
    assert [one.name for one in found.services] == ["Service/crm c"]
    assert [one.name for one in found.settings] == ["OS_CLOUD_URL"]
    assert checks(found, "network-isolation")


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        ("kustomize.config.k8s.io/v1beta1", "Kustomization"), ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        ("argoproj.io/v1alpha1", "Application"),
    ],
)  # fmt: skip
def test_what_deploys_what_is_not_here_is_no_proof(tmp_path: Path, api: str, kind: str) -> None:
    found = reading(tmp_path, x__yaml=f"apiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert found.failures
    assert checks(found, "deployment-malformed", "unknown")


def test_patches_beside_a_kustomization_are_no_faults(tmp_path: Path) -> None:
    patch = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 3}\n"
    alone = reading(tmp_path, patch__yaml=patch)
    assert checks(alone, "deployment-malformed")
    beside = reading(tmp_path, kustomization__yaml="apiVersion: kustomize.config.k8s.io/v1\nkind: Kustomization\n")
    assert not checks(beside, "deployment-malformed")
    assert beside.failures


def test_a_container_without_an_image_is_told_nothing_of_what_it_does_not_say(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        x__yaml="""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: a}
        spec: {template: {spec: {containers: [{name: objectos, env: [{name: OS_PORT, value: '1'}]}]}}}
        """,
    )
    assert "OS_CLOUD_URL" not in {one.name for one in found.settings}


@pytest.mark.parametrize(
    ("host", "service", "inside"),
    [
        ("db", "{selector: {app: db}}", True),
        ("db.crm.svc.cluster.local", "{selector: {app: db}}", True),
        ("db-0.db.crm.svc", "{clusterIP: None, selector: {app: db}}", True),
        ("db.other", "{selector: {app: db}}", False),
        ("db", "{ports: [{port: 5432}]}", False),
        ("db", "{type: ExternalName, externalName: db.example, selector: {a: b}}", False),
    ],
)
def test_a_service_among_the_files_is_inside_unless_it_stands_for_something_else(
    tmp_path: Path, host: str, service: str, *, inside: bool
) -> None:
    found = reading(
        tmp_path,
        x__yaml=f"""
        apiVersion: v1
        kind: Pod
        metadata: {{name: p, namespace: crm}}
        spec: {{containers: [{{name: c, image: 'objectos:1', env: [
          {{name: OS_DATABASE_URL, value: 'postgres://{host}:5432/crm'}}]}}]}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {{name: db, namespace: crm}}
        spec: {service}
        """,
    )
    (setting,) = [one for one in found.settings if one.name == "OS_DATABASE_URL"]
    assert (setting.endpoints == ()) is inside
