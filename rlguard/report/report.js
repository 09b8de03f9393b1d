// Tables, findings, the group view and the addresses that open them. Data is only ever shown as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const reveal = (id) => { byId(id).hidden = false; };
const words = (name) => name.replaceAll("_", " ");

const prompts = data.prompts;
const promptOf = new Map(prompts.map((prompt) => [prompt.id, prompt]));
const textsOf = new Map();
data.texts.forEach((text) => {
  const id = text.prompt;
  if (id === null) return;
  if (!textsOf.has(id)) textsOf.set(id, []);
  textsOf.get(id).push(text);
});
const knownIds = [...new Set([...promptOf.keys(), ...textsOf.keys()])];
const flagsOf = new Map(knownIds.map((id) => [id, (textsOf.get(id) || []).reduce((sum, text) => sum + text.findings.length, 0)]));

function oneLine(text, length) {
  const points = Array.from(text.slice(0, length * 3).replace(/\s+/g, " ").trim());
  return points.length > length ? points.slice(0, length).join("") + "…" : points.join("");
}

function title(id) {
  const known = promptOf.get(id);
  const text = known && known.text ? known.text : ((textsOf.get(id) || []).find((t) => t.question) || { question: "" }).question;
  return text || `prompt ${id}`;
}

function groupLink(id, label, described) {
  return el("a", { href: `#prompt=${encodeURIComponent(id)}`, class: "open", "aria-label": described }, label);
}

// ---- paging: rows in, a page of nodes out ------------------------------------------------------------------------

