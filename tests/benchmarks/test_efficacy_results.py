"""Intervals cover what they say, tables and goals say what the rows say, and RESULTS.md what the committed rows say."""

from __future__ import annotations

import json
from math import isnan

import numpy as np
import pytest
from scipy import stats

from benchmarks.efficacy import compare, plan, results
from benchmarks.efficacy.compare import Rows, check_goals, gained, kept, pool, subtract, summarise
from benchmarks.efficacy.plan import LEARNABLE
from benchmarks.efficacy.records import read_rows
from benchmarks.efficacy.settings import SEEDS, Run
from benchmarks.efficacy.stats import (
    Estimate,
    estimate,
    fit_square,
    holm,
    stratified,
    t_interval,
    template_interval,
    write_cell,
)

LUCK = ("unlearnable", 1.0)


def test_intervals_against_scipy():
    values = [0.1, 0.4, 0.35, 0.2]
    low, high = t_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert estimate(values).p_above(0.1) == pytest.approx(stats.ttest_1samp(values, 0.1, alternative="greater").pvalue)
    assert estimate(values).p_below(0.1) == pytest.approx(stats.ttest_1samp(values, 0.1, alternative="less").pvalue)
    one, two = [0.1, 0.4, 0.35, 0.2], [0.5, 0.9, 0.1]
    welch = stats.ttest_ind(one, two, equal_var=False)
    found = stratified({"a": one, "b": [-value for value in two]})  # half of the difference
    assert found.freedom == pytest.approx(welch.df)
    assert found.mean / found.error == pytest.approx(welch.statistic)
    assert all(isnan(bound) for bound in t_interval([0.5]))
    assert isnan(stratified({"a": one, "b": [0.5]}).p_above(0))
    assert (Estimate(0.3, 0.0, 3, 4).p_above(0.2), Estimate(0.1, 0.0, 3, 4).p_above(0.2)) == (0.0, 1.0)


def test_the_interval_covers_what_it_says_and_a_bootstrap_of_five_does_not():
    """Eight runs of two models that differ in mean and spread: 95%. Five seeds, percentile bootstrap: well below."""
    rng, hits, bootstrap, runs = np.random.default_rng(0), 0, 0, 2000
    for _ in range(runs):
        low, high = stratified({"a": rng.normal(0.3, 0.05, 4), "b": rng.normal(-0.1, 0.15, 4)}).interval()
        hits += low <= 0.1 <= high
        five = rng.normal(0.1, 0.1, 5)
        means = rng.choice(five, (200, 5)).mean(axis=1)
        bootstrap += np.quantile(means, 0.025) <= 0.1 <= np.quantile(means, 0.975)
    assert 0.93 < hits / runs < 0.975
    assert bootstrap / runs < 0.9


def test_templates_are_drawn_whole():
    rng = np.random.default_rng(1)
    found = {str(i): value for i, value in enumerate(rng.normal(0.1, 0.1, 24))}
    low, high = template_interval(found)
    wide = t_interval(list(found.values()))
    assert low < np.mean(list(found.values())) < high
    assert (low, high) == pytest.approx(wide, abs=0.02)
    assert all(isnan(bound) for bound in template_interval({"a": 0.1, "b": 0.2}))


def test_holm_and_the_square_by_hand():
    assert holm([0.01, float("nan"), 0.04, 0.03])[::2] == pytest.approx([0.03, 0.06])
    assert isnan(holm([0.01, float("nan")])[1])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    x = np.linspace(0, 1, 9)
    assert fit_square(x, 1 - x + x**2) == pytest.approx(1)
    assert fit_square([0, 1, 2, 3, 4, 5], [1, -1, 1, -1, 1, -1]) < 0.2
    assert write_cell([0.5, float("nan"), 0.7]).endswith("(2 of 3)")


