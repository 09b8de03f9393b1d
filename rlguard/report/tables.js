// The data, of which only the texts that are shown are inflated; and tables of alarms, decisions and prompts. Data is
// only ever shown as text.

let data, texts, heads;  // columns; shelves of completions and of prompts; set when the page opens
const byId = (id) => document.getElementById(id);
const whole = new Promise((resolve) => { if (document.readyState === "loading") addEventListener("DOMContentLoaded", resolve); else resolve(); });

async function inflate(id) {
  let node = byId(id);
  if (!node || !node.nextElementSibling) {  // the file is still being read
    await whole;
    node = byId(id);
  }
  const letters = atob(node.textContent), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);  // many times as fast as Uint8Array.from
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// starts: the number of each chunk's first item.
function shelf(name, starts) {
  const held = new Map();  // the chunks used last
  async function chunk(place, keep = true) {
    let items = held.get(place);
    held.delete(place);
    if (!items) items = inflate(`${name}-${place}`);
    if (keep) held.set(place, items);
    if (held.size > 24) held.delete(held.keys().next().value);
    return items;
  }
  function placeOf(number) {
    let low = 0, high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= number) low = middle; else high = middle - 1;
    }
    return low;
  }
  return {
    async get(number) {
      const place = placeOf(number);
      return (await chunk(place))[number - starts[place]];
    },
    // Calls found(item, number) for every item, a chunk at a time, as long as going() says so.
    async each(found, going) {
      const fetch = (place) => (place < starts.length ? chunk(place, starts.length <= 24) : null);
      let coming = fetch(0);
      for (let place = 0; place < starts.length && going(place / starts.length); place++) {
        const items = await coming;
        coming = fetch(place + 1);  // is inflated while this one is read
        items.forEach((item, i) => found(item, starts[place] + i));
      }
    },
  };
}

// ---- tables ------------------------------------------------------------------------------------------------------

const reveal = (id) => { byId(id).hidden = false; };
const words = (name) => name.replaceAll("_", " ");
const range = (n) => Array.from({ length: n }, (_, i) => i);
const BANDS = ["impossible", "near-impossible", "learnable", "mastered", "unscored"];

function oneLine(text, length) {
  const points = Array.from(text.slice(0, length * 3).replace(/\s+/g, " ").trim());
  return points.length > length ? points.slice(0, length).join("") + "…" : points.join("");
}

function title(prompt, length) {
  return prompt < 0 ? "unknown prompt" : oneLine(data.prompts.head[prompt], length) || `prompt ${data.prompts.id[prompt]}`;
}

function groupLink(prompt, label, described) {
  return el("a", { href: `#prompt=${encodeURIComponent(data.prompts.id[prompt])}`, class: "open", "aria-label": described }, label);
}

function option(value, label) {
  return el("option", { value }, label || value);
}

// Pages through numbers: render(numbers) gives nodes, or a promise of them. `onPaper` rows are printed, for paper has
// no next page; 0 prints the page that is shown.
function pager(host, place, size, onPaper, render, noun) {
  const status = el("p", { class: "muted", role: "status" });
  const back = el("button", { type: "button", onclick: () => turn(-1) }, "← Previous");
  const next = el("button", { type: "button", onclick: () => turn(1) }, "Next →");
  const nav = el("nav", { class: "pager", "aria-label": `Pages of ${noun}s` }, back, status, next);
  let rows = [], page = 0, print = false, asked = 0;
  async function draw() {
    const first = print ? 0 : page * size, last = Math.min(rows.length, first + (print ? onPaper : size)), turn = ++asked;
    status.textContent = rows.length ? `${(first + 1).toLocaleString("en")}–${last.toLocaleString("en")} of ${plural(rows.length, noun)}` : `No ${noun} matches.`;
    back.disabled = page === 0;
    next.disabled = last >= rows.length;
    const nodes = render(rows.slice(first, last));
    if (nodes instanceof Promise) {
      place.setAttribute("aria-busy", "true");
      const ready = await nodes;
      if (turn !== asked) return;
      place.replaceChildren(...ready);
      place.removeAttribute("aria-busy");
    } else place.replaceChildren(...nodes);
  }
  function turn(by) {
    page += by;
    draw();
    host.scrollIntoView({ block: "start" });
  }
  if (onPaper) {
    addEventListener("beforeprint", () => { print = true; draw(); });
    addEventListener("afterprint", () => { print = false; draw(); });
  }
  host.append(nav);
  return { show: (found) => { rows = found; page = 0; return draw(); }, say: (text) => { asked++; status.textContent = text; } };
}

