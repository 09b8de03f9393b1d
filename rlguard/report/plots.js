// Plots by uPlot. Each is also a slider: arrow keys go from point to point, Enter opens what is behind one.

const plots = [];
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function redrawPlots() {
  plots.forEach(({ u }) => u.redraw(false));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
addEventListener("beforeprint", () => {  // paper is light, and narrower than the screen
  document.documentElement.classList.add("paper");
  plots.forEach(({ u, height, paper }) => u.setSize({ width: paper, height }));
});
addEventListener("afterprint", () => {
  document.documentElement.classList.remove("paper");
  plots.forEach(({ fit }) => fit());
});

function axis(side, label, more) {
  return {
    side, label, stroke: () => color("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 20, labelGap: 0,
    size: side === 3 ? 46 : 26, gap: 4, space: side === 3 ? 36 : 56, ticks: { show: false },
    grid: { show: side === 3, stroke: () => color("--line"), width: 1 }, border: { show: side === 2, stroke: () => color("--muted"), width: 1 }, ...more,
  };
}

// data: [xs, ...ys] as uPlot takes it. say(i) is point i in words, read(i) is called with what is pointed at or null,
// pick(i) opens it. `nearest` finds a point in two dimensions, `paper` is the width in print.
function plot(host, { label, height, paper = 640, data, series, scales, axes, draw, say, read, pick, nearest, sync, zoom }) {
  const last = data[0].length - 1;
  let at = null, pressed = 0;
  const surface = el("div", { class: pick ? "surface pickable" : "surface", tabindex: 0, role: "slider", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": last });
  host.append(surface);

  function move(i) {
    at = i;
    surface.setAttribute("aria-valuenow", i === null ? 0 : i);
    surface.setAttribute("aria-valuetext", visible(say(i)));
    if (read) read(i);
  }
  function point(u, i) {
    u.setCursor(i === null ? { left: -10, top: -10 } : { left: u.valToPos(data[0][i], "x"), top: u.valToPos(data[1][i] ?? 0, "y") });
    if (at !== i) move(i);
  }
  const u = new uPlot({
    width: Math.max(200, host.clientWidth), height, padding: [10, 12, 0, 0], legend: { show: false }, scales, axes, series: [{}, ...series],
    cursor: { y: false, drag: { x: Boolean(zoom), y: false, setScale: true }, points: { size: 9 }, ...(sync && { sync: { key: sync, scales: ["x", null] } }), ...(nearest && { dataIdx: (self) => nearest(self) }) },
    hooks: { setCursor: [(self) => { const i = nearest ? (self.cursor.left < 0 ? null : self.cursor.idxs[1]) : self.cursor.idx; move(i ?? null); }], draw: draw ? [draw] : [] },
  }, data, surface);
  const fit = () => { if (host.clientWidth > 0 && host.clientWidth !== u.width) u.setSize({ width: host.clientWidth, height }); };
  new ResizeObserver(() => requestAnimationFrame(fit)).observe(host);
  plots.push({ u, height, paper, fit });

  surface.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      point(u, Math.min(last, Math.max(0, (at ?? (by > 0 ? -1 : last + 1)) + by)));
    } else if (event.key === "Enter" && pick && at !== null) pick(at);
    else if (event.key === "Escape") point(u, null);
  });
  surface.addEventListener("blur", () => point(u, null));
  u.over.addEventListener("pointerdown", (event) => { pressed = event.clientX; });
  u.over.addEventListener("click", (event) => { if (pick && at !== null && Math.abs(event.clientX - pressed) < 4) pick(at); });
  move(null);
  return u;
}

// Shapes as well as colours tell arms apart.
function drawShape(ctx, style, x, y, r) {
  ctx.beginPath();
  if (style % 3 === 0) ctx.arc(x, y, r, 0, 2 * Math.PI);
  else if (style % 3 === 1) ctx.rect(x - r, y - r, 2 * r, 2 * r);
  else { ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.3, y + r); ctx.lineTo(x - r * 1.3, y + r); ctx.closePath(); }
  ctx.fill();
}

function drawShapes(style) {
  return (u, si) => {
    u.ctx.fillStyle = color(`--a${style % 6}`);
    u.data[0].forEach((x, i) => {
      const y = u.data[si][i];
      const inside = x >= u.scales.x.min && x <= u.scales.x.max;
      if (y !== null && y !== undefined && inside) drawShape(u.ctx, style, u.valToPos(x, "x", true), u.valToPos(y, "y", true), 2.6 * uPlot.pxRatio);
    });
    return false;  // drawn; uPlot need not
  };
}

