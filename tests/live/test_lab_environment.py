from __future__ import annotations

import pytest

from tests.live.lab import DATABASE, PUBLIC, Lab
from tests.live.site import (
    OBJECTOS,
    OPEN_RUNTIME,
    OPEN_SETTINGS,
    SETTINGS,
    UNIT,
    assert_compliant,
    assert_finding,
    assert_violation,
    policy,
    serious,
    start_objectos,
)

PUBLIC_CLOUD = "https://cloud.objectos.ai"
MUST_BE_OFF = {"cloud_url": "must-be-off"}


@pytest.mark.parametrize("value", [PUBLIC_CLOUD, "", "  ", "off", "false", '"off"'])
def test_a_cloud_url_of_any_value_fails_where_it_must_be_unset(lab: Lab, value: str) -> None:
    start_objectos(lab, SETTINGS | {"OS_CLOUD_URL": value})
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 1, audit.summary()
    record = assert_finding(audit, "environment.cloud-url-set", process="node", workload=UNIT, name="OS_CLOUD_URL")
    assert record["value"] == value
    assert "must-be-off" in audit.stdout


@pytest.mark.parametrize("value", ["off", "none", "local", "disabled", " OFF\t", "Disabled"])
def test_a_disabling_word_passes_where_it_must_be_off(lab: Lab, value: str) -> None:
    start_objectos(lab, OPEN_SETTINGS | {"OS_CLOUD_URL": value}, package=OPEN_RUNTIME)
    assert_compliant(lab.audit(policy=policy(runtime=MUST_BE_OFF)))


@pytest.mark.parametrize("package", [OBJECTOS, None])
def test_a_disabling_word_may_mean_nothing_to_a_runtime_that_is_not_known_to_read_it(
    lab: Lab, package: tuple[str, str] | None
) -> None:
    start_objectos(lab, SETTINGS | {"OS_CLOUD_URL": "off"}, package=package)
    audit = lab.audit(policy=policy(runtime=MUST_BE_OFF))
    assert audit.exit_code == 4, audit.summary()
    assert audit.outcome("runtime.unset-means-public") == "unknown"


def test_a_runtime_of_which_nobody_knows_what_it_is_makes_the_verdict_inconclusive(lab: Lab) -> None:
    start_objectos(lab, package=None)
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 4, audit.summary()
    assert audit.outcome("runtime.unset-means-public") == "unknown"


@pytest.mark.parametrize("value", [PUBLIC_CLOUD, "", " ", "false", "0", "no", '"off"', "offline"])
def test_anything_else_fails_where_it_must_be_off(lab: Lab, value: str) -> None:
    start_objectos(lab, SETTINGS | {"OS_CLOUD_URL": value})
    audit = lab.audit(policy=policy(runtime=MUST_BE_OFF))
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "environment.cloud-url-set", process="node", workload=UNIT)


def test_an_unset_cloud_url_fails_where_it_must_be_off(site: Lab) -> None:
    """Several runtimes read an unset variable as the public control plane."""
    assert_compliant(site.audit(policy=policy()))
    assert_violation(site.audit(policy=policy(runtime=MUST_BE_OFF)), "environment.cloud-url-set")


def test_the_open_runtime_fails_with_nothing_said(lab: Lab) -> None:
    start_objectos(lab, OPEN_SETTINGS, package=OPEN_RUNTIME)
    audit = lab.audit(policy=policy())
    assert_violation(audit, "runtime.unset-means-public", process="node", workload=UNIT, version="17.4.0")
    assert "must-be-off" in lab.check("init").stdout


def test_init_writes_what_the_runtime_that_it_saw_can_be_held_to(site: Lab) -> None:
    written = site.check("init").stdout
    assert "ObjectOS 4.2.0; an OS_CLOUD_URL that is unset means offline" in written
    assert "cloud_url: must-be-unset" in written


def test_a_cloud_url_in_a_dotenv_file_is_found_with_its_line(site: Lab) -> None:
    site.near.write("/run/lab/objectos/.env", f"# production\nOS_CLOUD_URL={PUBLIC_CLOUD}\n")
    audit = site.audit(policy=policy())
    record = assert_finding(audit, "environment.cloud-url-set", value=PUBLIC_CLOUD)
    assert (record["place"]["path"], record["place"]["line"]) == ("/run/lab/objectos/.env", 2)
    assert audit.exit_code == 1


def test_a_cloud_url_in_a_drop_in_of_the_unit_is_found_with_its_file(site: Lab) -> None:
    site.near.write("/etc/systemd/system/objectos.service", "[Service]\nExecStart=/run/lab/bin/node\n")
    assert_compliant(site.audit(policy=policy()))
    drop_in = "/etc/systemd/system/objectos.service.d/cloud.conf"
    site.near.write(drop_in, f'[Service]\nEnvironment="OS_CLOUD_URL={PUBLIC_CLOUD}"\n')
    record = assert_finding(site.audit(), "environment.cloud-url-set", value=PUBLIC_CLOUD)
    assert (record["place"]["path"], record["place"]["unit"]) == (drop_in, UNIT)