// `onPaper` rows are printed, for paper has no next page; the line of counts says how many that is.
function pager(host, size, onPaper, render, noun) {
  const status = el("p", { class: "muted", role: "status" });
  const back = el("button", { type: "button", onclick: () => turn(-1) }, "← Previous");
  const next = el("button", { type: "button", onclick: () => turn(1) }, "Next →");
  const nav = el("nav", { class: "pager", "aria-label": `Pages of ${noun}s` }, back, status, next);
  let rows = [], page = 0, print = false;
  function draw() {
    const first = print ? 0 : page * size, last = Math.min(rows.length, first + (print ? onPaper : size));
    render(rows.slice(first, last));
    status.textContent = rows.length ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${plural(rows.length, noun)}` : `No ${noun} matches.`;
    back.disabled = page === 0;
    next.disabled = last >= rows.length;
  }
  function turn(by) {
    page += by;
    draw();
    host.scrollIntoView({ block: "start" });
  }
  addEventListener("beforeprint", () => { print = true; draw(); });
  addEventListener("afterprint", () => { print = false; draw(); });
  host.append(nav);
  return (found) => { rows = found; page = 0; draw(); };
}

function option(value, label) {
  return el("option", { value }, label || value);
}

// ---- prompts -----------------------------------------------------------------------------------------------------

const COLUMNS = [
  ["Prompt", (row) => row.text.toLowerCase()],
  ["Solved", (row) => row.successes],
  ["Pass rate", (row) => row.rate],
  ["Chance", (row) => row.chance],
  ["Band", (row) => ["impossible", "near-impossible", "learnable", "mastered"].indexOf(row.band)],
  ["Decision", (row) => `${row.decision || "~"} ${row.reason || ""}`],
  ["Findings", (row) => flagsOf.get(row.id)],
];

function solved(row) {
  const parts = [row.trials === null ? "–" : `${row.successes} / ${row.trials}`];
  const aside = [row.truncated && `${row.truncated} truncated`, row.unscored && `${row.unscored} not judged`].filter(Boolean);
  if (aside.length) parts.push(el("small", {}, aside.join(", ")));
  return parts;
}

function decision(row) {
  if (row.decision === "kept") return el("span", { class: "kept" }, "✓ kept");
  if (row.decision === "dropped") return el("span", { class: "dropped" }, "✕ dropped", row.reason && el("small", { title: row.detail }, words(row.reason)));
  return row.status !== "ok" ? words(row.status) : "–";
}

function promptRow(row) {
  const cell = (name, ...children) => el("td", { role: "cell", "data-label": name }, children);
  const flags = flagsOf.get(row.id);
  return el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader" }, groupLink(row.id, oneLine(title(row.id), 110)), el("small", {}, row.answer === null ? row.id : `answer ${oneLine(row.answer, 40)}`)),
    cell("Solved", solved(row)), cell("Pass rate", intervalBar(row)), cell("Chance", show(row.chance)),
    cell("Band", row.band ? el("span", {}, bandKey(row.band), " ", row.band) : "–"), cell("Decision", decision(row)), cell("Findings", flags ? String(flags) : "–"));
}

function showPrompts() {
  if (!prompts.length) return;
  reveal("prompts");
  let sort = null, down = false;
  const heads = COLUMNS.map(([name]) => el("th", { scope: "col", role: "columnheader" }, el("button", { type: "button", onclick: () => sortBy(name) }, name)));
  const body = el("tbody", { role: "rowgroup" });
  const host = byId("prompt-table");
  host.append(el("table", { class: "prompts", role: "table", "aria-label": "Prompts" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)), body));
  const form = byId("prompt-controls");
  form.band.append(...data.bands.map(([band, n]) => option(band, `${band} (${n})`)));
  const decisions = [...new Set(prompts.map((row) => row.decision).filter(Boolean))].sort();
  form.decision.append(...decisions.map((value) => option(value)));
  if (!decisions.length) form.decision.parentElement.hidden = true;
  const turnTo = pager(host, 25, 500, (rows) => body.replaceChildren(...rows.map(promptRow)), "prompt");
  const haystack = new Map(prompts.map((row) => [row, `${row.text}\n${row.answer || ""}\n${row.id}\n${row.reason || ""}`.toLowerCase()]));

  function sortBy(name) {
    down = sort === name ? !down : false;
    sort = name;
    heads.forEach((head, i) => {
      if (COLUMNS[i][0] === name) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    update();
  }
  function update() {
    const query = form.query.value.trim().toLowerCase();
    const rows = prompts.filter((row) => (!query || haystack.get(row).includes(query)) && (!form.band.value || row.band === form.band.value) && (!form.decision.value || row.decision === form.decision.value));
    const key = sort && COLUMNS.find(([name]) => name === sort)[1];
    if (key) {
      rows.sort((a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null);  // unknown stays last either way
        return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
      });
    }
    turnTo(rows);
  }
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

// ---- text with its spans -----------------------------------------------------------------------------------------

// `number` is the finding in question (null: all alike); `around` keeps that many characters either side of it.
function marked(text, number, around) {
  if (text.parts === null) return el("p", { class: "muted" }, "The completion is not in this run.");
  const hit = text.parts.findIndex((part) => part.marks.includes(number));
  const last = text.parts.findLastIndex((part) => part.marks.includes(number));
  const nodes = text.parts.map((part, i) => {
    let content = part.omitted ? [part.text, el("em", { class: "omitted" }, ` … ${plural(part.omitted, "character")} not embedded … `), part.tail] : [part.text];
    if (around && hit >= 0 && (i < hit || i > last)) {
      const points = Array.from(part.text + (part.tail || ""));
      if (i < hit - 1 || i > last + 1) return null;
      if (points.length > around) content = i < hit ? ["… " + points.slice(-around).join("")] : [points.slice(0, around).join("") + " …"];
      else content = [i < hit && hit > 1 ? "… " : "", points.join(""), i > last && last < text.parts.length - 2 ? " …" : ""];
    }
    if (!part.marks.length) return content;
    return el("mark", { class: number === null || part.marks.includes(number) ? "strong" : "faint" }, content);
  });
  return el("div", { class: "completion", dir: "auto", tabindex: 0, role: "region", "aria-label": "Completion" }, nodes);
}

function outcome(text) {
  if (text.outcome === 1) return el("span", { class: "kept" }, "✓ correct");
  if (text.outcome === 0) return el("span", { class: "dropped" }, "✕ wrong");
  return el("span", { class: "muted" }, text.outcome === null ? "? not judged" : `outcome ${show(text.outcome)}`);
}

function facts(text) {
  return [
    text.step !== null && `step ${text.step}`,
    text.answer !== null && `answer ${oneLine(text.answer, 60)}`,
    text.tokens !== null && plural(text.tokens, "token"),
    text.truncated && "truncated",
  ].filter(Boolean).join(" · ");
}

function ratio(finding) {
  return finding.ratio === null ? null : el("span", { class: "muted", title: "How much likelier this is in a genuine success than in a lucky one; below 1 speaks for luck" }, ` likelihood ratio ${show(finding.ratio)}`);
}

// ---- findings ----------------------------------------------------------------------------------------------------

function findingCard(number) {
  const finding = data.findings[number], text = data.texts[finding.text], id = text.prompt;
  const short = () => marked(text, number, 240);
  const holder = el("div", {}, short());
  const cut = text.parts && (text.parts.length > 3 || text.parts.some((part) => !part.marks.includes(number) && part.text.length > 240));
  const more = el("button", { type: "button", "aria-expanded": "false", onclick: () => {
    const open = more.getAttribute("aria-expanded") === "true";
    more.setAttribute("aria-expanded", String(!open));
    more.textContent = open ? "Whole completion" : "Only the span";
    holder.replaceChildren(open ? short() : marked(text, number));
  } }, "Whole completion");
  return el("article", { class: "finding" },
    el("h3", {}, words(finding.kind), finding.severity === "error" && el("span", { class: "severity" }, "error"), ratio(finding)),
    el("p", {}, finding.reason),
    holder,
    el("p", { class: "foot" }, outcome(text), el("span", { class: "muted" }, facts(text)),
      id !== null && groupLink(id, oneLine(title(id), 60), `Open the group of ${oneLine(title(id), 60)}`), cut && more));
}

// Counts as a table whose bars are lengths on one scale.
function countBars(rows, caption, pick) {
  const top = Math.max(1, ...rows.map((row) => row[1]));
  return el("table", { class: "bars", "aria-label": caption }, el("tbody", {}, rows.map(([name, n, kind]) => el("tr", {},
    el("th", { scope: "row" }, pick ? el("button", { type: "button", onclick: () => pick(name) }, words(name)) : words(name)),
    el("td", { class: "number" }, n.toLocaleString("en")),
    el("td", { class: "bar" }, svg("svg", { width: "100%", height: 12, "aria-hidden": "true" }, svg("rect", { class: kind || "plain", width: `${(100 * n) / top}%`, height: 12, rx: 2 })))))));
}

function showFindings() {
  if (data.kinds === null) return;
  reveal("findings");
  const form = byId("finding-controls"), host = byId("finding-list");
  if (!data.findings.length) {
    byId("kinds").append(el("p", {}, "No completion shows a known shortcut."));
    form.hidden = true;
    return;
  }
  byId("kinds").append(countBars(data.kinds, "Findings by kind", (kind) => { form.kind.value = kind; update(); }));
  form.kind.append(...data.kinds.map(([kind, n]) => option(kind, `${words(kind)} (${n})`)));
  const severities = [...new Set(data.findings.map((finding) => finding.severity))].sort();
  form.severity.append(...severities.map((value) => option(value)));
  if (severities.length < 2) form.severity.parentElement.hidden = true;
  const list = el("div", { class: "cards" });
  host.append(list);
  const turnTo = pager(host, 10, 30, (numbers) => list.replaceChildren(...numbers.map(findingCard)), "finding");
  const haystack = data.findings.map((finding) => {
    const text = data.texts[finding.text];
    return `${finding.reason}\n${text.prompt}\n${(text.parts || []).map((part) => part.text).join("")}`.toLowerCase();
  });
  // Strongest evidence of luck first.
  const order = data.findings.map((_, i) => i).sort((a, b) => (data.findings[a].ratio ?? 1) - (data.findings[b].ratio ?? 1));
  function update() {
    const query = form.query.value.trim().toLowerCase();
    turnTo(order.filter((i) => (!query || haystack[i].includes(query)) && (!form.kind.value || data.findings[i].kind === form.kind.value) && (!form.severity.value || data.findings[i].severity === form.severity.value)));
  }
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
}

// ---- one group: the rollouts of a prompt side by side ------------------------------------------------------------

const SHOWN = [
  ["All", () => true],
  ["Correct", (text) => text.outcome === 1],
  ["Wrong", (text) => text.outcome === 0],
  ["Not judged", (text) => text.outcome === null],
  ["Flagged", (text) => text.findings.length > 0],
];

function rolloutCard(text) {
  return el("article", { class: "rollout" },
    el("h3", {}, text.index === null ? "completion" : `#${text.index}`, " ", outcome(text)),
    el("p", { class: "muted" }, facts(text)),
    marked(text, null),
    text.findings.length > 0 && el("ul", { class: "reasons" }, text.findings.map((n) => el("li", {}, el("b", {}, words(data.findings[n].kind)), ` ${data.findings[n].reason}`, ratio(data.findings[n])))));
}