// One metric, a curve an arm, over training steps or over what the metric says it is of (`x`, on a log scale if `log`).
// `pick` gets the steps behind a point: after the one before it, to it.
function drawCurves(host, metric, arms, events, height, pick) {
  const steps = [...new Set(metric.curves.flat().map(([step]) => step))].sort((a, b) => a - b);
  const lookup = metric.curves.map((curve) => new Map(curve));
  const values = metric.curves.flat().map(([, v]) => v).filter((v) => v !== null);
  const known = metric.curves.map((curve) => curve.filter(([, v]) => v !== null));
  const ended = known.map((curve) => {  // a single step is no trend: means of up to 16 steps at either end
    const steps = metric.x ? 1 : Math.max(1, Math.min(16, curve.length >> 1)), mean = (points) => points.reduce((sum, [, v]) => sum + v, 0) / points.length;
    return curve.length ? `${show(mean(curve.slice(0, steps)))} → ${show(mean(curve.slice(-steps)))}` : "not measured";
  });
  const readings = arms.map(() => el("span", { class: "reading" })), when = el("span", { class: "when" });
  const box = el("div", { class: "plot" }), over = metric.x || "step";
  const heading = metric.label === metric.name ? [metric.name] : [metric.label, " ", el("code", {}, metric.name)];
  host.append(el("figure", { class: "curve" }, el("figcaption", {}, el("h3", {}, heading), el("p", { class: "readings" }, when, readings)), box,
    figuresOf(metric.label, [over, ...arms.map((arm) => arm.name)], () => steps.map((s) => [String(s), ...lookup.map((own) => show(own.get(s)))]))));
  const values_at = (i) => (i === null ? ended : lookup.map((own) => show(own.get(steps[i]))));
  const named = arms.flatMap((arm, a) => events.filter((event) => event.arm === arm.name && event.step !== null && event.severity !== "note"));
  plot(box, {
    label: `${metric.label} over ${metric.x || "training steps"}`, height, paper: 310, sync: !metric.x && "steps", zoom: true,
    data: [steps, ...lookup.map((own) => steps.map((s) => own.get(s)))],
    scales: { x: { time: false, distr: metric.log ? 3 : 1, log: 2, range: (u, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) }, y: { range: domain(values) } },
    axes: [axis(2, over), axis(3, "", { values: (u, ticks) => ticks.map((v) => (Math.abs(v) >= 1e5 ? v.toExponential(0) : String(v))) })],
    series: arms.map((arm, a) => ({
      stroke: () => color(`--a${arm.style % 6}`), width: 2, dash: [[], [6, 3], [2, 3]][arm.style % 3], points: { show: known[a].length <= 40 ? drawShapes(arm.style) : false },
    })),
    draw: (u) => named.forEach((event) => {
      if (event.step < u.scales.x.min || event.step > u.scales.x.max) return;
      const x = u.valToPos(event.step, "x", true);
      u.ctx.strokeStyle = color(event.severity === "critical" ? "--bad" : "--mark-line");
      u.ctx.lineWidth = uPlot.pxRatio;
      u.ctx.setLineDash([2 * uPlot.pxRatio, 3 * uPlot.pxRatio]);
      u.ctx.beginPath(); u.ctx.moveTo(x, u.bbox.top); u.ctx.lineTo(x, u.bbox.top + u.bbox.height); u.ctx.stroke();
      u.ctx.setLineDash([]);
    }),
    say: (i) => `${i === null ? "first to last" : `${over} ${steps[i]}`}: ${arms.map((arm, a) => `${arm.name} ${values_at(i)[a]}`).join("; ")}`,
    read: (i) => {
      when.textContent = i === null ? (metric.x ? "first → last" : "first → last, means") : `${over} ${steps[i]}`;
      arms.forEach((arm, a) => readings[a].replaceChildren(armKey(arm.style), visible(` ${arm.name} `), el("b", {}, values_at(i)[a])));
    },
    pick: pick && ((i) => pick(i ? steps[i - 1] : -Infinity, steps[i])),
  });
}

