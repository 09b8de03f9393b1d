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

const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const byId = (id) => document.getElementById(id);
const reveal = (id) => { byId(id).hidden = false; };
const words = (name) => name.replaceAll("_", " ");
const range = (n) => Array.from({ length: n }, (_, i) => i);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const signed = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${show(Math.abs(value))}`);
const option = (value, label) => el("option", { value }, label || value);

function show(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return size < 10 ? value.toFixed(size < 0.1 ? 3 : 2) : String(Number(value.toPrecision(size >= 1000 ? 4 : 3)));
}

function oneLine(text, length) {
  const points = Array.from(text.slice(0, length * 3).replace(/\s+/g, " ").trim());
  return points.length > length ? points.slice(0, length).join("") + "…" : points.join("");
}

const DASHES = [[], [6, 3], [2, 3]];  // lines of trainings differ in more than colour

function armKey(style) {
  return svg("svg", { class: "key", width: 26, height: 14, "aria-hidden": "true" }, svg("path", { stroke: `var(--a${style % 6})`, "stroke-width": 2, "stroke-dasharray": DASHES[style % 3].join(" "), d: "M0,7H26" }));
}

const BANDS = ["impossible", "near-impossible", "learnable", "mastered", "unscored"];

const bandColor = (band) => `var(--${BANDS.includes(band) ? band : "unscored"})`;

function bandKey(band) {
  return svg("svg", { class: "key", width: 12, height: 12, "aria-hidden": "true" }, svg("rect", { fill: bandColor(band), width: 12, height: 12, rx: 2 }));
}

function dataTable(caption, heads, rows) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "figures" },
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell)))))));
}

// Fills a `details` when it is first opened.
function onOpen(details, build) {
  details.addEventListener("toggle", () => { if (details.open && !details.dataset.built) { details.dataset.built = ""; build(); } });
  return details;
}

// The interval from row.low to row.high, with a dot at `value`, in front of the scale that is drawn `behind`.
function intervalBar(label, width, place, row, fill, value, behind) {
  const parts = [...behind];
  if (row.low !== null && row.high !== null) parts.push(svg("rect", { fill, x: place(row.low), y: 6, width: Math.max(1, place(row.high) - place(row.low)), height: 6, rx: 3 }));
  if (value !== null) parts.push(svg("circle", { class: "dot", cx: place(value), cy: 9, r: 3.5 }));
  return svg("svg", { class: "interval", width, height: 18, role: "img", "aria-label": label }, svg("title", {}, label), parts);
}

// Counts as a table of bars on one scale. rows: [name, bars, value to pick]; a bar is [[colour, count], ...], or null
// where it is not known; with several runs each has one.
function countBars(rows, caption, pick) {
  const total = (bar) => bar && bar.reduce((sum, [, n]) => sum + n, 0), top = Math.max(1, ...rows.flatMap(([, bars]) => bars.map(total)));
  const several = rows.some(([, bars]) => bars.length > 1);
  const draw = (bar, run) => {
    let x = 0;
    return svg("svg", { width: "100%", height: 12, "aria-hidden": "true" }, (bar || []).map(([fill, n]) => {
      const rect = svg("rect", { fill: fill || (several ? `var(--a${run % 6})` : "var(--muted)"), x: `${x}%`, width: `${(100 * n) / top}%`, height: 12 });
      x += (100 * n) / top;
      return rect;
    }));
  };
  const heads = several && el("thead", {}, el("tr", {}, el("th", { scope: "col" }, ""), data.runs.map((name) => el("th", { scope: "col", class: "number" }, name)), el("td", {})));
  return el("table", { class: "bars", "aria-label": caption }, heads, el("tbody", {}, rows.map(([name, bars, value]) => el("tr", {},
    el("th", { scope: "row" }, pick ? el("button", { type: "button", onclick: () => pick(value) }, name) : name),
    bars.map((bar) => el("td", { class: "number" }, bar ? total(bar).toLocaleString("en") : "–")),
    el("td", { class: "bar" }, bars.map(draw))))));
}
