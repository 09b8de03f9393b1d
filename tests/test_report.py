"""The HTML report: what it says, what it leaves out and why, and that nothing in it can run."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlguard.report import write_report
from rlguard.report.documents import LONGEST_PART, cut_at_spans
from rlguard.report.page import POINTS
from rlguard.types import InputError

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = (
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">"
    "<!-- \u2028 \u2029 \ud83d <svg onload=document.title='pwned'> ${data} 😀"
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


def make_rate(prompt_id: str, successes: int, band: str, trials: int = 4) -> dict:
    return {
        "prompt_id": prompt_id, "prompt": f"prompt of {prompt_id}", "answer": "4", "successes": successes,
        "trials": trials, "pass_rate": successes / trials if trials else None, "low": 0.1, "high": 0.9, "band": band,
        "truncated": 0, "unscored": 0, "chance_rate": None, "status": "ok",
    }  # fmt: skip


def make_run(run: Path, completion: str = "2 + 2 = 4") -> Path:
    """A whole run: 3 prompts, 4 rollouts each, a filter result, findings and two arms."""
    store = run / "rates"
    ids = ("p1", "p2", "p3")
    write_lines(store / "rollouts.jsonl", [make_rollout(i, j, completion) for i in ids for j in range(4)])
    rates = [make_rate("p1", 2, "learnable"), make_rate("p2", 0, "impossible"), make_rate("p3", 0, "unscored", 0)]
    pq.write_table(pa.Table.from_pylist(rates), store / "rates.parquet")
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


def read_data(page: Path) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1])


def report(run: Path, out: Path, **options) -> tuple[dict, dict]:
    summary = write_report(run, out, **options)
    return summary, read_data(out)


def test_a_whole_run_has_every_section(tmp_path):
    summary, data = report(make_run(tmp_path / "run"), tmp_path / "out" / "r.html", title="A <title>")
    assert summary["included"] == ["rates", "filter", "rollouts", "findings", "training"]
    assert summary["skipped"] == {}
    assert summary["verdict"] == [
        "1 of 3 prompts are worth training on. 2 dropped: 1 impossible, 1 unscored.",
        "2 findings in 2 of 12 completions: 2 skipped computation.",
        "2 of 12 correct completions carry a finding: they may be right without having been solved.",
        "0.91 → 0.12 unguarded: accuracy on skills held before.",
        "0.91 → 0.90 guarded: accuracy on skills held before.",
    ]
    assert data["bands"] == [["impossible", 1], ["learnable", 1], ["unscored", 1]]
    assert {row["id"]: (row["decision"], row["reason"]) for row in data["prompts"]} == {
        "p1": ("kept", None), "p2": ("dropped", "impossible"), "p3": ("dropped", "unscored")}  # fmt: skip
    assert [arm["name"] for arm in data["training"]["arms"]] == ["unguarded", "guarded"]
    assert data["training"]["metrics"][0]["curves"] == [[[0, 0.91], [5, 0.12]], [[0, 0.91], [5, 0.9]]]
    assert data["training"]["arms"][1]["config"] == [["lr", "1e-05"], ["guard.prior", "[1, 1]"]]
    page = (tmp_path / "out" / "r.html").read_text()
    assert "<title>A &lt;title&gt;</title>" in page
    assert "tiny · vllm 0.22" in page
    assert summary["bytes"] == os.path.getsize(tmp_path / "out" / "r.html")
    assert os.listdir(tmp_path / "out") == ["r.html"]


def test_rates_stand_in_their_bins(tmp_path):
    counts = [(0, "impossible"), (1, "near-impossible"), (3, "learnable"), (10, "mastered")]
    rates = [make_rate(f"p{k}", k, band, trials=10) for k, band in counts]
    pq.write_table(pa.Table.from_pylist(rates), tmp_path / "rates.parquet")
    _, data = report(tmp_path, tmp_path / "r.html")
    assert {bin["label"]: bin["bands"] for bin in data["bins"] if bin["bands"]} == {
        "0": [["impossible", 1]], "0.1–0.2": [["near-impossible", 1]], "0.3–0.4": [["learnable", 1]],
        "1": [["mastered", 1]]}  # fmt: skip


def test_missing_parts_are_named(tmp_path):
    write_lines(tmp_path / "run" / "rollouts.jsonl", [make_rollout(), make_rollout(index=1, outcome=None)])
    summary, data = report(tmp_path / "run", tmp_path / "r.html")
    assert summary["included"] == ["rollouts"]
    assert set(summary["skipped"]) == {"rates", "filter", "findings", "training"}
    assert summary["skipped"]["rates"] == "not in this run: pass rates (rates.parquet)"
    assert "not in this run: findings (findings.jsonl)" in (tmp_path / "r.html").read_text()
    assert [(row["successes"], row["trials"], row["unscored"]) for row in data["prompts"]] == [(1, 1, 1)]


def test_only_training_is_enough(tmp_path):
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", [{"step": 1, "reward": 0.2}, {"step": 2, "reward": 0.4}])
    summary, _ = report(tmp_path, tmp_path / "r.html")
    assert summary["verdict"] == ["0.20 → 0.40 a: reward."]


def test_chat_prompts_and_filter_only(tmp_path):
    chat = [{"role": "user", "content": "2+2?"}]
    write_lines(tmp_path / "kept.jsonl", [{"prompt": chat, "rlguard_id": "p", "rlguard_pass_rate": 0.5}])
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert data["prompts"][0]["text"] == "2+2?"
    assert summary["verdict"] == ["1 prompt kept; the dropped ones are not in this run."]


def test_spans_are_cut_by_code_points():
    parts = cut_at_spans("😀 4 = 4", [(2, 3, 7), (2, 7, 8), (5, 5, 9), (-3, 1, 10), (6, 99, 11)])
    assert "".join(text for text, _ in parts) == "😀 4 = 4"
    assert parts == [("😀", [10]), (" ", []), ("4", [7, 8]), (" = ", [8]), ("4", [8, 11])]


def test_findings_meet_their_completions(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(), make_rollout(index=1)])
    findings = [
        make_finding(),  # no completion of its own: the stored rollout's
        make_finding(completion="2 + 2 = 4", start=8, end=9),  # the same text
        make_finding(step=3, completion="4"),  # sampled in training: another text of the same prompt
        make_finding(prompt_id=None, index=None, completion="so 4", start=3, end=4),
        make_finding(prompt_id="gone", index=5),  # its completion is nowhere
    ]
    write_lines(tmp_path / "findings.jsonl", findings)
    _, data = report(tmp_path, tmp_path / "r.html")
    assert [(text["prompt"], text["step"], len(text["findings"])) for text in data["texts"]] == [
        ("p1", None, 2), ("p1", 3, 1), (None, None, 1), ("gone", None, 1), ("p1", None, 0)]  # fmt: skip
    assert data["texts"][2]["parts"] == [{"text": "so ", "marks": []}, {"text": "4", "marks": [3]}]
    assert data["texts"][3]["parts"] is None
    assert [finding["text"] for finding in data["findings"]] == [0, 0, 1, 2, 3]


def test_the_page_is_bounded_and_says_so(tmp_path):
    rollouts = [make_rollout(f"p{i}", j) for i in range(10) for j in range(8)]
    rollouts[-1]["completion"] = "x" * (3 * LONGEST_PART)
    write_lines(tmp_path / "rollouts.jsonl", rollouts)
    write_lines(tmp_path / "findings.jsonl", [make_finding("p9", 7, 0, 5)])
    steps = [{"step": i, "reward": i / 5000} for i in range(5000)]
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", steps)
    summary, data = report(tmp_path, tmp_path / "r.html", max_rollouts=11, max_prompts=4)
    assert len(data["texts"]) == 11
    assert (data["texts"][0]["prompt"], data["texts"][0]["index"]) == ("p9", 7)  # the flagged one first
    assert {text["prompt"] for text in data["texts"][1:]} == {f"p{i}" for i in range(10)}  # then one of every prompt
    long = data["texts"][0]["parts"][1]
    assert len(long["text"]) + long["omitted"] + len(long["tail"]) == 3 * LONGEST_PART - 5
    assert [row["id"] for row in data["prompts"]] == ["p0", "p1", "p2", "p9"]
    assert summary["notes"] == [
        "Shown: 11 of 80 completions, those with findings first. Counts are over all of them.",
        "Listed: 4 of 10 prompts, those with findings first. Counts are over all.",
        "Curves with more than 1,000 points are thinned evenly; first and last points are kept.",
    ]
    curve = data["training"]["metrics"][0]["curves"][0]
    assert (len(curve), curve[0][0], curve[-1][0]) == (POINTS, 0, 4999)


def test_the_filters_words_win_over_the_rates(tmp_path):
    pq.write_table(pa.Table.from_pylist([make_rate("p1", 3, "learnable")]), tmp_path / "rates.parquet")
    row = {"rlguard_id": "p1", "rlguard_band": "mastered", "rlguard_drop_reason": "mastered"}
    write_lines(tmp_path / "kept.dropped.jsonl", [{**row, "rlguard_drop_detail": "3 of 4, above 0.6"}])
    pq.write_table(pa.table({}), tmp_path / "kept.parquet")  # nothing kept: no row, no column
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert [data["prompts"][0][name] for name in ("band", "reason", "detail")] == [
        "mastered", "mastered", "3 of 4, above 0.6"]  # fmt: skip
    assert summary["verdict"] == ["0 of 1 prompts are worth training on. 1 dropped: 1 mastered."]


def test_a_rollout_written_twice_counts_once(tmp_path):
    rows = [make_rollout(completion="first"), make_rollout(completion="again"), make_rollout(index=1)]
    write_lines(tmp_path / "rollouts.jsonl", rows)
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert [text["parts"][0]["text"] for text in data["texts"]] == ["first", "2 + 2 = 4"]
    assert summary["notes"] == ["rollouts.jsonl: 1 rollouts stand there twice; the first of each was read."]


def test_numbers_json_cannot_hold(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(outcome=float("nan"))])
    rows = [{"step": 1, "reward": float("nan")}, {"step": 2, "reward": 1.0}, {"reward": 3}]
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", rows)
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert data["texts"][0]["outcome"] is None
    assert data["training"]["metrics"][0]["curves"] == [[[1, None], [2, 1.0]]]
    assert summary["notes"] == ["training/a/metrics.jsonl: 1 rows without a step were left out."]


def test_text_from_models_stays_text(tmp_path):
    run = make_run(tmp_path / "run", HOSTILE)
    (run / "rates/meta.json").write_text(json.dumps({"model": HOSTILE, "engine": HOSTILE}))
    _, data = report(run, tmp_path / "r.html", title=HOSTILE)
    page = (tmp_path / "r.html").read_text()
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<svg" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert "innerHTML" not in re.sub(r"//.*", "", page)
    assert "".join(part["text"] for part in data["texts"][0]["parts"]) == HOSTILE.replace("\ud83d", "\ufffd")


def test_odd_types_are_shown_as_text(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(7, [1], {"a": 1}, outcome="yes", answer=[4], tokens="many")])
    write_lines(tmp_path / "findings.jsonl", [make_finding(None, {}, kind=3, step="x", completion=["no"], reason=None)])
    row = {"rlguard_id": 7, "rlguard_drop_reason": ["odd"], "rlguard_band": ["b"], "rlguard_pass_rate": 0.5}
    write_lines(tmp_path / "kept.dropped.jsonl", [row])
    _, data = report(tmp_path, tmp_path / "r.html")
    assert [text["prompt"] for text in data["texts"]] == [None, "7"]
    assert data["texts"][1]["parts"] == [{"text": "{'a': 1}", "marks": []}]
    assert (data["prompts"][0]["band"], data["prompts"][0]["reason"]) == ("['b']", "['odd']")


def test_the_output_must_be_writable(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a path that can be written"):
        write_report(tmp_path / "run", tmp_path / "file" / "r.html")


def open_page(page: Path, place: str = "") -> tuple[str, str]:
    """The document after its scripts ran in headless Chromium, and the console's words."""
    # fmt: off
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=3000", "--dump-dom",
         page.as_uri() + place],
        capture_output=True, text=True, timeout=120, check=True,
    )
    # fmt: on
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, chromium-browser or google-chrome on PATH")
def test_in_a_browser(tmp_path):
    run = make_run(tmp_path / "run", HOSTILE)
    write_report(run, tmp_path / "r.html", title="Quiet")
    dom, console = open_page(tmp_path / "r.html", "#prompt=p1")
    assert console == ""
    assert "<title>Quiet</title>" in dom
    dialog = re.search(r'<dialog id="group".*?</dialog>', dom, re.DOTALL)[0]
    assert dialog.startswith('<dialog id="group" aria-labelledby="group-heading" open')
    assert dialog.count('class="rollout"') == 4
    assert len(re.findall("<mark", dialog)) == 2
    assert html.escape("<script>document.title='pwned'", quote=False) in dialog
    for section in ("training", "rates", "filter", "prompts", "findings"):
        assert not re.search(rf'<section id="{section}"[^>]*hidden', dom)
    assert dom.count('class="curve"') == 2

    write_lines(tmp_path / "bare" / "rollouts.jsonl", [make_rollout()])
    write_report(tmp_path / "bare", tmp_path / "bare.html")
    dom, console = open_page(tmp_path / "bare.html", "#prompt=%zz")
    assert console == ""
    assert re.search(r'<section id="training"[^>]*hidden', dom)
    assert "1–1 of 1 prompt" in dom
