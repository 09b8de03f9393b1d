"""Probe trainings on the tiny model: real once, then scripted; resumed, and refused where they do not mix."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("quick_gc")
pytest.importorskip("trl")

from conftest import TINY  # noqa: E402
from tiny_reasoner.tasks import make_problems  # noqa: E402

from rlguard.order import probe as order_probe  # noqa: E402
from rlguard.order.probe import ProbeSettings, compare_ends, hold_out, make_reward, probe  # noqa: E402
from rlguard.order.transfer import write_json  # noqa: E402
from rlguard.rollouts.segments import read_rollouts  # noqa: E402
from rlguard.tables.read import read_problems  # noqa: E402
from rlguard.types import InputError, PassRate, make_prompt_id  # noqa: E402
from rlguard.verify.verifiers import Exact  # noqa: E402

DOMAINS = {kind: make_problems([kind], 16, 1) for kind in ("add", "mul")}
SMALL = ProbeSettings(steps=1, prompts=2, group_size=8, n=2, max_tokens=24, learning_rate=1e-3)


def split(count=4):
    return hold_out(DOMAINS, count)


@pytest.fixture
def scripted(monkeypatch):
    """Trainings and questions that take no time; what was done, in order."""
    done = []

    def train(model, problems, folder, settings, seed, verifier, on_step):
        done.append(f"train {problems[0].row['family']} {seed}")
        (folder / "model").mkdir()
        write_json({"entropy_change": -seed / 10}, folder / "model" / "entropy.json")
        on_step(settings.steps)

    def ask(rows, model, *, out, n, **_):
        done.append(f"ask {out.parent.name.split('-')[0]}")
        if len(done) == stop.get("at"):
            raise KeyboardInterrupt
        ids = [make_prompt_id(row["prompt"], row["answer"]) for row in rows]
        return [PassRate(name, i % n, n, 0, 1, "") for i, name in enumerate(ids)]

    stop = {}
    monkeypatch.setattr("rlguard.order.probe.train", train)
    monkeypatch.setattr("rlguard.order.probe.estimate_pass_rates", ask)
    return done, stop


def run(folder, training=None, held_out=None, model=str(TINY), verifier="exact", **changes):
    fresh = split()
    return probe(
        model, training or fresh[0], held_out or fresh[1], folder, dataclasses.replace(SMALL, **changes), verifier
    )


def test_a_real_probe_measures_every_domain_before_and_after_every_training(tmp_path):
    said = []
    fast = dataclasses.replace(SMALL, learning_rate=1e-2, prompts=4)
    found = probe(str(TINY), *split(), tmp_path, fast, "exact", lambda *state: said.append(state))
    assert found.domains == ("add", "mul")
    assert [len(before) for before in found.before] == [4, 4]
    assert found.trainings == 1
    assert 0.2 < found.before_D.mean() <= 1  # the model knows these
    assert set(np.concatenate([one.ravel() for one in found.after])) <= {0.0, 0.5, 1.0}
    assert np.isfinite(found.entropy_change_D).all()
    assert ("training on mul", 1, 1) in said
    assert ("add: asking", 8, 8) in said
    assert list(tmp_path.glob("*/*model*")) == []  # only kept until it is measured
    stores = [{r.completion for r in read_rollouts(store)} for store in sorted(tmp_path.glob("*/rollouts"))]
    assert len(stores) == 3
    assert len(set(map(frozenset, stores))) > 1  # other models answered than the untrained one


def test_a_finished_probe_is_read_and_not_run_again(tmp_path, scripted):
    done, _ = scripted
    found = run(tmp_path)
    assert done == ["ask before", "train add 0", "ask add", "train mul 0", "ask mul"]
    assert run(tmp_path).to_record() == found.to_record()
    assert len(done) == 5


def test_a_training_killed_before_it_was_measured_is_measured_and_not_run_again(tmp_path, scripted):
    done, stop = scripted
    stop["at"] = 3
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert len(list(tmp_path.glob("add-*/model"))) == 1
    found = run(tmp_path)
    assert done[3:] == ["ask add", "train mul 0", "ask mul"]
    assert list(tmp_path.glob("*/model")) == []
    assert [len(before) for before in found.before] == [4, 4]


def test_more_trainings_go_on_from_those_that_are_there_each_with_its_seed(tmp_path, scripted):
    done, _ = scripted
    run(tmp_path)
    found = run(tmp_path, trainings=2)
    assert done[5:] == ["train add 1", "ask add", "train mul 1", "ask mul"]
    assert found.trainings == 2
    assert found.entropy_change_D == pytest.approx([-0.05, -0.05])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 3}, "steps: there 1, now 3"),
        ({"n": 3}, "n: there 2, now 3"),
        ({"learning_rate": 2e-3}, "learning_rate: there 0.001, now 0.002"),
        ({"seed": 1}, "seed: there 0, now 1"),
        ({"trainer": {"beta": 0.1}}, "trainer: there {}, now {'beta': 0.1}"),
        ({"verifier": "numeric"}, f"verifier: there 'exact {Exact.version}', now 'numeric"),
        ({"model": "another"}, "now 'another'"),
    ],
)
def test_another_setting_is_refused_by_name(tmp_path, scripted, change, words):
    run(tmp_path)
    with pytest.raises(InputError, match="made in another way") as error:
        run(tmp_path, **change)
    assert words in str(error.value)
    assert len(scripted[0]) == 5


def test_other_data_are_refused_by_name(tmp_path, scripted):
    run(tmp_path)
    training, held_out = split()
    with pytest.raises(InputError, match="held-out questions: there"):
        run(tmp_path, held_out={**held_out, "add": held_out["add"][:3]})
    with pytest.raises(InputError, match="training problems: there"):
        run(tmp_path, training={**training, "add": training["add"][:9]})


def test_domains_whose_names_look_alike_have_folders_of_their_own(tmp_path, scripted):
    training, held_out = split()
    names = ("a/b", "a b", "../../x")
    run(tmp_path, dict.fromkeys(names, training["add"]), dict.fromkeys(names, held_out["add"]))
    assert len(list(tmp_path.iterdir())) == 4
    assert len(scripted[0]) == 7


@pytest.mark.parametrize("gold", [None, math.nan, "", [], {"value": 4}])
def test_hold_out_leaves_out_rows_without_a_gold_answer(gold, caplog):
    rows = [{"prompt": f"{number}+1?", "answer": number + 1} for number in range(8)]
    training, held_out = hold_out({"sums": [*rows, {"prompt": "9+9?", "answer": gold}], "more": rows}, 3)
    assert {p.number for p in training["sums"] + held_out["sums"]} <= set(range(8))
    assert "domain 'sums': 1 rows have no gold answer and are left out, first row 8" in caplog.text


def test_hold_out_shares_no_prompt_with_training_not_even_across_domains():
    rows = [{"prompt": f"{a}?", "answer": str(a)} for a in range(12)]
    training, held_out = hold_out({"one": rows + rows[:6], "two": rows}, 4, seed=3)
    kept_out = {make_prompt_id(p.prompt) for problems in held_out.values() for p in problems}
    assert all(len(problems) == 4 for problems in held_out.values())
    assert all(make_prompt_id(p.prompt) not in kept_out for problems in training.values() for p in problems)
    assert hold_out({"one": rows, "two": rows}, 4, seed=3)[1]["two"] == held_out["two"]


@pytest.mark.parametrize(
    ("domains", "count", "words"),
    [
        ({"a": [{"prompt": "1?", "answer": "1"}] * 9}, 4, "more than 4 distinct prompts"),
        ({"a": [{"prompt": "1?"}]}, 4, "domain 'a': column 'answer' is missing"),
        ({"a": []}, 4, "domain 'a': the data set is empty"),
        (DOMAINS, 1, "at least 2 questions"),
    ],
)
def test_data_that_cannot_be_split_are_refused(domains, count, words):
    with pytest.raises(InputError, match=words):
        hold_out(domains, count)


def test_what_cannot_be_probed_is_refused_before_anything_runs(tmp_path):
    training, held_out = split()
    with pytest.raises(InputError, match="domain 'mul': expected at least 2 problems"):
        probe(str(TINY), {**training, "mul": training["mul"][:1]}, held_out, tmp_path, SMALL)
    with pytest.raises(InputError, match="the same domains in both, got add and add, mul"):
        probe(str(TINY), {"add": training["add"]}, held_out, tmp_path, SMALL)
    with pytest.raises(InputError, match="two or more domains, got add"):
        probe(str(TINY), {"add": training["add"]}, {"add": held_out["add"]}, tmp_path, SMALL)
    with pytest.raises(InputError, match="group_size: expected at least 2, got 1"):
        ProbeSettings(group_size=1)
    assert list(tmp_path.iterdir()) == []


def test_settings_that_trl_does_not_know_are_refused(tmp_path):
    settings = dataclasses.replace(SMALL, trainer={"no_such_option": 1})
    with pytest.raises(InputError, match=r"TRL does not take these settings.*no_such_option"):
        order_probe.train(str(TINY), split()[0]["add"], tmp_path, settings, 0, Exact(), print)


def test_the_reward_is_the_verifiers_and_none_where_it_cannot_judge():
    class Odd(Exact):
        def score(self, completion, problem):
            return math.nan if completion == "?" else super().score(completion, problem)

    reward = make_reward(read_problems([{"prompt": "1+1?", "answer": "2"}, {"prompt": "2+2?", "answer": "4"}]), Odd())
    texts = ["answer 2", "answer 2", [{"role": "assistant", "content": "answer 4"}], "?"]
    assert reward(completions=texts, number=[0, 1, 1, 0], prompts=[]) == [1.0, 0.0, 1.0, None]


def test_the_ends_of_a_training_are_compared():
    assert compare_ends([]) is None
    assert compare_ends([0.5]) == 0.0
    assert compare_ends([1, 1, *[9] * 6, 2, 4]) == 2.0
