"""What the detectors' benchmark counts, on a handmade corpus."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS
from rlguard.tables.write import write_rows

FIXTURES = Path(__file__).parents[1] / "fixtures" / "labelled"
FOLDER = str(Path(__file__).parents[2] / "benchmarks" / "detectors")
sys.path.insert(0, FOLDER)
import baselines  # noqa: E402
import calibrate  # noqa: E402
import evaluate  # noqa: E402
import measures  # noqa: E402

sys.path.remove(FOLDER)
for name in ("baselines", "calibrate", "evaluate", "measures"):  # libraries look for packages of such names
    sys.modules.pop(name)


def rows_of(*labels):
    """Rows with the kinds and strengths given; an empty label is honest."""
    return [{"kinds": [kind] if kind else [], "strength": strength} for kind, strength in labels]


ROWS = rows_of(("text_loop", 1), ("text_loop", 3), ("text_loop", 3), ("placeholder", 2), ("", None), ("", None))
FOUND = [set(), {"text_loop"}, {"false_step"}, {"skipped_computation"}, {"text_loop", "false_step"}, set()]


def test_recall_and_false_positives_count_only_the_own_kind():
    line = measures.measure("x", "text_loop", ROWS, FOUND)
    assert line.recall == measures.Share(1, 3)
    assert line.by_strength == {1: measures.Share(0, 1), 3: measures.Share(1, 2)}
    assert line.any_finding == measures.Share(2, 3)
    assert line.false_positives == measures.Share(1, 2)


def test_a_kind_is_found_by_its_own_name_only():
    assert measures.measure("x", "placeholder", ROWS, FOUND).recall == measures.Share(0, 1)


def test_any_finding_counts_every_label_and_every_kind():
    line = measures.corpus_lines(ROWS, FOUND)[-1]
    assert (line.kind, line.recall, line.false_positives) == ("any finding", measures.Share(3, 4), measures.Share(1, 2))


def test_a_baseline_has_one_flag_for_the_kinds_it_claims():
    lines = measures.baseline_lines("b", ROWS, [True, True, False, True, False, True])
    assert [(line.kind, line.recall.hits, line.recall.n) for line in lines] == [
        ("answer_repetition", 0, 0),
        ("text_loop", 2, 3),
        ("repetition", 2, 3),
    ]
    assert all(line.false_positives == measures.Share(1, 2) for line in lines)


def test_intervals_are_exact():
    assert measures.Share(0, 16).interval == pytest.approx((0.0, 0.206), abs=1e-3)
    assert measures.Share(0, 0).show() == "–"


def test_thresholds_leave_at_most_the_rate_above_them():
    scores = [i / 1000 for i in range(1000)]
    assert sum(score > baselines.choose_threshold(scores) for score in scores) == 10


def test_the_whole_table_is_printed_and_written(tmp_path, capsys):
    out = tmp_path / "out.json"
    corpus = str(FIXTURES / "corpus.jsonl")
    evaluate.main(["--corpus", corpus, "--family", "--examples", "1", "--repeats", "1", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "| rlguard " in printed
    assert "boxes" in printed
    assert "answer_repetition: 1 false negatives" in printed
    lines = {(line["detector"], line["kind"]): line for line in json.loads(out.read_text())["lines"]}
    assert lines["rlguard", "any finding"]["recall"] == {"hits": 3, "n": 4}
    assert lines["rlguard", "answer_repetition"]["by_strength"] == {"1": {"hits": 0, "n": 1}, "3": {"hits": 1, "n": 1}}


@pytest.mark.parametrize(
    ("option", "file"), [("--process-bench", "process_bench.json"), ("--flawed-positive-bench", "fapo_critic.jsonl")]
)
def test_sets_that_only_say_flawed_are_measured_on_right_answers(capsys, tmp_path, option, file):
    evaluate.main([option, str(FIXTURES / file), "--out", str(tmp_path / "out.json")])
    assert "2 completions with the right answer, of 3" in capsys.readouterr().out
    lines = {line["kind"]: line for line in json.loads((tmp_path / "out.json").read_text())["lines"]}
    assert lines["any finding"]["recall"] == {"hits": 1, "n": 1}
    assert lines["any finding"]["false_positives"] == {"hits": 0, "n": 1}
    assert lines["finding at the first wrong step"]["recall"] == {"hits": 1, "n": 1}


def read_as_expression():
    """The labelled rows with a bare expression as prompt: true steps of a word problem are no sign either way."""
    return [row | {"prompt": "What is 6 * 7 - 5?"} for row in calibrate.read_corpus(FIXTURES / "corpus.jsonl")]


def test_signs_are_read_from_findings_and_from_what_was_computed():
    before = dict(LIKELIHOOD_RATIOS)
    rows = read_as_expression()[:4]
    assert calibrate.read_signs(rows) == [{"computed"}, {"computed"}, {"bare_answer"}, {"answer_repeated_often"}]
    assert before == LIKELIHOOD_RATIOS


def test_signs_are_counted_by_row_or_with_equal_weight_for_each_kind():
    rows = rows_of(("a", 1), ("a", 1), ("a", 1), ("b", 1), ("", None))
    signs = [{"s"}, {"s"}, {"s"}, set(), {"s"}]
    assert calibrate.count_signs(rows, signs, "s") == (1, 1, 3.0, 4)
    assert calibrate.count_signs(rows, signs, "s", per_kind=True) == (1, 1, 2.0, 4)


def test_a_ratio_is_shrunk_cut_and_kept_where_nothing_was_seen():
    crossing = calibrate.estimate_ratio("s", 0.4, 1, 9, 4, 9)
    assert crossing.estimate == pytest.approx(1.5 / 4.5)
    assert crossing.new == 0.4  # its interval holds 1
    assert calibrate.estimate_ratio("s", 0.4, 0, 999, 900, 999).new == 1 / 20
    claims_less = calibrate.estimate_ratio("s", 0.4, 50, 999, 500, 999)
    assert claims_less.new == claims_less.high > claims_less.estimate
    assert calibrate.estimate_ratio("s", 6.0, 900, 999, 100, 999).new < 900 / 100


def test_ratios_that_tell_the_truth_have_no_calibration_error():
    honest = [True] * 80 + [False] * 20 + [True] * 20 + [False] * 80
    true = calibrate.bin_rows(honest, [4.0] * 100 + [0.25] * 100)
    bold = calibrate.bin_rows(honest, [40.0] * 100 + [0.025] * 100)
    assert calibrate.calibration_error(true) < 0.03
    assert calibrate.calibration_error(bold) == pytest.approx(math.log(10), abs=0.03)
    assert calibrate.log_loss(honest, [4.0] * 100 + [0.25] * 100) < calibrate.log_loss(honest, [1.0] * 200)


def test_calibrate_prints_and_writes_both_tables(tmp_path, capsys):
    rows = read_as_expression()
    held_out = [dict(row, split="report", family=family) for family in ("one", "two") for row in rows]
    write_rows(held_out, tmp_path / "corpus.jsonl")
    calibrate.main(["--corpus", str(tmp_path / "corpus.jsonl"), "--out", str(tmp_path / "c.json")])
    assert "calibrated on other families ratios: calibration error" in capsys.readouterr().out
    ratios = {r["sign"]: r for r in json.loads((tmp_path / "c.json").read_text())["ratios"]}
    assert ratios["computed"]["honest"] > ratios["computed"]["dishonest"]
    with pytest.raises(SystemExit, match="two held-out families"):
        calibrate.main(["--corpus", str(FIXTURES / "corpus.jsonl")])
