"""A bundle made of real parts passes; each single thing that is wrong with it fails with its own rule alone."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from airgap_check.collectors import bundle as collector
from tests.live import bundles, images
from tests.live.bundles import COMPOSE, IMAGE, REFERENCE, TEMPLATE, Bundle, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLICY = """\
version: 1
allow: [{name: db, role: database, cidr: 10.20.0.0/28, ports: [5432]}]
runtime: {cloud_url: must-be-off}
"""
NO_CLI = tuple(entry for entry in images.UPPER if "cli" not in entry[0])
DECOY = (
    ("app/node_modules/@objectstack/cli/package.json", images.package("@objectstack/cli", "16.0.0")),
    *images.UPPER,
)
NO_DRIVER = (*(entry for entry in images.UPPER if "/pg/" not in entry[0]), (f"{images.MODULES}/.wh.pg", b""))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys, and the images that the bundles below share."""
    folder = tmp_path_factory.mktemp("ground")
    bundles.keys(folder)
    bundles.keys(folder, "stranger")
    variants: dict[str, dict[str, Any]] = {
        "good": {},
        "public": {"environment": ()},
        "blank": {"environment": ("OS_CLOUD_URL=",)},
        "secret": {"environment": ("OS_CLOUD_URL=off", "AUTH_SECRET=9f8a7c6b5d4e3f2a1b0c")},
        "no-driver": {"entries": NO_DRIVER},
        "legacy": {"form": "docker-archive"},
        "decoy": {"entries": DECOY},
    }
    for name, options in variants.items():
        bundles.image(folder, **options).rename(folder / f"{name}.tar")
    return folder


@pytest.fixture
def bundle(ground: Path, tmp_path: Path) -> Bundle:
    return bundles.make(tmp_path / "bundle", ground / "good.tar", (ground / "maker.pem", ground / "maker.pub"))


def report(bundle: Bundle, *options: str) -> Any:
    code, shown = run("bundle", str(bundle.folder), "--format", "json", *options)
    result = json.loads(shown)
    assert result["exit_code"] == code
    return result


def failed(result: Any) -> set[str]:
    return {one["rule"] for one in result["results"] if one["outcome"] == "fail"}


def undecided(result: Any) -> set[str]:
    return {one["rule"] for one in result["results"] if one["outcome"] == "unknown"}


@pytest.mark.parametrize("policy", [None, POLICY])
def test_a_whole_bundle_passes_with_a_policy_and_without(bundle: Bundle, policy: str | None, tmp_path: Path) -> None:
    bundle.seal()
    given: list[str] = []
    if policy:
        (tmp_path / "policy.yaml").write_text(policy)
        given = ["--policy", str(tmp_path / "policy.yaml")]
    result = report(bundle, "--key", str(bundle.public), *given)
    assert (result["exit_code"], failed(result), undecided(result)) == (0, set(), set()), result["reasons"]


def test_coreutils_agree_with_the_seal(bundle: Bundle) -> None:
    for name in ("back\\slash.md", "line\nbreak.md", "blank and ümlaut.md", os.fsdecode(b"not\xffutf8.md")):
        bundle.write(name, "text")
    bundle.seal()
    done = subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=bundle.folder, check=False)
    assert done.returncode == 0
    listed = sum(1 for path in bundle.folder.iterdir())
    assert len((bundle.folder / "SHA256SUMS").read_bytes().splitlines()) == listed - 2


def test_openssl_agrees_with_the_signature(bundle: Bundle) -> None:
    bundle.seal()
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(bundle.public), "-rawin", "-in", "SHA256SUMS"]
    subprocess.run([*command, "-sigfile", "SHA256SUMS.sig"], cwd=bundle.folder, check=True)


def remove(name: str) -> Callable[[Bundle], None]:
    return lambda bundle: (bundle.folder / name).unlink()


def changed(name: str, old: str, new: str) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.change(name, old, new)


def added(name: str, content: str) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.write(name, content)


def template(old: str, new: str) -> Callable[[Bundle], None]:
    return changed(".env.example", old, new)


