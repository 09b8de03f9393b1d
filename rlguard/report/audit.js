// What an audit found: change over distance, pass@k, figures over checkpoints, and tables of figures and questions.

const SIGNS = { lost: "✕", gained: "+", changed: "≠", kept: "✓", "too few": "?" };

const unitOf = (row) => row.tolerance || Math.max(Math.abs(row.low ?? 0), Math.abs(row.high ?? 0)) / 2 || 1;

// The interval of a change on a scale of tolerances, `span` of them either way.
function changeBar(row, span) {
  const unit = unitOf(row), x = (v) => 70 + (65 / span) * Math.max(-span, Math.min(span, v / unit));
  const parts = [svg("rect", { class: "tolerance", x: x(-unit), y: 3, width: x(unit) - x(-unit), height: 12 }), svg("line", { class: "axis", x1: 70, x2: 70, y1: 0, y2: 18 })];
  if (row.low !== null && row.high !== null) parts.push(svg("rect", { class: `change ${row.verdict.replace(" ", "-")}`, x: x(row.low), y: 7, width: Math.max(1, x(row.high) - x(row.low)), height: 4, rx: 2 }));
  if (row.change !== null) parts.push(svg("circle", { class: "dot", cx: x(row.change), cy: 9, r: 3.5 }));
  const label = row.change === null ? "not measured" : `change ${show(row.change)}, interval ${show(row.low)} to ${show(row.high)}`;
  return svg("svg", { class: "interval", width: 140, height: 18, role: "img", "aria-label": label }, svg("title", {}, label), parts);
}

const signed = (v) => (v === null ? "–" : `${v < 0 ? "−" : "+"}${show(Math.abs(v))}`);
const verdictColor = (row) => color({ lost: "--bad", gained: "--good" }[row.verdict] || "--muted");

