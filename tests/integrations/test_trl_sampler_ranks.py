"""Two gloo ranks choose their prompts while training: both choose the same, and each group is whole."""

from __future__ import annotations

import os
import socket

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_trl import build, weights_of  # noqa: E402

from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402
from rlguard.integrations.trl_sampler import ROW  # noqa: E402
from rlguard.sampling import SamplerConfig  # noqa: E402

PER_RANK, GROUP, STEPS = 6, 4, 5  # three groups a batch; the second lies on both ranks


class Recorded(GuardedGRPOTrainer):
    def _generate_guarded(self, inputs):
        self.rows = [*getattr(self, "rows", []), [row[ROW] for row in inputs]]
        return super()._generate_guarded(inputs)


REPLACE = 0, 2  # draws in the place of groups that say nothing


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    config = {"max_steps": STEPS, "per_device_train_batch_size": PER_RANK, "num_generations": GROUP}
    for replace in REPLACE:
        trainer = build(Recorded, f"{folder}/{replace}", config=config, sampler=SamplerConfig(replace=replace))
        trainer.train()
        logs = [log for log in trainer.state.log_history if "rlguard/sampling/signal_share" in log]
        record = {"rows": trainer.rows, "drawn": trainer._live._drawn, "state": trainer._live.chooser.state_dict()}
        torch.save(record | {"weights": weights_of(trainer), "logs": logs}, f"{folder}/{replace}-{rank}.pt")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Of each of `REPLACE`, what both ranks recorded; all in one pair of processes, which take longest to start."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(folder)), nprocs=2)
    return {
        replace: [torch.load(folder / f"{replace}-{rank}.pt", weights_only=False) for rank in (0, 1)]
        for replace in REPLACE
    }


@pytest.mark.parametrize("replace", REPLACE)
def test_both_ranks_end_as_one(records, replace):
    first, second = records[replace]
    assert first["drawn"] == second["drawn"]
    assert first["state"] == second["state"]
    assert (first["weights"] == second["weights"]).all()


def test_both_ranks_choose_the_same_prompts(records):
    first, second = records[0]
    batches = [a + b for a, b in zip(first["rows"], second["rows"], strict=True)]
    chosen = first["drawn"][: len(batches)]
    assert len(batches) == STEPS
    assert batches == [[place for place in places for _ in range(GROUP)] for places in chosen]
    assert set(first["state"]["sampler"]["places"]) == {place for places in chosen for place in places}


def test_both_ranks_replace_silent_groups(records):
    first, second = records[2]
    extra = sum(log["rlguard/sampling/extra_rollouts"] for log in first["logs"])
    assert 0 < extra == 2 * sum(map(len, first["rows"])) - STEPS * 2 * PER_RANK
    assert all(log["rlguard/sampling/extra_rollouts"] <= 2 * 2 * PER_RANK for log in first["logs"])
    for mine, other in zip(first["rows"], second["rows"], strict=True):
        whole = mine + other
        assert all(len(set(whole[i : i + GROUP])) == 1 for i in range(0, len(whole), GROUP))
