"""What is archived of policy and rules is what was in force, in its order, or nothing is archived."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap_check import archive, engine, host, rulebook
from airgap_check.archive import Case, Grounds, Link, form, judgement, manifest, statement, verification, write
from airgap_check.archive.form import BadArchiveError
from airgap_check.archive.tarred import Reader as TarReader
from airgap_check.archive.zipped import Reader as ZipReader
from airgap_check.engine import Terms
from airgap_check.finding import Known
from airgap_check.policy import file as policyfile
from airgap_check.policy.acceptance import Baseline
from airgap_check.release import seal
from tests import building
from tests.unit.archive import archived


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A policy file and two folders of rules, which copy shipped ones under other names."""
    (tmp_path / "policy.yaml").write_bytes(archived.POLICY)
    text = Path(rulebook.shipped(), "connection", "not-allowlisted.yaml").read_text()
    for folder, group, name in (("z", "site", "first"), ("a", "site", "second"), ("a", "löcal", "third one")):
        (tmp_path / folder / group).mkdir(parents=True, exist_ok=True)
        own = text.replace("id: connection.not-allowlisted", f"id: {group}.{name}")
        (tmp_path / folder / group / f"{name}.yaml").write_text(own)
    return tmp_path


def in_force(site: Path, terms: Terms | None = None) -> Case:
    folders = (str(site / "z"), str(site / "a"))
    rules = rulebook.load(folders)
    path = str(site / "policy.yaml")
    policy = policyfile.load(path, Path(path).read_bytes(), {rule.id: rule.kind for rule in rules.rules})
    seen = building.inspection(archived.VIOLATION)
    report = engine.judge(seen, rules, policy, terms or Terms())
    return Case(seen, report, Grounds(policy, rules, terms or Terms()), host.tool())


def test_rules_of_the_site_are_archived_in_the_order_in_which_they_were_loaded(site: Path) -> None:
    write(str(site / "a.zip"), in_force(site), Link(), None)
    verified = verification.verify(str(site / "a.zip"), None)
    assert verified.reproduced
    assert verified.manifest is not None
    names = [one.name for one in verified.manifest.members]
    assert {"rules/site/first.yaml", "rules/l%C3%B6cal/third%20one.yaml"} < set(names)


def test_a_baseline_is_part_of_the_terms(site: Path) -> None:
    finding = Known(rule="site.first", severity="high", subject="s", message="m", fingerprint="f")
    baseline = Baseline(
        path="b.json", sha256="0" * 64, hostname="host", machine_id_hash=None, finished=building.STARTED,
        findings=((finding, "sight"),),
    )  # fmt: skip
    write(str(site / "a.zip"), in_force(site, Terms(baseline=baseline)), Link(), None)
    assert verification.verify(str(site / "a.zip"), None).reproduced
    report = archive.read_report(str(site / "a.zip"))
    assert report.baseline is not None
    assert report.baseline.path == "b.json"


def test_what_was_in_force_is_archived_whatever_has_become_of_the_files(site: Path) -> None:
    case = in_force(site)
    (site / "policy.yaml").write_bytes(b"another")
    shutil.rmtree(site / "z")
    write(str(site / "a.zip"), case, Link(), None)
    assert verification.verify(str(site / "a.zip"), None).reproduced
    assert archive.policy(str(site / "a.zip"))[0].text == archived.POLICY


KEY = seal.raw_public_key(archived.KEY.public_key().public_bytes_raw())
_NOISE = st.binary(max_size=600)


@given(_NOISE)
@settings(deadline=None)
def test_whatever_a_manifest_or_an_envelope_is_it_is_read_or_refused(content: bytes) -> None:
    for read in (manifest.parse, judgement.parse, lambda text: statement.check_envelope(text, b"", KEY)):
        with pytest.raises(BadArchiveError):
            read(content)


@given(_NOISE, st.sampled_from([b"PK\3\4", b"\x28\xb5\x2f\xfd", b"PK\3\4\x14\0\0\0\x08\0", b"\x28\xb5\x2f\xfd\x24"]))
@settings(deadline=None)
def test_whatever_an_archive_is_it_is_refused_and_never_breaks_us(content: bytes, head: bytes) -> None:
    import io

    for reader in (ZipReader, TarReader):
        file = io.BytesIO(head + content)
        with pytest.raises(BadArchiveError):
            drain(reader(file))


def drain(reader: ZipReader | TarReader) -> None:
    for _, pieces in reader.members():
        for _ in pieces:
            pass
    reader.tail()


@given(st.text(max_size=30))
def test_a_name_that_is_accepted_leads_nowhere_else(name: str) -> None:
    if not form.fault_of(name):
        assert name.isascii()
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(name.split("/"))
        assert "\\" not in name
