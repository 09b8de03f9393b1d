"""The guard's core, without any trainer."""

from __future__ import annotations

import json
import math
import re
import sys

import numpy as np
import pytest

from rlguard.guard import Guard, GuardConfig
from rlguard.guard.reading import read_evidence
from rlguard.luck.evidence import Evidence

GROUPS = np.repeat(np.arange(16), 8)


def guess_batch(rng, step, digits=10):
    """16 prompts whose gold answers are random digits, 8 rollouts each that answer a random digit, bare."""
    golds = rng.integers(digits, size=16)
    answers = rng.integers(digits, size=128)
    outcomes = (answers == golds[GROUPS]).astype(float)
    evidence = [
        Evidence(f"{step}-{group}", gold=str(golds[group]), answer=str(answer), likelihood_ratio=1.0)
        for group, answer in zip(GROUPS, answers, strict=True)
    ]
    return evidence, outcomes


def host(outcomes):
    grouped = outcomes.reshape(-1, 8)
    return ((grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, ddof=1, keepdims=True) + 1e-4)).ravel()


def test_pure_guessing_is_silenced():
    rng, guard = np.random.default_rng(0), Guard()
    for step in range(12):
        evidence, outcomes = guess_batch(rng, step)
        judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
        assert step < 4 or judged.step_scale < 0.05
    assert judged.metrics["rlguard/chance_rate"] == pytest.approx(0.1, abs=0.03)
    assert judged.metrics["rlguard/lucky_share"] > 0.7
    assert judged.metrics["rlguard/size"] < 0.05


def test_rare_success_with_shown_computation_keeps_its_weight_where_a_bare_one_loses_it():
    rng, guard = np.random.default_rng(1), Guard()
    for step in range(6):
        evidence, outcomes = guess_batch(rng, step)
        guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    evidence, outcomes = guess_batch(rng, 99)
    outcomes[:16] = 0
    outcomes[[0, 8]] = 1
    evidence[0] = Evidence("99-0", gold="3", answer="3", likelihood_ratio=50.0)
    evidence[8] = Evidence("99-1", gold="4", answer="4", likelihood_ratio=0.1)
    judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert judged.weights_B[0] > 0.7
    assert judged.weights_B[8] < 0.05
    assert judged.advantages_B[0] > 1.5
    assert np.abs(judged.advantages_B[8:16]).max() < 0.2 * judged.advantages_B[0]


def test_a_model_that_solves_is_left_alone():
    rng, guard = np.random.default_rng(2), Guard()
    for step in range(4):
        golds = rng.integers(10, size=16)
        solved = rng.random(128) < 0.7
        answers = np.where(solved, golds[GROUPS], rng.integers(10, size=128))
        outcomes = (answers == golds[GROUPS]).astype(float)
        evidence = [Evidence(f"{step}-{g}", str(golds[g]), str(a)) for g, a in zip(GROUPS, answers, strict=True)]
        judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert judged.weights_B.min() > 0.85
    np.testing.assert_allclose(judged.advantages_B, host(outcomes), atol=0.2)


def test_observe_returns_the_host_and_learns_all_the_same():
    rng = np.random.default_rng(3)
    evidence, outcomes = guess_batch(rng, 0)
    advantages = host(outcomes)
    watcher, actor = Guard(GuardConfig(mode="observe")), Guard()
    seen = watcher.judge(evidence, advantages, outcomes, outcomes, GROUPS)
    done = actor.judge(evidence, advantages, outcomes, outcomes, GROUPS)
    assert seen.advantages_B is advantages
    assert seen.metrics == done.metrics
    assert (seen.step_scale, actor.config.scale_steps) == (1.0, True)
    assert done.step_scale == done.metrics["rlguard/step_scale"] < 1.0
    assert watcher.state_dict() == actor.state_dict()


def test_state_survives_json():
    rng, guard, twin = np.random.default_rng(4), Guard(), Guard()
    evidence, outcomes = guess_batch(rng, 0)
    guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    twin.load_state_dict(json.loads(json.dumps(guard.state_dict())))
    evidence, outcomes = guess_batch(rng, 1)
    both = [g.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS) for g in (guard, twin)]
    np.testing.assert_array_equal(both[0].weights_B, both[1].weights_B)


