"""Compose files come to what `docker compose config` would make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.deployment.written import checks, places, reading, service, variables

if TYPE_CHECKING:
    from pathlib import Path

PINNED = "image: r.bank.example/objectos@sha256:" + "a" * 64


def test_variables_come_from_files_and_lists_and_mappings_in_their_order(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          a:
            {PINNED}
            env_file: [one.env, {{path: none.env, required: false}}, two.env]
            environment: {{OS_PORT: 8080, FROM_DOT: , NOWHERE: , B: inline}}
          b:
            {PINNED}
            environment: [A=1=2, FROM_DOT, NOWHERE, "C=${{FROM_DOT}}-$$x"]
        """,
        one__env="A=one\nB=one\n",
        two__env="A=two  # later\nC='$A'\n",
        __env="FROM_DOT=dot\n",
    )
    assert variables(found, "a") == {"A": "two", "B": "inline", "C": "$A", "OS_PORT": "8080", "FROM_DOT": "dot"}
    assert variables(found, "b") == {"A": "1=2", "FROM_DOT": "dot", "C": "dot-$x"}
    assert found.failures == ()
    lines = {one.name: (one.path.rpartition("/")[2], one.line) for one in service(found, "a").variables}
    assert lines["A"] == ("two.env", 1)
    assert lines["B"] == ("compose.yaml", 6)


def test_a_blank_default_is_a_blank_setting_where_it_stands(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"services:\n  a:\n    {PINNED}\n    environment:\n      OS_CLOUD_URL: ${{OS_CLOUD_URL:-}}\n",
    )
    (setting,) = found.settings
    assert (setting.name, setting.posture, setting.place.kind, setting.place.line) == (
        "OS_CLOUD_URL",
        "blank",
        "compose",
        5,
    )
    assert setting.place.unit == "a"
    assert found.variables == {"OS_CLOUD_URL"}


def test_the_product_without_a_word_about_its_cloud_is_a_setting_that_is_unset(tmp_path: Path) -> None:
    text = "services:\n  db: {image: postgres:16}\n  app:\n    image: x/objectos:1\n    environment: {OS_PORT: 1}\n"
    (setting,) = reading(tmp_path, compose__yaml=text).settings
    assert (setting.name, setting.posture, setting.role, setting.place.unit) == (
        "OS_CLOUD_URL",
        "unset",
        "control-plane",
        "app",
    )
    assert setting.place.line == 3
    assert setting.product == "ObjectOS"


def test_a_fragment_is_not_asked_for_what_its_base_says(tmp_path: Path) -> None:
    found = reading(tmp_path, compose__prod__yaml="services:\n  app:\n    environment: {OS_DATABASE_URL: 'file:x'}\n")
    assert [setting.name for setting in found.settings] == ["OS_DATABASE_URL"]


def test_an_override_beside_its_base_is_laid_over_it(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          app:
            {PINNED}
            environment: {{OS_CLOUD_URL: "off", A: base}}
            cap_add: [NET_RAW]
            ports: ["80:80"]
        """,
        compose__override__yaml="""
        services:
          app:
            environment: [A=over]
            cap_add: !reset []
            command: [os, start]
        """,
    )
    assert variables(found, "app") == {"OS_CLOUD_URL": "off", "A": "over"}
    assert service(found, "app").command == ("os", "start")
    assert not checks(found, "privileges")
    assert found.files == 2


def test_anchors_merge_keys_and_extension_in_this_file_and_another(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        x-base: &base
          environment: &env {{A: anchor, B: anchor}}
          {PINNED}
        services:
          one:
            <<: *base
            environment: {{<<: *env, B: own}}
          two: {{extends: one, environment: {{C: two}}}}
          three: {{extends: {{file: parts/base.yaml, service: base}}}}
        """,
        parts___base__yaml="services:\n  base:\n    image: x:1\n    environment: {D: base}\n",
    )
    assert variables(found, "one") == {"A": "anchor", "B": "own"}
    assert variables(found, "two") == {"A": "anchor", "B": "own", "C": "two"}
    assert variables(found, "three") == {"D": "base"}


@pytest.mark.parametrize(
    "text",
    [
        "services:\n  a: {extends: b}\n  b: {extends: a}\n",
        "services:\n  a: {extends: a}\n",
        "services:\n  a: {extends: {file: compose.yaml, service: a}}\n",
        "include: [compose.yaml]\nservices: {a: {image: x}}\n",
        "include: [./compose.yaml, compose.yaml]\n",
    ],
)
def test_circles_are_faults_that_end(tmp_path: Path, text: str) -> None:
    assert checks(reading(tmp_path, compose__yaml=text), "deployment-malformed")