def compose(old: str, new: str) -> Callable[[Bundle], None]:
    return changed("compose.yaml", old, new)


def topic(name: str) -> Callable[[Bundle], None]:
    def cut(bundle: Bundle) -> None:
        head, _, rest = bundles.CHECKLIST.partition(f"## {name}")
        bundle.write("CHECKLIST.md", head + rest[rest.find("## ") :] if "## " in rest else head)

    return cut


def artifact(**changes: Any) -> Callable[[Bundle], None]:
    def write(bundle: Bundle) -> None:
        content = json.loads((bundle.folder / "objectstack.json").read_text())
        content["manifest"] |= changes.pop("manifest", {})
        bundle.write("objectstack.json", json.dumps(content | changes))

    return write


def image(name: str) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.write(IMAGE, (bundle.key.parent / f"{name}.tar").read_bytes())


def module(bundle: Bundle) -> None:
    artifact(runtimeModule="objectstack-runtime.0123456789abcdef.mjs")(bundle)
    bundle.write("objectstack-runtime.0123456789abcdef.mjs", "export default {}\n")


OTHER = "evil.example/other:1.0"
SECRET = "9f8a7c6b5d4e3f2a1b0c"
MANIFEST = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": OTHER}]},
}


def in_compose(lines: str) -> Callable[[Bundle], None]:
    return added("compose.yaml", f"{COMPOSE}{lines}")


def many_services(bundle: Bundle) -> None:
    same = "".join(f"  s{number}:\n    image: {REFERENCE}\n" for number in range(250))
    bundle.write("compose.yaml", f"{COMPOSE}{same}  last:\n    image: {OTHER}\n")


def blank_beside(bundle: Bundle) -> None:
    bundle.change("compose.yaml", "    ports", '    environment: {OS_CLOUD_URL: "${OS_CLOUD_URL}"}\n    ports')
    text = (bundle.folder / "compose.yaml").read_text()
    bundle.write("compose.yaml", f'{text}  b:\n    image: {REFERENCE}\n    environment: {{OS_CLOUD_URL: ""}}\n')


def image_of_template(bundle: Bundle) -> None:
    bundle.change("compose.yaml", REFERENCE, "${IMAGE}")
    bundle.write(".env.example", f"{TEMPLATE}IMAGE={OTHER}\n")


def through_a_link(bundle: Bundle) -> None:
    bundle.write("settings.bin", TEMPLATE.replace("URL=off", "URL=https://c.example"))
    (bundle.folder / "production.env").symlink_to("settings.bin")


def second_image(bundle: Bundle) -> None:
    layout = images.Layout()
    layout.index(layout.image([(images.tar((("bin/x", b"x"),)), "+gzip")], **images.named(REFERENCE)))
    bundle.write("second.tar.xz", lzma.compress(layout.archive()))


def key_inside(bundle: Bundle) -> None:
    bundle.write("maker.pem", bundle.key.read_bytes())


def in_template(line: str) -> Callable[[Bundle], None]:
    return template(TEMPLATE, TEMPLATE + line + "\n")


