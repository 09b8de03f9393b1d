"use strict";
// Plots as inline SVG, drawn at the width they have, so that their text keeps its size on a phone.

// All text from the run goes through text nodes and attributes that cannot run: no innerHTML anywhere.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(child);
  }
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function show(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return size < 10 ? value.toFixed(size < 0.1 ? 3 : 2) : String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}

function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

// Round ticks inside [low, high], about `wanted` of them.
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(Number((i * step).toPrecision(12)));
  return found;
}

// Shapes as well as colours tell arms apart.
function marker(arm, x, y, r) {
  const kind = `arm a${arm % 6}`;
  if (arm % 3 === 0) return svg("circle", { class: kind, cx: x, cy: y, r });
  const d = arm % 3 === 1 ? `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z` : `M${x},${y - r * 1.3}l${r * 1.3},${r * 2.2}h${-r * 2.6}z`;
  return svg("path", { class: kind, d });
}

function armKey(arm) {
  const line = svg("path", { class: `line a${arm % 6}`, d: "M0,7H26" });
  return svg("svg", { class: "key", width: 26, height: 14, "aria-hidden": "true" }, line, marker(arm, 13, 7, 3.4));
}

function bandKey(band) {
  return svg("svg", { class: "key", width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { class: bandClass(band), width: 12, height: 12, rx: 2 }));
}

function bandClass(band) {
  return "band " + (["impossible", "near-impossible", "learnable", "mastered"].includes(band) ? band : "unscored");
}

const drawers = [];
let redraw = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(redraw);
  redraw = requestAnimationFrame(() => drawers.forEach((draw) => draw()));
});

function drawWhenSized(draw) {
  drawers.push(draw);
  draw();
}

function dataTable(caption, heads, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "figures" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell)))))));
}

// The plot's figures as a table, built when it is opened.
function figuresOf(caption, heads, rows) {
  const details = el("details", { class: "figures" }, el("summary", {}, "Figures as a table"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(dataTable(caption, heads, rows()));
  });
  return details;
}

