"""What the efficacy benchmark says: every table and figure from the committed rows.

    python benchmarks/efficacy/results.py               # on the screen
    python benchmarks/efficacy/results.py --reproduce   # recomputes all; fails where RESULTS.md says something else
    python benchmarks/efficacy/results.py --write       # into RESULTS.md and docs/efficacy.png

A place in RESULTS.md begins with `<!-- efficacy NAME -->` and ends with `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from math import isnan, nan
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.efficacy.compare import (  # noqa: E402
    GOALS,
    RARE,
    Rows,
    at_half,
    check_goals,
    end,
    gained,
    kept,
    name_mix,
    pool,
    subtract,
    summarise,
)
from benchmarks.efficacy.plan import COMPARED, CONTROLS, LEARNABLE, MAIN, TUNED, list_tuning  # noqa: E402
from benchmarks.efficacy.records import Row, key, read_rows  # noqa: E402
from benchmarks.efficacy.settings import DESIGNS, FAMILIES, OUT, RATES, SEEDS, TUNING, Run  # noqa: E402
from benchmarks.efficacy.stats import fit_square, stratified, template_interval, write_cell  # noqa: E402
from rlguard.tables.files import replace_file  # noqa: E402

AUDITS = ROOT / "benchmarks" / "efficacy" / "calibration.jsonl"
PAGE, FIGURE = ROOT / "benchmarks" / "RESULTS.md", ROOT / "docs" / "efficacy.png"
NONE = "No rows yet."


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table, or a word where there are no lines."""
    body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|", *body]) if body else NONE


def write_goals(rows: Rows) -> str:
    """Each goal with its verdicts, what is missed first."""
    checks, blocks = check_goals(rows), []
    order = ["missed", "open, estimate missed", "open, estimate met", "met"]
    for goal, text in GOALS.items():
        own = sorted((c for c in checks if c.goal == goal), key=lambda check: order.index(check.verdict))
        counts = ", ".join(f"{name} {n}" for name in order if (n := sum(c.verdict == name for c in own)))
        worst = [f"- {c.verdict}: {c.where}: {write_cell(c.found, sign=True)}" for c in own if c.verdict != "met"]
        folded = ["<details><summary>not met</summary>", "", *worst, "", "</details>"] if len(worst) > 6 else worst
        blocks.append(
            "\n".join([f"({goal}) {text} **{len(own)} comparisons: {counts or NONE}**", "", *folded]).rstrip()
        )
    return "\n\n".join(blocks)


def write_pooled(rows: Rows) -> str:
    """Each mix that several families have, over all of them: rlguard less GRPO, with the models as clusters."""
    heads = ["mix", "models", "kept, rlguard less GRPO", "gained", "rare but valid, pass@1"]
    lines = []
    for mix in rows.mixes():
        found = [pool(rows, mix, *MAIN, measure) for measure in (kept, gained, RARE[1])]
        if found[0].n > len(DESIGNS):
            lines.append([name_mix("all", mix), str(found[0].n), *(write_cell(f, sign=True) for f in found)])
    return table(heads, lines)


def write_main(rows: Rows) -> str:
    """GRPO and rlguard, each at its own best rate, one line a family and mix."""
    names = ("kept", "gained", "rare pass@1", "rare pass@64")
    heads = ["mix", "seeds", *(f"{name}, {arm}" for name in names for arm in ("GRPO", "rlguard"))]
    heads.append("kept, rlguard less GRPO")
    lines = []
    for family in FAMILIES:
        for mix in rows.mixes(family):
            guarded, plain = (rows.get(family, mix, arm) for arm in MAIN)
            if guarded and plain:
                cells = [
                    write_cell(summarise(runs, of))
                    for of in (kept, gained, *RARE.values())
                    for runs in (plain, guarded)
                ]
                less = write_cell(subtract(guarded, plain, kept), sign=True)
                lines.append([name_mix(family, mix), str(len(guarded)), *cells, less])
    return table(heads, lines)


