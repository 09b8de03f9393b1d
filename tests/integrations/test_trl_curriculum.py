"""The curriculum in TRL's own trainer, on the tiny model."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import socket

import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import TINY  # noqa: E402
from tiny_reasoner.tasks import make_problem  # noqa: E402
from tiny_reasoner.training import grpo_config  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from trl import GRPOTrainer  # noqa: E402

from rlguard.curriculum.levels import Level, LevelCurriculum  # noqa: E402
from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402
from rlguard.integrations.trl_curriculum import LEVEL, STATE, TrainingCurriculum  # noqa: E402
from rlguard.types import InputError  # noqa: E402

LEVELS = [Level("sums", terms) for terms in (2, 3, 4, 5)]


def make_row(level, number):
    return make_problem("add", random.Random(f"{level.config} {number}"), lengths=(level.config,))


def make_course(prompts=64, **options):
    return TrainingCurriculum(LevelCurriculum(LEVELS, decay=0.5), make_row, prompts, **options)


def solved_up_to(hardest):
    """A reward that pays for every rollout of the levels up to one, and for none of the others."""

    def correctness(completions, length, **_):
        return [float(terms <= hardest) for terms in length]

    return correctness


class Watched(GRPOTrainer):
    """Keeps the rows of every batch that was generated."""

    def _generate_and_score_completions(self, inputs):
        self.batches = [*getattr(self, "batches", []), [dict(row) for row in inputs]]
        return super()._generate_and_score_completions(inputs)


def build(course, folder, reward, trainer_class=Watched, rewards=None, callbacks=True, **config):
    settings = {"max_steps": 2, "per_device_train_batch_size": 16, "num_generations": 4, "max_completion_length": 8}
    return trainer_class(
        model=AutoModelForCausalLM.from_pretrained(TINY),
        args=grpo_config(str(folder), 1, **(settings | config)),
        processing_class=AutoTokenizer.from_pretrained(TINY),
        reward_funcs=rewards or course.reward(reward),
        train_dataset=course.dataset,
        callbacks=[course] if callbacks else [],
    )


def mean_levels(trainer):
    return [sum(row[LEVEL] for row in batch) / len(batch) for batch in trainer.batches]


def test_a_group_has_one_prompt_and_levels_rise_while_all_is_solved(tmp_path):
    course = make_course()
    trainer = build(course, tmp_path, solved_up_to(5), max_steps=6, logging_steps=1)
    trainer.train()
    assert len(trainer.batches) == 6
    prompts = set()
    for batch in trainer.batches:
        for start in range(0, 16, 4):
            assert len({row["prompt"] for row in batch[start : start + 4]}) == 1
            prompts.add(batch[start]["prompt"])
    assert len(prompts) > 16  # most of them different, none served for lack of another
    levels = mean_levels(trainer)
    assert sum(levels[-2:]) > sum(levels[:2]) + 1
    assert levels[-1] > 2
    logged = [row["rlguard/level"] for row in trainer.state.log_history if "loss" in row]
    assert logged == pytest.approx(levels)


def test_levels_fall_where_nothing_is_solved(tmp_path):
    trainer = build(make_course(), tmp_path, solved_up_to(0), max_steps=6)
    trainer.train()
    assert mean_levels(trainer)[-1] == 0


def test_reused_batches_keep_their_rows_and_count_once(tmp_path):
    course = make_course()
    settings = {"max_steps": 4, "num_iterations": 2, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 8}
    trainer = build(course, tmp_path, solved_up_to(3), steps_per_generation=2, **settings)
    trainer.train()
    assert len(trainer.batches) == 2
    assert all(len(batch) == 16 for batch in trainer.batches)
    rollouts = course.curriculum.state_dict()["trials"]
    assert sum(rollouts) == pytest.approx(16 + 16 * 0.5)


def test_a_second_epoch_brings_other_prompts(tmp_path):
    trainer = build(make_course(prompts=8), tmp_path, solved_up_to(3), max_steps=4)
    trainer.train()
    first, second = (
        {row["prompt"] for batch in half for row in batch} for half in (trainer.batches[:2], trainer.batches[2:])
    )
    assert len(first | second) > len(first)


def test_a_resumed_run_goes_on_as_the_whole_one(tmp_path):
    whole, course = make_course(), make_course()
    straight = build(whole, tmp_path / "whole", solved_up_to(3), max_steps=4)
    straight.train()
    build(make_course(), tmp_path / "half", solved_up_to(3), save_strategy="steps", save_steps=2, max_steps=4).train()
    moved = (tmp_path / "half" / "checkpoint-2").rename(tmp_path / "elsewhere")
    saved = json.loads((moved / "trainer_state.json").read_text())["stateful_callbacks"][STATE]["attributes"]
    assert sum(saved["curriculum"]["trials"]) == pytest.approx(16 + 16 * 0.5)
    assert len(saved["levels"]) == 12  # those of three batches: the loader reads one ahead
    resumed = build(course, tmp_path / "other", solved_up_to(3), max_steps=4)
    resumed.train(resume_from_checkpoint=str(moved))
    assert [[row["prompt"] for row in batch] for batch in resumed.batches] == [
        [row["prompt"] for row in batch] for batch in straight.batches[2:]
    ]
    assert course.curriculum.state_dict() == whole.curriculum.state_dict()


def test_a_checkpoint_without_a_curriculum_is_said_to_be_one(tmp_path, caplog):
    trainer = build(make_course(), tmp_path, solved_up_to(3), save_strategy="steps", save_steps=1, max_steps=1)
    trainer.train()
    path = tmp_path / "checkpoint-1" / "trainer_state.json"
    state = json.loads(path.read_text())
    del state["stateful_callbacks"][STATE]
    path.write_text(json.dumps(state))
    build(make_course(), tmp_path, solved_up_to(3)).train(resume_from_checkpoint=str(path.parent))
    assert "holds no curriculum" in caplog.text


def test_it_goes_with_the_guard_which_gets_answers_and_chance_rates(tmp_path):
    seen = []

    class Guarded(GuardedGRPOTrainer):
        def _calculate_rewards(self, inputs, *rest):
            seen.extend(inputs)
            return super()._calculate_rewards(inputs, *rest)

    levels = [Level("sums", 2, 0.1), Level("sums", 3, 0.1)]
    course = TrainingCurriculum(LevelCurriculum(levels), make_row, 64)
    trainer = build(course, tmp_path, solved_up_to(2), Guarded, logging_steps=1)
    trainer.train()
    assert {row["rlguard_chance_rate"] for row in seen} == {0.1}
    assert all(row["answer"].isdigit() for row in seen)
    assert all("rlguard/level" in row and "rlguard/lucky_share" in row for row in trainer.state.log_history[:-1])
    assert trainer.reward_func_names == ["correctness"]


def test_rows_without_a_level_and_rewards_that_are_missing_are_no_outcomes():
    course = make_course()
    said = iter([[1.0, 0.0], [None, math.nan, 1.0, 0.4]])
    reward = course.reward(lambda **_: next(said))
    assert reward(completions=["", ""]) == [1.0, 0.0]
    reward(completions=[""] * 4, rlguard_level=[0, 0, 1, 1])
    assert [level for level, _ in course._seen] == [0, 0, 1, 1]
    assert [outcome for _, outcome in course._seen if not math.isnan(outcome)] == [1.0, 0.0]


def test_an_async_reward_reports_too(tmp_path):
    async def correctness(completions, **_):
        return [1.0] * len(completions)

    course = make_course()
    build(course, tmp_path, correctness, max_steps=1).train()
    assert course.curriculum.state_dict()["successes"] == course.curriculum.state_dict()["trials"]
    assert sum(course.curriculum.state_dict()["trials"]) == 16


def test_copies_of_the_data_set_share_the_curriculum():
    course = make_course()
    copies = copy.deepcopy(course.dataset), course.dataset.select(range(8))
    read = [copied[place]["prompt"] for copied in copies for place in range(8)]
    course.curriculum.update([0] * 64, [1.0] * 64)
    assert read == [course.dataset[place]["prompt"] for _ in copies for place in range(8)]
    assert len(course._levels) == 8


def test_rows_of_several_tasks_share_their_columns():
    levels = [Level("a"), Level("b")]
    course = TrainingCurriculum(
        LevelCurriculum(levels), lambda level, number: {"prompt": f"{level.task}{number}", level.task: number}, 64
    )
    rows = course.dataset.__getitems__(list(range(64)))
    assert {row["prompt"][0] for row in rows} == {"a", "b"}
    assert all(set(row) == {"prompt", "a", "b", LEVEL} for row in rows)
    assert all((row["a"] is None) != (row["b"] is None) for row in rows)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rewards": solved_up_to(3)}, "wrap the reward function"),
        ({"callbacks": False}, r"callbacks=\[course\]"),
        ({"dataloader_num_workers": 1}, "dataloader_num_workers: expected 0"),
    ],
)
def test_a_run_that_is_wired_wrongly_is_refused(tmp_path, wrong, message):
    trainer = build(make_course(), tmp_path, solved_up_to(3), max_steps=1, **wrong)
    with pytest.raises((RuntimeError, ValueError), match=message):
        trainer.train()


def test_input_that_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="prompts: expected at least 1, got 0"):
        make_course(prompts=0)
    for model in ("some/reward-model", torch.nn.Linear(1, 1)):
        with pytest.raises(InputError, match="reward: expected the reward function"):
            make_course().reward(model)
    course = TrainingCurriculum(LevelCurriculum(LEVELS), lambda level, number: {"question": "?"}, 4)
    with pytest.raises(InputError, match=r"row 2 at level \d: expected a prompt, got the columns question"):
        course.dataset[2]


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    course = make_course()
    # Ranks see different outcomes, and the second of a batch's three groups is cut in two.
    settings = {"max_steps": 3, "per_device_train_batch_size": 6, "save_strategy": "steps", "save_steps": 3}
    trainer = build(course, folder, lambda completions, **_: [float(rank)] * len(completions), **settings)
    trainer.train()
    found = {"batches": trainer.batches, "state": course.curriculum.state_dict(), "levels": course._levels}
    torch.save(found, f"{folder}/{rank}.pt")


def test_two_ranks_serve_the_same_rows_though_their_outcomes_differ(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert first["state"] == second["state"]
    assert first["levels"] == second["levels"]
    for one, other in zip(first["batches"], second["batches"], strict=True):
        whole = [row["prompt"] for row in one + other]
        assert all(len(set(whole[start : start + 4])) == 1 for start in range(0, 12, 4))
    successes, trials = (sum(first["state"][name]) for name in ("successes", "trials"))
    assert successes == pytest.approx(trials / 2)
    saved = json.loads((tmp_path / "checkpoint-3" / "trainer_state.json").read_text())
    assert len(saved["stateful_callbacks"][STATE]["attributes"]["levels"]) == len(first["levels"])


def test_the_recipe_runs(tmp_path):
    import train_curriculum

    trainer = train_curriculum.train(tmp_path, steps=2)
    logged = [row for row in trainer.state.log_history if "loss" in row]
    assert len(logged) == 2
    assert all("rlguard/level" in row and "rlguard/flagged_share" in row for row in logged)


@pytest.mark.parametrize("arm", ["curriculum", "linear"])
def test_a_run_of_the_benchmark_in_small(tmp_path, monkeypatch, arm):
    from benchmarks.curriculum import run as benchmark

    monkeypatch.setattr(benchmark, "build_base", lambda out: TINY)
    small = {"steps": 5, "evaluate_every": 5, "evaluate_on": 4, "evaluate_end": 8}
    row = benchmark.run(benchmark.Run("short", arm, 1000, **small), tmp_path)
    assert json.loads((tmp_path / "runs" / f"short-{arm}-1000.json").read_text()) == row
    assert [point["step"] for point in row["curve"]] == [0, 5]
    assert row["after"]["accuracy"][0] >= row["after"]["computed"][0] > 0.5  # the recipe's model knows two terms
    if arm == "linear":  # the loader reads a batch ahead
        assert row["levels"] == [0, 0, 1, 2, 3]


def test_the_tables_of_the_benchmark(tmp_path):
    from benchmarks.curriculum import sweep

    for arm, gain in (("curriculum", 0.2), ("uniform", 0.1)):
        for seed in (1, 2):
            start, end = ([value] * 5 for value in (0.1 * seed, 0.1 * seed + gain))
            curve = [{"step": 0, "accuracy": start}, {"step": 10, "accuracy": start}, {"step": 30, "accuracy": end}]
            row = {"ladder": "short", "arm": arm, "seed": seed, "curve": curve}
            path = tmp_path / "runs" / f"short-{arm}-{seed}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(row | {"after": {"accuracy": end, "computed": start}}))
    found = sweep.read_runs(tmp_path, [1, 2])
    lines = sweep.write_summary(found).splitlines()
    means, shares = (next(line for line in part if line.startswith("| uniform")) for part in (lines, reversed(lines)))
    assert means.split(" | ")[1:3] == ["2", "0.250 [-0.385, 0.885]"]
    assert means.split(" | ")[4] == "0.183 [-0.452, 0.819]"
    assert means.split(" | ")[5:7] == ["+0.100 [+0.100, +0.100]", "+0.000 [+0.000, +0.000]"]
    assert shares.split(" | ")[1:] == ["0.25"] * 4 + ["0.25 |"]
    sweep.draw_figure(found, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
