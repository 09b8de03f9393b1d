// Opens the page: what each part shows, and the addresses that choose and open things.

function showAlarms(hasSteps) {
  if (!data.events.length) return;
  reveal("alarms");
  const several = new Set(data.events.map((event) => event.arm)).size > 1, signs = { critical: "✕ critical", warning: "! warning" };
  const item = (event) => el("li", { class: event.severity },
    el("b", {}, signs[event.severity] || event.severity), " ", el("span", { class: "muted" }, [several && event.arm, `step ${event.step}`, words(event.figure)].filter(Boolean).join(" · ")),
    el("p", {}, event.message), event.cause && el("p", { class: "advice" }, el("b", {}, "Usual cause: "), `${event.cause}. `, el("b", {}, "Do: "), event.do.split("`").map((part, i) => (i % 2 ? el("code", {}, part) : part))), hasSteps && el("a", { href: `#steps=${event.step - 1}..${event.step}` }, `Rollouts of step ${event.step}`));
  const list = (events) => el("ul", { class: "alarms" }, events.map(item)), said = new Set();
  const open = data.events.filter((event) => {  // the gravest of each figure
    const name = `${event.arm} ${event.figure}`, fresh = event.severity !== "note" && !said.has(name) && said.size < 6;
    if (fresh) said.add(name);
    return fresh;
  });
  const rest = data.events.filter((event) => !open.includes(event));
  byId("alarm-list").append(open.length ? list(open) : el("p", {}, "No alarm."));
  if (rest.length) byId("alarm-list").append(el("details", {}, el("summary", {}, `${rest.length} more ${rest.length > 1 ? "alarms and notes" : "alarm or note"}`), list(rest)));
}

function showTraining(hasSteps) {
  const { arms, metrics } = data.training;
  if (!arms.length) return;
  reveal("training");
  byId("step-hint").hidden = !hasSteps;
  byId("arms").append(...arms.map((arm) => el("li", {}, armKey(arm.style), ` ${arm.name}`)));
  const first = metrics.filter((metric) => metric.first), rest = metrics.filter((metric) => !metric.first), more = byId("more-metrics");
  const pick = hasSteps && ((after, to) => { location.hash = `steps=${after}..${to}`; });
  const add = (host, list, height) => list.forEach((metric) => drawCurves(host, metric, arms, data.events, height, pick));
  add(byId("charts"), first.length ? first : rest.splice(0, 4), 230);
  more.hidden = !rest.length;
  more.firstElementChild.append(` (${rest.length})`);
  onOpen(more, () => add(more.lastElementChild, rest, 190));
}

const BINS = ["never solved", ...range(10).map((i) => `${i / 10} to ${(i + 1) / 10}`), "always solved"];

function showRates() {
  const { of } = data.prompts, runs = range(data.runs.length).filter((run) => of[run].bin.some((bin) => bin !== null));
  if (!runs.length) return;
  reveal("rates");
  const counts = new Map(), bands = [...BANDS], count = (run, band, bin = "all") => counts.get(`${run} ${band} ${bin}`) || 0;
  for (const run of runs) {
    of[run].bin.forEach((bin, p) => {
      const band = of[run].band[p] || "unscored";
      if (bin === null) return;
      if (!bands.includes(band)) bands.push(band);
      for (const key of [bin, "all"]) counts.set(`${run} ${band} ${key}`, count(run, band, key) + 1);
    });
  }
  const used = bands.filter((band) => runs.some((run) => count(run, band)));
  byId("bands").append(...used.map((band) => el("li", {}, bandKey(band), ` ${band === "unscored" ? "no band" : band} `, el("b", {}, runs.map((run) => count(run, band).toLocaleString("en")).join(" → ")))));
  for (const run of runs) {
    const rows = BINS.map((name, bin) => [name, [used.map((band) => [bandColor(band), count(run, band, bin)])], bin]);
    byId("histograms").append(el("figure", {}, el("h3", {}, `${runs.length > 1 ? `${data.runs[run]}: p` : "P"}ass rates of ${plural(used.reduce((sum, band) => sum + count(run, band), 0), "prompt")}`),
      countBars(rows, `Prompts of ${data.runs[run]} by pass rate`, (bin) => { location.hash = `bin=${run},${bin}`; })));
  }
}

function showDecisions() {
  if (!data.filters.some(Boolean)) return;
  reveal("filter");
  const reasons = [...new Set(data.filters.flatMap((one) => Object.keys(one || {})))], several = data.filters.length > 1;
  byId("decisions").append(countBars(reasons.map((reason) => [reason === "kept" ? reason : `dropped: ${words(reason)}`,
    data.filters.map((one) => (one && one[reason] !== null ? [[several ? "" : bandColor(reason === "kept" ? "learnable" : reason), one[reason] || 0]] : null))]), "Kept and dropped rows by reason"));
}

// What an address chooses: #prompt=id, #steps=30..40 or #bin=0,3; a broken one chooses nothing.
function readChoice(hash) {
  const [, name, value] = /^#(prompt|steps|bin)=(.*)$/.exec(hash) || [], { id, of } = data.prompts;
  if (name === "prompt") {
    let prompt = -1;
    try { prompt = id.indexOf(decodeURIComponent(value)); } catch { /* no address */ }
    return prompt < 0 ? NOTHING : { ...NOTHING, label: title(prompt, 90), prompts: new Set([prompt]), one: prompt };
  }
  const [first, second] = (value || "").split(/\.\.|,/).map(Number), bins = of[first]?.bin;
  if (name === "steps" && second >= first) return { ...NOTHING, label: second - first === 1 ? `step ${second}` : first === -Infinity ? `steps up to ${second}` : `steps after ${first}, up to ${second}`, steps: [first, second] };
  if (name !== "bin" || !bins || !BINS[second]) return NOTHING;
  const label = `${second % 11 ? "pass rate " : ""}${BINS[second]}${data.runs.length > 1 ? ` in ${data.runs[first]}` : ""}`;
  return { ...NOTHING, label, prompts: new Set(range(bins.length).filter((p) => bins[p] === second)) };
}

async function showChoice() {
  const { label, prompts, one } = chosen, described = one !== null && await describePrompt(one);
  for (const place of document.querySelectorAll(".chosen")) {
    const section = place.closest("section").id, fits = label && (section === "rollouts" || (prompts && (one === null || !data.rollouts.prompt.length)));
    place.hidden = !fits;
    place.replaceChildren();
    if (fits) fill(place, {}, [described || ["Only ", el("b", {}, label), " "], el("button", { type: "button", onclick: () => { location.hash = ""; } }, "Show all")]);
  }
}

async function open() {
  data = await inflate("data");
  texts = shelf("rollouts", data.starts.rollouts);
  heads = shelf("prompts", data.starts.prompts);
  const { prompt, step, kinds } = data.rollouts, flags = range(data.prompts.id.length).map(() => 0);
  prompt.forEach((p, i) => { if (p >= 0 && kinds[i]) flags[p]++; });
  const hasSteps = step.some((value) => value !== null);
  showAlarms(hasSteps);
  showTraining(hasSteps);
  showRates();
  showDecisions();
  showAudit();
  const refreshPrompts = showPrompts(flags), refreshRollouts = showRollouts();
  async function follow() {
    const choice = readChoice(location.hash), section = byId(prompt.length ? "rollouts" : "prompts");
    if (!choice.label && !chosen.label) return;
    chosen = choice;
    await Promise.all([showChoice(), refreshPrompts(), refreshRollouts()]);
    if (!choice.label) return;
    section.scrollIntoView({ block: "start" });
    section.querySelector("h2").focus({ preventScroll: true });
  }
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
