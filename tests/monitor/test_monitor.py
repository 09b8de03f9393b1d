"""The monitor: what it compares, when it speaks, what it keeps quiet about."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from rlguard.monitor import Monitor, MonitorConfig
from rlguard.monitor.change import CLIP, ESTIMATED, LEAST, SLACK, WINSORISED, Reference, clip_at, summarise
from rlguard.monitor.core import Event
from rlguard.monitor.watches import WATCHES, Watch
from rlguard.types import InputError

ONE = MonitorConfig(watches=(Watch("share", ("theirs",), True, 0.1, 0.3),), figures=1)


def run(values, config=ONE, figure="share"):
    monitor = Monitor(config)
    return monitor, [event for step, value in enumerate(values) for event in monitor.see(step, {figure: value})]


def alarms(events):
    return [(event.step, event.severity, event.figure) for event in events if event.severity != "note"]


def noise(count, seed=0, mean=0.2, sd=0.02):
    return (mean + sd * np.random.default_rng(seed).standard_normal(count)).tolist()


def test_a_rise_beyond_what_is_allowed_is_said_once_and_soon():
    _, events = run(noise(80) + noise(30, 1, mean=0.4))
    (step, severity, figure), *more = alarms(events)
    assert (severity, figure, more) == ("warning", "share", [])
    assert 80 < step < 95


def test_what_is_allowed_is_no_alarm_and_the_good_direction_never_is():
    assert not alarms(run(noise(80) + noise(300, 1, mean=0.28))[1])
    assert not alarms(run(noise(80, mean=0.6) + noise(300, 1, mean=0.1))[1])


def test_critical_goes_before_warning_and_through_its_quiet():
    _, events = run(noise(80) + noise(20, 1, mean=0.4) + noise(20, 2, mean=0.9))
    said = alarms(events)
    assert [severity for _, severity, _ in said] == ["warning", "critical"]
    assert said[1][0] < 110
    _, events = run(noise(80) + noise(30, 1, mean=0.9))
    assert [severity for _, severity, _ in alarms(events)][:1] == ["critical"]


def test_the_most_severe_of_a_step_comes_first():
    watches = (Watch("a", (), True, limit=(0.5, None)), Watch("b", (), True, limit=(0.5, 0.8)))
    monitor = Monitor(MonitorConfig(watches=watches))
    told = [monitor.see(step, {"a": 1.0, "b": 1.0}) for step in range(4)]
    assert [(event.figure, event.severity) for event in told[3]] == [("b", "critical"), ("a", "warning")]
    assert told[:3] == [[], [], []]


def test_cool_down_then_said_again_while_it_stands():
    config = MonitorConfig(watches=(Watch("share", (), True, limit=(0.5, None)),), cooldown=10)
    monitor, events = run([0.9] * 30, config)
    assert [event.step for event in events] == [3, 14, 25]
    assert monitor.standing == {"share": "warning"}
    for step in range(30, 38):
        assert monitor.standing
        monitor.see(step, {"share": 0.0})
    assert monitor.standing == {}  # most of the last 16 are back
    assert run([0.1, 0.1, 0.1, 30.0] * 10, config)[1] == []  # spikes are no state


def test_an_alarm_ends_soon_after_its_cause():
    monitor, _ = run(noise(80) + noise(400, 1, mean=0.9) + noise(40, 2))
    assert monitor.standing == {}


def test_one_outlier_is_no_alarm_and_spoils_no_reference():
    values = noise(200)
    values[10], values[120] = 50.0, 50.0
    assert not alarms(run(values)[1])
    values += noise(30, 1, mean=0.5)
    assert alarms(run(values)[1])


def test_the_reference_is_the_first_half_up_to_a_number_of_steps():
    monitor, events = run([float(step) for step in range(20)], MonitorConfig(watches=(Watch("share", (), False, 0.1),)))
    assert monitor.references["share"] == pytest.approx(np.mean(range(9)))
    assert events == []
    config = MonitorConfig(watches=(Watch("share", (), True, 0.1),), reference=8)
    monitor, events = run([0.1] * 100, config)
    assert [(event.step, event.severity, event.rule) for event in events] == [(16, "note", "reference")]
    assert (events[0].reference, events[0].bound) == (pytest.approx(0.1), pytest.approx(0.2))


def slow(values, least_sd, change, most):
    """Every step's height, straight from the formula."""
    heights, height = [], 0.0
    for step, value in enumerate(values):
        count = min(32, step // 2)
        if count >= LEAST:
            first = sorted(values[:count])
            low, high = np.quantile(first, [1 / 8, 7 / 8], method="nearest")
            drawn = [min(max(one, low), high) for one in first]
            sd = max(least_sd, WINSORISED * float(np.std(drawn, ddof=1)))
            excess = (value - sum(drawn) / count - change) / sd
            height = min(max(0.0, height + min(excess, clip_at(count)) - SLACK - ESTIMATED / count**0.5), most + CLIP)
        heights.append(height)
    return heights


def test_heights_agree_with_the_formula():
    values = noise(90) + noise(30, 3, mean=0.35)
    most = Reference(0, 1, 32).threshold(0.01, 1000)
    expected = slow(values, 0.02, 0.1, most)
    monitor = Monitor(ONE)
    for step, value in enumerate(values):
        monitor.see(step, {"share": value})
        assert monitor.tracks["share"].heights.get("warning up", 0.0) == pytest.approx(expected[step])
    assert max(expected) > most


def test_the_simulation_of_the_threshold_is_of_the_same_statistic():
    from benchmarks.monitor.heights import find_heights

    values = np.random.default_rng(1000).standard_normal((120, 3)) + np.linspace(0, 4, 120)[:, None]
    assert find_heights(values) == pytest.approx([max(slow(v.tolist(), 1e-9, 0.0, np.inf)) for v in values.T])


def test_rarer_alarms_need_more_and_rarely_seen_figures_less():
    base = Reference(0, 1, 32)
    assert base.threshold(0.001, 1000) > base.threshold(0.01, 1000) > base.threshold(0.01, 100)
    monitor = Monitor()
    monitor.refer("canary", 0.8, 0.02, 4)
    for step in range(1, 400):
        row = {"length": 10.0} | ({"canary": 0.5} if step % 50 == 0 else {})
        if any(event.severity == "critical" for event in monitor.see(step, row)):
            break
    assert step == 100  # at its second look


def test_a_reference_from_before_the_run_counts_at_once():
    config = MonitorConfig(watches=(Watch("length", (), False, 0.3, 0.5, relative=True),))
    monitor = Monitor(config)
    monitor.refer("length", 100.0, 5.0, 4)
    events = [event for step in range(6) for event in monitor.see(step, {"length": 20.0})]
    assert [event.severity for event in events] == ["note", "critical"]
    assert events[0].reference == pytest.approx(100) and events[1].bound == pytest.approx(50)  # noqa: PT018
    for bad in ((float("nan"), 1.0, 4), (1.0, -1.0, 4), (1.0, 1.0, 0)):
        with pytest.raises(InputError, match="length: expected a finite mean"):
            monitor.refer("length", *bad)
    with pytest.raises(InputError, match="expected one of length, got 'width'"):
        monitor.refer("width", 1.0, 1.0, 1)


def test_names_of_trainers_and_kinds_of_findings():
    monitor = Monitor()
    logs = {
        "completions/mean_length": 30, "frac_reward_zero_std": 0.5, "rlguard/flat_groups": 0.25, "entropy": "0.5",
        "rlguard/findings/loop": 0.125, "loss": 1.0, "actor/entropy": 0.9, "rlguard/lucky_share": float("nan"),
        "rlguard/chance_rate": None, "reward": [1],
    }  # fmt: skip
    expected = {"length": 30.0, "flat_groups": 0.25, "entropy": 0.5, "findings/loop": 0.125}
    assert monitor.read(logs) == expected
    assert monitor.read({"length": 1.0} | logs)["length"] == 1.0


def test_a_kind_of_finding_that_was_never_seen_was_0_before():
    monitor = Monitor()
    events = []
    for step in range(120):
        late = {"rlguard/findings/loop": 0.6} if step >= 90 and step % 10 else {}
        events += monitor.see(step, {"rlguard/flagged_share": 0.1} | late)
    first = next(event for event in events if event.figure == "findings/loop" and event.severity != "note")
    assert 90 < first.step < 100
    assert first.reference == 0.0
    assert monitor.tracks["findings/loop"].seen == 120


def test_a_step_may_come_twice_and_bad_settings_are_named():
    monitor, _ = run([0.1])
    assert monitor.see(0, {"share": 0.1}) == []  # the same step once more
    for step, figures in (("3", {}), (math.nan, {}), (3, [("share", 0.1)]), (3, {1: 0.1})):
        with pytest.raises(InputError, match=r"(step|figures): expected"):
            monitor.see(step, figures)
    for name, bad in (("false_alarm", 0.0), ("steps", 0), ("reference", 3), ("cooldown", -1), ("false_alarm", "0.1")):
        with pytest.raises(InputError, match=f"MonitorConfig.{name}: expected"):
            MonitorConfig(**{name: bad})
    with pytest.raises(InputError, match="'length': critical: expected a change in"):
        Watch("length", (), False, 0.3, 1.0, relative=True)


@pytest.mark.parametrize("cut", [5, 20, 70, 100])
def test_a_resumed_monitor_goes_on_as_if_nothing_had_been(cut):
    values = noise(80) + noise(30, 1, mean=0.5)
    whole, events = run(values)
    first, told = run(values[:cut])
    second = Monitor(ONE)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for step in range(cut, len(values)):
        told += second.see(step, {"share": values[step]})
    assert told == events
    assert second.state_dict() == whole.state_dict()


def test_events_and_their_rows():
    _, events = run(noise(80) + noise(30, 1, mean=0.5))
    for event in events:
        assert Event.from_row(json.loads(json.dumps(event.to_row())) | {"later": 1}) == event
    with pytest.raises(InputError, match="expected an event with step, severity"):
        Event.from_row({"step": 1})
    with pytest.raises(InputError, match="expected an event with"):
        Event.from_row(events[0].to_row() | {"severity": "loud"})


def test_summarise_knows_the_spread_of_normal_values():
    spreads = [summarise(noise(32, seed, sd=1.0), 0.01).sd for seed in range(1000, 1400)]
    assert np.mean(spreads) == pytest.approx(1.0, abs=0.03)
    assert summarise([0.0] * 8, 0.05).sd == 0.05


def test_healthy_runs_are_left_alone():
    """200 simulated runs are counted by benchmarks/monitor/false_alarms.py; a few here."""
    from benchmarks.monitor.false_alarms import listen
    from benchmarks.monitor.simulate import harms, simulate

    for seed in range(2000, 2004):
        assert listen(simulate(seed, 150), MonitorConfig()) == []
    for harm in harms(100, 1):
        seen = listen(simulate(2000, 300, harm=harm), MonitorConfig())
        assert {event.figure for event in seen} <= {harm.figure, "accuracy"}  # which goes with the reward
        assert harm.figure in {event.figure for event in seen}
        assert min(event.step for event in seen) >= 100


def test_every_watch_has_a_rule():
    assert len({(watch.figure, watch.rises) for watch in WATCHES}) == len(WATCHES)
    assert all(watch.warning is not None or watch.limit != (None, None) for watch in WATCHES)
    assert all(watch.cause and watch.do for watch in WATCHES)
    both = [{watch.rises for watch in WATCHES if watch.figure == figure} for figure in ("length", "entropy")]
    assert both == [{True, False}] * 2


def collapse(kind, seed, prompts=16, group=8, steps=60):
    """A run whose reward rises, and collapses at step 19; prompts differ in difficulty."""
    rng = np.random.default_rng([7, seed])
    for step in range(steps):
        rate = 0.35 + 0.15 * min(step, 18) / 18
        if step >= 19:
            rate *= {"none": 1.0, "sudden": 0.03, "ramp": max(0.02, 1 - (step - 18) / 4)}[kind]
        rates = rng.beta(4.8 * rate, 4.8 * (1 - rate), prompts)
        yield step, {"critic/score/mean": float(rng.binomial(group, rates).mean() / group)}


@pytest.mark.parametrize(("kind", "latest"), [("sudden", 24), ("ramp", 25), ("none", None)])
def test_a_collapse_of_the_reward_is_seen_within_five_steps(kind, latest):
    for seed in range(10):
        monitor = Monitor()
        events = [event for step, row in collapse(kind, seed) for event in monitor.see(step, row)]
        assert (events[0].step <= latest and events[0].step >= 19) if latest else events == []
        if latest:
            assert (events[0].figure, events[0].rule) == ("reward", "collapse")
            assert f"since step {events[0].since}" in events[0].message
            assert "learning_rate" in events[0].advice


def test_a_reward_that_was_learned_and_lost_is_seen_though_it_began_as_low():
    rewards = np.r_[np.linspace(0.1, 0.8, 100), np.full(60, 0.8), np.full(40, 0.1)]
    monitor = Monitor()
    noise_T = 0.03 * np.random.default_rng(5).standard_normal(len(rewards))
    events = [event for step, reward in enumerate(rewards + noise_T) for event in monitor.see(step, {"reward": reward})]
    assert [event.severity for event in events] == ["warning", "critical"]
    assert all(160 <= event.step < 166 for event in events)


@pytest.mark.parametrize(
    ("names", "scale"),
    [
        (("proxy_reward", "true_reward"), 1),
        (("proxy", "truth"), 8),
        (("reward", "accuracy"), 1),
        (("reward", "truth"), 1),
    ],
)
def test_a_proxy_that_rises_while_the_truth_stays_at_0(names, scale):
    rng = np.random.default_rng(8)
    monitor, events = Monitor(), []
    for step in range(150):
        proxy = scale * (0.1 + 0.8 * (1 - np.exp(-step / 50)) + 0.03 * rng.standard_normal())
        events += [e for e in monitor.see(step, {names[0]: proxy, names[1]: 0.0}) if e.severity != "note"]
    assert {event.figure for event in events} == {"unearned"}
    assert "verifier" in events[0].do


def test_a_reward_that_rises_with_the_truth_is_earned():
    monitor, events = Monitor(), []
    for step in range(300):
        truth = 0.1 + 0.7 * step / 300
        events += monitor.see(step, {"reward": truth + 0.5 * min(1, step / 40), "accuracy": truth})
        events += monitor.see(step, {"rm_score": 8 * truth + 1, "gold_reward": truth})
    assert [event for event in events if event.severity != "note"] == []


@pytest.mark.parametrize(("name", "told"), [
    ("loss", "nan/loss"), ("train/actor/pg_loss", "nan/loss"), ("actor/kl_loss", "nan/kl"),
    ("eval/loss", ""), ("ppo_kl", "nan/kl"),
    ("actor/grad_norm", "nan/grad_norm"), ("critic/score/mean", "nan/reward"), ("rewards/format/mean", ""),
    ("val/reward", ""), ("clip_ratio/region_mean", ""),
])  # fmt: skip
@pytest.mark.parametrize("value", [math.nan, "nan", np.float32("nan")])
def test_a_figure_that_is_nan_is_said_at_the_third_step(name, told, value):
    monitor = Monitor()
    events = [event for step in range(20) for event in monitor.see(step, {name: 0.1 if step < 9 else value, "x": 1})]
    assert alarms(events) == ([(11, "critical", told)] if told else [])
    monitor = Monitor()  # one step of a number format that runs over is no state
    once = [event for step in range(20) for event in monitor.see(step, {name: value if step % 9 == 5 else 0.1})]
    assert alarms(once) == []


def test_text_and_what_is_missing_are_not_nan():
    monitor = Monitor()
    events = [event for step in range(9) for event in monitor.see(step, {"loss": "n/a", "reward": None, "kl": "low"})]
    assert (events, monitor.tracks) == ([], {})


def test_a_figure_that_one_name_gives_is_not_nan_by_another():
    monitor = Monitor()
    logs = {"objective/kl": 0.1, "kl": math.nan, "reward": 0.5}
    assert not [event for step in range(9) for event in monitor.see(step, logs)]


def test_a_log_whose_steps_start_over_goes_on():
    monitor, _ = run(noise(80))
    events = [
        event for step, value in enumerate(noise(30, 1, mean=0.4)) for event in monitor.see(step, {"share": value})
    ]
    assert [event.rule for event in events] == ["restart", "change"]
    assert "starts over at step 0 after step 79" in events[0].message
    assert events[1].step < 15


def test_one_huge_drop_of_a_canary_counts_at_once():
    monitor = Monitor()
    monitor.refer("canary", 0.9, 0.02, 4)
    seen = [monitor.see(step, {"reward": 0.5} | ({"canary": 0.3} if step == 100 else {})) for step in range(1, 101)]
    assert [event.severity for event in seen[-1]] == ["critical", "note"]


def test_tiny_batches_do_not_alarm_by_themselves():
    alarmed = 0
    for seed in range(40):  # one group of 4 a step, of prompts that are solved half of the time
        rng, monitor = np.random.default_rng([3, seed]), Monitor()
        for step in range(400):
            right = rng.binomial(4, rng.beta(0.6, 0.6))
            row = {
                "reward": right / 4,
                "frac_reward_zero_std": float(right in (0, 4)),
                "frac_all_wrong": float(right == 0),
                "frac_all_right": float(right == 4),
                "rlguard/lucky_share": float(rng.random() < 0.1),
                "completions/clipped_ratio": rng.binomial(4, 0.1) / 4,
            }
            alarmed += any(event.severity != "note" for event in monitor.see(step, row))
    assert alarmed == 0


def test_names_of_every_trainer_and_what_is_not_read():
    for names in (
        {"response_length/clip_ratio", "critic/score/mean", "actor/entropy", "actor/kl_loss", "actor/pg_clipfrac"},
        {"train/reward", "completion_length", "kl", "rewards/accuracy_reward", "rewards/format/mean", "clip_ratio"},
        {"env/all/reward/total", "env/all/correct", "optim/entropy", "by_group/frac_all_good"},
    ):
        monitor = Monitor()
        found = monitor.read(dict.fromkeys(names, 0.5))
        assert len(found) == len(names)
        assert monitor.unread == {}
    monitor.read(
        {"truncated_count": 3, "loss": 1.0, "rewards/std": 1.0, "reward_std": 0.1, "learning_rate": 0.1, "x": "y"}
    )
    assert list(monitor.unread) == ["truncated_count"]
    with pytest.raises(InputError, match="expected one scale for 'a', got two"):
        MonitorConfig(watches=(Watch("a", (), True, 0.1), Watch("a", (), False, 0.1, relative=True)))


OWN_NAMES = {
    "length": ("avg_len", "response_len_mean", "gen_len", "grpo_actor/seq_len/avg", "generate/avg_num_tokens"),
    "truncated": ("trunc_frac", "frac_at_max_tokens", "hit_max_len", "no_eos_ratios/avg"),
    "entropy": ("ent", "token_entropy", "policy/policy_entropy", "grpo_actor/update/entropy/avg"),
    "kl": ("kl_divergence", "policy/policy_kl", "kl_to_ref"),
    "grad_norm": ("gradnorm", "gnorm", "actor_grad_norm", "policy/raw_grad_norm"),
    "clip_fraction": ("ppo_clip_ratio", "policy/clipfrac_avg"),
    "reward": ("rollout_reward", "score", "objective/scores", "reward/avg_raw_reward"),
    "accuracy": ("success_rate", "train_acc", "pass@1", "objective/verifiable_correct_rate"),
    "format_rate": ("format_acc",),
    "solved_groups": ("solve_all",),
    "unsolved_groups": ("solve_none",),
    None: ("num_tokens", "entropy_coef", "kl_beta", "prompt_length", "max_length", "reward_std", "val-core/x/mean@1",
           "eval_accuracy", "timing_s/reward", "critic/advantages/mean", "truncated_count", "rlguard/step_scale", "lr"),
}  # fmt: skip


def test_a_figure_by_a_name_of_its_own_is_known_by_its_looks():
    for figure, names in OWN_NAMES.items():
        for name in names:
            assert Monitor().read({name: 0.5}) == ({figure: 0.5} if figure else {}), name
    monitor = Monitor()
    assert monitor.read({"my_reward": 0.3, "other_reward": 0.4}) == {"reward": 0.3}  # one name a figure, the first
    assert monitor.read({"other_reward": 0.4}) == {}
    assert list(monitor.unread) == ["other_reward"]
    assert monitor.read({"reward": 0.5, "my_reward": 0.3}) == {"reward": 0.5}  # a name that is known goes first


def test_the_first_watch_that_covers_a_figure_judges_it():
    own = Watch("findings/same_answer", (), True, limit=(0.5, None))
    monitor = Monitor(MonitorConfig(watches=(own, *WATCHES)))
    rows = [{"findings/same_answer": 0.0 if step < 40 else 0.45} for step in range(80)]
    assert [e for step, row in enumerate(rows) for e in monitor.see(step, row) if e.severity != "note"] == []


def test_the_page_names_every_figure():
    page = (Path(__file__).parents[2] / "docs" / "monitor.md").read_text()
    figures = {
        watch.figure.replace("rewards/*", "rewards/<part>")
        .replace("findings/*", "findings/<kind>")
        .replace("nan/*", "nan/loss")
        for watch in WATCHES
    }
    assert [figure for figure in sorted(figures) if f"`{figure}`" not in page] == []


def test_whole_logs_of_every_trainer(tmp_path):
    """benchmarks/monitor/traces.py counts more runs; here one of each kind, read from the trainer's log."""
    from benchmarks.monitor import traces

    for number, (trainer, names) in enumerate(traces.NAMES.items()):
        healthy, monitor = traces.watch(traces.draw_run(np.random.default_rng([3, number]), 600), trainer)
        assert healthy == [], trainer
        assert not monitor.unread, trainer
        for kind, (harm, figures) in traces.HARMS.items():
            if traces.SHOWN_BY.get(figures[0], "reward") not in names:
                continue
            run = traces.draw_run(np.random.default_rng([4, number]), 200)
            harm(run, start := 0 if kind.startswith("97%") else 100)
            told, _ = traces.watch(run, trainer)
            assert told, (kind, trainer)
            assert start <= told[0][0] <= start + 60, (kind, trainer)


def test_a_collapse_in_a_log_that_started_over_is_seen(tmp_path):
    from benchmarks.monitor import traces

    run = traces.draw_run(np.random.default_rng(6), 200)
    traces.collapse(run, 150)
    for trainer in ("TRL", "verl", "tinker", "own loop"):
        told, monitor = traces.watch(run, trainer, restart=90)
        assert 150 <= told[0][0] <= 155, trainer
        assert monitor.step < 120


def test_entropy_may_fall_far_if_slowly():
    rng = np.random.default_rng(4)
    slow = 0.5 * np.exp(-5 * np.arange(1000) / 1000) * np.exp(0.1 * rng.standard_normal(1000))  # to a 150th
    monitor = Monitor()
    assert not [e for step, h in enumerate(slow) for e in monitor.see(step, {"entropy": h}) if e.severity != "note"]
    fast = np.r_[slow[:500], slow[500] * np.exp(-np.arange(60) / 5)]
    monitor = Monitor()
    events = [e for step, h in enumerate(fast) for e in monitor.see(step, {"entropy": h}) if e.severity != "note"]
    assert [event.severity for event in events] == ["warning", "critical"]
    assert 500 < events[0].step < 530
    assert events[0].reference == pytest.approx(slow[432:464].mean(), rel=0.1)  # of the stretch before, not the first


def test_a_small_penalty_may_grow():
    rng = np.random.default_rng(4)
    small = -(0.01 + 0.06 * np.minimum(1, np.arange(800) / 400)) * (1 + 0.3 * rng.standard_normal(800))
    for values, told in ((small, False), (20 * small, True)):
        monitor = Monitor()
        events = [e for step, v in enumerate(values) for e in monitor.see(step, {"rewards/len_penalty/mean": v})]
        assert any(event.severity != "note" for event in events) == told
