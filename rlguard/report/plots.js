// Curves by uPlot. Each is also a slider: arrow keys go from point to point, Enter opens what is behind one.

const plots = [];
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const redrawPlots = () => plots.forEach((u) => u.redraw(false));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
for (const event of ["beforeprint", "afterprint"]) {  // paper is light
  addEventListener(event, () => { document.documentElement.classList.toggle("paper", event === "beforeprint"); redrawPlots(); });
}

// Domain of a plot: shares on 0..1, other metrics on their own range, with 0 in it where that costs little.
function domain(values) {
  let low = Math.min(...values), high = Math.max(...values);
  if (low >= 0 && high <= 1 && high > 0.5) return [0, 1];
  if (low > 0 && (high <= 1 || low < high * 0.6)) low = 0;
  if (low === high) return [low - Math.abs(low) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const pad = (high - low) * 0.06;
  return [low === 0 ? 0 : low - pad, high + pad];
}

function axis(side, label, more) {
  return {
    side, label, stroke: () => color("--muted"), font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 20, labelGap: 0,
    size: side === 3 ? 46 : 26, gap: 4, space: side === 3 ? 36 : 56, ticks: { show: false },
    grid: { show: side === 3, stroke: () => color("--line"), width: 1 }, border: { show: side === 2, stroke: () => color("--muted"), width: 1 }, ...more,
  };
}

// One metric, a curve an arm, over training steps or over what the metric says it is of (`x`, on a log scale if `log`).
// `pick` gets the steps behind a point: after the one before it, to it.
function drawCurves(host, metric, arms, events, height, pick) {
  const over = metric.x || "step", steps = [...new Set(metric.curves.flat().map(([step]) => step))].sort((a, b) => a - b);
  const lookup = metric.curves.map((curve) => new Map(curve)), last = steps.length - 1;
  const ends = metric.ends ?? metric.curves.map((curve) => { const known = curve.filter(([, v]) => v !== null); return known.length ? `${show(known[0][1])} → ${show(known.at(-1)[1])}` : null; });
  const read = (i) => (i === null ? ends.map((own) => own ?? "not measured") : lookup.map((own) => show(own.get(steps[i]))));
  const readings = arms.map(() => el("span", { class: "reading" })), when = el("span", { class: "when" }), box = el("div");
  const surface = el("div", { class: pick ? "surface pickable" : "surface", tabindex: 0, role: "slider", "aria-label": `${metric.label} over ${metric.x || "training steps"}`, "aria-valuemin": 0, "aria-valuemax": last });
  const heading = metric.label === metric.name ? [metric.name] : [metric.label, " ", el("code", {}, metric.name)];
  const figures = el("details", {}, el("summary", {}, "Figures as a table"));
  onOpen(figures, () => figures.append(dataTable(metric.label, [over, ...arms.map((arm) => arm.name)], steps.map((s, i) => [String(s), ...read(i)]))));
  box.append(surface);
  host.append(el("figure", { class: "curve" }, el("figcaption", {}, el("h3", {}, heading), el("p", { class: "readings" }, when, readings)), box, figures));

  let at = null, pressed = 0;
  function move(i) {
    at = i;
    when.textContent = i !== null ? `${over} ${steps[i]}` : metric.x ? "first → last" : "first → last, means";
    arms.forEach((arm, a) => readings[a].replaceChildren(armKey(arm.style), visible(` ${arm.name} `), el("b", {}, read(i)[a])));
    surface.setAttribute("aria-valuenow", i ?? 0);
    surface.setAttribute("aria-valuetext", visible(`${when.textContent}: ${arms.map((arm, a) => `${arm.name} ${read(i)[a]}`).join("; ")}`));
  }
  const open = () => { if (pick && at !== null) pick(at ? steps[at - 1] : -Infinity, steps[at]); };
  const alarms = events.filter((event) => event.severity !== "note" && arms.some((arm) => arm.name === event.arm));
  const u = new uPlot({
    width: Math.max(200, box.clientWidth), height, padding: [10, 12, 0, 0], legend: { show: false },
    scales: { x: { time: false, distr: metric.log ? 3 : 1, log: 2, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) }, y: { range: domain(metric.curves.flat().map(([, v]) => v).filter((v) => v !== null)) } },
    axes: [axis(2, over), axis(3, "", { values: (_, ticks) => ticks.map((v) => (Math.abs(v) >= 1e5 ? v.toExponential(0) : String(v))) })],
    series: [{}, ...arms.map((arm, a) => {
      const stroke = () => color(`--a${arm.style % 6}`);
      return { stroke, width: 2, dash: DASHES[arm.style % 3], points: { show: metric.curves[a].length <= 40, size: 6, fill: stroke } };
    })],
    cursor: { y: false, drag: { x: true, y: false, setScale: true }, points: { size: 9 }, ...(!metric.x && { sync: { key: "steps", scales: ["x", null] } }) },
    hooks: {
      setCursor: [(self) => move(self.cursor.idx ?? null)],
      draw: [({ ctx, bbox, scales, valToPos }) => alarms.filter(({ step }) => step >= scales.x.min && step <= scales.x.max).forEach((event) => {
        ctx.fillStyle = color(event.severity === "critical" ? "--bad" : "--mark-line");
        ctx.globalAlpha = 0.6;
        ctx.fillRect(valToPos(event.step, "x", true), bbox.top, uPlot.pxRatio, bbox.height);
        ctx.globalAlpha = 1;
      })],
    },
  }, [steps, ...lookup.map((own) => steps.map((s) => own.get(s)))], surface);
  new ResizeObserver(() => requestAnimationFrame(() => { if (box.clientWidth > 0 && box.clientWidth !== u.width) u.setSize({ width: box.clientWidth, height }); })).observe(box);
  plots.push(u);

  function point(i) {
    u.setCursor(i === null ? { left: -10, top: -10 } : { left: Math.max(0, u.valToPos(steps[i], "x")), top: 0 });
    if (at !== i) move(i);
  }
  surface.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      point(Math.min(last, Math.max(0, (at ?? (by > 0 ? -1 : last + 1)) + by)));
    } else if (event.key === "Enter") open();
    else if (event.key === "Escape") point(null);
  });
  surface.addEventListener("blur", () => point(null));
  u.over.addEventListener("pointerdown", (event) => { pressed = event.clientX; });
  u.over.addEventListener("click", (event) => { if (Math.abs(event.clientX - pressed) < 4) open(); });
  move(null);
}