def write_arms(rows: Rows, arms: Sequence[str]) -> str:
    """Some arms at their own best rates beside the two main ones."""
    heads = [
        "mix",
        "arm",
        "rate",
        "seeds",
        "kept",
        "gained",
        "rare pass@1",
        "kept, rlguard less it",
        "gained, rlguard less it",
    ]
    lines = []
    for family in FAMILIES:
        for mix in rows.mixes(family):
            found = rows.arms(family, mix)
            if not set(arms) & set(found):
                continue
            guarded = rows.get(family, mix, "rlguard")
            for arm in [arm for arm in found if arm in (*MAIN, *arms)]:
                runs = rows.get(family, mix, arm)
                cells = [write_cell(summarise(runs, of)) for of in (kept, gained, RARE[1])]
                less = [
                    "" if arm == "rlguard" else write_cell(subtract(guarded, runs, of), sign=True)
                    for of in (kept, gained)
                ]
                rate = f"× {rows.rates[family, arm]:g}"
                lines.append([name_mix(family, mix), arm, rate, str(len(runs)), *cells, *less])
    return table(heads, lines)


def write_rates(rows: Rows) -> str:
    """What the tuning seeds chose: mean of prior and learnable accuracy at each rate."""
    done = {key(row): row for row in rows.all}
    lines = []
    for family, arms in TUNED.items():
        for arm in arms:
            cells = []
            for rate in RATES:
                found = [done.get(key(Run(arm, family, *LEARNABLE, seed, rate))) for seed in TUNING]
                ends = [end(group, "accuracy")(row) for row in found if row for group in ("prior", "learnable")]
                chosen = rows.rates.get((family, arm)) == rate
                cells.append("–" if None in found else f"**{sum(ends) / 4:.3f}**" if chosen else f"{sum(ends) / 4:.3f}")
            lines.append([family, arm, *cells])
    return table(["family", "arm", *(f"× {rate:g}" for rate in RATES)], lines if any(rows.rates) else [])


def write_hindsight(rows: Rows) -> str:
    """GRPO at every rate, where all were run: equal rates, and the best in hindsight."""
    lines = []
    for family in FAMILIES:
        for mix in rows.mixes(family):
            found = {rate: rows.get(family, mix, "grpo", rate) for rate in RATES}
            guarded = rows.get(family, mix, "rlguard")
            if mix == LEARNABLE or not all(found.values()) or not guarded:
                continue
            score = {rate: summarise(runs, kept).mean + summarise(runs, gained).mean for rate, runs in found.items()}
            for rate, runs in found.items():
                notes = ["best in hindsight"] * (score[rate] == max(score.values()))
                notes += ["its own best"] * (rate == rows.rates.get((family, "grpo")))
                notes += ["rlguard's"] * (rate == rows.rates.get((family, "rlguard")))
                cells = [write_cell(summarise(runs, of)) for of in (kept, gained)]
                less = [write_cell(subtract(guarded, runs, of), sign=True) for of in (kept, gained)]
                lines.append([name_mix(family, mix), f"× {rate:g}", ", ".join(notes), *cells, *less])
    heads = ["mix", "GRPO at", "which is", "kept", "gained", "kept, rlguard less it", "gained, rlguard less it"]
    return table(heads, lines)


def write_sampler(rows: Rows) -> str:
    """With and without the choice of prompts: learnable problems right half-way and at the end, kept and gained."""
    lines = []
    for family in FAMILIES:
        for mix in rows.mixes(family):
            arms = {arm: rows.get(family, mix, arm) for arm in (*MAIN, "rlguard_sampler", "sampler_alone")}
            plain = arms["grpo"]
            if not (plain and arms["rlguard_sampler"]):
                continue
            last = end("learnable", "accuracy")
            for arm, runs in arms.items():
                if runs:
                    cells = [write_cell(summarise(runs, of)) for of in (at_half, last, kept, gained)]
                    less = [
                        "" if runs is plain else write_cell(subtract(runs, plain, of), sign=True)
                        for of in (kept, gained)
                    ]
                    lines.append([name_mix(family, mix), arm, str(len(runs)), *cells, *less])
    heads = ["mix", "arm", "seeds", "half-way", "end", "kept", "gained", "kept, less GRPO", "gained, less GRPO"]
    return table(heads, lines)