// points: figures of accuracy, one a domain, nearest first; each with its distance and the interval of its change.
function drawDistances(host, { name, points }) {
  const status = el("p", { class: "readings" }), box = el("div"), tolerance = points[0].tolerance || 0;
  const text = (p) => `${p.domain} at ${show(p.distance)}: ${signed(p.change)}${p.low === null ? "" : ` (${signed(p.low)} to ${signed(p.high)})`}`;
  const say = (i) => (i === null ? points.map(text).join("; ") : text(points[i]));
  const values = points.flatMap((p) => [p.change, p.low ?? p.change, p.high ?? p.change, -tolerance, tolerance]);
  const low = Math.min(...values), high = Math.max(...values), pad = 0.06 * (high - low || 1);
  host.append(el("figure", { class: "curve" }, el("figcaption", {}, el("h3", {}, "Change of accuracy over the distance from training"), status), box,
    figuresOf("Change of accuracy by distance", ["domain", "distance", "change", "interval"], () => points.map((p) => [p.domain, show(p.distance), signed(p.change), `${signed(p.low)} to ${signed(p.high)}`]))));
  plot(box, {
    label: `Change of accuracy of ${name} by the distance of a domain from training`, height: 260, paper: 310,
    data: [points.map((p) => p.distance), points.map((p) => p.change)],
    scales: { x: { time: false, range: [-0.03, 1.03] }, y: { range: [low - pad, high + pad] } },
    axes: [axis(2, "distance"), axis(3, "", { values: (u, ticks) => ticks.map((v) => (v ? signed(v) : "0")), size: 52 })],
    series: [{ stroke: () => color("--ink"), paths: () => null, points: { show: (u) => {
      points.forEach((p) => {
        u.ctx.fillStyle = verdictColor(p);
        drawShape(u.ctx, { lost: 1, gained: 2 }[p.verdict] || 0, u.valToPos(p.distance, "x", true), u.valToPos(p.change, "y", true), 4 * uPlot.pxRatio);
      });
      return false;
    } } }],
    draw: (u) => {
      const across = (y) => { u.ctx.beginPath(); u.ctx.moveTo(u.bbox.left, u.valToPos(y, "y", true)); u.ctx.lineTo(u.bbox.left + u.bbox.width, u.valToPos(y, "y", true)); u.ctx.stroke(); };
      u.ctx.lineWidth = uPlot.pxRatio;
      u.ctx.strokeStyle = color("--muted");
      across(0);
      u.ctx.setLineDash([3 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
      if (tolerance) [-tolerance, tolerance].forEach(across);
      u.ctx.setLineDash([]);
      points.filter((p) => p.low !== null && p.high !== null).forEach((p) => {
        const x = u.valToPos(p.distance, "x", true);
        u.ctx.strokeStyle = verdictColor(p);
        u.ctx.beginPath(); u.ctx.moveTo(x, u.valToPos(p.low, "y", true)); u.ctx.lineTo(x, u.valToPos(p.high, "y", true)); u.ctx.stroke();
      });
    },
    say, read: (i) => { status.textContent = i === null ? `${name}: ▪ lost, ▲ gained, ● neither; dashed: the tolerance` : say(i); },
  });
}

function drawAuditPlots({ distances, coverage, trends }) {
  const host = byId("audit-plots"), arm = (name, style) => ({ name, style });
  host.hidden = !(distances.length || coverage);
  distances.forEach((one) => drawDistances(host, one));
  if (coverage) drawCurves(host, { name: "pass@k", label: "pass@k", x: "k", log: true, curves: coverage.curves }, coverage.arms.map(arm), [], 260);
  if (!trends) return;
  const more = byId("audit-trends"), place = more.lastElementChild;
  more.hidden = false;
  more.addEventListener("toggle", () => {
    if (more.open && !place.children.length) trends.metrics.forEach((metric) => drawCurves(place, metric, trends.arms.map(arm), [], 190));
  });
}

function showTurned(turned) {
  const section = byId("audit-turned");
  section.hidden = !turned.length;
  const of = (row, name) => (row[name] === null ? "–" : String(row[name]));
  const update = sortedTable(section.lastElementChild, [
    ["Question", (row) => row.prompt.toLowerCase(), (row) => [el("details", {}, el("summary", {}, oneLine(row.prompt, 110)), el("div", { class: "completion", dir: "auto" }, row.prompt)), el("small", {}, `${row.domain} · answer ${oneLine(row.answer, 40)}`)]],
    ["Model", (row) => row.model, (row) => oneLine(row.model, 30)],
    ["Turned", (row) => row.kind, (row) => el("span", { class: row.kind === "lost" ? "dropped" : "kept" }, `${row.kind === "lost" ? "✕" : "+"} ${row.kind}`)],
    ["Solved", (row) => row.successes, (row) => [`${of(row, "successes")} / ${of(row, "trials")}`, el("small", {}, `the other model 0 / ${of(row, "failures")}`)]],
    ["By luck", (row) => row.probability, (row) => [show(row.probability), el("small", {}, `at a rate of ${show(row.bound)}`)]],
  ], "Questions that only one model solved", "prompts", 10, "question");
  update(turned);
}

function showAudit() {
  if (!data.audit) return;
  const { rows } = data.audit, form = byId("audit-controls"), models = [...new Set(rows.map((row) => row.model))];
  drawAuditPlots(data.audit);
  showTurned(data.audit.turned);
  if (!rows.length) return;
  byId("audit-figures").hidden = false;
  const widest = rows.reduce((most, row) => Math.max(most, Math.abs(row.low ?? 0) / unitOf(row), Math.abs(row.high ?? 0) / unitOf(row)), 2);
  const span = Math.min(10, widest);  // what goes beyond ends at the edge
  const about = (row) => [row.domain, row.questions !== null && plural(row.questions, "question"), row.distance !== null && `distance ${show(row.distance)}`, row.better === -1 && "less is better"].filter(Boolean).join(" · ");
  const update = sortedTable(byId("audit-table"), [
    ["Figure", (row) => `${row.group} ${row.name}`, (row) => [row.name, el("small", {}, about(row))]],
    ["Group", (row) => row.group, (row) => oneLine(row.group, 30)],
    ...(models.length > 1 ? [["Model", (row) => row.model, (row) => oneLine(row.model, 30)]] : []),
    ["Before", (row) => row.before, (row) => show(row.before)],
    ["After", (row) => row.after, (row) => show(row.after)],
    ["Change", (row) => row.change, (row) => [signed(row.change), el("small", {}, `${signed(row.low)} to ${signed(row.high)}`)]],
    ["Interval", (row) => row.low, (row) => changeBar(row, span)],
    ["Verdict", (row) => Object.keys(SIGNS).indexOf(row.verdict), (row) => el("span", { class: { lost: "dropped", gained: "kept" }[row.verdict] || "" }, `${SIGNS[row.verdict] || ""} ${row.verdict}`)],
  ], "Audited figures", "prompts rows", 25, "figure");
  for (const [name, values] of [["model", models], ["group", [...new Set(rows.map((row) => row.group))]], ["verdict", Object.keys(SIGNS)]]) {
    const counts = values.map((value) => [value, rows.filter((row) => row[name] === value).length]).filter(([, n]) => n);
    form[name].append(...counts.map(([value, n]) => option(value, `${value} (${n})`)));
    form[name].parentElement.hidden = counts.length < 2;
  }
  const refresh = () => {
    const query = form.query.value.trim().toLowerCase();
    update(rows.filter((row) => ["model", "group", "verdict"].every((name) => !form[name].value || row[name] === form[name].value)
      && (!query || `${row.group} ${row.name} ${row.domain} ${row.model}`.toLowerCase().includes(query))));
  };
  onFilter(form, refresh);
  refresh();
}
