"""The HTML report in a real browser, which has nowhere to go and would say where it tried to."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from airgap_check.evidence.fact import Workload
from airgap_check.reporters import render
from tests import hostile_report, reports
from tests.live.browser import Browser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAID = "document.querySelector('.tools output').textContent"
SHOWN = "[...document.querySelectorAll('.finding')].filter(e => e.checkVisibility()).length"
TOTAL = sum(len(result.findings) for result in reports.sample().results)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render("html", reports.sample()))
    return path


@pytest.fixture
def browser(page: Path) -> Iterator[Browser]:
    with Browser() as opened:
        opened.open(page)
        yield opened


def asked(browser: Browser) -> list[str]:
    urls = [event["params"]["request"]["url"] for event in browser.happened("Network.requestWillBeSent")]
    return [url for url in urls if url != "about:blank"]


def complaints(browser: Browser) -> list[dict[str, object]]:
    return browser.happened("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")


def choose(browser: Browser, name: str, value: str) -> None:
    """Choose as a person at a keyboard does: the control gets the focus, the choice is made, the page is told."""
    browser.run(
        f"(e => {{ e.focus(); e.value = {json.dumps(value)}; "
        f"e.dispatchEvent(new Event('change', {{bubbles: true}})); }})(document.querySelector('[name={name}]'))"
    )


def test_it_opens_without_a_request_and_without_a_complaint(browser: Browser, page: Path) -> None:
    assert browser.run(SHOWN) == TOTAL
    assert asked(browser) == [page.as_uri()]
    assert complaints(browser) == []


def test_its_own_policy_stops_what_would_be_fetched(browser: Browser, page: Path) -> None:
    browser.run("document.body.append(Object.assign(new Image(), {src: 'http://203.0.113.9/pixel.png'}))")
    browser.run("fetch('http://203.0.113.9/').catch(() => 0)")
    browser.wait_for("document.images[0].complete")
    browser.run("new Promise(done => setTimeout(done, 200))")
    refused = json.dumps(complaints(browser))
    assert "Content Security Policy" in refused
    blocked = {event["params"].get("blockedReason") for event in browser.happened("Network.loadingFailed")}
    assert blocked <= {"csp"}
    assert not [url for url in asked(browser)[1:] if blocked != {"csp"}], page


def test_hostile_text_stays_text(browser: Browser) -> None:
    assert browser.run("document.scripts.length") == 1
    assert browser.run("document.links.length") == browser.run("document.querySelectorAll('a[href^=\"#\"]').length")
    assert "<script>alert(1)</script>" in browser.run("document.querySelector('#findings').textContent")
    assert not browser.happened("Page.javascriptDialogOpening")


def test_text_narrows_the_list(browser: Browser) -> None:
    browser.click("[name=text]")
    browser.write("10.6.6.6:9000")
    browser.wait_for(f"{SAID}.startsWith('1 of {TOTAL} ')")
    assert browser.run(SHOWN) == 1
    browser.click(".tools button[type=reset]")
    browser.wait_for(f"{SHOWN} === {TOTAL}")


@pytest.mark.parametrize("severity", ["critical", "high", "medium", "low"])
def test_severity_narrows_the_list(browser: Browser, severity: str) -> None:
    choose(browser, "severity", severity)
    number = sum(len(one.findings) for one in reports.sample().results if one.severity == severity)
    assert browser.run(SHOWN) == number > 0


def test_outcome_and_acceptance_narrow_the_list(browser: Browser) -> None:
    results = reports.sample().results
    findings = [finding for result in results for finding in result.findings]
    choose(browser, "outcome", "fail")
    assert browser.run(SHOWN) == sum(len(one.findings) for one in results if one.outcome == "fail")
    choose(browser, "outcome", "")
    accepted = sum(one.waived_by is not None for one in findings)
    for value, number in {
        "open": TOTAL - accepted,
        "any": accepted,
        "waiver": 1,
        "baseline": accepted - 1,
        "": TOTAL,
    }.items():
        choose(browser, "accepted", value)
        assert browser.run(SHOWN) == number, value
        assert browser.run(SAID).startswith(f"{number} of {TOTAL} findings")


def test_findings_are_sorted(browser: Browser) -> None:
    names = "[...document.querySelectorAll('.rule')].map(e => e.dataset.rule)"
    before = browser.run(names)
    choose(browser, "sort", "rule")
    assert browser.run(names) == sorted(before) != before
    choose(browser, "sort", "severity")
    assert browser.run(names) == before
    choose(browser, "sort", "times")
    times = browser.run("[...document.querySelector('.rule ol').children].map(e => +e.dataset.times)")
    assert times == sorted(times, reverse=True)


def test_a_click_on_a_heading_sorts_a_table_and_another_turns_it(browser: Browser) -> None:
    cells = "[...document.querySelectorAll('#egress tbody tr')].map(r => +r.cells[4].dataset.key)"
    button = "#egress th:nth-child(5) button"
    browser.click(button)
    assert browser.run(cells) == sorted(browser.run(cells))
    browser.click(button)
    assert browser.run(cells) == sorted(browser.run(cells), reverse=True)
    assert browser.run("document.querySelector('#egress th:nth-child(5)').ariaSort") == "descending"


def test_without_scripts_everything_is_there(page: Path) -> None:
    with Browser(scripts=False) as browser:
        browser.open(page)
        assert browser.run(SHOWN) == TOTAL
        assert browser.run("document.querySelector('.tools').checkVisibility()") is False
        assert browser.run("document.querySelectorAll('th button').length") == 0


def test_paper_shows_what_the_screen_has_narrowed_and_leaves_raw_records_to_other_formats(browser: Browser) -> None:
    browser.click("[name=text]")
    browser.write("10.6.6.6:9000")
    browser.wait_for(f"{SHOWN} === 1")
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run(SHOWN) == TOTAL
    assert (
        browser.run("[...document.querySelectorAll('pre, .tools, nav')].filter(e => e.checkVisibility()).length") == 0
    )
    assert browser.run("document.querySelector('#sign-off').checkVisibility()")


@pytest.mark.parametrize(("number", "most"), [(1, 12), (1000, 15), (20_000, 15)])
def test_a_printed_report_can_be_filed(number: int, most: int, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(render("html", reports.of_size(number)))
    with Browser() as browser:
        browser.open(path)
        printed = b64decode(browser.send("Page.printToPDF", preferCSSPageSize=True)["data"])
    pages = max(map(int, re.findall(rb"/Count ([0-9]+)", printed)))  # of the root; its branches have fewer
    assert 4 <= pages <= most


def test_a_report_made_of_attacks_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(render("html", hostile_report.hostile()))
    with Browser(width=400) as browser:
        browser.open(path)
        browser.run("new Promise(done => setTimeout(done, 300))")
        assert asked(browser) == [path.as_uri()]
        assert complaints(browser) == []
        assert not browser.happened(
            "Page.javascriptDialogOpening", "Page.frameAttached", "Page.frameRequestedNavigation"
        )
        assert browser.run("document.querySelectorAll('img, iframe, base, [onerror], [onload], [style]').length") == 0
        assert browser.run("[...document.links].every(a => a.getAttribute('href').startsWith('#'))")
        assert browser.run("document.documentElement.scrollWidth") <= 400
        choose(browser, "sort", "message")
        browser.click("[name=text]")
        browser.write(hostile_report.HOST)
        browser.wait_for(f"{SAID}.startsWith('{TOTAL} of {TOTAL} ')")
        assert asked(browser) == [path.as_uri()]


def test_a_keyboard_is_enough(browser: Browser) -> None:
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.className") == "skip"
    browser.press("Enter", 13)
    assert browser.run("location.hash") == "#findings"
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.name") == "text"
    browser.press("Tab", 9)
    assert browser.run("document.activeElement.name") == "severity"
    browser.run("document.querySelector('#egress th:nth-child(5) button').focus()")
    browser.press("Enter", 13)
    assert browser.run("document.querySelector('#egress th:nth-child(5)').ariaSort") == "ascending"
    browser.run("document.querySelector('.finding summary').focus()")
    browser.press("Enter", 13)
    assert browser.run("document.querySelector('.finding details').open")
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_reason_of_the_verdict_leads_to_its_rule(browser: Browser) -> None:
    browser.click("#verdict a")
    rule = browser.run("decodeURIComponent(location.hash.slice(1))")
    assert browser.run("document.querySelector('.rule').id") == rule


def test_a_rule_that_does_not_apply_is_found_and_its_reason_goes_with_the_last(browser: Browser) -> None:
    groups = "[...document.querySelectorAll('.moot > div')].filter(e => e.checkVisibility()).length"
    assert browser.run(groups) > 2
    browser.click("[name=text]")
    browser.write("bundle.checksum-mismatch")
    browser.wait_for(f"{SAID}.startsWith('0 of {TOTAL} ')")
    assert browser.run(groups) == 1
    choose(browser, "severity", "low")
    assert browser.run(groups) == 0


def test_a_narrow_window_needs_no_scrolling_sideways(page: Path) -> None:
    with Browser(width=400) as browser:
        browser.open(page)
        assert browser.run("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_enough(page: Path, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 against what is behind."""
    with Browser(scheme=scheme) as browser:
        browser.open(page)
        assert browser.run(_CONTRAST) == []