function groupSummary(row) {
  if (!row) return el("p", { class: "muted" }, "This prompt is not among the listed pass rates.");
  const said = [row.answer !== null && ["Gold answer", oneLine(row.answer, 120)], ["Solved", solved(row)], ["Pass rate", intervalBar(row)],
    row.low !== null && ["Interval", `${show(row.low)} to ${show(row.high)}`], ["Chance rate", show(row.chance)],
    row.band && ["Band", [bandKey(row.band), " ", row.band]], row.decision && ["Decision", decision(row)], row.detail && ["Why", row.detail]].filter(Boolean);
  return el("dl", { class: "summary" }, said.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function drawGroup(dialog, id) {
  const row = promptOf.get(id), texts = (textsOf.get(id) || []).slice().sort((a, b) => (a.step ?? -1) - (b.step ?? -1) || a.index - b.index);
  const place = knownIds.indexOf(id), grid = el("div", { class: "group" });
  const step = (by, label) => el("button", { type: "button", disabled: !knownIds[place + by], onclick: () => { location.hash = `prompt=${encodeURIComponent(knownIds[place + by])}`; } }, label);
  const tabs = SHOWN.map(([name, test]) => [name, texts.filter(test)]).filter(([name, own]) => name === "All" || own.length)
    .map(([name, own]) => el("button", { type: "button", "aria-pressed": "false", onclick: (event) => pick(event.currentTarget, own) }, `${name} ${own.length}`));
  function pick(button, own) {
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab === button)));
    grid.replaceChildren(...own.map(rolloutCard));
  }
  const missing = row ? row.rollouts - texts.filter((text) => text.step === null).length : 0;
  dialog.replaceChildren(
    el("div", { class: "bar-top" }, step(-1, "← Previous prompt"), step(1, "Next prompt →"), el("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close")),
    el("h2", { id: "group-heading", tabindex: -1, dir: "auto" }, title(id), row && row.omitted ? ` … ${plural(row.omitted, "character")} not embedded` : ""),
    groupSummary(row),
    texts.length ? el("div", { class: "tabs", role: "group", "aria-label": "Rollouts shown" }, tabs) : el("p", { class: "muted" }, "No rollout of this prompt is in this page."),
    missing > 0 && texts.length ? el("p", { class: "muted" }, `${plural(missing, "more rollout")} of this prompt in the run, not embedded here.`) : "", grid);
  pick(tabs[0], texts);
}

