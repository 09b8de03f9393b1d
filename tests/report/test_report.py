"""The HTML report: what it says, what it leaves out and why, and that no text ends its element."""

import json
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report_runs import (
    HOSTILE,
    make_finding,
    make_rate,
    make_rollout,
    make_run,
    make_training,
    report,
    rows_of,
    unpack,
    write_lines,
    write_rates,
)

from rlguard.report import write_report
from rlguard.report.embed import CHUNK, LONGEST_PART, POINTS, cut_at_spans, shelve
from rlguard.report.findings import find_odd
from rlguard.report.verdict import find_ends
from rlguard.types import InputError, Rollout

FEW = "(single steps or nearly, which may be noise: 8 logged steps would give an interval)."


def facts(data: dict, run: int = 0) -> dict[str, dict]:
    """Each prompt's facts in one run, by its id."""
    return dict(zip(data["prompts"]["id"], rows_of(data["prompts"]["of"][run]), strict=True))


def words(text: list) -> str:
    """A completion as it was, from its pieces."""
    return text[1] if isinstance(text[1], str) else "".join(part[0] for part in text[1])


def test_a_whole_run_has_every_section(tmp_path):
    summary, data = report(make_run(tmp_path / "run"), tmp_path / "out" / "r.html", title="A <title>")
    assert summary["included"] == ["rates", "filter", "rollouts", "findings", "training"]
    assert summary["skipped"] == {"audit": "not in this run: audit (audit.json)"}
    assert summary["verdict"] == [
        "1 of 3 prompts are worth training on. 2 dropped: 1 impossible, 1 unscored.",
        "2 of 12 correct completions show a shortcut (95% interval 2% to 48%): right, perhaps not solved. "
        "Of all 12 completions, 2 do: 2 skipped computation.",
        f"0.91 → 0.12 unguarded: accuracy on skills held before {FEW}",
        f"0.91 → 0.90 guarded: accuracy on skills held before {FEW}",
    ]
    assert {name: (row["decision"], row["reason"], row["rollouts"]) for name, row in facts(data).items()} == {
        "p1": ("kept", None, 4), "p2": ("dropped", "impossible", 4), "p3": ("dropped", "unscored", 4)}  # fmt: skip
    assert [arm["name"] for arm in data["training"]["arms"]] == ["unguarded", "guarded"]
    assert data["training"]["metrics"][0]["curves"] == [[[0, 0.91], [5, 0.12]], [[0, 0.91], [5, 0.9]]]
    assert data["training"]["metrics"][0]["ends"] == ["0.91 → 0.12", "0.91 → 0.90"]
    assert data["kinds"] == [["skipped_computation", [2]]]
    page = (tmp_path / "out" / "r.html").read_text()
    assert "<title>A &lt;title&gt;</title>" in page
    assert "tiny · vllm 0.22" in page
    assert '<th scope="row">guarded.guard.prior</th><td>[1, 1]</td>' in page
    assert summary["bytes"] == os.path.getsize(tmp_path / "out" / "r.html")
    assert os.listdir(tmp_path / "out") == ["r.html"]


def test_rates_stand_in_their_bins(tmp_path):
    counts = [(0, "impossible"), (1, "near-impossible"), (3, "learnable"), (10, "mastered")]
    write_rates(tmp_path / "rates.parquet", [make_rate(f"p{k}", k, band, trials=10) for k, band in counts])
    _, data = report(tmp_path, tmp_path / "r.html")
    assert {name: row["bin"] for name, row in facts(data).items()} == {"p0": 0, "p1": 2, "p3": 4, "p10": 11}


def test_missing_parts_are_named(tmp_path):
    write_lines(tmp_path / "run" / "rollouts.jsonl", [make_rollout(), make_rollout(index=1, outcome=None)])
    summary, data = report(tmp_path / "run", tmp_path / "r.html", scan=False)
    assert summary["included"] == ["rollouts"]
    assert set(summary["skipped"]) == {"rates", "filter", "findings", "training", "audit"}
    assert summary["skipped"]["rates"] == "not in this run: pass rates (rates.parquet)"
    assert "not in this run: findings (findings.jsonl)" in (tmp_path / "r.html").read_text()
    row = facts(data)["p1"]
    assert (row["successes"], row["trials"], row["unscored"]) == (1, 1, 1)