def write_inside(rows: Rows) -> str:
    """How the final models look inside, on prior skills: calibration by agreement, bare and unsupported answers."""
    measures: dict[str, Callable[[Row], float]] = {
        "confidence when wrong": end("prior", "confidence_wrong"),
        "ECE": end("prior", "ece"),
        "overconfidence": end("prior", "overconfidence"),
        "right, not computed": end("prior", "share_lucky"),
        "bare": end("prior", "share_bare"),
        "unanswered": end("prior", "share_unanswered"),
        "pass@1": end("prior", "pass@1"),
        "pass@64": end("prior", "pass@64"),
    }
    lines = []
    for family in FAMILIES:
        for mix in (("unlearnable", 0.75), ("unlearnable", 1.0)):
            pair = {arm: rows.get(family, mix, arm) for arm in MAIN}
            if all(pair.values()):
                before = {seed: row | {"after": row["before"]} for seed, row in pair["grpo"].items()}
                for arm, runs in [("before", before), *pair.items()]:
                    lines.append(
                        [name_mix(family, mix), arm, *(write_cell(summarise(runs, of), 2) for of in measures.values())]
                    )
    return table(["mix", "model", *measures], lines)


AUDITED = (
    "calibration: confidence when wrong, agreement", "calibration: calibration error, agreement",
    "calibration: confidence when wrong, sequence log-probability", "reasoning: correct answers without support",
    "reasoning: information gain, total", "format: accuracy lost to the format", "coverage: pass@1",
    "coverage: pass@16",
)  # fmt: skip
"""What is shown of an audit: `calibration.py` keeps every figure."""


def write_audit(audits: Sequence[Row]) -> str:
    """The audit of the final models: each figure's change against the model before, and in how many it is lost."""
    groups: dict[tuple[str, str, float, str], list[Row]] = {}
    for row in audits:
        groups.setdefault((row["family"], row["kind"], row["share"], row["arm"]), []).append(row)
    lines = []
    for (family, kind, share, arm), runs in sorted(groups.items()):
        cells = []
        for name in AUDITED:
            known = [row["figures"][name] for row in runs if name in row["figures"]]
            strata: dict[str, list[float]] = {}
            for row in runs:
                before, after = row["figures"].get(name, (nan, nan))[:2]
                strata.setdefault(row["design"], []).append(after - before)
            lost = sum(figure[4] == "lost" for figure in known)
            cells.append(write_cell(stratified(strata), 2, sign=True) + (f" ({lost} lost)" if lost else ""))
        lines.append([name_mix(family, (kind, share)), arm, str(len(runs)), *cells])
    return table(["mix", "arm", "models", *(name.partition(": ")[2] for name in AUDITED)], lines)


def write_razor(rows: Rows) -> str:
    """How well the forward KL to the base model tells what is kept: R² of a second-degree polynomial."""
    reported = [row for row in rows.all if row["seed"] in SEEDS]
    lines = []
    for family in (*FAMILIES, "all"):
        own = [row for row in reported if family in ("all", row["family"])]
        cells = [
            fit_square([row[name] for row in own], [kept(row) for row in own]) for name in ("kl_prior", "kl_trained")
        ]
        if len(own) > 3:
            lines.append([family, str(len(own)), *("–" if isnan(cell) else f"{cell:.2f}" for cell in cells)])
    return table(["family", "runs", "R², KL on prior prompts", "R², KL on trained prompts"], lines)


