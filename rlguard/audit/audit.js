// The plots, the table and the lists of the chosen model. Data is only ever shown as text.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const models = data.comparisons;
const keyOf = (row) => JSON.stringify([row.group, row.name, row.domain]);
const kindOf = (verdict) => ({ lost: "lost", gained: "gained", changed: "changed", kept: "held" })[verdict] || "open";
const SIGNS = { lost: "✕", gained: "+", changed: "≠", kept: "✓", "too few": "?" };
const signed = (value, places = 2) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(places);
let chosen = models.length - 1;

function option(value, label) {
  return el("option", { value }, label);
}

function cutText(text, length) {
  const points = Array.from(text.slice(0, length * 3).replace(/\s+/g, " ").trim());
  return points.length > length ? points.slice(0, length).join("") + "…" : points.join("");
}

// A group not known to this page comes after those that are.
function groupsOf(rows) {
  const found = [...new Set(rows.map((row) => row.group))];
  const place = (group) => { const at = data.groups.indexOf(group); return at < 0 ? data.groups.length : at; };
  return found.sort((a, b) => place(a) - place(b));
}

// What is drawn or listed of the chosen model; each is called again when another is chosen.
const views = [];

function view(render) {
  views.push(render);
  render();
}

// ---- plots -------------------------------------------------------------------------------------------------------

