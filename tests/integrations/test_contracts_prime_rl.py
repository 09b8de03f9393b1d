"""The prime-rl adapter: checked against signatures by reading, prime-rl 0.8.0 at commit 559b447 (2026-08-22).

prime-rl is on no package index. So every test runs twice: *played*, on stand-ins with exactly the fields that the
adapter uses, which is what CI runs; and *real*, on prime-rl's own algorithms and verifiers' traces, where both can be
imported: put a clone into `$RLGUARD_CONTRACTS/prime_rl` and install `verifiers msgspec orjson wandb`. With a clone
there and no such packages, `READ` is compared with its source all the same.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from rlguard import GuardConfig

CONTRACTS = Path(os.environ.get("RLGUARD_CONTRACTS", Path(__file__).parents[2] / ".venv" / "contracts"))
SOURCE = CONTRACTS / "prime_rl"
PATHS = [str(SOURCE / "src"), str(SOURCE / "packages" / "prime-rl-configs" / "src")]
READ = {
    "algo/base.py": {
        "Algorithm.score_group": ["self", "episodes"],
        "Algorithm.finalize_group": ["self", "episodes"],
        "iter_trainable_traces": ["episodes"],
    },
    "algo/routing.py": {"assign_advantages": ["trace", "values"]},
    "algo/grpo.py": {"GRPOAlgorithm.score_group": ["self", "episodes"]},
    "algo/max_rl.py": {"MaxRLAlgorithm.score_group": ["self", "episodes"]},
    "algo/__init__.py": {"build_algorithm": ["config", "policy_pool"]},
    "curriculum/base.py": {
        "Curriculum.__init__": ["self", "config", "tasks"],
        "Curriculum.on_result": ["self", "group"],
    },
    "curriculum/samplers/base.py": {
        "TaskSampler.__next__": ["self"],
        "TaskSampler.observe": ["self", "group"],
        "TaskSampler.state_dict": ["self"],
        "TaskSampler.load_state_dict": ["self", "state_dict"],
        "TaskSampler.metrics": ["self"],
    },
}
"""Arguments of what the adapter wraps and calls, in `src/prime_rl/orchestrator`."""
PROMPT = "What is 3 + 4 + 5?"
GUESSED = ["The answer is 12."] + ["The answer is 9."] * 7
SOLVED = ["3 + 4 = 7, and 7 + 5 = 12.\nThe answer is 12."] * 6 + ["The answer is 9."] * 2


class Played:
    """Stand-ins for `prime_rl.orchestrator.algo` and verifiers' traces."""

    def modules(self):
        def iter_trainable_traces(episodes):
            for episode in episodes:
                yield from ((episode, trace) for trace in episode.traces if not trace.has_error)

        def assign_advantages(trace, values):
            for node in trace.nodes:
                if any(node.mask):
                    node.advantages = [float(values)] * sum(node.mask)

        class Algorithm:
            async def score_group(self, episodes):
                pass

        class GRPOAlgorithm(Algorithm):
            async def score_group(self, episodes):
                traces = [trace for _, trace in iter_trainable_traces(episodes)]
                mean = sum(trace.reward for trace in traces) / max(len(traces), 1)
                for trace in traces:
                    assign_advantages(trace, trace.reward - mean)

        names = ["prime_rl", "prime_rl.orchestrator", "prime_rl.orchestrator.algo"]
        modules = {name: ModuleType(name) for name in [*names, names[-1] + ".base", names[-1] + ".routing"]}
        vars(modules[names[-1] + ".base"]).update(Algorithm=Algorithm, iter_trainable_traces=iter_trainable_traces)
        vars(modules[names[-1] + ".routing"]).update(assign_advantages=assign_advantages)
        self.classes = dict.fromkeys(("grpo", "max_rl", "echo"), GRPOAlgorithm)
        return modules

    def make(self, name):
        return self.classes[name]()

    def episode(self, text, rewards, prompt, answer, ok):
        task = SimpleNamespace(prompt=prompt, model_dump=lambda: {"prompt": prompt, "answer": answer})
        said = SimpleNamespace(content=text, reasoning_content=None)
        nodes = [
            SimpleNamespace(message=SimpleNamespace(content=prompt), sampled=False, mask=[False], advantages=None),
            SimpleNamespace(message=said, sampled=True, mask=[True] * 3, advantages=None),
        ]
        named = {name: SimpleNamespace(score=score, value=score) for name, score in rewards.items()}
        trace = SimpleNamespace(
            nodes=nodes,
            rewards=named,
            reward=sum(rewards.values()),
            metrics={},
            has_error=not ok,
            task=SimpleNamespace(data=task),
        )
        return SimpleNamespace(traces=[trace])