def test_a_database_at_a_public_address_fails_before_anybody_connects(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_BUSINESS_DB_URL": f"postgres://o:secret@{PUBLIC}:5432/objectos"})
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 1
    assert_finding(audit, "environment.database-public", process="node", workload=UNIT, remote__address=PUBLIC)


def test_an_endpoint_that_is_not_listed_fails(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_EMAIL_SMTP_HOST": "10.40.0.25"})
    assert_violation(
        lab.audit(policy=policy()), "environment.endpoint-not-allowlisted", process="node", workload=UNIT,
        name="OS_EMAIL_SMTP_HOST",
    )  # fmt: skip
    mail = {"name": "mail", "role": "smtp", "cidr": "10.40.0.25/32", "ports": [587]}
    assert_compliant(lab.audit(policy=policy(mail)))


def test_a_word_that_stands_for_a_public_service_fails(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_EMAIL_PROVIDER": "resend"})
    audit = lab.audit(policy=policy())
    assert_violation(audit, "environment.endpoint-not-allowlisted", name="OS_EMAIL_PROVIDER", process="node")
    assert "api.resend.com" in audit.stdout
    assert "resend" not in lab.check("init").stdout


def test_a_registry_of_the_runtime_or_the_host_fails_unless_it_is_listed(site: Lab) -> None:
    site.near.write("/run/lab/objectos/.npmrc", "registry=https://10.40.0.9/\n")
    site.near.write("/etc/docker/daemon.json", '{"registry-mirrors": ["https://10.40.0.9"]}')
    audit = site.audit(policy=policy())
    places = {finding["record"]["place"]["path"] for finding in audit.findings("environment.public-registry")}
    assert places == {"/run/lab/objectos/.npmrc", "/etc/docker/daemon.json"}
    mirror = {"name": "mirror", "role": "registry", "cidr": "10.40.0.9/32", "ports": [443]}
    assert_compliant(site.audit(policy=policy(mirror)))


def test_a_command_line_tool_that_is_pointed_at_a_public_runtime_fails(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_RUNTIME_URL": f"https://{PUBLIC}/"})
    assert_violation(lab.audit(policy=policy()), "environment.runtime-target-public", name="OS_RUNTIME_URL")


def test_a_setting_that_the_runtime_does_not_read_fails(lab: Lab) -> None:
    start_objectos(lab, OPEN_SETTINGS | SETTINGS | {"OS_CLOUD_URL": "off"}, package=OPEN_RUNTIME)
    audit = lab.audit(policy=policy(runtime=MUST_BE_OFF))
    assert serious(audit) == {"runtime.setting-ignored"}, audit.summary()
    ignored = {finding["record"]["name"] for finding in audit.findings("runtime.setting-ignored")}
    assert ignored == {"OS_ARTIFACT_FILE", "OS_BUSINESS_DB_URL"}


def test_a_proxy_fails_unless_it_is_listed(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"HTTPS_PROXY": "http://10.40.0.3:3128"})
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 1
    assert_finding(audit, "environment.proxy-set", process="node", workload=UNIT, name="HTTPS_PROXY")
    proxy = {"name": "proxy", "role": "proxy", "cidr": "10.40.0.3/32", "ports": [3128]}
    approved = lab.audit(policy=policy(proxy))
    assert approved.exit_code == 0, approved.summary()
    assert approved.outcome("environment.proxy-set") == "pass"


def test_an_artifact_that_is_fetched_fails(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_ARTIFACT_FILE": f"https://{DATABASE}:5432/artifact.json"})
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "environment.artifact-not-local", process="node", workload=UNIT)


def test_a_missing_artifact_and_a_missing_database_are_reported(lab: Lab) -> None:
    start_objectos(lab, {"OS_PROJECT_ID": "proj_local", "OS_ARTIFACT_FILE": SETTINGS["OS_ARTIFACT_FILE"]})
    audit = lab.audit("--fail-on", "medium", policy=policy())
    assert audit.exit_code == 1, audit.summary()
    assert "environment.database-missing" in audit.failed()
    assert "environment.artifact-missing" not in audit.failed()


@pytest.mark.parametrize("arguments", [["--password", "hunter2-hunter2"], ["--db=postgres://o:hunter2-hunter2@h/d"]])
def test_a_secret_on_a_command_line_is_reported_and_not_repeated(site: Lab, arguments: list[str]) -> None:
    site.near.plant("idle", name="tool", cgroup="backup.service", unused=arguments)
    audit = site.audit("--fail-on", "medium", policy=policy())
    assert_violation(audit, "environment.secret-on-command-line", process="tool", workload="backup.service")
    assert "hunter2" not in audit.stdout + audit.stderr


def test_without_a_runtime_the_verdict_is_inconclusive_unless_the_policy_expects_none(lab: Lab) -> None:
    audit = lab.audit(policy=policy())
    assert audit.exit_code == 4, audit.summary()
    assert audit.outcome("runtime.not-found") == "unknown"
    assert_compliant(lab.audit(policy=policy(runtime={"expected": False})))


def test_without_a_policy_the_derived_one_is_never_compliant_until_accepted(site: Lab) -> None:
    audit = site.audit()
    assert audit.exit_code == 4, audit.summary()
    assert audit.report["policy"]["derived"]
    sources = {entry["role"]: entry["from"] for entry in audit.report["policy"]["entries"]}
    assert sources["database"] == "OS_BUSINESS_DB_URL"
    accepted = site.audit("--accept-derived")
    assert accepted.exit_code == 0, accepted.summary()
    assert any("accept-derived" in relaxed for relaxed in accepted.report["relaxed_by"])


def test_a_derived_policy_never_approves_a_public_address(lab: Lab) -> None:
    start_objectos(lab, SETTINGS | {"OS_EMAIL_SMTP_HOST": PUBLIC})
    lab.serve(PUBLIC, 587)
    lab.near.plant("tcp", PUBLIC, 587, cgroup=UNIT)
    audit = lab.audit("--accept-derived")
    assert audit.exit_code == 1, audit.summary()
    assert_finding(audit, "connection.public-destination", process="node", remote__address=PUBLIC)
    assert PUBLIC not in str(audit.report["policy"]["entries"])
    assert PUBLIC not in lab.check("init").stdout
