// The data, of which only the texts that are shown are inflated; and the table of prompts. Data is only ever shown as text.

let data, texts, heads;  // columns; shelves of completions and of prompts; set when the page opens
const whole = new Promise((resolve) => { if (document.readyState === "loading") addEventListener("DOMContentLoaded", resolve); else resolve(); });

async function inflate(id) {
  if (!byId(id)?.nextElementSibling) await whole;  // the file is still being read
  const letters = atob(byId(id).textContent), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);  // many times as fast as Uint8Array.from
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// A long list in chunks; starts: the number of each chunk's first item.
function shelf(name, starts) {
  const held = new Map();
  const chunk = (place) => {
    if (held.size > 50) held.clear();
    if (!held.has(place)) held.set(place, inflate(`${name}-${place}`));
    return held.get(place);
  };
  return {
    async get(number) {
      const place = starts.findLastIndex((start) => start <= number);
      return (await chunk(place))[number - starts[place]];
    },
    // Calls found(item, number) for every item, a chunk at a time, as long as going(share done) says so.
    async each(found, going) {
      for (let place = 0; place < starts.length && going(place / starts.length); place++) (await chunk(place)).forEach((item, i) => found(item, starts[place] + i));
    },
  };
}

// ---- tables ------------------------------------------------------------------------------------------------------

// Shows rows `size` at a time, with a button for more; render(row) gives a node or a promise of it.
function lister(host, place, size, render, noun) {
  const status = el("p", { class: "muted", role: "status" }), more = el("button", { type: "button", onclick: () => add() }, "Show more");
  let rows = [], shown = 0, asked = 0;
  async function add() {
    const turn = ++asked, next = rows.slice(shown, shown + size), nodes = await Promise.all(next.map(render));
    if (turn !== asked) return;
    if (!shown) place.replaceChildren();
    place.append(...nodes);
    shown += next.length;
    status.textContent = rows.length ? `${shown.toLocaleString("en")} of ${plural(rows.length, noun)}` : `No ${noun} matches.`;
    more.hidden = shown >= rows.length;
  }
  host.append(el("div", { class: "pager" }, status, more));
  return { show: (found) => { rows = found; shown = 0; return add(); }, say: (text) => { asked++; status.textContent = text; } };
}

// A table whose heads sort it. columns: [[name, key(row), cell(row)], ...]; the first is the row's head. The roles keep
// it a table for screen readers where a narrow page shows its rows as cards.
function sortedTable(host, columns, label, size, noun) {
  let sort = null, down = false, rows = [];
  const headings = columns.map(([name], i) => el("th", { scope: "col", role: "columnheader" }, el("button", { type: "button", onclick: () => sortBy(i) }, name)));
  const body = el("tbody", { role: "rowgroup" });
  host.append(el("table", { class: "rows", role: "table", "aria-label": label }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, headings)), body));
  const draw = (row) => el("tr", { role: "row" }, columns.map(([name, , cell], i) => (i ? el("td", { role: "cell", "data-label": name }, cell(row)) : el("th", { scope: "row", role: "rowheader" }, cell(row)))));
  const list = lister(host, body, size, draw, noun);
  function sortBy(i) {
    down = sort === i && !down;
    sort = i;
    headings.forEach((head, h) => { if (h === i) head.setAttribute("aria-sort", down ? "descending" : "ascending"); else head.removeAttribute("aria-sort"); });
    update(rows);
  }
  function update(found) {
    rows = found;
    if (sort === null) return list.show(rows);
    return list.show(rows.map((row) => [columns[sort][1](row), row]).sort(([x], [y]) => {
      if (x === null || y === null) return (x === null) - (y === null);  // unknown stays last either way
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    }).map(([, row]) => row));
  }
  return update;
}

// A form of filters: update() whenever one changes, a moment after the last letter of a search.
function onFilter(form, update) {
  let waiting = 0;
  form.addEventListener("input", (event) => { clearTimeout(waiting); waiting = setTimeout(update, event.target.type === "search" ? 150 : 0); });
  form.addEventListener("submit", (event) => event.preventDefault());
}

// ---- prompts -----------------------------------------------------------------------------------------------------

function title(prompt, length) {
  return prompt < 0 ? "unknown prompt" : oneLine(data.prompts.head[prompt], length) || `prompt ${data.prompts.id[prompt]}`;
}

function groupLink(prompt, label, described) {
  return el("a", { href: `#prompt=${encodeURIComponent(data.prompts.id[prompt])}`, class: "open", "aria-label": described }, label);
}

// What is known of a prompt in one run, or null; `get` reads a column of it.
function factsOf(prompt, run) {
  const columns = data.prompts.of[run];
  return columns.rollouts[prompt] === null ? null : (name) => columns[name][prompt];
}

// Of the last run that knows it: that is what a reader wants to see first.
function lastFacts(prompt) {
  return factsOf(prompt, range(data.runs.length).findLast((run) => factsOf(prompt, run)));
}

function solved(facts) {
  if (!facts || facts("trials") === null) return ["–"];
  const aside = [facts("truncated") && `${facts("truncated")} truncated`, facts("unscored") && `${facts("unscored")} not judged`].filter(Boolean);
  return [`${facts("successes")} / ${facts("trials")}`, aside.length > 0 && el("small", {}, aside.join(", "))];
}

