"use strict";
(() => {
  // Without this script everything is shown; with it, the reader may narrow the list, and sort it. Nothing is loaded.
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const tools = document.querySelector(".tools");
  const control = name => tools.querySelector(`[name="${name}"]`);
  const said = tools.querySelector("output");
  const rules = all(".rule").map((element, order) => ({
    element, order,
    heading: element.querySelector("header").textContent.toLowerCase(),
    findings: all(".finding", element).map((item, index) => ({item, index, text: item.textContent.toLowerCase()})),
    list: element.querySelector("ol.findings"),
    rest: rest(element),
  }));
  const rows = all("#rules [data-outcome]").map(element => ({element, text: element.textContent.toLowerCase()}));

  function rest(element) {
    const place = element.querySelector("pre.lines");
    if (!place) return null;
    const shown = place.cloneNode(false);
    shown.classList.add("off");
    place.after(shown);
    let lines = null;
    return {place, shown, details: place.closest("details"), lines: () => (lines ??= place.textContent.split("\n"))};
  }

  function wanted() {
    return {
      text: control("text").value.trim().toLowerCase(), severity: control("severity").value,
      outcome: control("outcome").value, accepted: control("accepted").value,
    };
  }

  function fits(data, filter) {
    return (!filter.severity || data.severity === filter.severity) && (!filter.outcome || data.outcome === filter.outcome);
  }

  function accepts(kind, filter) {
    return !filter.accepted || (filter.accepted === "open" ? !kind : filter.accepted === "any" ? !!kind : kind === filter.accepted);
  }

  const kindOf = line => {
    const at = line.lastIndexOf("  [accepted: ");
    return at < 0 ? "" : line.startsWith("baseline of ", at + 13) ? "baseline" : "waiver";
  };

  function narrowRest(rule, filter, words) {
    const {place, shown, details, lines} = rule.rest;
    const everything = !words && !filter.accepted;
    const kept = everything ? lines() : lines().filter(
      line => accepts(kindOf(line), filter) && (!words || line.toLowerCase().includes(words)));
    place.classList.toggle("off", !everything);
    shown.classList.toggle("off", everything);
    shown.textContent = everything ? "" : kept.join("\n");
    details.classList.toggle("off", !kept.length);
    return kept.length;
  }

  function narrow() {
    const filter = wanted();
    let shown = 0, total = 0;
    for (const rule of rules) {
      const fit = fits(rule.element.dataset, filter);
      const words = rule.heading.includes(filter.text) ? "" : filter.text;
      let here = 0;
      for (const one of rule.findings) {
        const show = fit && accepts(one.item.dataset.accepted, filter) && (!words || one.text.includes(words));
        one.item.classList.toggle("off", !show);
        here += show;
      }
      total += rule.findings.length;
      if (rule.rest) {
        total += rule.rest.lines().length;
        if (fit) here += narrowRest(rule, filter, words);
      }
      rule.element.classList.toggle("off", !here);
      shown += here;
    }
    let plain = 0;
    for (const row of rows) {
      const show = fits(row.element.dataset, filter) && !filter.accepted && (!filter.text || row.text.includes(filter.text));
      row.element.classList.toggle("off", !show);
      plain += show;
    }
    for (const group of all("#rules dl > div")) group.classList.toggle("off", !group.querySelector("li:not(.off)"));
    const number = value => value.toLocaleString("en");
    said.textContent = `${number(shown)} of ${number(total)} findings, ${number(plain)} of ${number(rows.length)} rules without`;
  }

  function sort() {
    const by = control("sort").value;
    const name = rule => rule.element.dataset.rule;
    const orders = {
      severity: (a, b) => a.order - b.order,
      rule: (a, b) => (name(a) < name(b) ? -1 : 1),
      findings: (a, b) => b.element.dataset.findings - a.element.dataset.findings || a.order - b.order,
    };
    const within = {
      times: (a, b) => b.item.dataset.times - a.item.dataset.times || a.index - b.index,
      message: (a, b) => (a.item.dataset.message < b.item.dataset.message ? -1 : 1),
    };
    const anchor = document.querySelector("#rules-end");
    for (const rule of rules.slice().sort(orders[by] || orders.severity)) {
      anchor.before(rule.element);
      rule.list.append(...rule.findings.slice().sort(within[by] || ((a, b) => a.index - b.index)).map(one => one.item));
    }
  }

  function sortable(table) {
    const body = table.tBodies[0];
    all("thead th", table).forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        all("thead th", table).forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = row => row.cells[column]?.dataset.key ?? row.cells[column]?.textContent.trim() ?? "";
        const ordered = Array.from(body.rows).map(row => [key(row), row]).sort(
          ([a], [b]) => a.localeCompare(b, "en", {numeric: true}) * (down ? -1 : 1));
        body.append(...ordered.map(([, row]) => row));
      });
    });
  }

  let waiting = 0;
  control("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(narrow, 120); });
  for (const name of ["severity", "outcome", "accepted"]) control(name).addEventListener("change", narrow);
  control("sort").addEventListener("change", sort);
  tools.addEventListener("reset", () => setTimeout(() => { sort(); narrow(); }));
  tools.addEventListener("submit", event => event.preventDefault());
  all("table.sortable").forEach(sortable);
  tools.hidden = false;
  narrow();
})();
