"""Two gloo ranks choose their prompts while training: both choose the same, and each group is whole."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from tiny_trl import build  # noqa: E402

from rlguard.integrations.trl import GuardedGRPOTrainer  # noqa: E402
from rlguard.integrations.trl_sampler import ROW  # noqa: E402
from rlguard.sampling import SamplerConfig  # noqa: E402

PER_RANK, GROUP, STEPS = 6, 4, 5  # three groups a batch; the second lies on both ranks


class Recorded(GuardedGRPOTrainer):
    def _generate_and_score_completions(self, inputs):
        self.rows = [*getattr(self, "rows", []), [row[ROW] for row in inputs]]
        return super()._generate_and_score_completions(inputs)


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    config = {"max_steps": STEPS, "per_device_train_batch_size": PER_RANK, "num_generations": GROUP}
    trainer = build(Recorded, folder, config=config, sampler=SamplerConfig())
    trainer.train()
    state = {name: values for name, values in trainer._live.chooser.state_dict().items() if name != "random"}
    record = {"rows": trainer.rows, "drawn": trainer._live._drawn, "state": state}
    torch.save(record | {"random": trainer._live.chooser.state_dict()["random"]}, f"{folder}/{rank}.pt")


def test_both_ranks_choose_the_same_prompts(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert first["drawn"] == second["drawn"]
    assert first["random"] == second["random"]
    for name, values in first["state"].items():
        np.testing.assert_array_equal(values, second["state"][name], name)

    batches = [a + b for a, b in zip(first["rows"], second["rows"], strict=True)]
    chosen = first["drawn"][: len(batches)]
    assert len(batches) == STEPS
    assert batches == [[place for place in places for _ in range(GROUP)] for places in chosen]
    assert (first["state"]["visits"] >= 0).sum() == len({place for places in chosen for place in places})
