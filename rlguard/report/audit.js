// What an audit found: change over distance, pass@k, figures over checkpoints, and tables of figures and questions.

const SIGNS = { lost: "✕", gained: "+", changed: "≠", "too few": "?", kept: "✓" };
const unitOf = (row) => row.tolerance || Math.max(Math.abs(row.low ?? 0), Math.abs(row.high ?? 0)) / 2 || 1;

// The interval of a change on a scale of tolerances, `span` of them either way.
function changeBar(row, span) {
  const unit = unitOf(row), place = (v) => 70 + (65 / span) * Math.max(-span, Math.min(span, v / unit));
  const label = row.change === null ? "not measured" : `change ${show(row.change)}, interval ${show(row.low)} to ${show(row.high)}`;
  return intervalBar(label, 140, place, row, { lost: "var(--bad)", gained: "var(--good)" }[row.verdict] || "var(--muted)", row.change, [
    svg("rect", { class: "tolerance", x: place(-unit), y: 3, width: place(unit) - place(-unit), height: 12 }), svg("line", { class: "axis", x1: 70, x2: 70, y1: 0, y2: 18 })]);
}

const verdictOf = (row) => el("span", { class: { lost: "dropped", gained: "kept" }[row.verdict] || "" }, `${SIGNS[row.verdict] || ""} ${row.verdict}`);

function drawAuditPlots({ distances, coverage, trends }, span) {
  const host = byId("audit-plots"), more = byId("audit-trends"), arm = (name, style) => ({ name, style });
  for (const { name, points } of distances) {
    host.append(el("figure", {}, el("h3", {}, `Accuracy of ${name} by distance from training, nearest first`),
      dataTable("Change of accuracy by distance", ["domain", "distance", "change", "interval", "verdict"], points.map((p) => [p.domain, show(p.distance), signed(p.change), changeBar(p, span), verdictOf(p)]))));
  }
  if (coverage) drawCurves(host, { name: "pass@k", label: "pass@k", x: "k", log: true, ...coverage }, coverage.arms.map(arm), [], 260);
  more.hidden = !trends;
  onOpen(more, () => trends.metrics.forEach((metric) => drawCurves(more.lastElementChild, metric, trends.arms.map(arm), [], 190)));
}

function showTurned(turned) {
  const section = byId("audit-turned"), of = (value) => (value === null ? "–" : String(value));
  section.hidden = !turned.length;
  sortedTable(section.lastElementChild, [
    ["Question", (row) => row.prompt.toLowerCase(), (row) => [el("details", {}, el("summary", {}, oneLine(row.prompt, 110)), el("div", { class: "completion", dir: "auto", tabindex: 0, role: "group", "aria-label": "Question" }, row.prompt)), el("small", {}, `${row.domain} · answer ${oneLine(row.answer, 40)}`)]],
    ["Model", (row) => row.model, (row) => oneLine(row.model, 30)],
    ["Turned", (row) => row.kind, (row) => el("span", { class: row.kind === "lost" ? "dropped" : "kept" }, `${row.kind === "lost" ? "✕" : "+"} ${row.kind}`)],
    ["Solved", (row) => row.successes, (row) => [`${of(row.successes)} / ${of(row.trials)}`, el("small", {}, `the other model 0 / ${of(row.failures)}`)]],
    ["By luck", (row) => row.probability, (row) => [show(row.probability), el("small", {}, `at a rate of ${show(row.bound)}`)]],
  ], "Questions that only one model solved", 10, "question")(turned);
}

function showAudit() {
  if (!data.audit) return;
  const { rows } = data.audit, form = byId("audit-controls"), several = new Set(rows.map((row) => row.model)).size > 1;
  const widest = rows.reduce((most, row) => Math.max(most, Math.abs(row.low ?? 0) / unitOf(row), Math.abs(row.high ?? 0) / unitOf(row)), 2);
  const span = Math.min(10, widest);  // what goes beyond ends at the edge
  drawAuditPlots(data.audit, span);
  showTurned(data.audit.turned);
  byId("audit-figures").hidden = !rows.length;
  const about = (row) => [row.domain, row.questions !== null && plural(row.questions, "question"), row.distance !== null && `distance ${show(row.distance)}`, row.better === -1 && "less is better"].filter(Boolean).join(" · ");
  const update = sortedTable(byId("audit-table"), [
    ["Figure", (row) => `${row.group} ${row.name}`, (row) => [row.name, el("small", {}, about(row))]],
    ["Group", (row) => row.group, (row) => oneLine(row.group, 30)],
    ...(several ? [["Model", (row) => row.model, (row) => oneLine(row.model, 30)]] : []),
    ["Before", (row) => row.before, (row) => show(row.before)],
    ["After", (row) => row.after, (row) => show(row.after)],
    ["Change", (row) => row.change, (row) => [signed(row.change), el("small", {}, `${signed(row.low)} to ${signed(row.high)}`)]],
    ["Interval", (row) => row.low, (row) => changeBar(row, span)],
    ["Verdict", (row) => Object.keys(SIGNS).indexOf(row.verdict), verdictOf],
  ], "Audited figures", 25, "figure");
  const refresh = () => {
    const asked = form.query.value.toLowerCase().split(/\s+/);
    update(rows.filter((row) => { const text = `${row.group} ${row.name} ${row.domain} ${row.model} ${row.verdict}`.toLowerCase(); return asked.every((word) => text.includes(word)); }));
  };
  onFilter(form, refresh);
  refresh();
}
