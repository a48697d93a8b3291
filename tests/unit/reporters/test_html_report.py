"""The HTML report as a file: whole, harmless, and with a policy that lets nothing be fetched."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

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

    def findings(self) -> list[str]:
        """Return the classes of each finding that is shown in full."""
        return [found["class"] or "" for found in self.of("li") if "data-accepted" in found]


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
        "Vanished since the baseline", "239.66.6.6:6666", "Proof of sight", "the interface went away", "inside tunnels",
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
    silent = render("html", replace(reports.sample(), connections=()))
    assert "nothing was seen" in silent[silent.index('id="timeline"') :]


def test_a_large_report_folds_and_drops_nothing() -> None:
    number = 2 * dossier.MOST_IN_FULL
    text = render("html", reports.of_size(number))
    page = Page(text)
    in_full = len(page.findings())
    lines = sum(len(block.splitlines()) for block in re.findall(r'<pre class="lines">(.*?)</pre>', text, re.DOTALL))
    assert in_full == dossier.MOST_IN_FULL
    assert in_full + lines == number
    assert f"Of {number:,} findings {in_full:,} are shown in full" in page.text


def test_paper_has_an_end_and_says_what_it_lacks() -> None:
    number = 2 * dossier.MOST_IN_FULL
    report = reports.of_size(number)
    page = Page(render("html", report))
    full, brief, off = (
        sum(f"on-paper-{kind}" in found for found in page.findings()) for kind in ("full", "brief", "not")
    )
    rules = sum(1 for result in report.results if result.findings)
    assert (full, brief) == (rules * 3, rules * 12)
    assert full + brief + off == dossier.MOST_IN_FULL
    said = re.findall(r"And ([0-9,]+) more findings, in this file and in the JSON report, but not on paper", page.text)
    assert sum(int(one.replace(",", "")) for one in said) == number - full - brief
    assert "The first 25 of 1,8" in page.text


def test_the_first_screen_says_what_failed_and_what_was_relaxed(sample: str) -> None:
    report = reports.sample()
    box = sample[sample.index('id="verdict"') : sample.index('class="figures"')]
    failed = [result for result in report.results if f"{result.rule} (" in " ".join(report.reasons)]
    assert failed
    for result in failed:
        assert f'<a href="#{result.rule}">{result.title}</a>' in box
    for text in report.relaxed_by:
        assert text in Page(box).text
    assert "J. Doe, on 2026-11-20" in sample[: sample.index('id="verdict"')]


def test_what_is_public_does_not_hide_behind_a_thousand_internal_addresses() -> None:
    report = reports.of_size(2000)
    page = render("html", report)
    table = page[page.index("The same as a table") : page.index("</table>", page.index("The same as a table"))]
    first = re.findall(r'data-label="To"><code>([^<]*)<', table)[:200]
    assert len(first) == 200
    assert not [where for where in first if where.startswith("10.")]
    assert page[page.index('id="egress"') :].index("93.0.0.") < page[page.index('id="egress"') :].index("10.0.")


def test_an_empty_map_says_whether_anybody_looked() -> None:
    report = replace(reports.compliant(), connections=())
    assert "Nothing left this host, or tried to, as far as it was seen." in Page(render("html", report)).text
    blind = replace(report, coverage=tuple(one for one in report.coverage if one.collector != "sockets"))
    for name in ("html", "markdown"):
        text = render(name, blind)
        assert "Nobody looked for connections in this run." in text
        assert "Nothing left this host" not in text
    assert "Outbound connections" not in Page(render("html", blind)).text


def test_a_rule_that_does_not_apply_is_named_below_its_reason(sample: str) -> None:
    page = Page(sample)
    moot = [result for result in reports.sample().results if result.outcome == "not_applicable"]
    named = [found for found in page.of("li") if found.get("data-outcome") == "not_applicable"]
    assert len(named) == len(moot) > 0
    for result in moot:
        assert result.reason[1:] in page.text


def test_it_ends_in_the_sheet_to_sign(sample: str) -> None:
    text = Page(sample[sample.index('id="sign-off"') :]).text
    report = reports.sample()
    for wanted in (report.policy.sha256, report.rules_sha256, report.tool.sha256, "jdoe", "J. Doe", *sign_off.LINES):
        assert wanted in text


def test_the_same_report_is_the_same_page(sample: str) -> None:
    assert render("html", reports.sample()) == sample
