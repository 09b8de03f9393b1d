// Opens the page: what each part shows, and the addresses that choose and open things.

function showTraining(hasSteps) {
  const { arms, metrics } = data.training;
  if (!arms.length) return;
  reveal("training");
  byId("step-hint").hidden = !hasSteps;
  byId("arms").append(...arms.map((arm) => el("li", {}, armKey(arm.style), ` ${arm.name}`)));
  const first = metrics.filter((metric) => metric.first), rest = metrics.filter((metric) => !metric.first);
  const pick = hasSteps && ((after, to) => { location.hash = `steps=${after}..${to}`; });
  const add = (host, list, height) => list.forEach((metric) => drawCurves(host, metric, arms, data.events, height, pick));
  add(byId("charts"), first.length ? first : rest.slice(0, 4), 230);
  const others = first.length ? rest : rest.slice(4);
  if (others.length) {
    const more = byId("more-metrics");
    more.hidden = false;
    more.firstElementChild.append(` (${others.length})`);
    more.addEventListener("toggle", () => { if (more.open && !more.lastElementChild.children.length) add(more.lastElementChild, others, 190); });
  }
  const names = [...new Set(arms.flatMap((arm) => arm.config.map(([name]) => name)))];
  if (names.length) {
    reveal("configs");
    const of = (arm, name) => (arm.config.find(([own]) => own === name) || [null, "–"])[1];
    byId("configs").append(dataTable("Settings of the trainings", ["setting", ...arms.map((arm) => arm.name)], names.map((name) => [name, ...arms.map((arm) => of(arm, name))])));
  }
}

const SCATTERS = {};  // the points of each plot: a point's address -> its prompts

// Prompts at the same place, to two decimals, are one point.
function gather(which, prompts, place) {
  SCATTERS[which] = new Map();
  for (const p of prompts) {
    const [x, y, band] = place(p), key = `${x.toFixed(2)},${y.toFixed(2)}`;
    if (!SCATTERS[which].has(key)) SCATTERS[which].set(key, { key, x: Number(x.toFixed(2)), y: Number(y.toFixed(2)), band, rows: [] });
    SCATTERS[which].get(key).rows.push(p);
  }
  return [...SCATTERS[which].values()];
}

function showRates() {
  const { of, id } = data.prompts, runs = range(data.runs.length).filter((run) => of[run].bin.some((bin) => bin !== null));
  if (!runs.length) return;
  reveal("rates");
  const known = range(id.length), banded = (run, p) => of[run].band[p] || "unscored";
  const used = new Set(runs.flatMap((run) => known.filter((p) => of[run].bin[p] !== null).map((p) => banded(run, p))));
  const bands = [...BANDS.filter((band) => used.has(band)), ...[...used].filter((band) => !BANDS.includes(band)).sort()];
  byId("bands").append(...bands.map((band) => el("li", {}, bandKey(band), ` ${band === "unscored" ? "no band" : band} `, el("b", {}, runs.map((run) => known.filter((p) => of[run].bin[p] !== null && banded(run, p) === band).length.toLocaleString("en")).join(" → ")))));
  for (const run of runs) {
    const counts = range(12).map(() => bands.map(() => 0));
    known.forEach((p) => { if (of[run].bin[p] !== null) counts[of[run].bin[p]][bands.indexOf(banded(run, p))]++; });
    drawHistogram(byId("histograms"), data.runs.length > 1 ? data.runs[run] : "", bands, counts, (bin) => { location.hash = `bin=${run},${bin}`; });
  }
  const host = byId("scatter");
  for (const run of runs.slice(1)) {
    const both = known.filter((p) => of[runs[0]].rate[p] !== null && of[run].rate[p] !== null), names = [data.runs[runs[0]], data.runs[run]];
    if (!both.length) continue;
    const points = gather(`runs${run}`, both, (p) => [of[runs[0]].rate[p], of[run].rate[p], of[run].band[p]]);
    drawScatter(host, `Pass rates, prompt by prompt: ${names.join(" against ")}`, ...names, points, (i) => { location.hash = `runs${run}=${points[i].key}`; });
  }
  if (runs.length > 1) return;
  if (of[runs[0]].chance.some((chance) => chance !== null)) {
    const own = of[runs[0]], points = gather("chance", known.filter((p) => own.chance[p] !== null && own.rate[p] !== null), (p) => [own.chance[p], own.rate[p], own.band[p]]);
    if (points.length) drawScatter(host, "Pass rate against chance rate: on the line, guessing would do as well", "chance rate", "pass rate", points, (i) => { location.hash = `chance=${points[i].key}`; });
  }
}

