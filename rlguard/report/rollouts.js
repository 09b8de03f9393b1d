// Completions with the spans of their findings: the browser of all of them, and the group of one prompt.

// What a plot's point has chosen: {label, prompts: a set or null, steps: [after, to] or null}.
let chosen = { label: "", prompts: null, steps: null };

// [answer, text or its pieces, findings] of a completion, as objects.
async function fetchText(number) {
  const [answer, text, found] = await texts.get(number);
  return { answer, parts: typeof text === "string" ? [[text, []]] : text, findings: found.map(([kind, reason, ratio, severity]) => ({ kind, reason, ratio, severity })) };
}

// A completion in a box that scrolls, with the first of its marks in view.
function marked({ parts }) {
  if (parts === null) return el("p", { class: "muted" }, "The completion is not in this run.");
  const box = el("div", { class: "completion", dir: "auto", tabindex: 0, role: "group", "aria-label": "Completion" }, parts.map(([text, marks, omitted, tail]) => [
    marks.length ? el("mark", {}, text) : text, omitted && [el("em", { class: "omitted" }, ` … ${plural(omitted, "character")} not embedded … `), tail]]));
  requestAnimationFrame(() => { box.scrollTop = Math.max(0, (box.querySelector("mark")?.offsetTop ?? 0) - box.clientHeight / 2); });
  return box;
}

function outcome(value) {
  if (value === 1) return el("span", { class: "kept" }, "✓ correct");
  if (value === 0) return el("span", { class: "dropped" }, "✕ wrong");
  return el("span", { class: "muted" }, value === null ? "? not judged" : `outcome ${show(value)}`);
}

// Where a rollout comes from, as far as there is a choice.
function origin(run, source) {
  return [...new Set([data.runs.length > 1 && data.runs[run], data.sources.length > data.runs.length && data.sources[source]])].filter(Boolean).join(": ");
}

function facts(number, text) {
  const r = data.rollouts, shown = (name, label) => r[name][number] !== null && `${label} ${show(r[name][number])}`;
  return [
    origin(r.run[number], r.source[number]),
    r.step[number] !== null && `step ${r.step[number]}`,
    text.answer !== null && `answer ${oneLine(text.answer, 60)}`,
    r.reward[number] !== r.outcome[number] && shown("reward", "reward"), shown("weight", "weight"), shown("advantage", "advantage"),
    r.tokens[number] !== null && plural(r.tokens[number], "token"),
    r.truncated[number] && "truncated",
  ].filter(Boolean).join(" · ");
}

function reasons(text) {
  const ratio = (one) => one.ratio !== null && el("span", { class: "muted", title: "How much likelier this is in a genuine success than in a lucky one; below 1 speaks for luck" }, ` likelihood ratio ${show(one.ratio)}`);
  return text.findings.length > 0 && el("ul", { class: "reasons" }, text.findings.map((one) => el("li", {}, el("b", {}, words(one.kind)), one.severity === "error" && el("span", { class: "severity" }, "error"), ` ${one.reason}`, ratio(one))));
}

// ---- the browser -------------------------------------------------------------------------------------------------

async function browsedCard(number) {
  const text = await fetchText(number), prompt = data.rollouts.prompt[number];
  return el("article", { class: "finding" },
    el("h3", {}, prompt < 0 ? title(prompt, 90) : groupLink(prompt, title(prompt, 90), `Open the group of ${title(prompt, 60)}`)),
    el("p", { class: "foot" }, outcome(data.rollouts.outcome[number]), el("span", { class: "muted" }, facts(number, text))),
    reasons(text), marked(text));
}

// Names, the column without which an order says nothing, and the key.
const ORDERS = [
  ["correct with a finding first", "kinds", (r, i) => (r.kinds[i] ? (r.outcome[i] === 1 ? 0 : 10) + Math.min(9, r.ratio[i] ?? 1) : Infinity)],
  ["by prompt", "prompt", null],
  ["last step first", "step", (r, i) => -(r.step[i] ?? -1)],
  ["longest first", "characters", (r, i) => -r.characters[i]],
  ["shortest first", "characters", (r, i) => r.characters[i]],
  ["least weight first", "weight", (r, i) => r.weight[i] ?? Infinity],
  ["highest reward first", "reward", (r, i) => -(r.reward[i] ?? -Infinity)],
];

// The completions that hold what is searched for, in small letters, in their text, answer, findings or prompt.
async function searchRollouts(query, going) {
  const asked = await searchPrompts(query, going), found = new Set();
  const holds = (text) => (text || "").toLowerCase().includes(query);
  await texts.each(([answer, text, findings], i) => {
    const own = typeof text === "string" || text === null ? text : text.map(([piece, , , tail]) => piece + (tail || "")).join("");
    if (asked.has(data.rollouts.prompt[i]) || holds(own) || holds(answer) || findings.some(([kind, reason]) => holds(words(kind)) || holds(reason))) found.add(i);
  }, going);
  return found;
}

// The choices of the form, those that would choose nothing left out.
function fillRolloutForm(form, kinds) {
  const r = data.rollouts, pairs = [...new Set(range(r.run.length).map((i) => `${r.run[i]} ${r.source[i]}`))].sort();
  form.kind.append(...kinds.map((kind) => option(`kind ${kind}`, words(kind))));
  form.kind.parentElement.hidden = !kinds.length;
  form.source.append(...pairs.map((pair) => option(pair, origin(...pair.split(" ")))));
  form.source.parentElement.hidden = pairs.length < 2;
  form.sort.append(...ORDERS.filter(([, column]) => r[column].some((value) => value !== null)).map(([name]) => option(name)));
  form.sort.value = kinds.length ? "correct with a finding first" : "by prompt";
}