// An empty plot with its axes; `marks` draws into it. x and y: {span: [low, high], ticks: [[value, text]], title}.
function frame(box, height, label, x, y, marks) {
  const width = Math.max(200, box.clientWidth), left = y.room || 44, right = 12, top = y.title ? 22 : 8, bottom = x.title ? 40 : 20;
  const scale = ({ span: [low, high] }, from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);
  const px = scale(x, left, width - right), py = scale(y, height - bottom, top);
  const parts = [
    y.ticks.map(([value, text]) => [svg("line", { class: "grid", x1: left, x2: width - right, y1: py(value), y2: py(value) }),
      svg("text", { x: left - 7, y: py(value) + 4, "text-anchor": "end" }, text)]),
    x.grid && x.ticks.map(([value]) => svg("line", { class: "grid", x1: px(value), x2: px(value), y1: top, y2: height - bottom })),
    x.ticks.map(([value, text]) => svg("text", { x: px(value), y: height - bottom + 16, "text-anchor": "middle" }, text)),
    svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    x.title && svg("text", { class: "title", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, x.title),
    y.title && svg("text", { class: "title", x: 0, y: 10 }, y.title),
  ];
  box.replaceChildren(svg("svg", { class: "plot", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, parts,
    marks(px, py, { left, right: width - right, top, bottom: height - bottom })));
}

function span(values, pad = 0.06) {
  const low = Math.min(...values), high = Math.max(...values), room = (high - low || 0.1) * pad;
  return [low - room, high + room];
}

function textTicks([low, high], wanted, text = (value) => String(value).replace("-", "−")) {
  return ticks(low, high, wanted).map((value) => [value, text(value)]);
}

function errorBar(x1, y1, x2, y2, kind) {
  const [dx, dy] = x1 === x2 ? [3, 0] : [0, 3];
  const cap = (x, y) => `M${x - dx},${y - dy}l${2 * dx},${2 * dy}`;
  return svg("path", { class: `error ${kind}`, d: `M${x1},${y1}L${x2},${y2}${cap(x1, y1)}${cap(x2, y2)}` });
}

// Losses point down and gains up, a change is a diamond, what is open is hollow: shapes repeat what colours say.
function verdictMark(kind, x, y, r) {
  const turn = { lost: 1, gained: -1 }[kind];
  if (kind === "changed") return svg("path", { class: "mark changed", d: `M${x},${y - r * 1.3}l${r * 1.3},${r * 1.3}l${-r * 1.3},${r * 1.3}l${-r * 1.3},${-r * 1.3}z` });
  if (!turn) return svg("circle", { class: `mark ${kind}`, cx: x, cy: y, r });
  return svg("path", { class: `mark ${kind}`, d: `M${x},${y + turn * r * 1.2}l${r * 1.2},${-turn * r * 2.1}h${-r * 2.4}z` });
}

function verdictKey(rows) {
  const known = Object.keys(SIGNS).filter((verdict) => rows.some((row) => row.verdict === verdict));
  return el("ul", { class: "legend verdicts", "aria-label": "Verdicts" }, known.map((verdict) => el("li", {},
    svg("svg", { class: "key", width: 14, height: 14, "aria-hidden": "true" }, verdictMark(kindOf(verdict), 7, 7, 4.5)), ` ${verdict}`)));
}

// One row a domain, nearest first; rows stand apart as their distances do, and at least far enough to be read.
function spread(points) {
  const range = points[points.length - 1].distance - points[0].distance || 1;
  let at = 0;
  return points.map((point, i) => (at += i ? 22 + (160 * (point.distance - points[i - 1].distance)) / range : 0));
}

function showCliff() {
  const figure = byId("cliff-plot"), box = el("div"), table = el("div");
  const accuracies = (model) => model.rows.filter((row) => row.group === "retention" && row.name === "accuracy");
  figure.append(el("figcaption", {}, verdictKey(models.flatMap(accuracies))), box, table);
  let points, line;
  function draw() {
    if (!points.length) return;
    const narrow = box.clientWidth < 500, rows = spread(points), last = rows[rows.length - 1];
    const values = points.flatMap((point) => [point.change, point.low ?? point.change, point.high ?? point.change]);
    const x = { span: span([...values, 0, data.tolerance, -data.tolerance]), title: "change of accuracy", grid: true };
    x.ticks = textTicks(x.span, narrow ? 5 : 8, (value) => (value ? signed(value, Number.isInteger(value * 10) ? 1 : 2) : "0"));
    const y = { span: [last + 16, -16], room: narrow ? 132 : 250, title: "domain, its distance from training" };
    y.ticks = points.map((point, i) => [rows[i], [svg("tspan", { class: "name" }, cutText(point.domain, narrow ? 13 : 30)), `  ${point.distance.toFixed(2)}`]]);
    const said = points.map((point) => `${point.domain} at ${point.distance.toFixed(2)}: ${signed(point.change)}`).join("; ");
    frame(box, last + 94, `Change of accuracy by distance from training, nearest first. ${said}.`, x, y, (px, py, edges) => [
      svg("rect", { class: "tolerance", y: edges.top, height: edges.bottom - edges.top, x: px(-data.tolerance), width: px(data.tolerance) - px(-data.tolerance) }),
      svg("line", { class: "zero", x1: px(0), x2: px(0), y1: edges.top, y2: edges.bottom }),
      line && svg("path", { class: "fit", d: "M" + points.map((point, i) => `${px(line.start + line.slope * point.distance)},${py(rows[i])}`).join("L") }),
      points.map((point, i) => [point.low !== null && point.high !== null && errorBar(px(point.low), py(rows[i]), px(point.high), py(rows[i]), point.kind),
        fill(verdictMark(point.kind, px(point.change), py(rows[i]), 4.5), {}, [svg("title", {}, `${point.domain}: ${signed(point.change)}`)])]),
    ]);
  }
  view(() => {
    const model = models[chosen], cliff = model.cliff;
    const verdicts = new Map(accuracies(model).map((row) => [row.domain, row.verdict]));
    points = (cliff ? cliff.points : []).filter((point) => point.change !== null).map((point) => ({ ...point, kind: kindOf(verdicts.get(point.domain)) }));
    line = cliff && cliff.line;
    figure.hidden = !points.length;
    table.replaceChildren(figuresOf("Change of accuracy by distance", ["Domain", "Distance", "Change", "Interval"], () => points.map((point) =>
      [point.domain, show(point.distance), signed(point.change), point.low === null ? "–" : `${signed(point.low)} to ${signed(point.high)}`])));
    draw();
  });
  drawWhenSized(draw);
}

function showCoverage() {
  const figure = byId("coverage-plot"), box = el("div"), table = el("div"), legend = el("ul", { class: "legend", "aria-label": "Models" });
  figure.append(el("figcaption", {}, legend), box, table);
  let curve, crossing;
  function draw() {
    if (!curve.length) return;
    const most = Math.log2(curve[curve.length - 1].k), [low, high] = domain(curve.flatMap((point) => [point.before, point.after]));
    const x = { span: [-0.15, most + 0.15], title: "rollouts a question, k", ticks: curve.map(({ k }) => [Math.log2(k), String(k)]) };
    const y = { span: [low, high], title: "pass@k", ticks: textTicks([low, high], 5) };
    const said = curve.map((point) => `k ${point.k}: ${show(point.before)} before, ${show(point.after)} after`).join("; ");
    frame(box, 300, `pass@k of both models. ${said}.`, x, y, (px, py, edges) => [
      crossing !== null && [svg("line", { class: "cursor", x1: px(Math.log2(crossing)), x2: px(Math.log2(crossing)), y1: edges.top, y2: edges.bottom }),
        svg("text", { class: "name", x: px(Math.log2(crossing)) - 6, y: edges.bottom - 8, "text-anchor": crossing > 2 ? "end" : "start" }, `below at k = ${crossing}`)],
      ["before", "after"].map((side, arm) => [
        svg("path", { class: `line a${arm}`, d: "M" + curve.map((point) => `${px(Math.log2(point.k))},${py(point[side])}`).join("L") }),
        curve.map((point) => fill(marker(arm, px(Math.log2(point.k)), py(point[side]), 3.6), {}, [svg("title", {}, `${side}, k = ${point.k}: ${show(point[side])}`)]))]),
    ]);
  }
  view(() => {
    ({ coverage: curve, crossing } = models[chosen]);
    figure.hidden = !curve.length;
    legend.replaceChildren(...[data.before, models[chosen].name].map((name, arm) => el("li", {}, armKey(arm), ` ${arm ? "after" : "before"}: ${name}`)));
    table.replaceChildren(figuresOf("pass@k", ["k", "Before", "After", "Change, interval"], () => curve.map((point) => [String(point.k), show(point.before), show(point.after),
      signed(point.after - point.before) + (point.low === null ? "" : ` (${signed(point.low)} to ${signed(point.high)})`)])));
    draw();
  });
  drawWhenSized(draw);
}

// ---- every figure over the models --------------------------------------------------------------------------------

function trendChart(rows, steps) {
  const box = el("div"), first = rows.find(Boolean), known = rows.map((row, i) => [i, row]).filter(([, row]) => row && row.after !== null);
  const words = known.map(([i, row]) => `${models[i].name}: ${row.texts.after}, ${row.verdict}`).join("; ");
  const figure = el("figure", { class: "trend" }, el("figcaption", {}, first.label, first.better < 0 && el("span", { class: "muted" }, " · less is better")), known.length ? box : el("p", { class: "muted hint" }, "not measured"));
  const bounds = (row) => (row.low === null ? [row.after] : [row.after, row.before + row.low, row.before + row.high]);
  const draw = () => {
    const all = known.flatMap(([, row]) => [row.before, ...bounds(row)]);
    const x = { span: [-0.4, models.length - 0.6], ticks: [...new Set([0, models.length - 1])].map((i) => [i, steps[i]]) };
    const y = { span: span(all) };
    y.ticks = textTicks(y.span, 4);
    frame(box, 132, `${first.label}: ${first.texts.before} before; ${words}.`, x, y, (px, py, edges) => [
      svg("line", { class: "before", x1: edges.left, x2: edges.right, y1: py(known[0][1].before), y2: py(known[0][1].before) }),
      svg("path", { class: "path", d: "M" + known.map(([i, row]) => `${px(i)},${py(row.after)}`).join("L") }),
      known.map(([i, row]) => [row.low !== null && errorBar(px(i), py(row.before + row.low), px(i), py(row.before + row.high), kindOf(row.verdict)),
        fill(verdictMark(kindOf(row.verdict), px(i), py(row.after), 3.6), {}, [svg("title", {}, `${models[i].name}: ${row.texts.after}, ${row.verdict}`)])]),
    ]);
  };
  return [figure, () => known.length && drawWhenSized(draw)];
}

function showTrend() {
  const all = models.flatMap((model) => model.rows);
  if (models.length < 2 || !all.length) return;
  byId("trend").hidden = false;
  const host = byId("trend").querySelector(".body"), keyed = models.map((model) => new Map(model.rows.map((row) => [keyOf(row), row])));
  const numbers = models.map((model) => /-(\d+)$/.exec(model.name));
  const steps = numbers.every(Boolean) ? numbers.map((found) => found[1]) : models.map((_, i) => String(i + 1));
  host.append(verdictKey(all));
  groupsOf(all).forEach((group, place) => {
    const keys = [...new Set(all.filter((row) => row.group === group).map(keyOf))];
    const rows = keys.map((key) => keyed.map((own) => own.get(key) || null));
    const charts = el("div", { class: "trends" });
    const details = el("details", { class: "charts-of" }, el("summary", {}, `${group} (${keys.length})`), charts,
      figuresOf(group, ["Figure", data.before, ...models.map((model) => model.name)], () => rows.map((own) => {
        const first = own.find(Boolean);
        return [first.label, first.texts.before, ...own.map((row) => (row ? `${row.texts.after} ${SIGNS[row.verdict] || ""}` : "–"))];
      })));
    details.addEventListener("toggle", () => {
      if (!details.open || charts.children.length) return;
      const made = rows.map((own) => trendChart(own, steps));
      charts.append(...made.map(([figure]) => figure));
      made.forEach(([, start]) => start());
    });
    host.append(details);
    details.open = place === 0;
  });
}

// ---- all figures -------------------------------------------------------------------------------------------------

// The interval of a change around 0; `limit` is the end of the scale, beyond it an arrow stands.
function changeBar(row, limit) {
  const width = 168, middle = width / 2, y = 9, at = (value) => middle + Math.max(-1, Math.min(1, value / row.unit / limit)) * (middle - 8);
  const label = row.change === null ? "no change known" : `change ${row.texts.change}, ${row.low === null ? "no interval" : `interval ${row.texts.low} to ${row.texts.high}`}`;
  const kind = kindOf(row.verdict), drawable = row.unit > 0;
  const shade = drawable && row.tolerance > 0 && svg("rect", { class: "tolerance", x: at(-row.tolerance), width: at(row.tolerance) - at(-row.tolerance), y: 0, height: 18 });
  const parts = [svg("line", { class: "grid", x1: 8, x2: width - 8, y1: y, y2: y }), shade, svg("line", { class: "zero", x1: middle, x2: middle, y1: 0, y2: 18 })];
  if (drawable && row.low !== null && row.high !== null) {
    parts.push(svg("rect", { class: `range ${kind}`, x: at(row.low), width: Math.max(1.5, at(row.high) - at(row.low)), y: 5.5, height: 7, rx: 3.5 }));
    if (row.low / row.unit < -limit) parts.push(svg("path", { class: `tip ${kind}`, d: "M6,4.5l-6,4.5l6,4.5z" }));
    if (row.high / row.unit > limit) parts.push(svg("path", { class: `tip ${kind}`, d: `M${width - 6},4.5l6,4.5l-6,4.5z` }));
  }
  if (drawable && row.change !== null) parts.push(svg("circle", { class: "dot", cx: at(row.change), cy: y, r: 2.8 }));
  return svg("svg", { class: "interval", width, height: 18, role: "img", "aria-label": label }, svg("title", {}, label), parts);
}

function figureRow(row, limit) {
  const cell = (name, ...children) => el("td", { role: "cell", "data-label": name }, children);
  return el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader" }, row.label, el("small", {}, plural(row.questions, "question"), row.better < 0 && ", less is better")),
    cell("Before", row.texts.before), cell("After", row.texts.after), cell("Change", row.texts.change),
    cell("Interval", changeBar(row, limit), el("small", {}, row.low === null ? "no interval" : `${row.texts.low} to ${row.texts.high}`)),
    cell("Verdict", el("span", { class: `word ${kindOf(row.verdict)}` }, `${SIGNS[row.verdict] || ""} ${row.verdict}`)));
}

function showFigures() {
  if (!models.some((model) => model.rows.length)) return;
  byId("figures").hidden = false;
  const heads = ["Figure", "Before", "After", "Change", "Interval", "Verdict"], form = byId("figure-controls");
  const status = el("p", { class: "muted", role: "status" });
  const table = el("table", { class: "prompts rows", role: "table", "aria-label": "All figures" },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads.map((head) => el("th", { scope: "col", role: "columnheader" }, head)))));
  byId("figure-table").append(status, table);
  let limit = 1;
  function list() {
    const query = form.query.value.trim().toLowerCase(), verdict = form.verdict.value, group = form.group.value;
    const all = models[chosen].rows;
    const rows = all.filter((row) => row.label.toLowerCase().includes(query) && (!verdict || row.verdict === verdict) && (!group || row.group === group));
    status.textContent = rows.length === all.length ? plural(all.length, "figure") : rows.length ? `${rows.length} of ${plural(all.length, "figure")}` : "No figure matches.";
    table.replaceChildren(table.tHead, ...groupsOf(rows).map((name) => el("tbody", { role: "rowgroup" },
      el("tr", { role: "row", class: "group-name" }, el("th", { scope: "rowgroup", role: "rowheader", colspan: heads.length }, name)),
      rows.filter((row) => row.group === name).map((row) => figureRow(row, limit)))));
  }
  view(() => {
    const { rows } = models[chosen], verdict = form.verdict.value, group = form.group.value;
    const bounds = rows.flatMap((row) => [row.low, row.high, row.change].filter((value) => value !== null && row.unit > 0).map((value) => Math.abs(value / row.unit)));
    limit = Math.max(2 * data.tolerance, Math.min(0.5, Math.max(0, ...bounds))) || 1;
    const choices = (names, of) => [option("", "all"), ...names.map((name) => option(name, `${name} (${rows.filter((row) => of(row) === name).length})`))];
    form.verdict.replaceChildren(...choices(Object.keys(SIGNS), (row) => row.verdict));
    form.group.replaceChildren(...choices(groupsOf(models.flatMap((model) => model.rows)), (row) => row.group));
    form.verdict.value = verdict;
    form.group.value = group;
    list();
  });
  form.addEventListener("input", list);
  form.addEventListener("submit", (event) => event.preventDefault());
}