// What an address chooses: #steps=30..40, #bin=0,3, #chance=x,y or #runs1=x,y.
function readChoice(hash) {
  const nothing = { label: "", prompts: null, steps: null };
  const [, name, value] = /^#(steps|bin|chance|runs\d+)=(.+)$/.exec(hash) || [];
  if (name === "steps") {
    const [after, to] = value.split("..").map(Number);
    if (Number.isNaN(after) || Number.isNaN(to)) return nothing;
    return { ...nothing, label: to - after === 1 ? `step ${to}` : after === -Infinity ? `steps up to ${to}` : `steps after ${after}, up to ${to}`, steps: [after, to] };
  }
  if (name === "bin") {
    const [run, bin] = value.split(",").map(Number), bins = data.prompts.of[run]?.bin;
    if (!bins || !(bin >= 0 && bin < 12)) return nothing;
    const label = bin === 0 ? "never solved" : bin === 11 ? "always solved" : `pass rate ${(bin - 1) / 10} to ${bin / 10}`;
    return { ...nothing, label: data.runs.length > 1 ? `${label} in ${data.runs[run]}` : label, prompts: new Set(range(bins.length).filter((p) => bins[p] === bin)) };
  }
  const point = name && SCATTERS[name]?.get(value);
  if (!point) return nothing;
  const [x, y] = name === "chance" ? ["chance rate", "pass rate"] : [data.runs[0], data.runs[Number(name.slice(4))]];
  return { ...nothing, label: `${plural(point.rows.length, "prompt")} at ${x} ${show(point.x)}, ${y} ${show(point.y)}`, prompts: new Set(point.rows) };
}

function showChoice() {
  for (const place of document.querySelectorAll(".chosen")) {
    const fits = chosen.label && (chosen.prompts || place.closest("section").id === "rollouts");
    place.hidden = !fits;
    place.replaceChildren(...(fits ? ["Only ", el("b", {}, chosen.label), " ", el("button", { type: "button", onclick: () => { location.hash = ""; } }, "Show all")] : []));
  }
}

async function open() {
  data = await inflate("data");
  texts = shelf("rollouts", data.starts.rollouts);
  heads = shelf("prompts", data.starts.prompts);
  const { prompt, step, kinds } = data.rollouts, numbersOf = new Map(), flags = range(data.prompts.id.length).map(() => 0);
  prompt.forEach((p, i) => {
    if (p < 0) return;
    if (numbersOf.has(p)) numbersOf.get(p).push(i); else numbersOf.set(p, [i]);
    if (kinds[i]) flags[p]++;
  });
  const hasSteps = step.some((value) => value !== null), placeOf = new Map(data.prompts.id.map((id, p) => [id, p]));
  showAlarms(hasSteps);
  showTraining(hasSteps);
  showRates();
  showDecisions();
  showAudit();
  const refreshPrompts = showPrompts(flags), refreshRollouts = showRollouts();
  const dialog = byId("group");
  let kept = "";  // the address of what is chosen, to which a closed group returns

  async function follow() {
    const found = /^#prompt=(.*)$/.exec(location.hash);
    let id = null;
    try { id = found && decodeURIComponent(found[1]); } catch { /* a broken address opens nothing */ }
    if (id !== null && placeOf.has(id)) {
      const drawn = drawGroup(dialog, placeOf.get(id), numbersOf);
      if (!dialog.open) dialog.showModal();
      dialog.scrollTop = 0;
      byId("group-heading").focus();
      return drawn;
    }
    if (dialog.open) dialog.close();
    const choice = readChoice(location.hash);
    if (!choice.label && !chosen.label) return null;
    chosen = choice;
    kept = choice.label ? location.hash : "";
    showChoice();
    const section = byId(prompt.length ? "rollouts" : "prompts");
    const drawn = Promise.all([refreshPrompts(), refreshRollouts()]);
    if (choice.label) {
      section.scrollIntoView({ block: "start" });
      section.querySelector("h2").focus({ preventScroll: true });
    }
    return drawn;
  }
  dialog.addEventListener("close", () => {
    // Leave the page where it was: no jump to the top.
    if (location.hash.startsWith("#prompt=")) history.replaceState(null, "", location.pathname + location.search + kept);
  });
  addEventListener("hashchange", follow);
  await Promise.all([refreshPrompts(), refreshRollouts()]);
  await follow();
  document.documentElement.dataset.ready = "";
}

open().catch((error) => {
  byId("failed").hidden = false;
  byId("failed").append(` (${error})`);
  throw error;
});
