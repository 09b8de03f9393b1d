"use strict";
// Small parts that all sections share.

// Characters that would be unseen, or would turn the order of what stands beside them, are shown as what they are.
function visible(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200b\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

// All text from the run goes through text nodes and attributes that cannot run: no innerHTML anywhere.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, name === "href" || name === "value" ? value : visible(String(value)));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) node.append(typeof child === "string" ? visible(child) : child);
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

// Domain of a plot: shares on 0..1, other metrics on their own range, with 0 in it where that costs little.
function domain(values) {
  let low = Math.min(...values), high = Math.max(...values);
  if (low >= 0 && high <= 1 && high > 0.5) return [0, 1];
  if (low > 0 && (high <= 1 || low < high * 0.6)) low = 0;
  if (low === high) return [low - (Math.abs(low) || 1) * 0.1, high + (Math.abs(high) || 1) * 0.1];
  const pad = (high - low) * 0.06;
  return [low === 0 ? 0 : low - pad, high + pad];
}
