"""Small runs for the tests of the report: their files, and what the written page holds."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlguard.report import write_report

HOSTILE = (
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "<!-- \u2028 \u2029 \ud83d <svg onload=document.title='pwned'> ${data} $data 😀 \x00 \u202e]]> "
    "<a href=\"javascript:document.title='pwned'\">4</a><iframe srcdoc='<script>parent.document.title=1</script>'>"
)


def write_lines(path: Path, rows: list[dict], tail: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


def make_rollout(prompt_id="p1", index=0, completion="2 + 2 = 4", **changes) -> dict:
    known = {"outcome": 1.0, "answer": "4", "tokens": 5, "finish_reason": "stop"}
    return {"prompt_id": prompt_id, "index": index, "completion": completion, **known, **changes}


def make_finding(prompt_id="p1", index=0, start=0, end=1, **changes) -> dict:
    known = {"kind": "skipped_computation", "reason": "no step", "likelihood_ratio": 0.1, "severity": "error"}
    return {"prompt_id": prompt_id, "index": index, "step": None, "start": start, "end": end, **known, **changes}


def make_rate(prompt_id: str, successes: int, band: str, trials: int = 4, chance: float | None = None) -> dict:
    return {
        "prompt_id": prompt_id, "prompt": f"prompt of {prompt_id}", "answer": "4", "successes": successes,
        "trials": trials, "pass_rate": successes / trials if trials else None, "low": 0.1, "high": 0.9, "band": band,
        "truncated": 0, "unscored": 0, "chance_rate": chance, "status": "ok",
    }  # fmt: skip


def write_rates(path: Path, rates: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rates), path)


def make_run(run: Path, completion: str = "2 + 2 = 4") -> Path:
    """A whole run: 3 prompts, 4 rollouts each, a filter result, findings and two arms."""
    store = run / "rates"
    ids = ("p1", "p2", "p3")
    write_lines(store / "rollouts.jsonl", [make_rollout(i, j, completion) for i in ids for j in range(4)])
    rates = [make_rate("p1", 2, "learnable", chance=0.1), make_rate("p2", 0, "impossible", chance=0.1)]
    write_rates(store / "rates.parquet", [*rates, make_rate("p3", 0, "unscored", 0)])
    (store / "meta.json").write_text(json.dumps({"model": "tiny", "engine": {"name": "vllm", "version": "0.22"}}))
    row = {"question": "2+2?", "rlguard_pass_rate": 0.5, "rlguard_low": 0.1, "rlguard_high": 0.9}
    write_lines(run / "kept.jsonl", [{**row, "rlguard_id": "p1"}])
    reasons = {"p2": "impossible", "p3": "unscored"}
    dropped = [{**row, "rlguard_id": i, "rlguard_drop_reason": reason} for i, reason in reasons.items()]
    write_lines(run / "kept.dropped.jsonl", dropped)
    write_lines(run / "findings.jsonl", [make_finding(index=j, completion=completion) for j in range(2)])
    for arm, last in (("guarded", 0.9), ("unguarded", 0.12)):
        rows = [{"step": 0, "prior_accuracy": 0.91, "reward": 0.1}, {"step": 5, "prior_accuracy": last, "note": "x"}]
        write_lines(run / "training" / arm / "metrics.jsonl", rows)
    (run / "training/guarded/config.json").write_text('{"lr": 1e-5, "guard": {"prior": [1, 1]}}')
    return run


def make_training(run: Path, steps: int = 3, lucky: bool = False, completion: str = "so 4 = 4; answer 4") -> Path:
    """TRL's output folder: tables of completions, a checkpoint with the trainer's log, the monitor's files."""
    (run / "completions").mkdir(parents=True)
    rewards = [float(lucky), 0.0]
    for step in range(1, steps + 1):
        rows = [
            {"step": step, "prompt": f"2+{p}=?", "completion": completion if i == 0 else "4", "right": reward,
             "rlguard_weight": 0.25, "rlguard_findings": "", "advantage": reward - 0.5}
            for p in range(2) for i, reward in enumerate(rewards)
        ]  # fmt: skip
        pq.write_table(pa.Table.from_pylist(rows), run / f"completions/completions_{step:05d}.parquet")
    log = [{"step": step, "reward": step / 10 + lucky, "entropy": 1.0, "epoch": 0.1} for step in range(1, steps + 1)]
    for step in (1, steps):
        checkpoint = run / f"checkpoint-{step}"
        checkpoint.mkdir(exist_ok=True)
        (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": log[:step]}))
    write_lines(run / "figures.jsonl", [{"step": step, "findings": 0.1 * step} for step in range(1, steps + 1)])
    told = (
        (1, "note", "entropy", "It is 1."),
        (2, "warning", "length", "It fell by half."),
        (3, "critical", "lucky_share", "Luck."),
    )
    events = [
        {"step": step, "severity": severity, "figure": figure, "rule": "change", "value": 0.5, "reference": 1.0,
         "bound": 0.7, "message": message, "cause": "no reasoning is paid for", "do": "Read ten of them."}
        for step, severity, figure, message in told
    ]  # fmt: skip
    write_lines(run / "events.jsonl", events, tail='{"st')
    return run


def make_audit(lost: int = 1) -> dict:
    """A record as `audit.json` holds it, cut down to what the report reads."""
    row = {"group": "retention", "name": "accuracy", "before": 0.5, "after": 0.2, "change": -0.3, "low": -0.4,
           "high": -0.2, "tolerance": 0.05, "verdict": "lost"}  # fmt: skip
    rows = [row | {"domain": f"logic {i}"} for i in range(lost)]
    rows.append(row | {"domain": "sums", "after": 0.5, "change": 0.0, "low": -0.04, "high": 0.04, "verdict": "kept"})
    return {"before": "base", "comparisons": [{"name": "checkpoint-9", "rows": rows}]}


def unpack(text: str) -> Any:
    """What `pack` packed."""
    return json.loads(gzip.decompress(base64.b64decode(text)))


def read_data(page: Path) -> dict:
    """What the page's script reads, and its texts: `texts` of the completions, `heads` of the prompts."""
    html = page.read_text()
    packed = re.findall(r'<script type="text/plain" id="([a-z0-9-]+)">([^<]*)</script>', html)
    shelves = {"rollouts": [], "prompts": []}
    data = {}
    for name, text in packed:
        if name == "data":
            data = unpack(text)
        else:
            shelves[name.partition("-")[0]] += unpack(text)
    return data | {"texts": shelves["rollouts"], "heads": shelves["prompts"]}


def report(run: Path, out: Path, **options) -> tuple[dict, dict]:
    summary = write_report(run, out, **options)
    return summary, read_data(out)


def rows_of(columns: dict) -> list[dict]:
    """Columns as rows."""
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