class Real:
    """prime-rl's own algorithms on verifiers' own traces."""

    def modules(self):
        algo = importlib.import_module("prime_rl.orchestrator.algo")
        self.classes = dict(algo.ALGORITHM_CLASSES)
        return {}

    def make(self, name):
        configs = importlib.import_module("prime_rl.configs.algorithm")
        config = {"grpo": "GRPOAlgoConfig", "max_rl": "MaxRLAlgoConfig", "echo": "EchoAlgoConfig"}[name]
        return self.classes[name](getattr(configs, config)(), None)

    def episode(self, text, rewards, prompt, answer, ok):
        vf = importlib.import_module("verifiers.v1")
        task_data = importlib.import_module("verifiers.v1.task").WireTaskData(idx=0, prompt=prompt, answer=answer)
        asked = vf.MessageNode(message=vf.UserMessage(content=prompt), token_ids=[1], mask=[False], logprobs=[0.0])
        said = vf.MessageNode(
            message=vf.AssistantMessage(content=text),
            token_ids=[2, 3, 4],
            mask=[True] * 3,
            logprobs=[-0.1] * 3,
            sampled=True,
            parent=0,
        )
        trace = vf.Trace(
            task=vf.TraceTask(type="Task", data=task_data),
            agent=vf.AgentInfo(config=vf.AgentConfig()),
            nodes=[asked, said],
            rewards={name: vf.Reward(score=score) for name, score in rewards.items()},
            ok=ok,
        )
        env = vf.EnvInfo(id="math", name="math")
        return vf.Episode(env=env, task=trace.task, group=vf.GroupInfo(id="group"), traces=[trace])


@pytest.fixture(params=[Played, Real], ids=["played", "real"])
def host(request, monkeypatch):
    host = request.param()
    if request.param is Real:
        monkeypatch.setattr(sys, "path", [*sys.path, *PATHS])
        try:
            host.modules()
        except ImportError as error:
            pytest.skip(f"prime-rl cannot be imported here, see the module's docstring: {error}")
    for name, module in host.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.prime_rl", raising=False)
    host.adapter = importlib.import_module("rlguard.integrations.prime_rl")
    monkeypatch.delitem(sys.modules, "rlguard.integrations.prime_rl")
    return host


def make_group(host, texts, rewards, prompt=PROMPT, broken=()):
    named = [reward if isinstance(reward, dict) else {"correct": reward} for reward in rewards]
    rows = enumerate(zip(texts, named, strict=True))
    return [host.episode(text, reward, prompt, "12", ok=row not in broken) for row, (text, reward) in rows]


def score(algorithm, group):
    """The advantages that the algorithm's hook leaves on a group's traces."""
    asyncio.run(algorithm.score_group(group))
    return [next((node.advantages[0] for node in e.traces[0].nodes if node.advantages), None) for e in group]


def run_epochs(host, algorithm, epochs=6):
    """The guesser's and the solver's group, again and again; the last epoch's advantages."""
    for _ in range(epochs):
        groups = [
            make_group(host, GUESSED, [1.0] + [0.0] * 7),
            make_group(host, SOLVED, [1.0] * 6 + [0.0] * 2, PROMPT + " Again."),
        ]
        advantages = [score(algorithm, group) for group in groups]
    return advantages, groups


def test_groups_get_the_guards_advantages_and_metrics(host):
    plain = run_epochs(host, host.make("grpo"))[0]
    guard = host.adapter.guard_algorithms(host.classes)
    (guessed, solved), groups = run_epochs(host, host.make("grpo"))
    assert plain[0][0] == pytest.approx(7 / 8)
    assert guessed == [0.0] * 8
    assert solved[0] == pytest.approx(plain[1][0], rel=0.1)
    assert solved[-1] < 0
    metrics = groups[0][0].traces[0].metrics
    assert metrics["rlguard_weight"] == 0.0
    assert metrics["rlguard_lucky_share"] > 0.5
    assert len(guard.luck) == 2
    assert type(host.make("echo")).__name__.startswith("Guarded")