def test_included_files_are_read_with_their_own_variables_and_remote_ones_are_said(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml="include:\n  - sub/compose.yaml\n  - oci://registry.example/x\nservices: {}\n",
        sub___compose__yaml=f"services:\n  app:\n    {PINNED}\n    environment: {{A: '${{A}}'}}\n",
        sub_____env="A=sub\n",
    )
    assert variables(found, "app") == {"A": "sub"}
    (remote,) = checks(found, "fetches")
    assert (remote.line, "oci://registry.example/x" in remote.detail) == (3, True)
    assert len(found.services) == 1
    assert found.failures


def test_variables_that_nothing_sets_are_named_and_required_ones_have_no_value(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          app:
            {PINNED}
            environment:
              OS_CLOUD_URL: ${{CLOUD}}
              OS_DATABASE_URL: ${{DB:?must be set}}
        """,
    )
    assert [(one.subject, one.line) for one in checks(found, "variable-unset")] == [("${CLOUD}", 6), ("${DB}", 7)]
    assert [(setting.name, setting.posture) for setting in found.settings] == [("OS_CLOUD_URL", "blank")]
    assert "OS_DATABASE_URL of app has a value that is not among the files" in found.failures


PRIVILEGES = [
    "privileged: true", "privileged: 'yes'", "network_mode: host", "pid: host", "cap_add: [NET_ADMIN]",
    "cap_add: [CAP_NET_RAW]", "cap_add: [all]", "networks: {host: {}}", "ipc: host",
    "volumes: ['/var/run/docker.sock:/var/run/docker.sock']", "volumes: ['/var/run:/host/run:ro']",
    "volumes: [{type: bind, source: /, target: /host}]", "networks: [outer]", "networks: {outer: {}}",
]  # fmt: skip


@pytest.mark.parametrize("line", PRIVILEGES)
def test_each_way_out_of_its_own_network_is_found_at_its_line(tmp_path: Path, line: str) -> None:
    networks = "networks: {outer: {external: true, name: host}}\n"
    found = reading(tmp_path, compose__yaml=f"services:\n  a:\n    {PINNED}\n    {line}\n{networks}")
    assert places(checks(found, "privileges")) == [("compose.yaml", 4)]


@pytest.mark.parametrize(
    "line", ["privileged: false", "cap_add: [CHOWN]", "cap_drop: [ALL]", "network_mode: none", "pid: 'service:b'"]
)
def test_what_is_no_way_out_is_not_found(tmp_path: Path, line: str) -> None:
    found = reading(tmp_path, compose__yaml=f"services:\n  a:\n    {PINNED}\n    {line}\n")
    assert not checks(found, "privileges")
    assert checks(found, "privileges", "passed")


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ("", "failed"),
        ("networks: [out]", "failed"),
        ("networks: [inner, out]", "failed"),
        ("networks: {inner: {}}", "passed"),
        ("networks: [inner]", "passed"),
        ("networks: [elsewhere]", "unknown"),
        ("networks: [claimed]", "unknown"),
        ("networks: {}", "failed"),
        ("network_mode: none", "passed"),
        ("network_mode: 'container:x'", "unknown"),
        ("network_mode: 'service:held'", "passed"),
        ("network_mode: 'service:other'", "failed"),
        ("{networks: [out], ports: ['1:1']}", "failed"),
        ("{networks: [inner], ports: ['1:1']}", "passed"),
    ],
)
def test_who_may_send_out_of_his_networks(tmp_path: Path, lines: str, outcome: str) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          a: {{<<: {lines if lines.startswith("{") else "{" + lines + "}"}, image: x:1}}
          held: {{image: x:1, networks: [inner]}}
          other: {{image: x:1}}
        networks: {{inner: {{internal: true}}, out: {{}}, elsewhere: {{external: true}},
          claimed: {{external: true, internal: true}}}}
        """,
    )
    said = [one for one in found.checks if one.subject == "service a" and one.aspect.startswith("network-")]
    assert [(one.aspect, one.outcome) for one in said] == [("network-internal", outcome)]