def make_row(run, prior, learnable, rare=0.5, half=None):
    """A row of a run that began at 0.8 and 0.4."""

    def end(a, b, c):
        prior_figures = {
            "accuracy": a, "confidence_wrong": 0.5, "ece": 0.1, "overconfidence": 0.0, "share_lucky": 0.1,
            "share_bare": 0.1, "share_unanswered": 0.0, "pass@1": a, "pass@64": 1.0,
            "by_template": {"t1": [8, 10], "t2": [5, 10], "t3": [1, 10]},
        }  # fmt: skip
        learnable_figures = {"accuracy": b, "by_template": {"m1": [6, 10], "m2": [7, 10], "m3": [round(10 * b), 10]}}
        return {"prior": prior_figures, "learnable": learnable_figures,
                "rare_valid": {"computed_pass@1": c, "computed_pass@64": c}}  # fmt: skip

    row = {name: getattr(run, name) for name in ("arm", "family", "kind", "share", "seed", "rate", "steps", "design")}
    row |= {"before": end(0.8, 0.4, 0.3), "after": end(prior, learnable, rare), "seconds": 40.0, "commit": "abc"}
    curve = [{"step": 50, "prior": prior, "learnable": learnable if half is None else half}]
    return row | {"curve": curve, "kl_prior": 0.8 - prior + 0.01 * (run.seed % 3), "kl_trained": 0.1, "scales": [0.5]}


def make_rows(harm=0.4, sampler=0.55, rival=0.0, seeds=SEEDS):
    """Tuning rows, and reported ones of every family in which GRPO forgets by `harm` where nothing can be learnt."""
    rng = np.random.default_rng(2)
    rows = [make_row(run, 0.8, 0.5) for run in plan.list_tuning()]
    for family in ("sums", "strings", "logic", "words"):
        for seed in seeds:
            noise = lambda: float(rng.normal(0, 0.004))  # noqa: E731
            for arm, mix, prior, learnable in (
                ("grpo", LUCK, 0.8 - harm, 0.4), ("rlguard", LUCK, 0.8, 0.4), ("random_reward", LUCK, 0.75, 0.4),
                ("grpo", LEARNABLE, 0.82, 0.6), ("rlguard", LEARNABLE, 0.82, 0.6),
                ("grpo", ("unlearnable", 0.75), 0.7, 0.5), ("rlguard", ("unlearnable", 0.75), 0.8, 0.6),
                ("max_rl", ("unlearnable", 0.75), 0.8, 0.6 + rival),
                ("rlguard_sampler", ("unlearnable", 0.75), 0.8, 0.65),
                ("grpo", ("rare_valid", 0.75), 0.8, 0.5), ("rlguard", ("rare_valid", 0.75), 0.8, 0.5),
            ):  # fmt: skip
                half = sampler + noise() + 0.05 if arm == "rlguard_sampler" else None
                rows.append(
                    make_row(Run(arm, family, *mix, seed), prior + noise(), learnable + noise(), 0.5 + noise(), half)
                )
    return rows


def verdicts(rows, goal):
    return {check.where: check.verdict for check in check_goals(Rows(rows)) if check.goal == goal}


def test_arms_are_compared_seed_by_seed_within_models():
    rows = Rows(make_rows())
    guarded, plain = rows.get("sums", LUCK, "rlguard"), rows.get("sums", LUCK, "grpo")
    assert sorted(guarded) == list(SEEDS)
    found = subtract(guarded, plain, kept)
    by_hand = [kept(guarded[seed]) - kept(plain[seed]) for seed in SEEDS]
    assert found.mean == pytest.approx(np.mean(by_hand))
    assert found.mean == pytest.approx(0.5, abs=0.01)
    assert found.n == 8
    assert summarise(guarded, gained).mean == pytest.approx(0, abs=0.01)
    pooled = pool(rows, LUCK, "rlguard", "grpo", kept)
    assert (pooled.n, pooled.freedom) == (8, 7)  # two models each of four families
    assert pooled.mean == pytest.approx(0.5, abs=0.01)


def test_goals_are_met_missed_or_open():
    rows = make_rows()
    for goal in "abcdef":
        assert set(verdicts(rows, goal).values()) <= {"met"} or goal == "b", goal
    assert verdicts(rows, "b")["sums, 100% unlearnable: kept, less GRPO"] == "met"
    assert verdicts(rows, "b")["sums, 75% rare_valid: kept, less GRPO"].startswith("open")
    better = verdicts(make_rows(rival=0.1), "a")
    assert better["strings, 75% unlearnable: gained, less max_rl"] == "missed"
    assert better["strings, 75% unlearnable: kept, less max_rl"] == "met"
    assert set(verdicts(make_rows(sampler=0.4), "e").values()) == {"missed"}
    harmless = verdicts(make_rows(harm=0.05), "f")
    assert harmless["sums: kept with random reward, less with luck"].startswith("open")  # as much as any update