function followAddress() {
  const dialog = byId("group"), found = /^#prompt=(.*)$/.exec(location.hash);
  let id = null;
  try { id = found && decodeURIComponent(found[1]); } catch { /* a broken address opens nothing */ }
  if (id === null || !knownIds.includes(id)) {
    if (dialog.open) dialog.close();
    return;
  }
  drawGroup(dialog, id);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("group-heading").focus();
}

// ---- the other sections ------------------------------------------------------------------------------------------

function showRates() {
  if (!data.bins.length) return;
  reveal("rates");
  byId("bands").append(...data.bands.map(([band, n]) => el("li", {}, el("button", { type: "button", onclick: () => {
    byId("prompt-controls").band.value = band;
    byId("prompt-controls").dispatchEvent(new Event("input"));
    byId("prompts").scrollIntoView();
  } }, bandKey(band), ` ${band} `, el("b", {}, String(n))))));
  drawHistogram(byId("histogram"), data.bins, data.bands);
}

function showDecisions() {
  if (data.kept === null && data.reasons === null) return;
  reveal("filter");
  const rows = data.kept === null ? [] : [["kept", data.kept, "band learnable"]];
  const reasons = (data.reasons || []).map(([reason, n]) => [`dropped: ${reason}`, n, bandClass(reason)]);
  byId("decisions").append(countBars([...rows, ...reasons], "Kept and dropped rows by reason"));
}

function showTraining() {
  const { arms, metrics } = data.training;
  if (!arms.length) return;
  reveal("training");
  byId("arms").append(...arms.map((arm) => el("li", {}, armKey(arm.style), ` ${arm.name}`)));
  const first = metrics.filter((metric) => metric.first), rest = metrics.filter((metric) => !metric.first);
  const add = (host, list, height) => list.forEach((metric) => {
    const [figure, start] = drawCurves(metric, arms, height);
    host.append(figure);
    start();
  });
  add(byId("charts"), first, 230);
  if (rest.length) {
    const more = byId("more-metrics");
    more.hidden = false;
    more.firstElementChild.append(` (${rest.length})`);
    more.addEventListener("toggle", () => { if (more.open && !more.lastElementChild.children.length) add(more.lastElementChild, rest, 190); });
  }
  const names = [...new Set(arms.flatMap((arm) => arm.config.map(([name]) => name)))];
  if (names.length) {
    reveal("configs");
    const of = (arm, name) => (arm.config.find(([own]) => own === name) || [null, "–"])[1];
    byId("configs").lastElementChild.append(dataTable("Settings of the arms", ["setting", ...arms.map((arm) => arm.name)], names.map((name) => [name, ...arms.map((arm) => of(arm, name))])));
  }
}

showTraining();
showRates();
showDecisions();
showPrompts();
showFindings();
byId("group").addEventListener("close", () => {
  // Leave the page where it was: an address without the prompt, and no jump to the top.
  if (location.hash.startsWith("#prompt=")) history.replaceState(null, "", location.pathname + location.search);
});
addEventListener("hashchange", followAddress);
followAddress();