def test_prompts_golds_and_texts_reach_the_guard(host, monkeypatch):
    guard, seen = host.adapter.guard_algorithms(host.classes), {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k) or apply(*a, **k))
    score(host.make("max_rl"), make_group(host, GUESSED, [1.0] + [0.0] * 7))
    assert seen["prompts_B"] == [PROMPT] * 8
    assert seen["completions_B"] == GUESSED
    assert {row["answer"] for row in seen["rows_B"]} == {"12"}
    assert set(seen["group_ids_B"]) == {0}


def test_a_silent_group_gets_advantages_of_exactly_0_which_prime_rl_prunes(host):
    host.adapter.guard_algorithms(host.classes, GuardConfig(mask_silent=True, success_reward=0.0))
    nearly = [{"correct": 0.0, "style": 1e-9 * row} for row in range(8)]
    assert score(host.make("grpo"), make_group(host, GUESSED, nearly)) == [0.0] * 8


def test_observe_changes_nothing(host):
    plain = run_epochs(host, host.make("grpo"))[0]
    host.adapter.guard_algorithms(host.classes, GuardConfig(mode="observe"))
    advantages, groups = run_epochs(host, host.make("grpo"))
    assert advantages == plain
    assert groups[0][0].traces[0].metrics["rlguard_lucky_share"] > 0.5


def test_the_outcome_is_the_named_reward_and_the_rest_is_paid_beside_it(host, monkeypatch):
    guard = host.adapter.guard_algorithms(host.classes, GuardConfig(outcome_reward="correct"))
    seen: dict = {}
    apply = guard.apply
    monkeypatch.setattr(guard, "apply", lambda *a, **k: seen.update(k, rewards_B=a[1]) or apply(*a, **k))
    rewards = [{"correct": 1.0, "style": 0.0}, {"correct": 0.0, "style": 0.9}, {"correct": 0.0, "style": 0.0}]
    score(host.make("grpo"), make_group(host, ["The answer is 12.", "9", "8"], rewards))
    assert seen["outcomes_B"].tolist() == seen["rewards_B"] == [1.0, 0.0, 0.0]
    assert seen["total_rewards_B"].tolist() == [1.0, 0.9, 0.0]


def test_ragged_groups_errored_traces_and_nan(host):
    guard = host.adapter.guard_algorithms(host.classes, GuardConfig(min_weight=0.0))
    advantages = score(host.make("grpo"), make_group(host, ["12", "9", "8"], [1.0, 0.0, 0.0], broken=[2]))
    assert advantages[2] is None
    assert advantages[0] > 0 > advantages[1]
    assert score(host.make("grpo"), make_group(host, ["12", "9", "8"], [1.0, np.nan, 0.0])) == [0.0] * 3
    assert score(host.make("grpo"), make_group(host, ["12"], [1.0], broken=[0])) == [None]
    assert len(guard.luck) == 1


def test_the_state_survives_a_restart(host, tmp_path, monkeypatch):
    monkeypatch.setattr("rlguard.guard.guard.SAVE_REST", 0)
    classes = dict(host.classes)
    guard = host.adapter.guard_algorithms(host.classes, state_file=tmp_path / "state")
    run_epochs(host, host.make("grpo"), 1)
    again = host.adapter.guard_algorithms(classes, state_file=tmp_path / "state")
    assert again.state_dict() == guard.state_dict()
    assert len(again.luck) == 2


def test_another_version_is_refused(host, monkeypatch):
    def assign_advantages(trace, values, tokens):
        """Another version's."""

    monkeypatch.setattr(host.adapter, "WRAPPED", {assign_advantages: "trace values"})
    with pytest.raises(
        RuntimeError,
        match=r"assign_advantages\(trace, values\), but here it is \(trace, values, tokens\). It knows prime-rl 0.8",
    ):
        host.adapter.guard_algorithms(host.classes)


