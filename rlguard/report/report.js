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
  if (rest.length) byId("alarm-list").append(el("details", {}, el("summary", {}, `${rest.length} more alarms and notes`), list(rest)));
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
    byId("histograms").append(el("figure", {}, el("h3", {}, `${runs.length > 1 ? `${data.runs[run]}: ` : ""}pass rates of ${plural(used.reduce((sum, band) => sum + count(run, band), 0), "prompt")}`),
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

// What an address chooses: #steps=30..40 or #bin=0,3.
function readChoice(hash) {
  const nothing = { label: "", prompts: null, steps: null }, [, name, one, two] = /^#(steps|bin)=([^,]+?)(?:\.\.|,)(.+)$/.exec(hash) || [];
  const [first, second] = [Number(one), Number(two)];
  if (Number.isNaN(first) || Number.isNaN(second)) return nothing;
  if (name === "steps") return { ...nothing, label: second - first === 1 ? `step ${second}` : first === -Infinity ? `steps up to ${second}` : `steps after ${first}, up to ${second}`, steps: [first, second] };
  const bins = data.prompts.of[first]?.bin;
  if (!bins || !BINS[second]) return nothing;
  const label = `${second % 11 ? "pass rate " : ""}${BINS[second]}${data.runs.length > 1 ? ` in ${data.runs[first]}` : ""}`;
  return { ...nothing, label, prompts: new Set(range(bins.length).filter((p) => bins[p] === second)) };
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