def test_a_large_report_still_opens_and_is_searched_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    path.write_text(render("html", reports.of_size(20_000)))
    with Browser() as browser:
        browser.open(path)
        assert browser.run(SAID).startswith("20,000 of 20,000 findings")
        browser.click("[name=text]")
        browser.write("tcp (SYN-SENT) 9999")
        browser.wait_for(f"{SAID}.startsWith('1 of 20,000 ')")
        assert "tcp (SYN-SENT) 9999" in browser.run("document.querySelector('pre.lines:not(.off)').textContent")


_CONTRAST = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = parts => parts.slice(0, 3).map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] > 250) return c; } return rgb("white"); };
  const low = new Set();
  for (const e of document.querySelectorAll("body *:not(svg *):not(option)")) {
    const text = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!text || !e.checkVisibility()) continue;
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) low.add(e.tagName + "." + e.className + " " + ((a + .05) / (b + .05)).toFixed(2));
  }
  return [...low];
})()"""


def test_no_name_in_a_drawing_is_cut_off_at_its_edge(tmp_path: Path) -> None:
    who = f"/machine_pool/{'8938bd80' * 4}"
    workload = Workload(kind="cgroup", id=who, name=who)
    report = reports.sample()
    longer = [replace(one, record=replace(one.record, workload=workload)) for one in report.connections]
    path = tmp_path / "report.html"
    path.write_text(render("html", replace(report, connections=tuple(longer))))
    with Browser() as browser:
        browser.open(path)
        names = browser.run(
            "[...document.querySelectorAll('#egress svg text')].map(e => [e.textContent, e.getBBox().x])"
        )
    assert [text for text, _ in names if "…" in text]
    assert not [(text, begin) for text, begin in names if begin < 0]