CONFIG = {"filename": "x.db", "password": "Tr0ub4dor-3"}
WEBHOOK = [{"name": "w", "object": "demo_note", "url": "https://1.1.1.1/hook", "triggers": ["create"]}]
BEFORE_SEALING: dict[str, tuple[Callable[[Bundle], None], str]] = {
    "no artifact": (remove("objectstack.json"), "bundle.missing-artifact"),
    "no image": (remove(IMAGE), "bundle.missing-image"),
    "no guide": (remove("DATABASE.md"), "bundle.missing-database-guide"),
    "no template": (remove(".env.example"), "bundle.missing-template"),
    "no checklist": (remove("CHECKLIST.md"), "bundle.missing-checklist"),
    "an empty guide": (added("DATABASE.md", "# Database\n"), "bundle.missing-database-guide"),
    "no upgrade": (topic("Upgrade"), "bundle.checklist-incomplete"),
    "no rollback": (topic("Rollback"), "bundle.checklist-incomplete"),
    "no backup": (topic("Backup"), "bundle.checklist-incomplete"),
    "no diagnostics": (topic("Diagnostics"), "bundle.checklist-incomplete"),
    "cloud url blank": (template("URL=off", "URL="), "bundle.template-cloud-url"),
    "cloud url quoted twice": (template("URL=off", "URL='\"off\"'"), "bundle.template-cloud-url"),
    "cloud url a look-alike": (template("URL=off", "URL=false"), "bundle.template-cloud-url"),
    "cloud url a URL": (template("URL=off", "URL=https://c.example"), "bundle.template-cloud-url"),
    "no cloud url": (template("OS_CLOUD_URL=off\n", ""), "bundle.template-cloud-url"),
    "cloud url a comment": (template("OS_CLOUD_URL=off", "# OS_CLOUD_URL=off"), "bundle.template-cloud-url"),
    "no database": (template("OS_DATABASE_URL", "X_DATABASE_URL"), "bundle.template-incomplete"),
    "another product's artifact": (template("ARTIFACT_PATH", "ARTIFACT_FILE"), "bundle.template-incomplete"),
    "a variable of compose": (compose('"8080:8080"', '"${HTTP_PORT}:8080"'), "bundle.template-incomplete"),
    "a secret": (template("CHANGE_ME", "9f8a7c6b5d4e3f2a1b0c"), "bundle.template-secret"),
    "a password": (template("<password>", "Tr0ub4dor-3"), "bundle.template-secret"),
    "a pin": (in_template(f"OS_ARTIFACT_URL=file:///srv/app/o.json#sha256={'0' * 64}"), "bundle.artifact-pin"),
    "a floating tag": (compose(REFERENCE, REFERENCE.replace("17.4.0", "latest")), "bundle.image-pin"),
    "another digest": (compose(REFERENCE, f"{REFERENCE}@sha256:{'0' * 64}"), "bundle.image-pin"),
    "another image": (
        added("compose.yaml", f"{COMPOSE}  db:\n    image: postgres:16.4\n"), "bundle.image-not-delivered"
    ),
    "built on the host": (compose("    pull_policy", "    build: .\n    pull_policy"), "bundle.builds-on-host"),
    "always pulled": (compose("policy: never", "policy: always"), "bundle.pull-policy"),
    "compose opens the cloud": (
        compose("    ports", '    environment: {OS_CLOUD_URL: ""}\n    ports'), "bundle.deployment-cloud-url"
    ),
    "compose malformed": (added("other.yaml", "kind: Pod\napiVersion: v1\nspec: [\n"), "bundle.deployment-malformed"),
    "another protocol": (artifact(manifest={"engines": {"protocol": "^18"}}), "bundle.runtime-version"),
    "artifact cut off": (
        added("objectstack.json", bundles.ARTIFACT.read_text()[:900]), "bundle.artifact-malformed"
    ),
    "a secret in the artifact": (
        artifact(datasources=[{"name": "x", "driver": "postgres", "config": CONFIG}]),
        "bundle.artifact-secret",
    ),
    "another module": (module, "bundle.artifact-runtime-module"),
    "no module": (artifact(runtimeModule="objectstack-runtime.0123456789abcdef.mjs"), "bundle.artifact-runtime-module"),
    "public by default": (image("public"), "bundle.image-public-by-default"),
    "blank by default": (image("blank"), "bundle.image-public-by-default"),
    "a secret in the image": (image("secret"), "bundle.image-secret"),
    "no driver": (image("no-driver"), "bundle.database-driver"),
    "another runtime beside": (image("decoy"), "bundle.runtime-version"),
    "a second image of the name, packed by xz": (second_image, "bundle.image-ambiguous"),
    "a service behind 250 others": (many_services, "bundle.image-not-delivered"),
    "a manifest as JSON": (added("pod.json", json.dumps(MANIFEST)), "bundle.image-not-delivered"),
    "an image that the template names": (image_of_template, "bundle.image-not-delivered"),
    "a second template": (added("a.env.example", "OS_CLOUD_URL=\n"), "bundle.template-cloud-url"),
    "a template through a link": (through_a_link, "bundle.template-cloud-url"),
    "a service that is told nothing beside one that is": (blank_beside, "bundle.deployment-cloud-url"),
    "a secret that a later line hides": (template("AUTH_", f"AUTH_SECRET={SECRET}\nAUTH_"), "bundle.template-secret"),
    "a secret in a comment": (in_template(f"# AUTH_SECRET={SECRET}"), "bundle.template-secret"),
    "a secret in compose": (in_compose(f"    environment: {{AUTH_SECRET: {SECRET}}}\n"), "bundle.deployment-secret"),
    "a database that compose names": (
        in_compose("    environment: {OS_DATABASE_URL: mysql://o@db/o}\n"), "bundle.database-driver"
    ),
    "a private key": (key_inside, "bundle.private-key"),
}  # fmt: skip