def test_evidence_is_read_from_row_and_text():
    row = {"answer": "0", "rlguard_id": "x", "rlguard_successes": 3, "rlguard_trials": 16, "rlguard_chance_rate": 0.1}
    computed = read_evidence("7+8+5 mod 10=?", "7+8=5;5+5=0;answer 0", row)
    assert (computed.prompt_id, computed.gold, computed.answer) == ("x", "0", "0")
    assert (computed.offline_successes, computed.offline_trials, computed.chance_rate) == (3, 16, 0.1)
    assert computed.likelihood_ratio > 1
    assert computed.kinds == ()
    chat = [{"role": "user", "content": "7+8+5 mod 10=?"}]
    bare = read_evidence(chat, [{"role": "assistant", "content": "answer 0"}], {"answer": "0"})
    assert bare.likelihood_ratio < 1
    assert bare.kinds == ("skipped_computation",)
    assert math.isnan(bare.offline_trials)
    blind = read_evidence(chat, "answer 0", {}, detectors=False)
    assert (blind.likelihood_ratio, blind.kinds, blind.gold) == (1.0, (), None)


@pytest.mark.parametrize("detectors", [True, False])
def test_what_a_prompt_offers_is_seen_in_it(detectors):
    asked = "Who is taller, Ann or Bob?"

    def offers(prompt, completion, gold):
        return read_evidence(prompt, completion, {"answer": gold}, detectors=detectors).offered

    assert offers(asked, "The answer is Bob", "Ann")
    assert offers([{"role": "user", "content": asked}], "The answer is bob", "Cy")
    assert offers(asked, "The answer is Cy", "ann")  # its rival is
    assert not offers(asked, "The answer is Bo", "Cy")
    assert not offers("Who is taller?", "The answer is Bob", "Ann")
    assert not offers(asked, "I do not know", None)


def test_guesses_between_options_are_lucky_and_a_problem_that_is_learnt_is_not():
    rng, lucky = np.random.default_rng(0), {}
    for offered in (True, False):  # half of the rollouts right, the others alike: a coin, or a usual mistake
        guard = Guard()
        for step in range(12):
            pairs = [(f"w{step}x{group}", f"v{step}x{group}") for group in range(16)]
            answers = [str(rng.choice(pairs[group])) for group in GROUPS]
            outcomes = np.array([float(a == pairs[g][0]) for g, a in zip(GROUPS, answers, strict=True)])
            evidence = [
                Evidence(pairs[g][0], pairs[g][0], a, offered=offered) for g, a in zip(GROUPS, answers, strict=True)
            ]
            judged = guard.judge(evidence, outcomes - outcomes.mean(), outcomes, outcomes, GROUPS)
        lucky[offered] = judged.metrics["rlguard/lucky_share"]
    assert lucky[True] > 0.6
    assert lucky[False] < 0.35 < lucky[True]


# --- modes ----------------------------------------------------------------------------------------------------------


def seasoned(config=None, seed=0):
    """A guard that has seen six batches of pure guessing, and the next batch."""
    rng, guard = np.random.default_rng(seed), Guard(config)
    for step in range(6):
        evidence, outcomes = guess_batch(rng, step)
        guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    return guard, *guess_batch(rng, 99)


def test_settings_from_a_trainers_own_configuration():
    assert GuardConfig.from_options(None) == GuardConfig.from_options({}) == GuardConfig()
    assert GuardConfig.from_options({"mode": "observe", "decay": 0.5}) == GuardConfig(mode="observe", decay=0.5)
    with pytest.raises(ValueError, match=r"expected mode, outcome_reward, .*, got 'treshold'"):
        GuardConfig.from_options({"treshold": 1})
    with pytest.raises(ValueError, match=r"GuardConfig\.decay: expected a number in"):
        GuardConfig.from_options({"decay": 1.5})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("detectors", "false", "true or false"),  # text counts as true
        ("mask_silent", 1, "true or false"),
        ("decay", "0.8", "a number"),
        ("success_threshold", math.nan, "a number"),  # which no reward is above
        ("success_reward", "1", "a number, or None"),
        ("max_prompts", 1e5, "a whole number"),
        ("workers", True, "a whole number, or None"),
        ("answer_column", None, "text"),
        ("outcome_reward", 1.5, "text, or a whole number"),
        ("luck", {"healthy": 0.4}, "LuckSettings"),
    ],
)
def test_a_setting_of_another_type_is_refused_by_name(name, value, expected):
    with pytest.raises(ValueError, match=rf"GuardConfig\.{name}: expected {expected}, got"):
        GuardConfig(**{name: value})


