"""Two gloo ranks whose boundary cuts through a group: the guard gives what one process would."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from test_trl import PROBLEMS, Watched, build  # noqa: E402

from rlguard.guard import Guard, GuardConfig  # noqa: E402
from rlguard.guard.reading import read_evidence  # noqa: E402
from rlguard.luck.settings import LuckSettings  # noqa: E402

GUARD = GuardConfig(luck=LuckSettings(smoothing=32))  # in a batch of 12 the table of ratios must speak for something


class Recorded(Watched):
    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.record = {
            "used": output["advantages"],
            "host": self.host,
            "prompts": [row["prompt"] for row in inputs],
            "completions": list(self._logs["completion"]),
            "rewards": list(self._logs["rewards"]["correctness_reward"]),
            "logged": list(self._logs["advantages"]),
            "metrics": {name: values[-1] for name, values in self._metrics["train"].items() if "rlguard" in name},
            "state": self.guard.state_dict(),
        }
        return output


def train_rank(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    config = {"max_steps": 1, "per_device_train_batch_size": 6, "num_generations": 4}  # the second of 3 groups is cut
    trainer = build(Recorded, folder, config=config, guard=GUARD)
    trainer.train()
    torch.save(trainer.record, f"{folder}/{rank}.pt")


def test_straddling_groups_give_the_single_process_advantages(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(train_rank, (port, str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in (0, 1))
    assert first["prompts"][4] == first["prompts"][5] == second["prompts"][0] == second["prompts"][1]
    for name in ("metrics", "state", "logged"):
        assert first[name] == second[name], name
    used, host = (torch.cat([first[name], second[name]]) for name in ("used", "host"))

    gold = {row["prompt"]: row for row in PROBLEMS}
    rows = zip(first["prompts"] + second["prompts"], first["completions"], strict=True)
    evidence = [read_evidence(prompt, text, gold[prompt]) for prompt, text in rows]
    rewards = np.array(first["rewards"])
    alone = Guard(GUARD).judge(evidence, host, rewards, rewards, np.arange(12) // 4)
    assert torch.equal(alone.advantages_B, used)
    assert first["logged"] == pytest.approx((alone.advantages_B * alone.step_scale).tolist())
    assert not torch.equal(host, used)