@pytest.mark.parametrize(
    ("volume", "writable"),
    [
        ("./dist:/srv/app", True), ("./dist:/srv/app:ro", False), ("./dist:/srv/app:z,ro", False),
        ("./x.json:/srv/app/objectstack.json", True), ("./x.json:/srv/app/objectstack.json:ro", False),
        ("{type: bind, source: ./dist, target: /srv/app}", True),
        ("{type: bind, source: ./dist, target: /srv/app/, read_only: true}", False),
    ],
)  # fmt: skip
def test_the_mount_that_holds_the_artifact_should_be_read_only(tmp_path: Path, volume: str, *, writable: bool) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          a:
            {PINNED}
            working_dir: /srv
            environment: {{OS_ARTIFACT_FILE: app/objectstack.json}}
            volumes: [{volume if volume.startswith("{") else repr(volume)}, 'data:/srv', 'more:/srv/application']
        """,
    )
    assert bool(checks(found, "artifact-mount")) == writable
    assert bool(checks(found, "artifact-mount", "passed")) != writable


def test_images_are_read_with_their_pins_pull_policies_and_builds(tmp_path: Path) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          pinned: {{{PINNED}, pull_policy: never}}
          tagged: {{image: 'r.bank.example:5000/a:1.2'}}
          moving: {{image: 'a:latest', pull_policy: always}}
          bare: {{image: a}}
          built: {{build: .}}
          template: {{image: 'a:'}}
        """,
    )
    subjects = {
        aspect: [one.subject for one in checks(found, aspect)]
        for aspect in ("image-floating", "image-digest", "pull-policy", "builds-on-host")
    }
    assert subjects == {
        "image-floating": ["service moving", "service bare"],
        "image-digest": ["service tagged"],
        "pull-policy": ["service moving"],
        "builds-on-host": ["service built"],
    }
    assert [one.subject for one in checks(found, "image-floating", "unknown")] == ["service template"]
    assert [image.digest for image in found.images][:2] == ["sha256:" + "a" * 64, None]
    assert service(found, "built").builds


def test_secrets_are_found_where_everybody_reads_them_and_never_shown(tmp_path: Path) -> None:
    text = f"""
    services:
      a:
        {PINNED}
        environment:
          DB_PASSWORD: hunter22
          DATABASE_URL: postgres://u:hunter22@db/x
          OTHER_TOKEN: ${{TOKEN}}
          API_KEY_FILE: /run/secrets/key
          OS_CLOUD_URL: "off"
    """
    (tmp_path / ".env").write_text("TOKEN=hunter22\n")
    (tmp_path / ".env").chmod(0o600)
    found = reading(tmp_path, compose__yaml=text)
    assert places(checks(found, "secret-in-file")) == [("compose.yaml", 6), ("compose.yaml", 7)]
    assert "hunter22" not in repr((found.checks, found.settings, found.failures))
    (tmp_path / ".env").chmod(0o644)
    assert (".env", 1) in places(checks(reading(tmp_path), "secret-in-file"))


def test_a_file_that_is_no_compose_file_is_a_fault_with_line_and_column(tmp_path: Path) -> None:
    found = reading(tmp_path, compose__yaml="services:\n  a: [\n")
    (fault,) = checks(found, "deployment-malformed")
    assert fault.line is not None
    assert fault.line >= 2
    assert fault.detail.startswith("column ")
    assert found.failures


def test_what_stays_inside_of_the_project_is_no_destination(tmp_path: Path) -> None:
    def named(host: str) -> list[str | None]:
        found = reading(
            tmp_path,
            compose__yaml=f"""
            services:
              app: {{image: objectos:1, environment: {{OS_DATABASE_URL: 'postgres://{host}:5432/crm'}}}}
              db: {{image: x:1, container_name: crm-db, networks: {{back: {{aliases: [Store]}}}}}}
            networks: {{back: {{}}}}
            """,
        )
        return [end.name for one in found.settings if one.name == "OS_DATABASE_URL" for end in one.endpoints]

    assert [named(host) for host in ("db", "DB", "crm-db", "store")] == [[], [], [], []]
    assert named("db.bank.example") == ["db.bank.example"]
    assert named("other") == ["other"]


@pytest.mark.parametrize("hosts", ["['db:203.0.113.9']", "['db=203.0.113.9']", "{db: 203.0.113.9}"])
def test_a_peer_that_is_given_another_address_is_none(tmp_path: Path, hosts: str) -> None:
    found = reading(
        tmp_path,
        compose__yaml=f"""
        services:
          app: {{image: objectos:1, extra_hosts: {hosts}, environment: {{OS_DATABASE_URL: 'postgres://db:5432/crm'}}}}
          db: {{image: x:1}}
        """,
    )
    assert [end.name for one in found.settings for end in one.endpoints] == ["db"]