def test_numbers_of_any_library_are_settings():
    assert GuardConfig(decay=np.float32(0.5), max_prompts=np.int64(7), min_weight=1, success_reward=math.inf)
    assert GuardConfig.from_options({"luck": {"keep": 0.9}}).luck.keep == 0.9
    for options, said in (
        ({"luck": {"keep": "0.9"}}, r"LuckSettings\.keep: expected a number, got '0\.9'"),
        ({"luck": {"kep": 0.9}}, r"luck has no kep, expected healthy, .*keep"),
        ("mode=observe", "expected names with values, got 'mode=observe'"),
    ):
        with pytest.raises(ValueError, match=said):
            GuardConfig.from_options(options)
    with pytest.raises(ValueError, match=r"expected a GuardConfig, got .*: GuardConfig\.from_options makes one"):
        Guard({"mode": "observe"})


def test_what_was_removed_is_refused_by_name():
    with pytest.raises(ValueError, match=r"mode: 'drop' was removed; use 'rewrite', .* or 'observe'"):
        GuardConfig(mode="drop")
    with pytest.raises(ValueError, match="got 'strength'"):
        GuardConfig.from_options({"strength": 0.5})


# --- texts in -------------------------------------------------------------------------------------------------------


def texts(rows=16):
    prompts = [f"{group}+8+5 mod 10=?" for group in range(rows // 4) for _ in range(4)]
    completions = [["answer 0", "7+8=5;5+5=0;answer 0", "answer 3", "answer 4"][row % 4] for row in range(rows)]
    return prompts, completions, [{"answer": "0"}] * rows


def test_apply_reads_texts_outcomes_and_groups_by_itself():
    prompts, completions, rows = texts()
    rewards = [1.0, 1.0, 0.0, None] * 4
    order = np.random.default_rng(0).permutation(16)  # groups are found wherever their rollouts stand
    advantages = np.tile([0.5, 0.5, -1.0, 0.0], 4)
    judged = Guard().apply(
        advantages[order],
        [rewards[i] for i in order],
        prompts_B=[prompts[i] for i in order],
        completions_B=[completions[i] for i in order],
        rows_B=[rows[i] for i in order],
    )
    evidence = [read_evidence(*row) for row in zip(prompts, completions, rows, strict=True)]
    outcomes = np.array([1, 1, 0, math.nan] * 4)
    expected = Guard().judge(evidence, advantages, rewards, outcomes, np.arange(16) // 4)
    np.testing.assert_allclose(judged.advantages_B, expected.advantages_B[order], atol=1e-12)
    assert [judged.kinds_B[i] for i in np.argsort(order)][:4] == expected.kinds_B[:4]
    assert "skipped_computation" in expected.kinds_B[0]
    assert judged.metrics["rlguard/faults"] == 0


def test_apply_without_rows_and_texts_goes_by_pass_rates_alone():
    guard = Guard()
    for _ in range(6):
        judged = guard.apply([0.5, -0.5] * 4, [1, 0] * 4, prompts_B=["a"] * 8, completions_B=[None] * 8)
    assert judged.metrics["rlguard/faults"] == 0
    assert judged.weights_B[0] > 0.9  # half of them pass, and guesses hardly ever do
    assert judged.metrics["rlguard/chance_rate"] < 0.2


def test_state_is_saved_whole_and_a_missing_file_is_said(tmp_path, caplog):
    guard, *_ = seasoned()
    guard.save(tmp_path / "new" / "state.json")
    twin = Guard()
    twin.load(tmp_path / "new" / "state.json")
    assert twin.state_dict() == guard.state_dict()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state.json"]
    twin.load(tmp_path / "nowhere.json")
    assert "resumes knowing nothing" in caplog.text


def test_a_state_file_is_read_if_it_is_there_and_written_after_each_batch(tmp_path):
    path = tmp_path / "state.json"
    first, (_, evidence, outcomes) = Guard(state_file=path), seasoned()
    first.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert Guard(state_file=path).state_dict() == first.state_dict() == json.loads(path.read_text())
    assert Guard(state_file=path, resume=False).state_dict() == Guard().state_dict()


def test_a_slow_disk_is_written_to_rarely_and_a_full_one_is_said(tmp_path, monkeypatch, caplog):
    guard, (_, evidence, outcomes) = Guard(state_file=tmp_path / "state.json"), seasoned()
    now, written = [100.0], []
    monkeypatch.setattr("rlguard.guard.guard.time.monotonic", lambda: now[0])

    def write(*_):
        written.append(now[0])
        now[0] += 1.0  # a write takes a second
        if len(written) > 3:
            raise OSError("no space left")

    monkeypatch.setattr("rlguard.guard.guard.replace_file", write)
    for _ in range(100):
        assert guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS).metrics["rlguard/faults"] == 0
        now[0] += 1.0
    assert written == [100.0, 121.0, 142.0, 163.0, 184.0]
    assert caplog.text.count("no space left") == 1


def test_states_of_earlier_versions_are_refused_by_name_and_damaged_ones_named_and_left(tmp_path, caplog):
    guard, *_ = seasoned()
    state = guard.state_dict()
    old = {
        "tracker": {"seen": {"a": [1, 8, 0.1, 0.2]}},
        "chance": {"totals": {}, "golds": {}, "misses": {}, "unit": 1.0},
    }
    for earlier in (old, state | {"version": 2}):
        with pytest.raises(ValueError, match=r"rlguard 0\.1 or an earlier 0\.2.* start without it"):
            guard.load_state_dict(earlier)
    half, torn = b'{"luck": {}, "size": []}', b'{"luck": {"seen": {"a": [1'
    for content in (b"", b"[]", b"{}", b"\xff\xfe", b"not JSON", torn, half, json.dumps(old).encode()):
        (tmp_path / "state.json").write_bytes(content)
        caplog.clear()
        resumed = Guard(state_file=tmp_path / "state.json")
        assert "state.json: " in caplog.text
        assert "resumes knowing nothing" in caplog.text
        assert resumed.state_dict() == Guard().state_dict()
        with pytest.raises(ValueError, match=r"expected what Guard\.state_dict gives"):
            guard.load_state_dict({"luck": state["luck"]})
        assert guard.state_dict() == state
    Guard().load(tmp_path)  # a folder


@pytest.mark.parametrize("odd", [10**400, 1e300, math.nan, math.inf, "4", None])
def test_a_number_in_a_state_that_no_count_is_does_not_make_every_later_batch_a_fault(tmp_path, odd):
    guard, evidence, outcomes = seasoned()
    whole = json.dumps(guard.state_dict())
    for place in (("size", 3), ("luck", "signs"), ("luck", "chance", "unit"), ("luck", "seen", "a")):
        state = json.loads(whole)
        inner = state
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = [[odd] * 2] * 2 if place[-1] == "signs" else [odd] * 5 if place[-1] == "a" else odd
        (tmp_path / "state.json").write_text(json.dumps(state))
        resumed = Guard(state_file=tmp_path / "state.json")
        assert resumed.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS).metrics["rlguard/faults"] == 0


def test_what_could_not_be_judged_does_not_make_a_step_look_meant():
    sizes = []
    for pushed in (0.0, 50.0):
        guard, evidence, outcomes = seasoned()
        advantages = host(outcomes)
        outcomes[GROUPS == 0], advantages[GROUPS == 0] = np.nan, pushed
        sizes.append(guard.judge(evidence, advantages, np.nan_to_num(outcomes), outcomes, GROUPS).metrics)
    assert sizes[0]["rlguard/step_scale"] == sizes[1]["rlguard/step_scale"] < 0.5


@pytest.mark.parametrize(("name", "counts"), [("bare", [1.0]), ("bare", [1.0] * 5), ("pairs", []), ("pairs", {"a": 1})])
def test_a_state_with_too_few_or_many_counts_is_refused(name, counts):
    guard, *_ = seasoned()
    state = guard.state_dict()
    damaged = json.loads(json.dumps(state))
    damaged["luck"]["chance"][name]["integer"] = counts
    with pytest.raises(ValueError, match=r"expected what Guard\.state_dict gives"):
        guard.load_state_dict(damaged)
    assert guard.state_dict() == state


def test_a_state_that_cannot_be_written_is_said_and_training_goes_on(tmp_path, caplog):
    (tmp_path / "file").touch()
    guard, evidence, outcomes = seasoned()
    for _ in range(2):
        guard.save(tmp_path / "file" / "state.json")
        assert guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS).metrics["rlguard/faults"] == 0
    assert caplog.text.count("state could not be written") == 1