// ---- questions turned --------------------------------------------------------------------------------------------

const TURNED = { lost: ["lost", "before", "after"], newly_solved: ["newly solved", "after", "before"] };

function turnedCard([kind, change]) {
  const [word, ever, never] = TURNED[kind], [domainName, prompt, answer] = data.questions[change.id];
  const text = el("div", { class: "completion", dir: "auto", tabindex: 0, role: "region", "aria-label": "Prompt" });
  const long = prompt.length > 400, put = (open) => { text.textContent = open || !long ? prompt : `${prompt.slice(0, 400)} …`; };
  const more = el("button", { type: "button", "aria-expanded": "false", onclick: () => {
    const open = more.getAttribute("aria-expanded") !== "true";
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "Less of the prompt" : "Whole prompt";
    put(open);
  } }, "Whole prompt");
  put(false);
  return el("article", { class: "finding" },
    el("h3", {}, el("span", { class: `word ${kind === "lost" ? "lost" : "gained"}` }, `${kind === "lost" ? SIGNS.lost : SIGNS.gained} ${word}`), ` · ${domainName}`),
    el("p", {}, `${ever} ${change.successes} of ${change.trials} right, ${never} 0 of ${change.failures}: a pass rate of at most ${show(change.bound)}`),
    text,
    el("p", { class: "foot" }, el("span", { class: "answer", dir: "auto" }, `answer ${cutText(answer, 200)}`),
      el("span", { class: "muted" }, `${change.successes} of ${change.trials} or more at a rate of ${show(change.bound)}: probability ${show(change.probability)}`), long && more));
}