// k of n as an interval, with the rate as a dot and the chance rate as a tick.
function rateBar(facts) {
  if (!facts) return "–";
  const place = (p) => 4 + 88 * Math.min(1, Math.max(0, p)), [rate, low, high, chance] = ["rate", "low", "high", "chance"].map(facts);
  const label = rate === null ? "no pass rate" : `pass rate ${show(rate)}, ${low === null ? "no interval" : `interval ${show(low)} to ${show(high)}`}`;
  return intervalBar(label, 96, place, { low, high }, bandColor(facts("band")), rate, [svg("line", { class: "grid", x1: 4, x2: 92, y1: 9, y2: 9 }),
    ...(chance === null ? [] : [svg("line", { class: "chance", x1: place(chance), x2: place(chance), y1: 1, y2: 17 })])]);
}

// What the guard makes of a prompt: by this its sampler chooses, and its rewrite weighs.
function skill(facts) {
  if (!facts || facts("skill") === null) return "–";
  const percent = (name) => `${(100 * facts(name)).toFixed(0)}%`;
  return [facts("skill").toFixed(2), el("small", {}, `impossible ${percent("impossible")}`), el("small", {}, `luck ${percent("luck")}`)];
}

function decision(facts) {
  if (!facts) return "–";
  if (facts("decision") === "kept") return el("span", { class: "kept" }, "✓ kept");
  if (facts("decision") === "dropped") return el("span", { class: "dropped" }, "✕ dropped", facts("reason") && el("small", { title: facts("detail") }, words(facts("reason"))));
  return facts("status") !== "ok" ? words(facts("status")) : "–";
}

function bandName(facts) {
  return facts && facts("band") ? el("span", {}, bandKey(facts("band")), " ", facts("band")) : "–";
}

// Why one may doubt the verdicts on a prompt.
function oddness(prompt) {
  const reasons = data.prompts.of.map((columns) => columns.odd[prompt]).filter(Boolean);
  return reasons.length > 0 && el("small", { class: "dropped" }, `! ${reasons[0]}`);
}

function showPrompts(flags) {
  const { id, head, answer, of } = data.prompts;
  if (!id.length) return () => {};
  reveal("prompts");
  const form = byId("prompt-controls"), runs = range(data.runs.length), several = runs.length > 1;
  const has = (name) => of.some((columns) => columns[name].some((value) => value !== null));
  const per = (name, key, cell) => [name, (p) => key(lastFacts(p)), (p) => runs.map((run) => el("div", {}, cell(factsOf(p, run))))];
  if (several) byId("prompts").querySelector(".hint").append(` Each line of a cell is a run: ${data.runs.join(", ")}.`);
  if (has("skill")) byId("prompts").querySelector(".hint").append(` Skill is the judgement of ${[...new Set(data.judges.filter(Boolean))].join(", ")}.`);
  const decided = has("decision") || of.some((columns) => columns.status.some((status) => status && status !== "ok"));
  const [one, other] = [of[0], of[runs.length - 1]], change = (p) => (one.rate[p] === null || other.rate[p] === null ? null : other.rate[p] - one.rate[p]);
  const update = sortedTable(byId("prompt-table"), [
    ["Prompt", (p) => head[p].toLowerCase(), (p) => [groupLink(p, title(p, 110)), el("small", {}, answer[p] === null ? id[p] : `answer ${oneLine(answer[p], 40)}`), oddness(p)]],
    per("Solved", (facts) => facts("successes"), solved),
    per("Pass rate", (facts) => facts("rate"), rateBar),
    ...(several ? [["Change", change, (p) => signed(change(p))]] : []),
    ...(has("skill") ? [per("Skill", (facts) => facts("skill"), skill)] : []),
    ...(has("band") ? [per("Band", (facts) => (facts("band") ? BANDS.indexOf(facts("band")) : null), bandName)] : []),
    ...(decided ? [["Decision", (p) => `${lastFacts(p)("decision") || "~"} ${lastFacts(p)("reason") || ""}`, (p) => decision(lastFacts(p))]] : []),
    ["Findings", (p) => flags[p], (p) => (flags[p] ? String(flags[p]) : "–")],
  ], "Prompts", 25, "prompt");
  let searched = 0;
  async function refresh() {
    const query = form.query.value.trim().toLowerCase(), turn = ++searched;
    const found = query ? await searchPrompts(query, () => turn === searched) : null;
    if (turn === searched) update(range(id.length).filter((p) => (!found || found.has(p)) && (!chosen.prompts || chosen.one !== null || chosen.prompts.has(p))));
  }
  onFilter(form, refresh);
  return refresh;
}

// The prompts whose whole text, answer, id, band or decision holds what is searched for, in small letters.
async function searchPrompts(query, going) {
  const found = new Set(), { id, answer } = data.prompts;
  const told = (p) => ["band", "decision", "reason"].map((name) => lastFacts(p)(name) || "");
  await heads.each((text, p) => { if ([text, id[p], answer[p] || "", ...told(p).map(words)].some((own) => own.toLowerCase().includes(query))) found.add(p); }, going);
  return found;
}