def test_a_run_resumes_from_another_file_than_it_writes(tmp_path):
    guard, *_ = seasoned()
    guard.save(tmp_path / "old.json")
    assert Guard(state_file=tmp_path / "new.json", resume=tmp_path / "old.json").state_dict() == guard.state_dict()
    assert not (tmp_path / "new.json").exists()


# --- training that must not die -------------------------------------------------------------------------------------


def plain(rows, outcomes=None):
    return [Evidence(str(row // 4)) for row in range(rows)]


def test_a_detector_that_raises_is_logged_once_and_counted(monkeypatch, caplog):
    def fail(*_):
        raise RecursionError("too deep")

    monkeypatch.setattr("rlguard.guard.reading.judge_completion", fail)
    prompts, completions, rows = texts()
    completions = [f"{text} " for text in completions]  # not among those read before
    guard = Guard()
    for _ in range(2):
        judged = guard.apply(
            np.tile([0.5, 0.5, -0.5, -0.5], 4),
            [1, 1, 0, 0] * 4,
            prompts_B=prompts,
            completions_B=completions,
            rows_B=rows,
        )
        assert judged.metrics["rlguard/faults"] == 16
        assert (judged.advantages_B == np.tile([0.5, 0.5, -0.5, -0.5], 4)).all()
    assert caplog.text.count("a completion could not be read") == 1
    assert "RecursionError: too deep" in caplog.text


def test_a_fault_of_the_guard_gives_the_hosts_advantages_back(monkeypatch, caplog):
    guard = Guard()
    monkeypatch.setattr(guard.luck, "observe", lambda *_: 1 / 0)
    advantages = np.array([1.5, -0.5, -0.5, -0.5])
    for _ in range(2):
        judged = guard.judge(plain(4), advantages, [1, 0, 0, 0], [1, 0, 0, 0], [0] * 4)
        assert judged.advantages_B is advantages
        assert judged.metrics == {"rlguard/faults": 4.0}
        assert judged.step_scale == 1.0
        assert (judged.weights_B == 1).all()
    assert caplog.text.count("the guard failed") == 1
    assert "ZeroDivisionError" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"completions_B": ["x"] * 3}, r"completions_B has shape \(3,\), expected \(4,\)"),
        ({"rewards_B": np.zeros((4, 7))}, r"rewards_B has shape \(4, 7\), expected \(4,\)"),
        ({"advantages_B": np.zeros((4, 7))}, r"advantages_B has shape \(4, 7\), expected \(4,\)"),
        ({"rows_B": [{}]}, r"rows_B has shape \(1,\)"),
        ({"rows_B": {"answer": ["4"] * 4}}, "rows_B: expected one entry for each of the advantages, got {'answer'"),
        ({"prompts_B": "6-2?"}, "prompts_B: expected one entry for each of the advantages, got '6-2"),
        ({"speaker_B": [0, 1, 2, 4]}, "speaker_B: expected rows below 4, got 4"),
        ({"scale_B": [1.0]}, r"scale_B has shape \(1,\)"),
        ({"group_ids_B": [0]}, r"group_ids_B has shape \(1,\)"),
        ({"outcomes_B": [0.5, 0, 0, 0]}, "outcomes_B: row 0 is 0.5, expected 1, 0 or NaN"),
        ({"outcomes_B": np.zeros((4, 1))}, r"outcomes_B has shape \(4, 1\)"),
        ({"advantages_B": [[1.5], [-0.5], [-0.5], [-0.5]]}, r"advantages_B has shape \(4, 1\), expected \(4,\)"),
    ],
)
def test_input_of_the_wrong_shape_is_named_and_ends_training_only_on_request(changes, message, caplog):
    given = {
        "advantages_B": [1.5, -0.5, -0.5, -0.5], "rewards_B": [1, 0, 0, 0],
        "prompts_B": ["a"] * 4, "completions_B": ["x"] * 4,
    } | changes  # fmt: skip
    assert Guard().apply(**given).advantages_B is given["advantages_B"]
    assert re.search(message, caplog.text)
    with pytest.raises(ValueError, match=message):
        Guard(GuardConfig(on_fault="raise")).apply(**given)


