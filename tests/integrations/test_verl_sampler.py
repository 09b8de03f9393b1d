"""Prompts chosen while training in the real verl: its data set, loader, queue and trainer; the workers are played."""

from __future__ import annotations

import pytest

pytest.importorskip("verl")
pytest.importorskip("transfer_queue")

import datasets
import torch
from test_verl import BARE, SHOWN, TOKENIZER, WRONG, configure, put, queue, rollout  # noqa: F401
from verl.trainer.ppo.v1 import get_trainer_cls

from rlguard import InputError
from rlguard.integrations.loader_sampler import ROW

N, SIZE, GROUP = 24, 4, 4


def make(folder, *flags, sampler="+algorithm.rlguard.sampler=true", rows=N, columns=None):
    """A trainer of verl's with its own data set and loader."""
    table = {
        "prompt": [[{"role": "user", "content": f"{i}+8+5 mod 10=?"}] for i in range(rows)],
        "data_source": ["tiny"] * rows,
        "reward_model": [{"style": "rule", "ground_truth": str(i % 10)} for i in range(rows)],
        "extra_info": [{"index": i} for i in range(rows)],
        **(columns or {}),
    }
    datasets.Dataset.from_dict(table).to_parquet(f"{folder}/rows.parquet")
    data = [f"data.{part}_files={folder}/rows.parquet" for part in ("train", "val")]
    data += [
        f"data.train_batch_size={SIZE}",
        f"actor_rollout_ref.rollout.n={GROUP}",
        "data.filter_overlong_prompts=False",
    ]
    data += [f"trainer.default_local_dir={folder}", "data.dataloader_num_workers=2"]
    trainer = get_trainer_cls("sync")(config=configure(*data, *([sampler] if sampler else []), *flags))
    trainer.tokenizer, trainer.processor, trainer.global_steps = TOKENIZER, None, 1
    trainer._init_dataloader()
    return trainer


def play(trainer, solved=lambda place: 2):
    """One step of verl's: a batch from its loader; rollouts as its agent loop would put them; its advantages."""
    batch = trainer._next_train_batch()
    groups = []
    for i in range(len(batch)):
        row = {name: batch[name][i] for name in ("raw_prompt", "reward_model", "extra_info", ROW) if name in batch}
        row = {name: getattr(value, "data", value) for name, value in row.items()}
        right = solved(row[ROW]) if ROW in row else 2
        groups.append([rollout(SHOWN if g < right else WRONG + ";" * g, g < right, **row) for g in range(GROUP)])
    metrics = {}
    trainer._compute_advantage(put(groups), metrics)
    return [group[0].get(ROW) for group in groups], metrics


def test_a_batch_is_chosen_and_learnt_by_the_guards_own_model(queue, tmp_path):  # noqa: F811
    trainer = make(tmp_path)
    seen = [play(trainer, lambda place: 2 if place % 2 else 0)[0] for _ in range(15)]  # beyond an epoch of six
    assert all(len(set(places)) == SIZE for places in seen)
    sampler = trainer.guard.chooser.sampler
    assert sampler.luck is trainer.guard.luck
    assert set(sampler._ids) == {place for places in seen for place in places}
    luck = trainer.guard.luck
    assert (luck.table[luck.find(sampler._ids.values()), 1] >= GROUP).all()
    late = [place for places in seen[8:] for place in places]
    assert sum(place % 2 for place in late) > 0.7 * len(late)


def test_what_is_known_of_the_batch_is_logged(queue, tmp_path):  # noqa: F811
    trainer = make(tmp_path)
    metrics = [play(trainer)[1] for _ in range(3)][-1]
    assert metrics["rlguard/sampling/signal_share"] == 1
    assert "rlguard/sampling/rollouts_saved" in metrics


def test_off_is_verls_own_loader(queue, tmp_path):  # noqa: F811
    trainer = make(tmp_path, sampler=None)
    assert trainer.guard.chooser is None
    assert play(trainer)[0] == [None] * SIZE
    assert trainer.train_dataloader.num_workers == 2


def test_a_resumed_run_chooses_what_the_interrupted_one_would_have(queue, tmp_path):  # noqa: F811
    whole = make(tmp_path)
    for _ in range(4):
        play(whole)
    torch.save(whole.train_dataloader.state_dict(), tmp_path / "data.pt")  # as verl does
    luck = whole.guard.luck.state_dict()
    expected = [play(whole)[0] for _ in range(5)]  # across the end of the epoch
    resumed = make(tmp_path)
    resumed.train_dataloader.load_state_dict(torch.load(tmp_path / "data.pt", weights_only=False))
    resumed.guard.luck.load_state_dict(luck)
    assert [play(resumed)[0] for _ in range(5)] == expected


def test_offline_rates_are_the_first_evidence(queue, tmp_path):  # noqa: F811
    columns = {"rlguard_successes": [8 * (i % 2) for i in range(N)], "rlguard_trials": [16] * N}
    sampler = make(tmp_path, columns=columns).guard.chooser.sampler
    predicted = sampler.predict(range(N))
    assert predicted[1::2].min() > predicted[::2].max()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": "+algorithm.rlguard.sampler.half_life=0"}, InputError, "SamplerConfig.half_life"),
        ({"sampler": "+algorithm.rlguard.sampler.halflife=9"}, ValueError, "got 'halflife'"),
        ({"sampler": "+algorithm.rlguard.sampler.replace=2"}, ValueError, "own dynamic sampling"),
        ({"flags": ["data.shuffle=False"]}, ValueError, "data.shuffle"),
        ({"rows": 3}, InputError, "3 rows, expected at least the 4"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        make(tmp_path, *options.pop("flags", []), **options)
