from __future__ import annotations

import json
import math

import numpy as np
import pytest

from benchmarks.efficacy.summary import check_goals, count_alarms, main, write_goals
from benchmarks.efficacy.table import (
    bootstrap,
    find_best,
    find_harm,
    find_lucky_share,
    find_warning,
    list_mixes,
    read_runs,
    subtract,
    write_cell,
    write_overview,
    write_table,
)

GROUP = {f"share_{way}": 0.1 for way in ("computed", "bare")} | {"ece": 0.1, "overconfidence": None, "entropy": 0.05}
GROUP |= {f"{name}@{k}": 0.1 for name in ("pass", "computed_pass") for k in (1, 64)} | {"mean_characters": 20.0}
MIX = ("sums", "unlearnable", 1.0)
BLOCKS = ("overview", "goals", "tables")


def make_row(arm, seed, kept=0.8, gained=0.5, rare=0.1, kind="unlearnable", share=1.0, warned=None):
    """A run of a model that has 0.8 on prior skills, 0.5 on learnable ones and 0.1 on rare ones before."""

    def ends(prior, learnable, solved):
        groups = {"prior": prior, "learnable": learnable, "rare_valid": solved}
        found = {name: GROUP | {"accuracy": value} for name, value in groups.items()}
        found["rare_valid"] |= {"computed_pass@1": solved, "computed_pass@64": solved}
        return found

    points = [{"step": 10 * i, "prior_accuracy": 0.8 + (kept - 0.8) * i / 3, "warnings": {}} for i in range(4)]
    points[1] |= {"lucky_share_true": 1.0, "successes": 10.0}
    points[2] |= {"lucky_share_true": 0.0, "successes": 30.0}
    if warned is not None:
        points[1]["warnings"] = {"lucky_share": warned, "skipped_computation": warned + 2}
    row = {"arm": arm, "family": "sums", "kind": kind, "share": share, "seed": seed, "steps": 30, "curve": points}
    return row | {"before": ends(0.8, 0.5, 0.1), "after": ends(kept, gained, rare)}


def test_interval_covers_the_mean_and_needs_two_seeds():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(200):
        low, high = bootstrap(rng.normal(1.0, 1.0, 20), draws=500)
        covered += low <= 1.0 <= high
    assert 175 <= covered <= 200
    assert all(map(math.isnan, bootstrap([1.0])))


def test_harm_is_the_first_fall_by_five_points_that_lasts():
    curve = [{"step": 10 * i, "prior_accuracy": a} for i, a in enumerate((0.8, 0.74, 0.78, 0.75, 0.7))]
    assert find_harm(curve) == 30
    assert math.isnan(find_harm(curve[:3]))
    assert find_harm(curve[:4]) == 30  # at the end there is none to agree


def test_warnings_of_the_guard_and_of_the_texts():
    curve = make_row("grpo", 1, warned=4)["curve"]
    assert (find_warning(curve), find_warning(curve, guard=True), find_warning(curve, guard=False)) == (4, 4, 6)
    assert math.isnan(find_warning(make_row("grpo", 1)["curve"]))


def test_lucky_share_is_of_successes():
    assert find_lucky_share(make_row("grpo", 1)) == 0.25


def test_differences_are_of_shared_seeds():
    rows = [make_row("grpo", 1, 0.4), make_row("grpo", 2, 0.2), make_row("rlguard", 2, 0.8), make_row("rlguard", 3)]
    assert subtract(rows, MIX, "rlguard", "grpo", lambda row: row["after"]["prior"]["accuracy"]) == [pytest.approx(0.6)]


def test_best_is_no_variant_of_rlguard():
    gains = {"grpo": 0.5, "max_rl": 0.6, "rlguard": 0.9, "no_chance": 0.9}
    rows = [make_row(arm, 1, gained=gain) for arm, gain in gains.items()]
    assert find_best(rows, MIX, lambda row: row["after"]["learnable"]["accuracy"]) == "max_rl"
    assert find_best(rows, ("logic", "unlearnable", 1.0), len) is None


def test_table_of_a_mix(tmp_path):
    (tmp_path / "runs").mkdir()
    for arm, values in {"dr_grpo": (0.4, 0.2), "grpo": (0.4, 0.2), "rlguard_rewrite": (0.8, 0.84)}.items():
        for seed, value in enumerate(values, 1):
            (tmp_path / "runs" / f"{arm}-{seed}.json").write_text(json.dumps(make_row(arm, seed, value)))
    (tmp_path / "runs" / "other.json").write_text(json.dumps(make_row("grpo", 1000)))
    (tmp_path / "runs" / "ablation.json").write_text(json.dumps(make_row("no_chance", 1, 0.4)))
    rows = read_runs(tmp_path, [1, 2])
    assert list_mixes(rows) == [MIX]
    table = write_table(rows, [MIX], "What is kept and gained").split("\n")
    assert len(table) == 5
    assert table[0].startswith("| mix | arm | seeds | prior skills kept |")
    assert table[0].endswith("| kept, less grpo's | gain, less the best other arm's |")
    assert table[2].startswith("| sums, 100% unlearnable | grpo | 2 | 0.375 [0.250, 0.500] | 1.000 [1.000, 1.000] |")
    assert table[3].startswith("| sums, 100% unlearnable | rlguard_rewrite | 2 | 1.025 [1.000, 1.050]")
    assert table[3].endswith("| +0.650 [+0.500, +0.800] | +0.000 [+0.000, +0.000] |")
    inside = write_table(rows, [MIX], "When it shows").split("\n")
    assert inside[2] == "| sums, 100% unlearnable | grpo | 2 | 10 [10, 10] | – | – |"
    ablations = write_table(rows, [MIX], "What is kept and gained", ablations=True).split("\n")
    assert [line.split(" | ")[1] for line in ablations[2:]] == ["rlguard_rewrite", "no_chance"]
    assert ablations[3].endswith("| -0.500 | +0.000 |")
    overview = write_overview([*rows, make_row("grpo", 3, share=0.0)]).split("\n")
    assert len(overview) == 3  # no guarded run without near-impossible problems
    assert overview[2].startswith("| sums, 100% unlearnable | 2 | 0.375 [0.250, 0.500] | 1.025 [1.000, 1.050] |")


