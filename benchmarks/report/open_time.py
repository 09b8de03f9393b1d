"""How long a report takes to write and to open: `python benchmarks/report/open_time.py --rollouts 100000`.

Writes a run of made-up rollouts, reports on it, and opens the page from disk in headless Chromium, each time in a new
browser. A page counts as open when its plots are drawn and the first rollouts can be read. The system has the file in
its cache: what is measured is the page, not the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import sync_playwright

from rlguard.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WORDS = Path(__file__).parents[2] / "README.md"
"""Prose to make completions of, so that they compress as text does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=100_000)
    parser.add_argument("--group", type=int, default=8, help="rollouts of a prompt (default %(default)s)")
    parser.add_argument("--characters", type=int, default=1000, help="of a completion, mean (default %(default)s)")
    parser.add_argument("--flagged", type=float, default=0.2, help="share with a finding (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path, help="write the page here and keep it")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "run", arguments.keep or Path(folder) / "report.html"
        make_run(run, arguments.rollouts, arguments.group, arguments.characters, arguments.flagged)
        start = time.perf_counter()
        size = write_report(run, page)["bytes"]
        wrote = time.perf_counter() - start
        opened = [open_once(page) for _ in range(arguments.repeats)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    made = f"page of {size / 1e6:.1f} MB, written in {wrote:.1f} s, {memory:.1f} GB at most"
    print(f"{arguments.rollouts:,} rollouts of {arguments.characters} characters: {made}")
    for name in opened[0]:
        times = sorted(row[name] for row in opened)
        print(
            f"{name}: median {times[len(times) // 2]:.2f} s, from {times[0]:.2f} to {times[-1]:.2f} s of {len(times)}"
        )


def make_run(run: Path, count: int, group: int, characters: int, flagged: float) -> None:
    """A training of `count` rollouts over 100 steps, with rates and findings."""
    run.mkdir(parents=True)
    draw, words = random.Random(0), WORDS.read_text().split()
    rollouts, findings, rates = [], [], []
    for number in range(count):
        prompt, index = f"prompt {number // group}", number % group
        text = " ".join(draw.choices(words, k=max(5, int(draw.gauss(characters / 6, characters / 18)))))
        step, answer, known = number * 100 // count, str(draw.randrange(100)), {"finish_reason": "stop"}
        known |= {"outcome": float(draw.random() < 0.3), "answer": answer, "tokens": len(text) // 4}
        named = {"prompt_id": prompt, "index": index, "step": step}
        rollouts.append(named | {"completion": text} | known)
        if draw.random() < flagged:
            start, kind = draw.randrange(len(text)), draw.choice(("skipped_computation", "false_step"))
            found = {"kind": kind, "start": start, "end": start + 20, "reason": "no step leads to it"}
            findings.append(named | found | {"likelihood_ratio": draw.random(), "severity": "error"})
        if index == 0:
            k = draw.randrange(17)
            rates.append({
                "prompt_id": prompt, "prompt": " ".join(draw.choices(words, k=30)), "answer": "4", "successes": k,
                "trials": 16, "pass_rate": k / 16, "low": k / 20, "high": min(1.0, k / 16 + 0.2), "band": "learnable",
                "chance_rate": round(draw.random() / 4, 2), "truncated": 0, "unscored": 0,
            })  # fmt: skip
    for name, rows in (("rollouts", rollouts), ("findings", findings)):
        (run / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    curves = [{"step": step, "reward": draw.random(), "entropy": draw.random()} for step in range(100)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves))
    pq.write_table(pa.Table.from_pylist(rates), run / "rates.parquet")


def open_once(page: Path) -> dict[str, float]:
    """Seconds from the address to what a reader waits for."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto("about:blank")
        start = time.perf_counter()
        tab.goto(page.absolute().as_uri(), wait_until="commit")
        tab.wait_for_selector("#verdict li")
        verdict = time.perf_counter() - start
        tab.wait_for_selector("html[data-ready]")
        ready = time.perf_counter() - start
        assert tab.locator("#rollouts article .completion").count() == 10
        start = time.perf_counter()
        tab.locator("#rollout-controls [name=sort]").select_option("longest first")
        tab.locator("#prompts tbody a").nth(7).click()
        tab.locator("#rollouts .group article").first.wait_for()
        group = time.perf_counter() - start
        tab.locator("#rollouts .chosen button", has_text="Show all").click()
        start = time.perf_counter()
        tab.locator("#rollout-controls [name=query]").fill("zzz nowhere")
        tab.locator("#rollouts [role=status]", has_text="No rollout matches.").wait_for()
        search = time.perf_counter() - start
        browser.close()
    return {
        "verdict to be read": verdict,
        "page open": ready,
        "order and a group": group,
        "search of all texts": search,
    }


if __name__ == "__main__":
    main()