def test_a_goal_with_one_seed_a_model_is_not_judged():
    assert check_goals(Rows(make_rows(seeds=(101, 102)))) == []


def test_every_table_says_something_of_rows_and_nothing_of_none():
    rows = Rows(make_rows())
    for name, write in results.PLACES.items():
        assert (
            "abc" in write(rows) if name == "state" else "|" in write(rows) or name in ("goals", "hindsight", "audit")
        ), name
        assert write(Rows([]))
    assert "| 8 | +0.498" in results.write_pooled(rows).split("all, 100% unlearnable")[1]
    assert "max_rl" in results.write_arms(rows, plan.RIVALS)
    assert "**0.650**" in results.write_rates(rows)


def test_the_audit_table_says_what_changed_and_what_is_lost():
    name = results.AUDITED[0]
    audits = [
        {"arm": arm, "family": "sums", "kind": "unlearnable", "share": 1.0, "seed": seed,
         "design": Run(arm, "sums", "unlearnable", 1.0, seed).design,
         "figures": {name: [0.2, 0.2 + rise + 0.01 * (seed % 4), 0.0, 0.1, "lost" if rise else "kept"]}}
        for arm, rise in (("grpo", 0.5), ("rlguard", 0.0)) for seed in SEEDS
    ]  # fmt: skip
    grpo, guarded = results.write_audit(audits).split("\n")[2:]
    assert grpo.startswith("| sums, 100% unlearnable | grpo | 8 | +0.5")
    assert "(8 lost)" in grpo
    assert "lost" not in guarded


def test_other_rates_stand_beside_in_hindsight():
    rows = make_rows()
    for rate in (0.5, 0.25, 0.1):
        rows += [make_row(Run("grpo", "sums", *LUCK, seed, rate), 0.8 - 0.4 * rate, 0.4) for seed in SEEDS]
    text = results.write_hindsight(Rows(rows))
    assert "× 0.1 | best in hindsight |" in text
    assert "× 1 | its own best, rlguard's |" in text


def test_seeds_of_tuning_never_stand_in_a_table():
    rows = [make_row(Run(arm, "sums", *LUCK, 1001), 0.8, 0.4) for arm in ("grpo", "rlguard")]
    assert not Rows(rows).mixes()


def test_a_block_goes_into_its_place():
    page = "a\n<!-- efficacy one -->\nold\n<!-- end -->\nb <!-- efficacy two -->"
    filled = results.fill(page, {"one": "new \\1"})
    assert filled == "a\n<!-- efficacy one -->\n\nnew \\1\n\n<!-- end -->\nb <!-- efficacy two -->"
    with pytest.raises(ValueError, match="expected one place <!-- efficacy three"):
        results.fill(page, {"three": ""})


def test_the_figure_is_drawn(tmp_path):
    figure = pytest.importorskip("benchmarks.efficacy.figure", exc_type=ImportError)
    figure.draw_figure(Rows(make_rows()), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 20_000


def test_results_md_says_what_the_committed_rows_say():
    rows = Rows(read_rows())
    page = results.PAGE.read_text()
    assert results.fill(page, {name: write(rows) for name, write in results.PLACES.items()}) == page
    for row in rows.all:
        assert not row["commit"].endswith("+") or row["seed"] > 1000, "a reported row of code that was not committed"
    assert len(json.dumps(rows.all)) < 10_000_000


def test_every_arm_that_ran_stands_in_a_table():
    page = results.PAGE.read_text()
    ran = {(r["family"], (r["kind"], r["share"]), r["arm"]) for r in read_rows() if r["seed"] in SEEDS}
    for family, mix, arm in ran:
        assert f"| {compare.name_mix(family, mix)} | {arm} |" in page or arm in plan.MAIN


def test_the_margin_is_the_goals_own():
    assert f"{100 * compare.MARGIN:g} points" in compare.GOALS["a"]
    assert compare.COST == 0.01