def write_templates(rows: Rows) -> str:
    """words: rlguard less GRPO in accuracy, with problems clustered by template."""
    lines = []
    for mix in rows.mixes("words"):
        guarded, plain = (rows.get("words", mix, arm) for arm in MAIN)
        shared = sorted(guarded.keys() & plain.keys())
        for group in ("prior", "learnable") if shared else ():
            names = guarded[shared[0]]["after"][group]["by_template"]
            found = {}
            for name in names:
                shares = [_hit(guarded[s], group, name) - _hit(plain[s], group, name) for s in shared]
                known = [share for share in shares if not isnan(share)]
                found |= {name: sum(known) / len(known)} if known else {}
            low, high = template_interval(found)
            mean = sum(found.values()) / len(found)
            lines.append([name_mix("words", mix), group, str(len(found)), f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"])
    return table(["mix", "problems", "templates", "accuracy, rlguard less GRPO"], lines)


def _hit(row: Row, group: str, template: str) -> float:
    right, asked = row["after"][group]["by_template"].get(template, (0, 0))
    return right / asked if asked else float("nan")


def write_state(rows: Rows) -> str:
    """How many of the plan's runs there are, from which commits."""
    tuned = {key(run) for run in list_tuning()}
    reported = [row for row in rows.all if row["seed"] in SEEDS]
    commits = sorted({row["commit"] for row in reported})
    hours = sum(row["seconds"] for row in rows.all) / 3600
    return (f"{sum(key(row) in tuned for row in rows.all)} of {len(tuned)} tuning runs, {len(reported)} reported runs; "
            f"{hours:.1f} hours of a core; code of {', '.join(commits) or 'no commit yet'}.")  # fmt: skip


PLACES: dict[str, Callable[[Rows], str]] = {
    "state": write_state,
    "goals": write_goals,
    "pooled": write_pooled,
    "main": write_main,
    "rates": write_rates,
    "hindsight": write_hindsight,
    "rivals": lambda rows: write_arms(rows, COMPARED),
    "controls": lambda rows: write_arms(rows, (*CONTROLS, "random_reward")),
    "sampler": write_sampler,
    "templates": write_templates,
    "inside": write_inside,
    "audit": lambda rows: write_audit(read_rows(AUDITS)),
    "razor": write_razor,
}


def fill(page: str, blocks: dict[str, str]) -> str:
    """The page with each block in its place.

    Raises:
        ValueError: It has no place for one, or has two.
    """
    for name, block in blocks.items():
        place = re.compile(rf"(<!-- efficacy {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        page, count = place.subn(lambda match, block=block: f"{match[1]}\n{block}\n\n{match[2]}", page)
        if count != 1:
            raise ValueError(f"expected one place <!-- efficacy {name} --> ... <!-- end -->, found {count}")
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reproduce", action="store_true", help="compare with RESULTS.md")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and the figure")
    arguments = parser.parse_args()
    rows = Rows(read_rows())
    blocks = {name: write(rows) for name, write in PLACES.items()}
    if not (arguments.write or arguments.reproduce):
        print("\n\n".join(f"## {name}\n\n{block}" for name, block in blocks.items()))
        return
    from benchmarks.efficacy.figure import draw_figure

    old = PAGE.read_text()
    new = fill(old, blocks)
    if rows.mixes():
        draw_figure(rows, FIGURE if arguments.write else OUT / FIGURE.name)
    if arguments.write:
        replace_file(PAGE, new)
    elif new != old:
        sys.exit(
            "\n".join(difflib.unified_diff(old.split("\n"), new.split("\n"), "RESULTS.md", "rows", lineterm="", n=0))
        )
    print(
        f"{len(rows.all)} rows, {len(blocks)} tables: RESULTS.md {'is written' if arguments.write else 'says the same'}"
    )


if __name__ == "__main__":
    main()