// counts: [bin][band]; never and always solved stand apart from the tenths between.
function drawHistogram(host, name, bands, counts, pick) {
  const bins = ["never solved", ...Array.from({ length: 10 }, (_, i) => `${i / 10} to ${(i + 1) / 10}`), "always solved"];
  const used = bands.map((band, b) => b).filter((b) => counts.some((row) => row[b]));
  const totals = counts.map((row) => row.reduce((sum, n) => sum + n, 0)), total = totals.reduce((sum, n) => sum + n, 0);
  const upTo = used.map((_, place) => counts.map((row) => used.slice(0, place + 1).reduce((sum, b) => sum + row[b], 0)));
  const say = (i) => (i === null ? bins.map((bin, k) => totals[k] && `${bin}: ${totals[k]}`).filter(Boolean).join("; ")
    : `${bins[i]}: ${plural(totals[i], "prompt")}${totals[i] ? ` (${used.filter((b) => counts[i][b]).map((b) => `${counts[i][b]} ${bands[b]}`).join(", ")})` : ""}`);
  const status = el("p", { class: "readings" }), box = el("div");
  host.append(el("figure", {}, el("figcaption", {}, el("h3", {}, `${name ? `${name}: ` : ""}pass rates of ${plural(total, "prompt")}`), status), box,
    figuresOf("Prompts by pass rate and band", ["Pass rate", ...used.map((b) => bands[b])], () => bins.map((bin, i) => [bin, ...used.map((b) => String(counts[i][b]))]))));
  const xs = bins.map((_, i) => i + (i > 0 ? 0.4 : 0) + (i > 10 ? 0.4 : 0));
  plot(box, {
    label: `Histogram of pass rates${name ? ` of ${name}` : ""}`, height: 260,
    data: [xs, ...upTo.slice().reverse()],
    scales: { x: { time: false, range: [-0.6, 12.4] }, y: { range: [0, Math.max(1, ...totals) * 1.08] } },
    axes: [axis(2, "pass rate", {
      splits: () => [0, ...Array.from({ length: 11 }, (_, i) => 0.9 + i), 11.8],
      values: () => ["never", ...Array.from({ length: 11 }, (_, i) => (i % 2 || i % 10 === 0 ? "" : String(i / 10))), "always"], space: 1,
    }), axis(3, "prompts", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4], size: 52 })],
    series: used.slice().reverse().map((b) => ({ fill: () => color(bandColor(bands[b])), width: 0, paths: uPlot.paths.bars({ size: [0.82, 80] }), points: { show: false } })),
    say, read: (i) => { status.textContent = i === null ? "\u00a0" : say(i); }, pick: (i) => totals[i] && pick(i),
  });
}

function bandColor(band) {
  return `--${{ impossible: "impossible", "near-impossible": "near", learnable: "learnable", mastered: "mastered" }[band] || "unscored"}`;
}

// points: [{x, y, rows, band}], one for all prompts at a place; its area grows with their number.
function drawScatter(host, title, xLabel, yLabel, points, pick) {
  points.sort((a, b) => a.x - b.x || a.y - b.y);
  const status = el("p", { class: "readings" }), box = el("div");
  const say = (i) => (i === null ? `${plural(points.length, "point")}` : `${plural(points[i].rows.length, "prompt")} at ${xLabel} ${show(points[i].x)}, ${yLabel} ${show(points[i].y)}`);
  host.append(el("figure", {}, el("figcaption", {}, el("h3", {}, title), status), box,
    figuresOf(title, [xLabel, yLabel, "prompts"], () => points.map((p) => [show(p.x), show(p.y), String(p.rows.length)]))));
  const end = Math.min(1.03, Math.max(0.25, 1.15 * points[points.length - 1].x)), line = Math.min(1, end);
  const radius = (p) => Math.min(14, 2.5 + 1.5 * Math.sqrt(p.rows.length));
  plot(box, {
    label: title, height: 320, data: [points.map((p) => p.x), points.map((p) => p.y)],
    scales: { x: { time: false, range: [-0.03 * end, end] }, y: { range: [-0.04, 1.04] } },
    axes: [axis(2, xLabel, { grid: { show: true, stroke: () => color("--line"), width: 1 } }), axis(3, yLabel, { size: 52, labelSize: 18 })],
    series: [{ stroke: () => color("--ink"), paths: () => null, points: { show: (u) => {
      u.ctx.strokeStyle = color("--muted");
      u.ctx.lineWidth = uPlot.pxRatio;
      u.ctx.beginPath(); u.ctx.moveTo(u.valToPos(0, "x", true), u.valToPos(0, "y", true)); u.ctx.lineTo(u.valToPos(line, "x", true), u.valToPos(line, "y", true)); u.ctx.stroke();
      points.forEach((p) => {
        u.ctx.fillStyle = color(bandColor(p.band));
        u.ctx.globalAlpha = 0.75;
        drawShape(u.ctx, 0, u.valToPos(p.x, "x", true), u.valToPos(p.y, "y", true), radius(p) * uPlot.pxRatio);
      });
      u.ctx.globalAlpha = 1;
      return false;
    } } }],
    nearest: (u) => {
      const away = (p) => Math.hypot(u.valToPos(p.x, "x") - u.cursor.left, u.valToPos(p.y, "y") - u.cursor.top);
      const best = points.reduce((near, p, i) => (away(p) < away(points[near]) ? i : near), 0);
      return away(points[best]) < 30 ? best : null;
    },
    say, read: (i) => { status.textContent = i === null ? "\u00a0" : say(i); }, pick,
  });
}