// A table whose heads sort it. columns: [[name, key(row), cell(row)], ...]; the first is the row's head.
function sortedTable(host, columns, label, kind, size, noun) {
  let sort = null, down = false, rows = [];
  const headings = columns.map(([name]) => el("th", { scope: "col", role: "columnheader" }, el("button", { type: "button", onclick: () => sortBy(name) }, name)));
  const body = el("tbody", { role: "rowgroup" });
  host.append(el("table", { class: kind, role: "table", "aria-label": label }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, headings)), body));
  const draw = (shown) => shown.map((row) => el("tr", { role: "row" }, columns.map(([name, , cell], i) => (i ? el("td", { role: "cell", "data-label": name }, cell(row)) : el("th", { scope: "row", role: "rowheader" }, cell(row))))));
  const pages = pager(host, body, size, 100, draw, noun);
  function sortBy(name) {
    down = sort === name ? !down : false;
    sort = name;
    headings.forEach((head, i) => {
      if (columns[i][0] === name) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    update(rows);
  }
  function update(found) {
    rows = found;
    const key = sort && columns.find(([name]) => name === sort)[1];
    if (!key) return pages.show(rows);
    return pages.show(rows.map((row) => [key(row), row]).sort(([x], [y]) => {
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

// Counts as a table whose bars are lengths on one scale; with two runs, a bar each.
function countBars(rows, caption, pick) {
  const top = Math.max(1, ...rows.flatMap((row) => row[1]));
  const several = rows.some((row) => row[1].length > 1);
  const bar = (n, run, kind) => svg("svg", { width: "100%", height: 12, "aria-hidden": "true" }, svg("rect", { class: kind || (several ? `run${run % 6}` : "plain"), width: `${(100 * n) / top}%`, height: 12, rx: 2 }));
  const heads = several && el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), data.runs.map((name, run) => el("th", { scope: "col", class: "number" }, name)), el("td", {})));
  return el("table", { class: "bars", "aria-label": caption }, heads, el("tbody", {}, rows.map(([name, counts, kind]) => el("tr", {},
    el("th", { scope: "row" }, pick ? el("button", { type: "button", onclick: () => pick(name) }, words(name)) : words(name)),
    counts.map((n) => el("td", { class: "number" }, n === null ? "–" : n.toLocaleString("en"))),
    el("td", { class: "bar" }, counts.map((n, run) => bar(n || 0, run, kind)))))));
}

// ---- alarms ------------------------------------------------------------------------------------------------------

function showAlarms(hasSteps) {
  if (!data.events.length) return;
  reveal("alarms");
  const several = new Set(data.events.map((event) => event.arm)).size > 1;
  const signs = { critical: "✕ critical", warning: "! warning" };
  const item = (event) => el("li", { class: event.severity === "critical" || event.severity === "note" ? event.severity : "" },
    el("b", {}, signs[event.severity] || event.severity), " ", el("span", { class: "muted" }, [several && event.arm, `step ${event.step}`, words(event.figure)].filter(Boolean).join(" · ")),
    el("p", {}, event.message), event.cause && el("p", { class: "advice" }, el("b", {}, "Usual cause: "), `${event.cause}. `, el("b", {}, "Do: "), event.do), hasSteps && el("a", { href: `#steps=${event.step - 1}..${event.step}` }, `Rollouts of step ${event.step}`));
  const listed = data.events.slice(0, 100), list = (events) => el("ul", { class: "alarms" }, events.map(item));
  const open = listed.filter((event) => event.severity !== "note").slice(0, 6), rest = listed.filter((event) => !open.includes(event));
  byId("alarm-list").append(open.length ? list(open) : el("p", {}, "No alarm."));
  if (rest.length) byId("alarm-list").append(el("details", {}, el("summary", {}, `${data.events.length - open.length} more alarms and notes${data.events.length > 100 ? `, of which ${rest.length} are shown` : ""}`), list(rest)));
}

// ---- kept and dropped --------------------------------------------------------------------------------------------

function showDecisions() {
  if (!data.filters.some(Boolean)) return;
  reveal("filter");
  const reasons = [...new Set(data.filters.flatMap((one) => (one ? one.reasons.map(([reason]) => reason) : [])))];
  const count = (reason) => data.filters.map((one) => (one ? (one.reasons.find(([own]) => own === reason) || [0, 0])[1] : null));
  const kept = data.filters.map((one) => (one ? one.kept : null)), several = data.filters.length > 1;
  byId("decisions").append(countBars([...(kept.some((n) => n !== null) ? [["kept", kept, several ? null : "band learnable"]] : []),
    ...reasons.map((reason) => [`dropped: ${reason}`, count(reason), several ? null : bandClass(reason)])], "Kept and dropped rows by reason"));
}

// ---- prompts -----------------------------------------------------------------------------------------------------

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

function rateBar(facts) {
  return facts ? intervalBar(Object.fromEntries(["rate", "low", "high", "chance", "band"].map((name) => [name, facts(name)]))) : "–";
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
  const { id, head, answer } = data.prompts;
  if (!id.length) return () => {};
  reveal("prompts");
  const form = byId("prompt-controls"), runs = range(data.runs.length), two = runs.length > 1;
  const has = (name) => data.prompts.of.some((columns) => columns[name].some((value) => value !== null));
  const bandOrder = (facts) => (facts && facts("band") ? BANDS.indexOf(facts("band")) : null);
  const per = (name, key, cell) => runs.map((run) => [two ? `${name} ${run + 1}` : name, (p) => { const facts = factsOf(p, run); return facts && key(facts); }, (p) => cell(factsOf(p, run))]);
  const column = (name, read) => [name, (p) => read(lastFacts(p)), (p) => { const value = read(lastFacts(p)); return typeof value === "number" ? show(value) : value ?? "–"; }];
  const update = sortedTable(byId("prompt-table"), [
    ["Prompt", (p) => head[p].toLowerCase(), (p) => [groupLink(p, title(p, 110)), el("small", {}, answer[p] === null ? id[p] : `answer ${oneLine(answer[p], 40)}`), oddness(p)]],
    ...per("Solved", (facts) => facts("successes"), solved),
    ...per("Pass rate", (facts) => facts("rate"), rateBar),
    ...(two ? [["Change", (p) => change(p), (p) => { const value = change(p); return value === null ? "–" : `${value < 0 ? "−" : "+"}${show(Math.abs(value))}`; }]] : has("chance") ? [column("Chance", (facts) => facts("chance"))] : []),
    ...(has("band") ? [["Band", (p) => bandOrder(lastFacts(p)), (p) => (two ? runs.map((run) => el("div", {}, bandName(factsOf(p, run)))) : bandName(lastFacts(p)))]] : []),
    ...(has("decision") || data.prompts.of.some((columns) => columns.status.some((status) => status && status !== "ok")) ? [["Decision", (p) => `${lastFacts(p)("decision") || "~"} ${lastFacts(p)("reason") || ""}`, (p) => decision(lastFacts(p))]] : []),
    ["Findings", (p) => flags[p], (p) => (flags[p] ? String(flags[p]) : "–")],
  ], "Prompts", "prompts", 25, "prompt");
  const [one, other] = [0, runs.length - 1].map((run) => data.prompts.of[run]);
  const change = (p) => (one.rate[p] === null || other.rate[p] === null ? null : other.rate[p] - one.rate[p]);

  const tally = (name) => range(id.length).reduce((counts, p) => { const value = lastFacts(p)(name); return value ? counts.set(value, (counts.get(value) || 0) + 1) : counts; }, new Map());
  form.band.append(...[...tally("band")].sort(([a], [b]) => BANDS.indexOf(a) - BANDS.indexOf(b)).map(([band, n]) => option(band, `${band} (${n})`)));
  form.decision.append(...[...tally("decision")].map(([name, n]) => option(name, `${name} (${n})`)));
  for (const select of [form.band, form.decision]) select.parentElement.hidden = select.options.length < 2;
  let searched = 0;
  async function refresh() {
    const query = form.query.value.trim().toLowerCase(), turn = ++searched;
    const found = query ? await searchPrompts(query, () => turn === searched) : null;
    if (turn !== searched) return;
    update(range(id.length).filter((p) => (!found || found.has(p)) && (!chosen.prompts || chosen.prompts.has(p))
      && (!form.band.value || lastFacts(p)("band") === form.band.value) && (!form.decision.value || lastFacts(p)("decision") === form.decision.value)));
  }
  onFilter(form, refresh);
  return refresh;
}

// The prompts whose whole text, answer or id holds what is searched for, in small letters.
async function searchPrompts(query, going) {
  const found = new Set(), { id, answer } = data.prompts;
  await heads.each((text, p) => { if (text.toLowerCase().includes(query) || id[p].toLowerCase().includes(query) || (answer[p] || "").toLowerCase().includes(query)) found.add(p); }, going);
  return found;
}
