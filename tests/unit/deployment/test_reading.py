"""Files of every kind are read together, and nothing among them can hurt the reader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgap_check.deployment import read
from airgap_check.errors import UsageError
from tests.unit.deployment.written import checks, places, reading

if TYPE_CHECKING:
    from pathlib import Path

COMPOSE = "services:\n  app: {image: 'x:1'}\n"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: 'x:1'}]}\n"


def test_a_folder_is_walked_for_what_it_holds(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        a___docker_compose__yml="x: 1\n",
        a___compose__yaml=COMPOSE,
        b___pod__yml=POD,
        c___objectos__service="[Service]\nType=simple\n",
        c___Dockerfile="FROM x:1\n",
        d___README__md="kind: nothing\n",
        e___node_modules___compose__yaml=COMPOSE,
    )
    assert {one.kind for one in found.services} == {"compose", "kubernetes", "unit", "dockerfile"}
    assert len(found.services) == 4
    assert found.files == 4
    assert found.failures == ()
    assert checks(found, "deployment-malformed", "passed")


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read([str(tmp_path / "none")])


def test_a_path_in_which_nothing_is_recognised_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    assert read([str(tmp_path)]).unknown == (str(tmp_path),)
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    assert read([str(tmp_path)]).unknown == ()


def test_a_file_of_another_name_is_recognised_when_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    path.write_text(COMPOSE)
    assert [one.kind for one in read([str(path)]).services] == ["compose"]
    assert [one.kind for one in read([str(tmp_path)]).services] == ["compose"]


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  - postgres:16\nimage: node\n",
        "services:\n  _defaults: {autowire: true}\n",
        "jobs:\n  a:\n    services:\n      db:\n        image: x\n",
    ],
)
def test_services_of_other_tools_are_no_compose_files(tmp_path: Path, text: str) -> None:
    assert reading(tmp_path, ci__yml=text).services == ()


def test_a_large_file_that_is_something_else_is_no_gap_in_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "objectstack.json").write_text('{"objects": ["' + "x" * (9 << 20) + '"]}')
    assert read([str(tmp_path)]).failures == ()
    (tmp_path / "k8s.json").write_text('{"apiVersion": "v1", "x": "' + "x" * (9 << 20) + '"}')
    assert read([str(tmp_path)]).failures


def test_a_linked_folder_and_a_link_to_nothing_are_said(tmp_path: Path) -> None:
    inside, outside = tmp_path / "deploy", tmp_path / "elsewhere"
    inside.mkdir()
    outside.mkdir()
    (inside / "compose.yaml").write_text(COMPOSE)
    (inside / "more").symlink_to(outside)
    assert any("not followed" in reason for reason in read([str(inside)]).failures)
    (inside / "more").unlink()
    assert read([str(inside)]).failures == ()
    (inside / "pod.yaml").symlink_to("nowhere")
    (inside / "masked.service").symlink_to("/dev/null")
    assert len(read([str(inside)]).failures) == 1


def test_a_template_that_happens_to_be_yaml_is_a_template(tmp_path: Path) -> None:
    found = reading(tmp_path, x__yaml=POD.replace("'x:1'", '"{{ .Values.image }}"'))
    assert found.services == ()
    assert checks(found, "deployment-malformed", "unknown")


def test_a_fragment_is_laid_over_the_base_beside_it(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml="services:\n  app: {image: 'x:1', networks: [in]}\nnetworks: {in: {internal: true}}\n",
        compose__prod__yaml="services:\n  app:\n    environment: {OS_CLOUD_URL: 'https://x.example'}\n"
        "    privileged: true\n",
    )
    assert [(one.posture, one.place.line) for one in found.settings] == [("url", 3)]
    assert places(checks(found, "privileges")) == [("compose.prod.yaml", 4)]
    assert not checks(found, "network-internal")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "\n" * (1 << 20)),
        ("a.yaml", "apiVersion: v1\nkind: x\na: " + "{{" * (1 << 20) + "\n b: c: d"),
        ("compose.yaml", "services:\n" * (1 << 17)),
        ("compose.yaml", "services: {a: {image: '" + "a" * (1 << 20) + "'}}"),
        ("Dockerfile", "FROM " + "--a " * (1 << 18) + "x"),
    ],
)
def test_what_would_keep_a_careless_reader_busy_for_hours_is_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    read([str(tmp_path)])


def test_links_are_followed_to_files_once_and_never_round_in_circles(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "compose.yaml").symlink_to("sub/compose.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "broken.service").symlink_to("nowhere")
    assert len(read([str(tmp_path)]).services) == 1


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "compose.yaml")
    os.mkfifo(tmp_path / "fifo.env")
    (tmp_path / "docker-compose.yml").write_text("services:\n  a: {image: 'x:1', env_file: fifo.env}\n")
    found = read([str(tmp_path)])
    assert len(found.services) == 1
    assert any("not a regular file" in reason for reason in found.failures)


def test_nothing_outside_of_a_delivered_folder_is_opened(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (tmp_path / "outside.env").write_text("OS_CLOUD_URL=https://x.example\n")
    (bundle / "link.env").symlink_to("../outside.env")
    (bundle / "compose.yaml").write_text(
        "services:\n  a: {image: 'x:1', env_file: [../outside.env, link.env]}\n"
        "  b: {extends: {file: /etc/passwd, service: x}}\n"
    )
    inside = read([str(bundle)], within=str(bundle))
    assert inside.settings == ()
    assert sum("lies outside of" in reason for reason in inside.failures) == 3
    assert len(read([str(bundle)]).settings) == 1


def test_a_file_that_is_too_large_is_said_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(b"# " + b"x" * (10 << 20))
    found = read([str(tmp_path)])
    assert found.failures
    assert checks(found, "deployment-malformed", "unknown")


def test_a_file_that_we_may_not_read_is_no_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "compose.yaml"
    path.write_bytes(b"\xff\xfe services:\n")
    found = read([str(tmp_path)])
    assert checks(found, "deployment-malformed")
    assert found.failures


def test_a_bomb_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = ["x0: &x0 [a, a, a, a, a, a, a, a, a, a]"]
    lines += [f"x{i}: &x{i} [{', '.join([f'*x{i - 1}'] * 10)}]" for i in range(1, 20)]
    (fault,) = checks(reading(tmp_path, compose__yaml="\n".join(lines)), "deployment-malformed")
    assert fault.line
    assert "alias" in fault.detail


def test_the_time_limit_is_kept_and_said(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    found = read([str(tmp_path)], deadline=0.0)
    assert found.services == ()
    assert "stopped at the time limit" in found.failures


def test_what_a_terminal_would_obey_does_not_come_through(tmp_path: Path) -> None:
    name = "a\x1b[31m"
    found = reading(
        tmp_path,
        compose__yaml=f'services:\n  "{name.encode("unicode_escape").decode()}": {{image: "y\\e[0m:latest"}}\n',
    )
    assert "\x1b" not in repr([(one.subject, one.detail) for one in found.checks]).encode().decode("unicode_escape")


_WORDS = """
    services a image build environment env_file path volumes networks ports extends include network_mode cap_add command
    kind apiVersion metadata spec template name namespace containers env envFrom value valueFrom configMapKeyRef labels
    data items egress to ipBlock cidr except podSelector matchLabels matchExpressions key operator policyTypes port
    endPort securityContext capabilities add volumeMounts mountPath