// Whether the form and what a plot has chosen let a rollout through.
function passes(form, kinds, i) {
  const r = data.rollouts, kind = form.kind.value;
  if (chosen.prompts && !chosen.prompts.has(r.prompt[i])) return false;
  if (chosen.steps && !(r.step[i] !== null && r.step[i] > chosen.steps[0] && r.step[i] <= chosen.steps[1])) return false;
  if (form.outcome.value && String(r.outcome[i]) !== form.outcome.value) return false;
  if (form.source.value && form.source.value !== `${r.run[i]} ${r.source[i]}`) return false;
  if (kind === "any" || kind === "none") return Boolean(r.kinds[i]) === (kind === "any");
  return !kind || (r.kinds[i] || []).some((k) => `kind ${kinds[k]}` === kind);
}

function showRollouts() {
  const r = data.rollouts, count = r.prompt.length, form = byId("rollout-controls"), kinds = (data.kinds || []).map(([kind]) => kind);
  if (!count) return () => {};
  reveal("rollouts");
  if (kinds.length) byId("kinds").append(countBars(data.kinds.map(([kind, counts]) => [words(kind), counts.map((n) => [["", n]]), kind]), "Findings by kind", (kind) => { form.kind.value = `kind ${kind}`; refresh(); }));
  else if (data.kinds) byId("kinds").append(el("p", {}, "No completion shows a known shortcut."));
  fillRolloutForm(form, kinds);
  const host = byId("rollout-list"), list = el("div", { class: "cards" });
  host.append(list);
  const pages = lister(host, list, 10, browsedCard, "rollout");
  let searched = 0;
  async function refresh() {
    const query = form.query.value.trim().toLowerCase(), turn = ++searched;
    const going = (done) => { if (turn === searched && done) pages.say(`Searching … ${Math.round(100 * done)}%`); return turn === searched; };
    const found = query ? await searchRollouts(query, going) : null;
    if (turn !== searched) return;
    const rows = range(count).filter((i) => (!found || found.has(i)) && passes(form, kinds, i)), [, , key] = ORDERS.find(([name]) => name === form.sort.value);
    if (key) rows.sort((a, b) => key(r, a) - key(r, b) || 0);  // two infinities differ by NaN
    await pages.show(rows);
  }
  onFilter(form, refresh);
  return refresh;
}

// ---- one group: the rollouts of a prompt side by side ------------------------------------------------------------

async function groupCard(number) {
  const text = await fetchText(number), index = data.rollouts.index[number];
  return el("article", { class: "rollout" },
    el("h3", {}, index === null ? "rollout" : `#${index}`, " ", outcome(data.rollouts.outcome[number])),
    el("p", { class: "muted" }, facts(number, text)), marked(text), reasons(text));
}

function groupSummary(prompt, run) {
  const of = factsOf(prompt, run), answer = data.prompts.answer[prompt];
  if (!of) return el("p", { class: "muted" }, `${data.runs[run]} does not have this prompt.`);
  const said = [data.runs.length > 1 && ["Run", data.runs[run]], answer !== null && ["Gold answer", oneLine(answer, 120)], ["Solved", solved(of)], ["Pass rate", rateBar(of)],
    of("low") !== null && ["Interval", `${show(of("low"))} to ${show(of("high"))}`], of("chance") !== null && ["Chance rate", show(of("chance"))],
    of("odd") && ["Look at", of("odd")], of("band") && ["Band", bandName(of)], of("decision") && ["Decision", decision(of)], of("detail") && ["Why", of("detail")]].filter(Boolean);
  return el("dl", { class: "summary" }, said.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

async function drawGroup(dialog, prompt, numbersOf) {
  const r = data.rollouts, { id, omitted } = data.prompts, odd = (i) => (r.kinds[i] ? (r.outcome[i] === 1 ? 0 : 1) : 2);
  const numbers = (numbersOf.get(prompt) || []).slice().sort((a, b) => r.run[a] - r.run[b] || odd(a) - odd(b) || (r.step[a] ?? -1) - (r.step[b] ?? -1) || r.index[a] - r.index[b]);
  const step = (by, label) => el("button", { type: "button", disabled: !id[prompt + by], onclick: () => { location.hash = `prompt=${encodeURIComponent(id[prompt + by])}`; } }, label);
  const host = el("div"), grid = el("div", { class: "group" }), list = lister(host, grid, 48, groupCard, "rollout");
  const missing = range(data.runs.length).reduce((sum, run) => sum + (data.prompts.of[run].rollouts[prompt] || 0), 0) - numbers.length;
  const heading = el("h2", { id: "group-heading", tabindex: -1, dir: "auto" }, title(prompt, 300));
  host.prepend(grid);
  dialog.replaceChildren(
    el("div", { class: "bar-top" }, step(-1, "← Previous prompt"), step(1, "Next prompt →"), el("button", { type: "button", class: "close", onclick: () => dialog.close() }, "Close")),
    heading, ...range(data.runs.length).map((run) => groupSummary(prompt, run)),
    missing > 0 ? el("p", { class: "muted" }, `${plural(missing, "more rollout")} of this prompt in the run, not embedded here.`) : "",
    numbers.length ? host : el("p", { class: "muted" }, "No rollout of this prompt is in this page."));
  const text = await heads.get(prompt);
  heading.replaceChildren(visible(text || title(prompt, 300)), omitted[prompt] ? ` … ${plural(omitted[prompt], "character")} not embedded` : "");
  await list.show(numbers);
}