def test_rollouts_without_findings_are_searched(tmp_path):
    bare = [make_rollout(index=i, completion="answer 4", prompt="(3+4)*2-10=?") for i in range(2)]
    write_lines(tmp_path / "run/rollouts.jsonl", bare)
    summary, data = report(tmp_path / "run", tmp_path / "r.html")
    assert summary["notes"] == ["run: findings were made for this page, as `rlguard scan` makes them."]
    assert "skipped_computation" in dict(data["kinds"])
    assert any(part[1] for part in data["texts"][1][1])  # its span is marked
    summary, data = report(tmp_path / "run", tmp_path / "r.html", scan=False)
    assert data["kinds"] is None
    assert summary["notes"] == ["run: not searched for findings; --scan, or `rlguard scan`, does that."]


def test_the_verdict_counts_only_what_was_searched(tmp_path):
    run = make_training(make_run(tmp_path / "run") / "trl").parent
    summary, _ = report(run, tmp_path / "r.html", scan=False)
    assert any("Of all 12 completions, 2 do" in line for line in summary["verdict"])  # of the store alone
    write_lines(run / "findings.jsonl", [])  # searched, and nothing found
    summary, _ = report(run, tmp_path / "r.html", scan=False)
    assert "0 findings: no completion shows a known shortcut." in summary["verdict"]


def test_only_training_is_enough(tmp_path):
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", [{"step": 1, "reward": 0.2}, {"step": 2, "reward": 0.4}])
    summary, _ = report(tmp_path, tmp_path / "r.html")
    assert summary["verdict"] == [f"0.20 → 0.40 a: reward {FEW}"]


def test_chat_prompts_and_filter_only(tmp_path):
    chat = [{"role": "user", "content": "2+2?"}]
    write_lines(tmp_path / "kept.jsonl", [{"prompt": chat, "rlguard_id": "p", "rlguard_pass_rate": 0.5}])
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert data["heads"] == data["prompts"]["head"] == ["2+2?"]
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
    columns, ids = data["rollouts"], data["prompts"]["id"]
    named = [None if place < 0 else ids[place] for place in columns["prompt"]]
    assert list(zip(named, columns["step"], [len(text[2]) for text in data["texts"]], strict=True)) == [
        ("p1", None, 2), ("p1", None, 0), ("p1", 3, 1), ("gone", None, 1), (None, None, 1)]  # fmt: skip
    assert data["texts"][4][1] == [["so ", []], ["4", [0]]]
    assert data["texts"][3][1] is None


def test_equal_texts_of_a_step_share_their_findings_evenly(tmp_path):
    rows = [{"step": 1, "prompt": "2+2?", "completion": "4", "right": 1.0, "advantage": 0.0}] * 3
    (tmp_path / "completions").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "completions/completions_00001.parquet")
    _, data = report(tmp_path, tmp_path / "r.html", scan=False)
    finding = make_finding(data["prompts"]["id"][0], None, completion="4", step=1)
    write_lines(tmp_path / "findings.jsonl", [finding, finding | {"end": 2}, finding])  # of the first, and the second
    _, data = report(tmp_path, tmp_path / "r.html")
    assert [len(text[2]) for text in data["texts"]] == [2, 1, 0]


def test_the_page_is_bounded_and_says_so(tmp_path):
    rollouts = [make_rollout(f"p{i}", j) for i in range(10) for j in range(8)]
    rollouts[-1]["completion"] = "x" * (3 * LONGEST_PART)
    write_lines(tmp_path / "rollouts.jsonl", rollouts)
    write_lines(tmp_path / "findings.jsonl", [make_finding("p9", 7, 0, 5)])
    steps = [{"step": i, "reward": i / 5000} for i in range(5000)]
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", steps)
    summary, data = report(tmp_path, tmp_path / "r.html", max_rollouts=11, max_prompts=4)
    assert len(data["texts"]) == 11
    columns = data["rollouts"]
    (flagged,) = [i for i, kinds in enumerate(columns["kinds"]) if kinds]  # it is in, though the last one
    assert sorted(columns["prompt"]) == [-1] * 6 + [0, 1, 2, 3, 3]  # and one of every prompt
    _, [head, tail], _ = data["texts"][flagged]
    assert head == ["xxxxx", [0]]
    assert len(tail[0]) + tail[2] + len(tail[3]) == 3 * LONGEST_PART - 5
    assert data["prompts"]["id"] == ["p0", "p1", "p2", "p9"]
    assert summary["notes"] == [
        "a: alarms were made for this page, as `rlguard watch` makes them; nothing watched the run.",
        "Shown: 11 of 80 completions, those with findings first. The verdict is about all of them.",
        "Shown: 4 of 10 prompts, those with findings first. The verdict is about all of them.",
        "Curves with more than 1,000 points are thinned evenly; first and last points are kept.",
    ]
    assert "as <code>rlguard watch</code> makes them" in (tmp_path / "r.html").read_text()
    curve = data["training"]["metrics"][0]["curves"][0]
    assert (len(curve), curve[0][0], curve[-1][0]) == (POINTS, 0, 4999)