"""
_TEXTS = ["x:1", "host", "${A:-b}", "${", "a=b", "10.0.0.0/8", "/srv", ""]
_PARTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 99), st.sampled_from(_TEXTS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_WORDS.split()), inner, max_size=5)
    ),
    max_leaves=30,
)
_KINDS = st.sampled_from(
    ["Pod", "Deployment", "CronJob", "NetworkPolicy", "ConfigMap", "Secret", "List", "Kustomization"]
)


@given(_PARTS, _PARTS, _KINDS)
@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
def test_any_tree_of_familiar_words_is_read(tmp_path: Path, compose: object, spec: object, kind: str) -> None:
    import json

    (tmp_path / "compose.yaml").write_text(json.dumps({"services": {"a": compose, "b": spec}, "networks": spec}))
    api = "networking.k8s.io/v1" if kind == "NetworkPolicy" else "v1"
    pod = {"containers": [compose, spec], "volumes": spec}
    objects = [
        {"apiVersion": api, "kind": kind, "metadata": compose, "spec": spec, "data": compose, "items": spec},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": compose}, "spec": pod},
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "spec": {"egress": compose, "podSelector": spec},
        },
    ]
    (tmp_path / "k8s.yaml").write_text("\n---\n".join(map(json.dumps, objects)))
    found = read([str(tmp_path)])
    assert all(one.subject is not None for one in found.checks)


@pytest.mark.parametrize("text", ["", "services: {}\n", "networks: {a: {}}\n"])
def test_files_that_start_nothing_are_no_proof(tmp_path: Path, text: str) -> None:
    found = reading(tmp_path, compose__yaml=text)
    assert any("nothing is described" in reason for reason in found.failures)