// bins: [{label, bands: [[band, count]]}]; the first and last stand apart from the tenths between.
function drawHistogram(figure, bins, bands) {
  const total = bins.reduce((sum, bin) => sum + bin.bands.reduce((s, [, n]) => s + n, 0), 0);
  const top = Math.max(...bins.map((bin) => bin.bands.reduce((s, [, n]) => s + n, 0)));
  const names = bands.map(([band]) => band).filter((band) => bins.some((bin) => bin.bands.some(([b]) => b === band)));
  if (!names.length) names.push("unscored");
  const count = (bin, band) => (bin.bands.find(([b]) => b === band) || [0, 0])[1];
  const words = bins.map((bin) => [bin.label, bin.bands.reduce((s, [, n]) => s + n, 0)]).filter(([, n]) => n)
    .map(([label, n]) => `${label}: ${n}`).join("; ");
  const box = el("div");
  figure.append(el("figcaption", {}, `Pass rates of ${plural(total, "prompt")}; never solved and always solved stand apart.`), box,
    figuresOf("Prompts by pass rate and band", ["Pass rate", ...names], () => bins.map((bin) => [bin.label, ...names.map((band) => String(count(bin, band)))])));
  drawWhenSized(() => {
    const width = Math.max(260, box.clientWidth), height = 260, left = 36, bottom = 46, gap = width < 500 ? 8 : 18;
    const slot = (width - left - 2 * gap) / 12, floor = height - bottom;
    const y = (n) => floor - (n / top) * (floor - 36);
    const parts = ticks(0, top, 4).filter(Number.isInteger).map((n) => [
      svg("line", { class: "grid", x1: left, x2: width, y1: y(n), y2: y(n) }),
      svg("text", { x: left - 8, y: y(n) + 4, "text-anchor": "end" }, String(n))]);
    bins.forEach((bin, i) => {
      const x = left + i * slot + (i > 0 ? gap : 0) + (i > 10 ? gap : 0), wide = slot * 0.82;
      let sum = 0;
      names.forEach((band) => {
        const n = count(bin, band);
        if (!n) return;
        const bar = svg("rect", { class: bandClass(band), x: x + slot * 0.09, y: y(sum + n), width: wide, height: y(sum) - y(sum + n) },
          svg("title", {}, `${bin.label}: ${plural(n, "prompt")}, ${band}`));
        parts.push(bar);
        sum += n;
      });
      if (sum) parts.push(svg("text", { class: "count", x: x + slot / 2, y: y(sum) - 6, "text-anchor": "middle" }, String(sum)));
      if (i === 0) parts.push(svg("text", { x: x + slot / 2, y: floor + 17, "text-anchor": "middle" }, "never"));
      else if (i === 11) parts.push(svg("text", { x: x + slot / 2, y: floor + 17, "text-anchor": "middle" }, "always"));
      else if (i % 2 === 1) parts.push(svg("text", { x, y: floor + 17, "text-anchor": "middle" }, `.${i - 1}`.replace(".0", "0")));
      if (i === 10 && width > 500) parts.push(svg("text", { x: x + slot, y: floor + 17, "text-anchor": "middle" }, "1"));
    });
    const spans = [[left, left + slot], [left + gap + slot, left + gap + 11 * slot], [left + 2 * gap + 11 * slot, width]];
    parts.push(spans.map(([a, b]) => svg("line", { class: "axis", x1: a, x2: b, y1: floor, y2: floor })));
    parts.push(svg("text", { class: "title", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "pass rate"));
    parts.push(svg("text", { class: "title", x: 0, y: 10 }, "prompts"));
    box.replaceChildren(svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Histogram of pass rates. ${words}.` }, parts));
  });
}

// k of n as an interval, with the rate as a dot and the chance rate as a tick.
function intervalBar(row) {
  const x = (p) => 4 + 88 * Math.min(1, Math.max(0, p));
  const parts = [svg("line", { class: "grid", x1: 4, x2: 92, y1: 9, y2: 9 })];
  if (row.low !== null && row.high !== null) {
    parts.push(svg("rect", { class: bandClass(row.band), opacity: 0.45, x: x(row.low), y: 5.5, width: Math.max(1, x(row.high) - x(row.low)), height: 7, rx: 3.5 }));
  }
  if (row.chance !== null) parts.push(svg("line", { class: "chance", x1: x(row.chance), x2: x(row.chance), y1: 1, y2: 17 }));
  if (row.rate !== null) parts.push(svg("circle", { class: "dot", cx: x(row.rate), cy: 9, r: 3.5 }));
  const interval = row.low === null ? "no interval" : `interval ${show(row.low)} to ${show(row.high)}`;
  const label = row.rate === null ? "no pass rate" : `pass rate ${show(row.rate)}, ${interval}`;
  return svg("svg", { class: "interval", width: 96, height: 18, role: "img", "aria-label": label }, svg("title", {}, label), parts);
}

const plots = [];

function showStep(step) {
  plots.forEach((plot) => plot(step));
}

// Domain of a plot: shares on 0..1, other metrics on their own range, with 0 in it where that costs little.
function domain(values) {
  let low = Math.min(...values), high = Math.max(...values);
  if (low >= 0 && high <= 1 && high > 0.5) return [0, 1];
  if (low > 0 && (high <= 1 || low < high * 0.6)) low = 0;
  if (low === high) return [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const pad = (high - low) * 0.06;
  return [low === 0 ? 0 : low - pad, high + pad];
}

function drawCurves(metric, arms, height) {
  const points = metric.curves.flat().filter(([, v]) => v !== null);
  const steps = [...new Set(metric.curves.flat().map(([s]) => s))].sort((a, b) => a - b);
  const [low, high] = domain(points.map(([, v]) => v));
  const box = el("div", { class: "plot" });
  const lookup = metric.curves.map((curve) => new Map(curve));
  const ends = metric.curves.map((curve) => { const own = curve.filter(([, v]) => v !== null); return [own[0], own[own.length - 1]]; });
  const firstLast = arms.map((arm, i) => (ends[i][0] ? `${arm.name} ${show(ends[i][0][1])} → ${show(ends[i][1][1])}` : `${arm.name}: not measured`));
  const readings = arms.map(() => el("span", { class: "reading" }));
  const when = el("span", { class: "when" });
  const heading = metric.label === metric.name ? [metric.name] : [metric.label, " ", el("code", {}, metric.name)];
  let at = null;

  function read() {
    when.textContent = at === null ? "first → last" : `step ${at}`;
    arms.forEach((arm, i) => {
      const ended = ends[i][0] ? `${show(ends[i][0][1])} → ${show(ends[i][1][1])}` : "not measured";
      readings[i].replaceChildren(armKey(arm.style), ` ${arm.name} `, el("b", {}, at === null ? ended : show(lookup[i].get(at))));
    });
  }

  function draw() {
    const width = Math.max(240, box.clientWidth), left = 46, right = 10, bottom = 38, topEdge = 10;
    const x = (s) => left + ((s - steps[0]) / (steps[steps.length - 1] - steps[0] || 1)) * (width - left - right);
    const y = (v) => height - bottom - ((v - low) / (high - low)) * (height - bottom - topEdge);
    const parts = ticks(low, high, 4).map((v) => [svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      svg("text", { x: left - 7, y: y(v) + 4, "text-anchor": "end" }, Math.abs(v) >= 1e5 ? v.toExponential(0) : String(v))]);
    const span = steps.length > 1 ? ticks(steps[0], steps[steps.length - 1], width < 420 ? 4 : 6) : steps;
    parts.push(span.map((s) => svg("text", { x: x(s), y: height - bottom + 17, "text-anchor": "middle" }, String(s))));
    parts.push(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    parts.push(svg("text", { class: "title", x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }, "step"));
    metric.curves.forEach((curve, i) => {
      let d = "", pen = "M";
      curve.forEach(([s, v]) => {  // a value that is not there breaks the line
        d += v === null ? "" : `${pen}${x(s).toFixed(1)},${y(v).toFixed(1)}`;
        pen = v === null ? "M" : "L";
      });
      parts.push(svg("path", { class: `line a${arms[i].style % 6}`, d }));
      if (curve.length <= 40) parts.push(curve.filter(([, v]) => v !== null).map(([s, v]) => marker(arms[i].style, x(s), y(v), 2.6)));
    });
    if (at !== null) {
      parts.push(svg("line", { class: "cursor", x1: x(at), x2: x(at), y1: topEdge, y2: height - bottom }));
      lookup.forEach((own, i) => { const v = own.get(at); if (v !== null && v !== undefined) parts.push(marker(arms[i].style, x(at), y(v), 4.5)); });
    }
    surface.replaceChildren(svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, parts));
    surface.stepAt = (px) => {
      const s = steps[0] + ((px - left) / (width - left - right)) * (steps[steps.length - 1] - steps[0]);
      return steps.reduce((best, t) => (Math.abs(t - s) < Math.abs(best - s) ? t : best));
    };
  }

  function say() {
    surface.setAttribute("aria-valuenow", at === null ? steps[0] : at);
    surface.setAttribute("aria-valuetext", at === null ? `first to last: ${firstLast.join("; ")}` : `step ${at}: ${arms.map((arm, i) => `${arm.name} ${show(lookup[i].get(at))}`).join("; ")}`);
  }

  const surface = el("div", {
    class: "surface", tabindex: 0, role: "slider", "aria-label": `${metric.label} over training steps`,
    "aria-valuemin": steps[0], "aria-valuemax": steps[steps.length - 1],
    onpointermove: (event) => showStep(surface.stepAt(event.clientX - surface.getBoundingClientRect().left)),
    onpointerleave: () => showStep(null),
    onblur: () => showStep(null),
    onkeydown: (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
      if (move === undefined) return;
      event.preventDefault();
      const place = at === null ? (move > 0 ? -1 : steps.length) : steps.indexOf(at);
      showStep(steps[Math.min(steps.length - 1, Math.max(0, place + move))]);
    },
  });
  box.append(surface);
  plots.push((step) => {  // plots share the cursor; one without this step shows its nearest
    at = step === null ? null : steps.reduce((best, t) => (Math.abs(t - step) < Math.abs(best - step) ? t : best));
    read(); draw(); say();
  });
  const figure = el("figure", { class: "curve" }, el("figcaption", {}, el("h3", {}, heading), el("p", { class: "readings" }, when, readings)), box,
    figuresOf(metric.label, ["step", ...arms.map((arm) => arm.name)], () => steps.map((s) => [String(s), ...lookup.map((own) => show(own.get(s)))])));
  read(); say();
  return [figure, () => drawWhenSized(draw)];
}