function showTurned() {
  const form = byId("turned-controls"), cards = el("div", { class: "cards" }), status = el("p", { class: "muted", role: "status" });
  const next = el("button", { type: "button", onclick: () => { shown += 20; list(); } }, "Show more");
  byId("turned-list").append(cards, el("p", { class: "pager" }, next, status));
  let shown = 10;
  function list() {
    const query = form.query.value.trim().toLowerCase(), kind = form.kind.value, { turned, totals } = models[chosen];
    const listed = Object.keys(TURNED).filter((name) => !kind || name === kind).flatMap((name) => turned[name].map((change) => [name, change]));
    const found = listed.filter(([, change]) => !query || data.questions[change.id].some((part) => part.toLowerCase().includes(query)));
    cards.replaceChildren(...found.slice(0, shown).map(turnedCard));
    next.hidden = found.length <= shown;
    const left = Object.keys(TURNED).reduce((sum, name) => sum + totals[name] - turned[name].length, 0);
    const count = found.length ? `${Math.min(shown, found.length)} of ${plural(found.length, "question")}` : "No question matches.";
    status.textContent = (listed.length ? count : "")
      + (left ? `; ${left} more are in audit.json, not in this page` : "");
  }
  view(() => {
    const { totals } = models[chosen], { value } = form.kind;
    form.hidden = !(totals.lost + totals.newly_solved);
    form.kind.replaceChildren(option("", "all"), ...Object.entries(TURNED).map(([name, [word]]) => option(name, `${word} (${totals[name]})`)));
    form.kind.value = value;
    shown = 10;
    list();
  });
  form.addEventListener("input", () => { shown = 10; list(); });
  form.addEventListener("submit", (event) => event.preventDefault());
}

// ---- which model -------------------------------------------------------------------------------------------------

function choose(number) {
  chosen = number;
  document.querySelectorAll("[data-of]").forEach((part) => { part.hidden = Number(part.dataset.of) !== number; });
  byId("chooser").model.value = String(number);
  document.querySelectorAll(".overview tbody tr").forEach((row, i) => fill(row, { "aria-current": String(i === number) }, []));
  views.forEach((render) => render());
}

function followAddress() {
  const found = /^#model=(\d+)$/.exec(location.hash);
  if (found && Number(found[1]) < models.length) choose(Number(found[1]));
}

showTrend();
if (models.length) {
  const { model } = byId("chooser");
  model.append(...models.map(({ name, rows }, i) => option(String(i), `${name} (${rows.filter((row) => row.verdict === "lost").length} lost)`)));
  byId("chooser").hidden = models.length < 2;
  model.addEventListener("change", () => { location.hash = `model=${model.value}`; });
  byId("chooser").addEventListener("submit", (event) => event.preventDefault());
  [showCliff, showFigures, showCoverage, showTurned].forEach((start) => start());
  choose(chosen);
  addEventListener("hashchange", followAddress);
  followAddress();
}