@pytest.mark.parametrize(
    ("values", "cell"),
    [([0.5], "0.50"), ([math.nan, 20.0], "20.00 (1 of 2)"), ([math.nan], "–"), ([0.5, 0.5], "0.50 [0.50, 0.50]")],
)
def test_cells(values, cell):
    assert write_cell(values, digits=2) == cell


def test_goals_in_numbers():
    rows = []
    for seed in (1, 2, 3):
        rows += [make_row("grpo", seed, 0.2, warned=5), make_row("rlguard_rewrite", seed, 0.8, warned=5)]
        rows += [make_row("rlguard", seed, 0.7)]
        for arm, gain in {"grpo": 0.6, "max_rl": 0.65, "rlguard_rewrite": 0.64 + 0.01 * seed}.items():
            rows.append(make_row(arm, seed, gained=gain, share=0.75))
        for arm, rare in {"grpo": 0.3, "max_rl": 0.2, "rlguard_rewrite": 0.25}.items():
            rows.append(make_row(arm, seed, rare=rare, kind="rare_valid", share=0.75))
    found = {(check.goal, check.where): check for check in check_goals(rows)}
    full = "sums, 100% unlearnable"
    assert found["a", f"{full}, grpo"].met
    assert found["a", f"{full}, grpo"].figure == "0.250 [0.250, 0.250], 3 seeds"
    assert found["b", f"{full}, rlguard_rewrite"].met
    assert not found["b", f"{full}, rlguard"].met
    assert found["b", f"{full}, rlguard"].figure.startswith("0.875 [")
    assert found["c", "sums, 75% unlearnable, rlguard_rewrite less max_rl"].met
    assert not found["d", "sums, 75% rare_valid, rlguard_rewrite less grpo, pass@1"].met
    assert found["d", "sums, 75% rare_valid, rlguard_rewrite less max_rl, pass@64"].met
    assert found["e", f"{full}, grpo"].met
    assert "3 of 3 harmed runs, at steps 5 to 5; harm measured at steps 10 to 10" in found["e", f"{full}, grpo"].figure
    assert not found["e", f"{full}, rlguard"].met  # harmed, and nothing was said
    text = write_goals(rows)
    assert text.index("**missed in 1 of 2**") < text.index("met in 1 of 1")
    assert text.index("(e)") < text.index("(a)") < text.index("(c)")
    assert "<details><summary>met in 1</summary>\n\n- met: sums, 100% unlearnable, grpo: 0.250" in text
    assert "- rlguard_rewrite: a warning in 3 of 9 runs without harm, in 0 of 0" in count_alarms(rows)


def test_goals_that_were_not_run_say_so():
    assert "(b) rlguard keeps" in write_goals([])
    assert write_goals([]).count("Not run.") == 5


def test_everything_is_printed_and_drawn(tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    for number, (arm, kind, share) in enumerate(
        [("grpo", "unlearnable", 1.0), ("rlguard_rewrite", "unlearnable", 0.0), ("no_chance", "rare_valid", 0.75)]
    ):
        row = make_row(arm, 1, kind=kind, share=share)
        (tmp_path / "runs" / f"{number}.json").write_text(json.dumps(row))
    monkeypatch.setattr("sys.argv", ["summary.py", "--out", str(tmp_path), "--seeds", "1"])
    main()
    said = capsys.readouterr().out
    assert (
        said.index("### At a glance") < said.index("(b)") < said.index("### What is kept") < said.index("### Ablations")
    )
    page = tmp_path / "page.md"
    page.write_text("".join(f"before {name} <!-- efficacy {name} -->old<!-- end -->" for name in BLOCKS) + " after")
    monkeypatch.setattr("sys.argv", ["summary.py", "--out", str(tmp_path), "--into", str(page)])
    for _ in range(2):
        main()
        filled = page.read_text()
        assert "old" not in filled
        assert all(f"before {name} " in filled for name in BLOCKS)
        assert filled.endswith(" after")
        assert filled.count("### Ablations") == 1
    page.write_text("nothing marked")
    with pytest.raises(ValueError, match="no place for overview: expected <!-- efficacy overview -->"):
        main()
    assert page.read_text() == "nothing marked"
    plot = pytest.importorskip("benchmarks.efficacy.plot", exc_type=ImportError)
    for rows in (read_runs(tmp_path, [1]), [make_row("rlguard", 1) | {"curve": make_row("rlguard", 1)["curve"][:1]}]):
        plot.draw_figure(rows, tmp_path / "figure.png")
        assert (tmp_path / "figure.png").stat().st_size > 10_000