@pytest.mark.parametrize("odd", [[5, 6], 7, b"x", {"role": "assistant", "content": "4"}])
@pytest.mark.parametrize("column", ["prompts_B", "completions_B"])
def test_a_text_that_is_none_is_a_fault_of_its_row_alone(column, odd, caplog):
    known = {"prompts_B": ["a"] * 4, "completions_B": ["x"] * 4}
    known[column] = ["b", odd, "b", "b"]
    judged = Guard().apply([1.5, -0.5, -0.5, -0.5], [1, 0, 0, 0], group_ids_B=[0] * 4, **known)
    assert judged.metrics["rlguard/faults"] == 1
    assert (
        "could not be read and is left to the trainer as it is: row 1: TypeError: expected text or chat" in caplog.text
    )


def test_a_first_integration_may_ask_for_errors(monkeypatch):
    strict = Guard(GuardConfig(on_fault="raise"))
    known = {"prompts_B": ["a", "a"], "completions_B": ["x", "y"]}
    with pytest.raises(RuntimeError, match="could not be read: row 0: ValueError"):
        strict.apply([1.0, -1.0], [1, 0], rows_B=[{"rlguard_trials": "many"}] * 2, **known)
    monkeypatch.setattr(strict.luck, "observe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        strict.apply([1.0, -1.0], [1, 0], **known)
    with pytest.raises(ValueError, match="on_fault: expected warn or raise"):
        GuardConfig(on_fault="die")


def test_what_fails_while_reading_is_a_fault_of_its_rollouts(monkeypatch):
    guard = Guard()
    monkeypatch.setattr(guard.reader, "begin", lambda *_: lambda: 1 / 0)
    late = guard.begin(["a", "b"], ["x", "y"], [{}, {}])()
    monkeypatch.setattr(guard.reader, "begin", lambda *_: 1 / 0)
    early = guard.begin(["a", "b"], ["x", "y"], [{}, {}])()
    assert {item.fault for item in late + early} == {"ZeroDivisionError: division by zero"}
    assert len(late) == len(early) == 2


def test_a_detector_that_ends_the_process_does_not_end_training(monkeypatch):
    monkeypatch.setattr("rlguard.guard.reading.judge_completion", lambda *_: sys.exit(1))
    assert read_evidence("a", "its text is new", {}).fault == "SystemExit: 1"
    guard = Guard()
    monkeypatch.setattr(guard.luck, "observe", lambda *_: sys.exit(1))
    advantages = [1.0, -1.0]
    assert guard.apply(advantages, [1, 0], prompts_B=["a"] * 2, completions_B=["x"] * 2).advantages_B is advantages


@pytest.mark.parametrize("bad", [math.inf, -1, 9, "nan"])
def test_a_row_with_impossible_counts_costs_that_row_only(bad):
    guard, twin = Guard(), Guard()
    for step in range(3):
        known = {
            "prompts_B": [f"{step}{row // 4}" for row in range(8)],
            "completions_B": [f"answer {row % 4}" for row in range(8)],
        }
        counts = [{"rlguard_successes": bad, "rlguard_trials": 8}] * 4 + [{}] * 4
        for each, rows in ((guard, counts), (twin, [{}] * 8)):
            judged = each.apply([1.0, -1, -1, 1] * 2, [1, 0, 0, 1] * 2, rows_B=rows, **known)
            assert judged.metrics["rlguard/faults"] == 0
    assert guard.state_dict() == twin.state_dict()
    poisoned = guard.state_dict()
    poisoned["luck"]["seen"]["bad"] = [math.inf, 8.0, 0.1, 0.0, 1.0]
    twin.load_state_dict(json.loads(json.dumps(poisoned)))
    assert "bad" not in twin.luck.state_dict()["seen"]


# --- mistakes that are said ---


@pytest.mark.parametrize(
    ("row", "column", "near"),
    [
        ({"solution": "7"}, "answer", "solution"),
        ({"reward_model": {"ground_truth": "7", "style": "rule"}}, "answer", "reward_model.ground_truth"),
        ({"answer": "7"}, "anwser", "answer"),
        ({"answer": "7"}, "answer", None),
        ({"reward_model": {"ground_truth": "7"}}, "reward_model.ground_truth", None),
        ({"reward_model": {"ground_truth": "7"}}, "reward_model", None),
        ({"level": 3}, "answer", None),
    ],
)
def test_a_gold_answer_in_another_column_is_named_once(row, column, near, caplog):
    guard = Guard(GuardConfig(answer_column=column))
    for _ in range(2):
        guard.apply([1.0, -1.0], [1, 0], prompts_B=["a"] * 2, completions_B=["x"] * 2, rows_B=[row] * 2)
    assert caplog.text.count(f"it has {near!r}: GuardConfig(answer_column={near!r})") == (near is not None)
    caplog.clear()
    Guard(GuardConfig(answer_column=column)).check_gold_column(list(row))  # names alone
    assert ("it has" in caplog.text) == (near is not None)


@pytest.mark.parametrize(("paid", "said"), [([0, -1], True), ([0.1, 0], True), ([0, 0], True), ([1, 0], False)])
def test_rewards_that_never_pass_the_threshold_are_said_by_name(paid, said, caplog):
    guard = Guard(GuardConfig(outcome_reward="format"))
    for step in range(25):
        guard.apply([0.5, -0.5], paid, prompts_B=[str(step)] * 2, completions_B=["x"] * 2)
    message = f"outcome_reward 'format' lies in [{min(paid):g}, {max(paid):g}]"
    assert caplog.text.count(message) == said
    assert caplog.text.count("no rollout of 10 batches counts as a success") == said


# --- what completions hold ---


def test_tools_and_environments_are_read_as_what_they_are():
    call = {"type": "function", "function": {"name": "calc", "arguments": {"expression": "731*24+7"}}}
    turns = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "calc", "content": "17551"},
        {"role": "user", "content": "Well? I say 5 + 5 = 11."},
        {"role": "assistant", "content": "The result is 17551."},
    ]
    prompt = [{"role": "user", "content": "What is 731 times 24 plus 7?"}]
    found = read_evidence(prompt, turns, {"answer": "17551"})
    assert (found.answer, found.kinds, found.fault) == ("17551", (), "")
    bare = read_evidence(prompt, turns[3:], {"answer": "17551"})
    assert bare.likelihood_ratio < found.likelihood_ratio
    assert bare.prompt_id == found.prompt_id