def test_texts_come_in_chunks():
    items = ["x" * (CHUNK // 3)] * 7
    starts, chunks = shelve(items)
    assert starts == [0, 3, 6]
    assert [item for chunk in chunks for item in unpack(chunk)] == items
    assert shelve([]) == ([], [])


def test_rollouts_of_a_prompt_stand_together(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(f"p{i % 3}", i // 3, f"text {i}") for i in range(9)])
    _, data = report(tmp_path, tmp_path / "r.html")
    assert data["rollouts"]["prompt"] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [text[1] for text in data["texts"]] == [f"text {i}" for i in (0, 3, 6, 1, 4, 7, 2, 5, 8)]


def test_the_filters_words_win_over_the_rates(tmp_path):
    write_rates(tmp_path / "rates.parquet", [make_rate("p1", 3, "learnable")])
    row = {"rlguard_id": "p1", "rlguard_band": "mastered", "rlguard_drop_reason": "mastered"}
    write_lines(tmp_path / "kept.dropped.jsonl", [{**row, "rlguard_drop_detail": "3 of 4, above 0.6"}])
    write_lines(tmp_path / "kept.jsonl", [])  # nothing kept: no row, no column
    summary, data = report(tmp_path, tmp_path / "r.html")
    assert [facts(data)["p1"][name] for name in ("band", "reason", "detail")] == [
        "mastered", "mastered", "3 of 4, above 0.6"]  # fmt: skip
    assert summary["verdict"] == ["0 of 1 prompts are worth training on. 1 dropped: 1 mastered."]


def test_a_rollout_written_twice_counts_once(tmp_path):
    rows = [make_rollout(completion="first"), make_rollout(completion="again"), make_rollout(index=1)]
    write_lines(tmp_path / "rollouts.jsonl", rows)
    summary, data = report(tmp_path, tmp_path / "r.html", scan=False)
    assert [words(text) for text in data["texts"]] == ["first", "2 + 2 = 4"]
    assert summary["notes"][0] == "rollouts.jsonl: 1 rollouts stand there twice; the first of each was read."


def test_numbers_json_cannot_hold(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(outcome=float("nan"))])
    rows = [{"step": 1, "reward": float("nan")}, {"step": 2, "reward": 1.0}, {"reward": 3}]
    write_lines(tmp_path / "training" / "a" / "metrics.jsonl", rows)
    _, data = report(tmp_path, tmp_path / "r.html")
    assert data["rollouts"]["outcome"] == [None]
    assert data["training"]["metrics"][0]["curves"] == [
        [[2, 1.0], [3, 3.0]]
    ]  # a row without a step is one after the last


def test_text_from_models_stays_text(tmp_path):
    run = make_run(tmp_path / "run", HOSTILE)
    (run / "rates/meta.json").write_text(json.dumps({"model": HOSTILE, "engine": HOSTILE}))
    _, data = report(run, tmp_path / "r.html", title=HOSTILE)
    page = (tmp_path / "r.html").read_text()
    assert page.count("<script") == page.count("</script>")
    inline = re.findall(r"<script>", page)
    assert len(inline) == 2  # the library and the page's own; the rest is data
    for tag in ("<img", "<svg", "<iframe", '<a href="javascript'):
        assert tag not in page
    assert "default-src 'none'" in page
    assert "Copyright (c) 2022 Leon Sorokin" in page  # uPlot's licence goes where uPlot goes
    assert "require-trusted-types-for 'script'" in page
    assert not re.search(r"""(src|href)=["']?(https?:|//)""", page)
    assert "innerHTML" not in re.sub(r"//.*", "", page)
    assert words(data["texts"][0]) == HOSTILE.replace("\ud83d", "\ufffd")


def test_odd_types_are_shown_as_text(tmp_path):
    write_lines(tmp_path / "rollouts.jsonl", [make_rollout(7, answer=[4])])
    write_lines(
        tmp_path / "findings.jsonl", [make_finding(None, {}, kind=[3], step="x", completion=["no"], reason=None)]
    )
    row = {"rlguard_id": 7, "rlguard_drop_reason": ["odd"], "rlguard_band": ["b"], "rlguard_pass_rate": 0.5}
    write_lines(tmp_path / "kept.dropped.jsonl", [row])
    _, data = report(tmp_path, tmp_path / "r.html")
    assert data["rollouts"]["prompt"] == [0, -1]
    assert data["texts"][0][:2] == ["[4]", "2 + 2 = 4"]
    assert (facts(data)["7"]["band"], facts(data)["7"]["reason"]) == ("['b']", "['odd']")


def test_a_published_rate_has_no_rollouts_and_a_solution_is_shown_by_its_answer(tmp_path):
    row = {"rlguard_id": "p", "rlguard_drop_reason": "mastered", "rlguard_pass_rate": 1.0, "rlguard_successes": 0}
    row |= {"rlguard_trials": 0, "answer": "First 2 * 4 = 8.\n#### 8"}
    write_lines(tmp_path / "kept.dropped.jsonl", [row])
    _, data = report(tmp_path, tmp_path / "r.html")
    assert (facts(data)["p"]["trials"], data["prompts"]["answer"]) == (None, ["8"])


def test_the_output_must_be_writable(tmp_path):
    make_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected a path that can be written"):
        write_report(tmp_path / "run", tmp_path / "file" / "r.html")


def train(folder, figure, before, after, steps=60, **config):
    """A training whose figure goes from one value to another half-way, with some noise."""
    noise = np.random.default_rng(3).normal(0, 0.02, steps)
    rows = [{"step": i, figure: (before if i < steps // 2 else after) * (1 + noise[i])} for i in range(steps)]
    write_lines(folder / "metrics.jsonl", rows)
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_headline_of_a_training_says_because_of_what_and_what_to_do(tmp_path):
    calm = train(tmp_path / "calm", "critic/score/mean", 0.4, 0.5)
    fell = train(tmp_path / "fell", "critic/score/mean", 0.5, 0.02)
    forgot = train(tmp_path / "forgot", "prior_accuracy", 0.9, 0.3)
    few = train(tmp_path / "few", "reward", 0.4, 0.5, steps=3)
    odd = train(tmp_path / "odd", "my_figure", 0.4, 0.5)
    said = [report(run, tmp_path / "r.html")[0]["headlines"] for run in (calm, fell, forgot, few, odd)]
    assert [line.split(",")[0].rpartition(": ")[2] for (line,) in said] == [
        "Healthy", "Harmed", "Harmed", "Unknown", "Unknown"]  # fmt: skip
    assert "no watched figure left its healthy range: reward. Next: go on" in said[0][0]
    assert "because at step 3" in said[1][0]
    assert "reward fell to" in said[1][0]
    assert "Next: Read completions of these steps. Lower learning_rate" in said[1][0]
    assert "the accuracy on skills held before fell, 0.90 → 0.30 (means of 10 steps; 95% interval" in said[2][0]
    assert "logged steps: 3, too few to compare: 9 would do" in said[3][0]
    assert "log reward, length" in said[4][0]
    assert '<li class="unknown"><h3><b>? Unknown</b>' in (tmp_path / "r.html").read_text()
    report(calm, tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert page.index('class="headlines"') < page.index('class="verdict"')


def test_a_single_noisy_step_is_no_trend(tmp_path):
    run = train(tmp_path / "run", "reward", 0.5, 0.5)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows[-1]["reward"] = 0.01
    write_lines(run / "metrics.jsonl", rows)
    summary, _ = report(run, tmp_path / "r.html")
    assert summary["headlines"][0].startswith("run: Healthy")
    (line,) = summary["verdict"]
    assert line.startswith("0.50 → 0.45 run: reward (means of 10 steps; 95% interval of the change −0.")
    assert line.endswith("to +0.05).")


def test_a_fall_at_the_start_of_a_short_curve_shows():
    curve = list(enumerate([0.84, 0.82, 0.65, 0.61, 0.6, 0.57, 0.57, 0.56, 0.7, 0.7, 0.68, 0.66, 0.66]))
    ends = find_ends(curve)
    assert (str(ends), ends.steps) == ("0.83 → 0.66", 2)
    assert ends.high < -0.05


def test_trainings_of_one_run_are_told_apart_the_worst_first(tmp_path):
    train(tmp_path / "run/training/guarded", "prior_accuracy", 0.9, 0.89)
    train(tmp_path / "run/training/unguarded", "prior_accuracy", 0.9, 0.2)
    lines = report(tmp_path / "run", tmp_path / "r.html")[0]["headlines"]
    assert [line[:17] for line in lines] == ["unguarded: Harmed", "guarded: Healthy,"]


def test_models_that_differ_are_kept_apart(tmp_path):
    make_run(tmp_path / "run")  # of the model `tiny`, with two flagged completions
    make_training(tmp_path / "run/trl")
    (tmp_path / "run/trl/config.json").write_text('{"model": "large"}')
    summary, data = report(tmp_path / "run", tmp_path / "r.html")
    assert data["sources"] == ["rates (tiny)", "trl (large)"]
    assert any(line.startswith("2 of 12 tiny: correct completions show a shortcut") for line in summary["verdict"])
    assert any(line.startswith("0 large: findings: no completion") for line in summary["verdict"])
    assert any(line.startswith("rollouts of tiny: ") for line in summary["headlines"])


def test_prompts_on_which_the_verifier_may_be_wrong_come_first(tmp_path):
    rollouts = [make_rollout("fine", i, text, gold="7") for i in range(2) for text in ("1+3=4;4+3=7", "一加六等于七")]
    rollouts += [make_rollout("bare", i, "7", gold="7") for i in range(4)]
    rollouts += [make_rollout("odd", i, "The answer is whatever you like", gold="9") for i in range(4)]
    rollouts += [make_rollout("wrong", i, "The answer is whatever you like", gold="9", outcome=0.0) for i in range(4)]
    write_lines(tmp_path / "rollouts.jsonl", rollouts)
    summary, data = report(tmp_path, tmp_path / "r.html", scan=False)
    assert data["prompts"]["id"] == ["bare", "odd", "fine", "wrong"]
    reasons = data["prompts"]["of"][0]["odd"]
    assert reasons == ["Its successes hold no reasoning",
                       "Its successes share one text: the gold answer is not in it", None, None]  # fmt: skip
    assert summary["verdict"][0].startswith("1 prompt whose successes share one odd text")
    assert "rlguard verifier" in summary["headlines"][0]
    assert summary["headlines"][0].startswith("rollouts: Watch, because the successes of 1 prompt share one odd text")


def test_a_shared_text_that_gives_the_gold_answer_in_another_spelling_is_not_odd():
    golds = {"solution": "First 2 * 4 = 8.\n#### 8", "half": "0.5", "names": ["NYC", "New York"], "wrong": "9"}
    said = {"solution": "2 * 4 = 8, so 8", "half": "One of two: 1/2", "names": "It is New York", "wrong": "I pass"}
    answers = {"solution": "8", "half": "1/2", "names": "New York", "wrong": "I pass"}
    owned = [
        (Rollout(name, i, said[name], outcome=1.0, gold=golds[name], answer=answers[name]), [])
        for name in golds
        for i in range(4)
    ]
    assert {name for name, why in find_odd(owned).items() if "one text" in why} == {"wrong"}


def test_correct_rollouts_with_a_finding_go_into_the_page_first(tmp_path):
    rollouts = [make_rollout("p", i, f"text {i}", outcome=float(i >= 8)) for i in range(10)]
    write_lines(tmp_path / "rollouts.jsonl", rollouts)
    write_lines(tmp_path / "findings.jsonl", [make_finding("p", i) for i in range(10)])
    _, data = report(tmp_path, tmp_path / "r.html", max_rollouts=2)
    assert data["rollouts"]["outcome"] == [1, 1]


def test_three_runs_are_compared(tmp_path):
    for name, k in (("a", 24), ("b", 16), ("c", 2)):
        write_rates(tmp_path / name / "rates.parquet", [make_rate(f"p{i}", k, "learnable", 32) for i in range(12)])
    summary, data = report(tmp_path / "a", tmp_path / "r.html", against=[tmp_path / "b", tmp_path / "c"])
    assert data["runs"] == ["a", "b", "c"]
    assert summary["verdict"][0] == (
        "0.75 → 0.50 → 0.06 mean pass rate on the 12 prompts in all runs: "
        "b −0.25, 95% interval −0.25 to −0.25; c −0.69, 95% interval −0.69 to −0.69."
    )
    assert [line.partition(":")[0] for line in summary["headlines"]] == ["a", "b", "c"]


def test_too_few_rollouts_say_how_many_would_do(tmp_path):
    for name, flagged in (("a", 2), ("b", 4)):
        write_lines(tmp_path / name / "rollouts.jsonl", [make_rollout("x", i) for i in range(20)])
        write_lines(tmp_path / name / "findings.jsonl", [make_finding("x", i) for i in range(flagged)])
    summary, _ = report(tmp_path / "a", tmp_path / "r.html", against=tmp_path / "b")
    (line,) = [line for line in summary["verdict"] if "show a shortcut" in line]
    assert "too few to tell, 196 of each would do" in line
    summary, _ = report(tmp_path / "a", tmp_path / "r.html")
    (line,) = summary["headlines"]
    assert line.startswith("rollouts: Unknown, because 20 completions were searched, too few: 30 would do.")