@pytest.mark.parametrize("name", BEFORE_SEALING)
def test_a_bundle_that_was_made_wrongly_fails_with_its_own_rule_alone(bundle: Bundle, name: str) -> None:
    change, rule = BEFORE_SEALING[name]
    change(bundle)
    bundle.seal()
    result = report(bundle, "--key", str(bundle.public), "--fail-on", "medium")
    assert (failed(result), result["exit_code"]) == ({rule}, 1), [
        finding["message"] for one in result["results"] for finding in one["findings"]
    ]


def link(target: str) -> Callable[[Bundle], None]:
    return lambda bundle: (bundle.folder / "link").symlink_to(target)


def flip(bundle: Bundle) -> None:
    content = bytearray((bundle.folder / "DATABASE.md").read_bytes())
    content[20] ^= 1
    bundle.write("DATABASE.md", bytes(content))


def reorder(bundle: Bundle) -> None:
    lines = (bundle.folder / "SHA256SUMS").read_bytes().splitlines(keepends=True)
    bundle.write("SHA256SUMS", b"".join(sorted(lines)))


AFTER_SEALING: dict[str, tuple[Callable[[Bundle], None], set[str]]] = {
    "a byte": (flip, {"bundle.checksum-mismatch"}),
    "a file more": (added("compose.override.yaml", "services: {}\n"), {"bundle.unlisted-file"}),
    "a link inside": (link("compose.yaml"), {"bundle.unlisted-file"}),
    "a link out": (link("/etc/hostname"), {"bundle.link-out"}),
    "a link up": (link("../compose.yaml"), {"bundle.link-out"}),
    "a link to nothing": (link("nothing"), {"bundle.link-out"}),
    "a pipe": (lambda bundle: os.mkfifo(bundle.folder / "pipe"), {"bundle.special-file"}),
    "no signature": (remove("SHA256SUMS.sig"), {"bundle.signature-missing"}),
    "another signature": (added("SHA256SUMS.sig", "x" * 64), {"bundle.signature-invalid"}),
    "a shorter signature": (added("SHA256SUMS.sig", ""), {"bundle.signature-invalid"}),
    "no guide": (remove("DATABASE.md"), {"bundle.missing-database-guide", "bundle.listed-file-missing"}),
    "no checksums": (remove("SHA256SUMS"), {"bundle.checksums-missing", "bundle.signature-missing"}),
    "a list with another order": (
        reorder,
        {"bundle.signature-invalid"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AFTER_SEALING)
def test_a_bundle_that_was_changed_on_the_way_fails(bundle: Bundle, name: str) -> None:
    change, rules = AFTER_SEALING[name]
    bundle.seal()
    change(bundle)
    result = report(bundle, "--key", str(bundle.public), "--fail-on", "medium")
    assert (failed(result), result["exit_code"]) == (rules, 1)


def test_somebody_elses_key_does_not_verify_it(bundle: Bundle, ground: Path) -> None:
    bundle.seal()
    assert failed(report(bundle, "--key", str(ground / "stranger.pub"))) == {"bundle.signature-invalid"}


def test_a_signature_over_nothing_shows_that_the_list_was_taken_out(bundle: Bundle) -> None:
    bundle.seal()
    remove("SHA256SUMS")(bundle)
    result = report(bundle)
    assert (result["exit_code"], "bundle.listed-file-missing" in failed(result)) == (1, True)


def test_a_signature_that_nobody_verified_is_said_and_does_not_fail(bundle: Bundle) -> None:
    bundle.seal()
    result = report(bundle)
    assert (result["exit_code"], undecided(result)) == (0, {"bundle.signature-not-verified"})


def test_without_checksums_it_is_a_finding_that_does_not_fail_by_default(bundle: Bundle) -> None:
    result = report(bundle)
    assert (result["exit_code"], failed(result)) == (0, {"bundle.checksums-missing"})


def test_a_legacy_archive_cannot_prove_a_pin(bundle: Bundle) -> None:
    image("legacy")(bundle)
    bundle.change("compose.yaml", REFERENCE, f"{REFERENCE}@sha256:{'0' * 64}")
    bundle.seal()
    result = report(bundle, "--key", str(bundle.public))
    assert result["exit_code"] == 4
    assert "bundle.image-pin" in undecided(result)


def test_a_destination_in_the_artifact_needs_somebody_who_approved_it(bundle: Bundle, tmp_path: Path) -> None:
    artifact(webhooks=WEBHOOK)(bundle)
    bundle.seal()
    nobody = report(bundle, "--key", str(bundle.public))
    assert (nobody["exit_code"], undecided(nobody)) == (4, {"endpoint.in-bundle"})
    (tmp_path / "policy.yaml").write_text(POLICY)
    judged = report(bundle, "--key", str(bundle.public), "--policy", str(tmp_path / "policy.yaml"))
    assert (judged["exit_code"], failed(judged)) == (1, {"endpoint.in-bundle"})


def test_evidence_of_a_bundle_is_judged_again_alike(bundle: Bundle, tmp_path: Path) -> None:
    bundle.change(".env.example", "URL=off", "URL=false")
    bundle.seal()
    recorded, policy = str(tmp_path / "bundle.jsonl"), tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    first = report(bundle, "--key", str(bundle.public), "--record", recorded, "--policy", str(policy))
    again = json.loads(run("replay", recorded, "--policy", str(policy), "--format", "json")[1])
    assert failed(first) == failed(again) == {"bundle.template-cloud-url"}


def test_no_secret_of_a_bundle_is_ever_shown(bundle: Bundle, tmp_path: Path) -> None:
    image("secret")(bundle)
    bundle.change(".env.example", "CHANGE_ME", "9f8a7c6b5d4e3f2a1b0c")
    bundle.change(".env.example", "<password>", "Tr0ub4dor-3")
    bundle.seal()
    shown = run("bundle", str(bundle.folder), "--record", str(tmp_path / "evidence"))[1]
    shown += json.dumps(report(bundle)) + (tmp_path / "evidence").read_text()
    assert "9f8a7c6b5d4e3f2a1b0c" not in shown
    assert "Tr0ub4dor-3" not in shown


@pytest.mark.parametrize("arguments", [["nowhere"], ["objectstack.json"], [".", "--key", "objectstack.json"]])
def test_bad_usage_is_exit_2(bundle: Bundle, arguments: list[str]) -> None:
    paths = [one if one.startswith("--") else str(bundle.folder / one) for one in arguments]
    assert run("bundle", *paths)[0] == 2


def test_a_key_that_others_can_read_seals_nothing(bundle: Bundle, tmp_path: Path) -> None:
    key = tmp_path / "open.pem"
    key.write_bytes(bundle.key.read_bytes())
    key.chmod(0o640)
    assert run("bundle", str(bundle.folder), "--seal", str(key))[0] == 2
    assert not (bundle.folder / "SHA256SUMS").exists()


def test_a_key_that_lies_in_the_bundle_seals_nothing(bundle: Bundle) -> None:
    key_inside(bundle)
    (bundle.folder / "maker.pem").chmod(0o600)
    assert run("bundle", str(bundle.folder), "--seal", str(bundle.folder / "maker.pem"))[0] == 2
    assert not (bundle.folder / "SHA256SUMS").exists()


def test_the_template_fills_in_the_compose_file(bundle: Bundle) -> None:
    name, _, tag = REFERENCE.rpartition(":")
    bundle.change("compose.yaml", REFERENCE, name + ":${TAG:-latest}")
    in_template(f"TAG={tag}")(bundle)
    bundle.seal()
    result = report(bundle, "--key", str(bundle.public))
    assert (result["exit_code"], failed(result)) == (0, set())


def test_a_service_that_is_public_whoever_asks_needs_somebody_who_approved_it(bundle: Bundle) -> None:
    in_template("OS_EMAIL_PROVIDER=resend\nOS_OBS_EXPORTER=otlp\nOS_OTLP_ENDPOINT=https://1.1.1.1/v1")(bundle)
    bundle.seal()
    result = report(bundle, "--key", str(bundle.public))
    assert (result["exit_code"], undecided(result)) == (4, {"endpoint.in-bundle"})
    assert ".env.example:6 OS_EMAIL_PROVIDER names api.resend.com:443" in str(result["reasons"])


@pytest.mark.parametrize(("compose", "code"), [(True, 0), (False, 4)])
def test_off_in_quotes_is_off_for_who_takes_them_away(bundle: Bundle, compose: bool, code: int) -> None:  # noqa: FBT001
    bundle.change(".env.example", "URL=off", 'URL="off"')
    if not compose:
        remove("compose.yaml")(bundle)
    bundle.seal()
    assert report(bundle, "--key", str(bundle.public))["exit_code"] == code


def test_a_checklist_that_cannot_be_read_is_not_missing_but_undecided(bundle: Bundle) -> None:
    remove("CHECKLIST.md")(bundle)
    bundle.write("Operations-Checklist.pdf", b"%PDF-1.7\0")
    bundle.seal()
    result = report(bundle, "--key", str(bundle.public))
    assert (result["exit_code"], undecided(result)) == (4, {"bundle.missing-checklist"})


def test_an_application_under_another_name_is_searched_too(bundle: Bundle) -> None:
    content = json.loads(bundles.ARTIFACT.read_text())
    del content["manifest"]["engines"]
    bundle.write("app.json", json.dumps(content | {"webhooks": WEBHOOK}))
    bundle.seal()
    assert "endpoint.in-bundle" in undecided(report(bundle, "--key", str(bundle.public)))


def test_a_bundle_with_a_link_out_is_not_sealed(bundle: Bundle) -> None:
    link("/etc/hostname")(bundle)
    assert run("bundle", str(bundle.folder), "--seal", str(bundle.key))[0] == 2
    assert not (bundle.folder / "SHA256SUMS").exists()


def test_a_bundle_that_takes_too_long_is_not_all_seen(bundle: Bundle) -> None:
    bundle.seal()
    seen = collector.collect(str(bundle.folder), deadline=0.0)
    assert seen.status == "partial"
    assert "time" in seen.reason


def test_without_a_policy_the_runtime_inside_says_what_is_demanded(bundle: Bundle) -> None:
    bundle.change(".env.example", "URL=off", "URL=")
    result = report(bundle)
    message = next(
        one["findings"][0]["message"] for one in result["results"] if one["rule"] == "bundle.template-cloud-url"
    )
    assert message.endswith("the policy says must-be-off")


def test_findings_name_files_as_the_bundle_does(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.change("compose.yaml", "policy: never", "policy: always")
    monkeypatch.chdir(bundle.folder.parent)
    for path in (bundle.folder, bundle.folder.name, f"./{bundle.folder.name}/"):
        shown = json.loads(run("bundle", str(path), "--format", "json")[1])
        messages = [finding["message"] for one in shown["results"] for finding in one["findings"]]
        assert "compose.yaml:4: service app: the pull policy always asks a registry at every start" in messages