def make_pictures():
    pil = pytest.importorskip("PIL.Image")
    torch = pytest.importorskip("torch")
    black, red = (pil.new("RGB", (2, 2), colour) for colour in ("black", "red"))
    yield black, black.copy(), red
    yield b"black", b"black", b"red"
    yield {"bytes": b"black", "path": None}, {"bytes": b"black", "path": None}, {"bytes": b"red", "path": None}
    yield np.zeros((2, 2)), np.zeros((2, 2)), np.ones((2, 2))
    yield torch.zeros(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16), torch.ones(2)
    yield "black.png", "black.png", "red.png"


def test_a_prompt_with_a_picture_is_known_again_by_what_it_shows():
    for black, same, red in make_pictures():
        prompts = [
            [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "How many?"}]}]
            for picture in (black, same, red)
        ]
        guard = Guard(GuardConfig(on_fault="raise"))
        guard.apply([1.0, -1.0, 0.0], [1, 0, 0], prompts_B=prompts, completions_B=["answer 3"] * 3)
        assert len(guard.luck) == 2, type(black)


def test_a_prompt_that_nothing_is_known_of_is_no_fault():
    prompts = [[{"role": "user", "content": 5}], [{"role": "user", "content": [lambda: 1]}], [{"role": "user"}]]
    guard = Guard(GuardConfig(on_fault="raise"))
    completions = [[{"role": "assistant", "content": 5}], [{"role": "assistant", "content": None}], []]
    guard.apply([1.0, -1.0, 0.0], [1, 0, 0], prompts_B=prompts, completions_B=completions)
    assert len(guard.luck) == 3


