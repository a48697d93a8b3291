"""The HTML report as a file: whole, harmless, and with a policy that lets nothing be fetched."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from airgap_check.reporters import render, sign_off
from airgap_check.reporters.html import dossier
from tests import reports


class Page(HTMLParser):
    """What a parser sees: tags with attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self._texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            found
            for name, found in self.tags
            if name == tag and all(found.get(key) == value for key, value in attributes.items())
        ]


@pytest.fixture(scope="module")
def sample() -> str:
    return render("html", reports.sample())


def test_nothing_in_it_leads_out(sample: str) -> None:
    page = Page(sample)
    assert {name for name, _ in page.tags} & {"img", "iframe", "object", "embed", "audio", "video", "base"} == set()
    links = [
        value for _, found in page.tags for key, value in found.items() if key in {"href", "src", "action", "data"}
    ]
    assert links
    assert all(link and (link.startswith("#") or link == "data:,") for link in links)
    assert not [found for _, found in page.tags if any(key.startswith("on") or key == "style" for key in found)]
    assert "url(" not in sample.replace("url(#hatch)", "")
    assert "@import" not in sample


def test_its_policy_names_the_digests_of_its_own_style_and_script_and_allows_nothing_else(sample: str) -> None:
    (policy,) = (
        found["content"] or "" for found in Page(sample).of("meta", **{"http-equiv": "Content-Security-Policy"})
    )
    for kind in ("style", "script"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", sample, re.DOTALL)
        assert f"{kind}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_what_comes_from_the_host_is_text(sample: str) -> None:
    page = Page(sample)
    assert len(page.of("script")) == len(page.of("style")) == 1
    assert "<script>alert(1)</script>" in page.text
    assert not set("\u202e\x1b\x00\x07\u2028\ufeff") & set(sample)


def test_everything_that_the_report_holds_is_in_it(sample: str) -> None:
    report = reports.sample()
    text = " ".join(Page(sample).text.split())
    for result in report.results:
        assert result.rule in text
        for finding in result.findings:
            assert finding.fingerprint in text
    for wanted in (
        *report.reasons, *(one.text for one in report.limitations), *report.relaxed_by,
        "12:05:00Z to 2026-11-20T12:06:00Z",
        "Vanished since the baseline", "10.66.6.6:6666", "Proof of sight", "the interface went away", "inside tunnels",
    ):  # fmt: skip
        assert " ".join(wanted.split()) in text


def test_accepted_findings_are_marked_as_what_accepts_them(sample: str) -> None:
    marks = [found["data-accepted"] for found in Page(sample).of("li") if "data-accepted" in found]
    findings = [finding for result in reports.sample().results for finding in result.findings]
    assert len(marks) == len(findings)
    assert marks.count("waiver") == 1
    assert marks.count("baseline") == sum((one.waived_by or "").startswith("baseline of ") for one in findings) > 1


def test_every_id_is_there_once_and_every_reference_leads_to_one(sample: str) -> None:
    page = Page(sample)
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids))
    wanted = {(found.get("href") or "#").removeprefix("#") for found in page.of("a")}
    wanted |= {found["aria-labelledby"] or "" for _, found in page.tags if "aria-labelledby" in found}
    assert wanted <= set(ids)


def test_a_snapshot_has_no_timeline_and_an_observation_has_one(sample: str) -> None:
    assert Page(sample).of("section", id="timeline")
    assert not Page(render("html", reports.compliant())).of("section", id="timeline")


def test_a_large_report_folds_and_drops_nothing() -> None:
    number = 2 * dossier.MOST_IN_FULL
    text = render("html", reports.of_size(number))
    page = Page(text)
    in_full = len(page.of("li", **{"class": "finding"}))
    lines = sum(len(block.splitlines()) for block in re.findall(r'<pre class="lines">(.*?)</pre>', text, re.DOTALL))
    assert in_full == dossier.MOST_IN_FULL
    assert in_full + lines == number
    assert f"Of {number:,} findings {in_full:,} are shown in full" in page.text


def test_it_ends_in_the_sheet_to_sign(sample: str) -> None:
    text = Page(sample[sample.index('id="sign-off"') :]).text
    report = reports.sample()
    for wanted in (report.policy.sha256, report.rules_sha256, report.tool.sha256, "jdoe", "J. Doe", *sign_off.LINES):
        assert wanted in text


def test_the_same_report_is_the_same_page(sample: str) -> None:
    assert render("html", reports.sample()) == sample