def test_the_source_is_the_one_that_was_read():
    root = SOURCE / "src" / "prime_rl" / "orchestrator"
    if not root.is_dir():
        pytest.skip(f"no prime-rl in {SOURCE}: a clone of it goes there")
    for file, functions in READ.items():
        found = {}
        for node in ast.parse((root / file).read_text()).body:
            inside = node.body if isinstance(node, ast.ClassDef) else [node]
            prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            for item in inside:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[prefix + item.name] = [argument.arg for argument in item.args.args]
        assert {name: found.get(name) for name in functions} == functions, file
    registry = (root / "algo" / "__init__.py").read_text()
    assert all(f'"{name}": ' in registry for name in ("grpo", "max_rl", "echo"))
    assert "cls = ALGORITHM_CLASSES[config.type]" in registry
    assert "await env.algorithm.finalize_group(group)" in (root / "train_sink.py").read_text()


class PlayedSampler:
    """A `TaskSampler`, which is an iterator."""

    def __iter__(self):
        return self


class PlayedStandard(PlayedSampler):
    def __init__(self, tasks):
        self.tasks = tasks


@pytest.fixture
def chosen(monkeypatch):
    """The module that chooses tasks, a guard, and a `Curriculum` with what prime-rl's does with its sampler."""
    host = Played()
    modules = host.modules()
    name = "prime_rl.orchestrator.curriculum"
    modules |= {name: ModuleType(name), name + ".samplers": ModuleType(name + ".samplers")}
    vars(modules[name + ".samplers"]).update(TaskSampler=PlayedSampler, StandardSampler=PlayedStandard)
    for module_name, module in modules.items():
        monkeypatch.setitem(sys.modules, module_name, module)
    for own in ("prime_rl", "prime_rl_sampler"):
        monkeypatch.delitem(sys.modules, f"rlguard.integrations.{own}", raising=False)
    host.adapter = importlib.import_module("rlguard.integrations.prime_rl")
    sampler = importlib.import_module("rlguard.integrations.prime_rl_sampler")
    for own in ("prime_rl", "prime_rl_sampler"):
        monkeypatch.delitem(sys.modules, f"rlguard.integrations.{own}")
    monkeypatch.setitem(sys.modules, "rlguard.integrations.prime_rl", host.adapter)
    host.guard = host.adapter.guard_algorithms(host.classes)

    class Curriculum:
        def __init__(self, config, tasks):
            self.sampler = PlayedStandard(tasks) if config is None else config

        def on_result(self, group):
            self.sampler.observe(group)

    host.choose_tasks, host.curriculum = sampler.choose_tasks, Curriculum
    host.choose_tasks(Curriculum, host.guard, 4, 2)
    return host


def play_task(host, curriculum, right):
    """A task as prime-rl takes it, and its group as it is scored and handed back; the task's number."""
    number = next(curriculum.sampler).key
    texts = ["The answer is 12."] * right(number) + ["The answer is 9."] * (4 - right(number))
    group = make_group(host, texts, [float("12" in text) for text in texts], f"{PROMPT} {number}")
    for episode in group:
        episode.task = SimpleNamespace(key=number)
    score(host.make("grpo"), group)
    curriculum.on_result(group)
    return number


def test_tasks_are_chosen_by_what_they_are_expected_to_teach(chosen):
    curriculum = chosen.curriculum(None, [SimpleNamespace(key=number) for number in range(16)])
    seen = [play_task(chosen, curriculum, lambda number: 2 * (number % 2)) for _ in range(80)]
    assert set(seen) == set(range(16))
    assert sum(number % 2 for number in seen[40:]) > 28
    assert len(chosen.guard.luck) == 16
    assert curriculum.sampler.metrics()["signal_share"] in (0.0, 1.0)
    state = curriculum.sampler.state_dict()
    expected = [next(curriculum.sampler).key for _ in range(6)]
    twin = chosen.curriculum(None, curriculum.sampler.tasks)
    twin.sampler.load_state_dict(state)
    assert [next(twin.sampler).key for _ in range(6)] == expected


def test_a_sampler_that_was_configured_stays_and_an_endless_taskset_is_refused(chosen):
    own = PlayedSampler()
    assert chosen.curriculum(own, []).sampler is own
    with pytest.raises(ValueError, match="finite taskset"):
        chosen.curriculum(None, iter([]))


def test_without_prime_rl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "prime_rl", None)
    for name in [name for name in sys.modules if name.startswith("prime_rl.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "rlguard.integrations.prime_rl", raising=False)
    with pytest.raises(ImportError, match="needs prime-rl, which is installed from its repository"):
        importlib.import_module("rlguard.integrations.prime_rl")