def test_a_verifier_that_judges_nothing(caplog):
    guard, advantages = Guard(), np.array([1.5, -0.5, -0.5, -0.5] * 2)
    for _ in range(2):
        judged = guard.judge(plain(8), advantages, [None] * 8, np.full(8, np.nan), np.arange(8) // 4)
        assert (judged.advantages_B == advantages).all()  # paid for something else: the host's own
    assert judged.metrics["rlguard/unscored_share"] == 1.0
    assert caplog.text.count("no rollout of a batch could be judged") == 1


@pytest.mark.parametrize(
    ("outcomes", "groups"), [([1, 0, 1, 0], [0, 1, 2, 3]), ([1, 1, 1, 1], [0] * 4), ([0, 0, 0, 0], [0] * 4)]
)
def test_groups_of_one_and_equal_rewards_stay_the_hosts(outcomes, groups, caplog):
    advantages, guard = np.array(outcomes, float), Guard()  # verl gives a group of one its reward
    for _ in range(2):
        judged = guard.judge(plain(4), advantages, outcomes, outcomes, groups)
        assert (judged.advantages_B == advantages).all()
    assert judged.metrics["rlguard/flat_groups"] == 1.0
    assert caplog.text.count("no group of a batch has both right and wrong rollouts") == 1


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_infinite_rewards_are_counted_and_take_nobody_along(bad, caplog):
    rewards = np.array([1.0, 0, 0, bad, 1, 0, 0, 0])
    grouped = rewards.reshape(2, 4)
    with np.errstate(invalid="ignore"):
        advantages = ((grouped - grouped.mean(1, keepdims=True)) / (grouped.std(1, keepdims=True) + 1e-4)).ravel()
    assert np.isnan(advantages[:4]).any()  # what it does to a trainer
    guard = Guard()
    for _ in range(2):
        judged = guard.judge(plain(8), advantages, rewards, guard.read_outcomes(rewards), np.arange(8) // 4)
    assert judged.metrics["rlguard/faults"] == 1
    assert np.isfinite(judged.advantages_B).all()
    assert judged.advantages_B[4] > 0.5
    assert caplog.text.count("a reward is infinite") == 1


def test_tensors_come_back_as_tensors():
    torch = pytest.importorskip("torch")
    guard, evidence, outcomes = seasoned()
    twin = Guard()
    twin.load_state_dict(guard.state_dict())
    advantages = torch.tensor(host(outcomes), dtype=torch.float32)
    rewards, groups = torch.tensor(outcomes), torch.tensor(GROUPS)
    found = guard.judge(evidence, advantages, rewards, rewards, groups)
    expected = twin.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert found.metrics["rlguard/faults"] == 0
    assert found.advantages_B.dtype == torch.float32
    np.testing.assert_allclose(found.advantages_B.numpy(), expected.advantages_B, atol=1e-6)


def test_the_slow_reference_divides_the_advantages_and_multiplies_the_rate():
    """Where the learning rate cannot carry it, the advantages keep their own size and nothing lucky is left in them."""
    judged = {}
    for scales_steps in (True, False):
        guard, evidence, outcomes = seasoned()
        guard.scales_steps, guard.min_weight = scales_steps, 0.0
        judged[scales_steps] = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    scaled, unscaled = judged[True], judged[False]
    reference = scaled.step_scale / scaled.metrics["rlguard/size"]
    np.testing.assert_allclose(scaled.advantages_B * reference, unscaled.advantages_B, rtol=1e-9)
    assert unscaled.step_scale == 1
    guard, evidence, outcomes = seasoned(GuardConfig(scale_steps=False))
    cut = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    assert (cut.weights_B[outcomes > 0] == 0).mean() > 0.8


def test_genuine_is_the_probability_and_weight_what_acts():
    guard, evidence, outcomes = seasoned()
    judged = guard.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    success = outcomes > 0
    assert np.isnan(judged.genuine_B[~success]).all()
    assert (judged.weights_B[~success] == 1).all()
    genuine = judged.genuine_B[success]
    assert (genuine > 0).all()
    order = np.argsort(genuine)
    assert (np.diff(judged.weights_B[success][order]) >= 0).all()
    assert judged.metrics["rlguard/lucky_share"] == pytest.approx(1 - genuine.mean())


# --- rollouts of several rows ---


@pytest.mark.parametrize("mode", ["rewrite", "observe"])
def test_a_rollout_of_several_rows_is_judged_once_by_its_speaker(mode):
    guard, evidence, outcomes = seasoned(GuardConfig(mode=mode))
    twin, *_ = seasoned(GuardConfig(mode=mode))
    outcomes[[0, 1]] = 1, 0
    evidence[0] = Evidence("99-0", gold="3", answer="3", likelihood_ratio=50.0)
    alone = twin.judge(evidence, host(outcomes), outcomes, outcomes, GROUPS)
    rows = np.array([0, 0, *range(1, 128), 5])  # the first rollout has two rows, the last row is padding
    advantages = np.where(np.arange(130) == 129, 7.0, host(outcomes)[rows])
    judged = guard.judge(
        [evidence[row] for row in rows], advantages, outcomes[rows], outcomes[rows].tolist(), GROUPS[rows],
        speaker_B=[1, *range(1, 129), -1],
    )  # fmt: skip
    np.testing.assert_array_equal(judged.advantages_B[:-1], alone.advantages_B[rows[:-1]])
    assert judged.advantages_B[-1] == 7.0
    np.testing.assert_array_equal(judged.weights_B, [*alone.weights_B[rows[:-1]], 1.0])
    np.testing.assert_array_equal(judged.genuine_B, [*alone.genuine_B[rows[:-1]], np.nan])
    assert judged.metrics == alone.metrics
    assert guard.state_dict() == twin.state_dict()
    assert (judged.advantages_B is advantages) == (mode == "observe")


def test_a_batch_with_nothing_to_judge_is_the_hosts():
    guard = Guard()
    advantages = np.array([1.0, -1.0])
    judged = guard.judge(plain(2), advantages, [1, 0], [1, 0], [0, 0], speaker_B=[-1, -1])
    assert judged.advantages_B.tolist() == [1.0, -1.0]
    assert (judged.metrics, judged.step_scale) == ({}, 1.0)
    assert guard.apply([], [], prompts_B=[], completions_B=[]).metrics == {}


@pytest.mark.parametrize(
    ("config", "scales_steps", "least"),
    [
        (GuardConfig(), True, 0.0),
        (GuardConfig(), False, 0.5),  # nothing but the weights can hold a step back
        (GuardConfig(scale_steps=False), True, 0.5),
        (GuardConfig(min_weight=0.1), False, 0.1),
        (GuardConfig(min_weight=0.0), True, 0.0),
    ],
)
def test_the_smallest_weight_depends_on_what_carries_the_discount(config, scales_steps, least):
    assert Guard(config, scales_steps=scales_steps).min_weight == least
