"""Two guarded steps of the tiny model in this environment, as one JSON row: `python benchmarks/versions/train.py`.

`run.py` starts it in an environment of its own for each version. It trains with and without the guard from one seed and
checks what the guard must do in every version: rewritten advantages on the host's own scale, state in the checkpoint,
figures in the log, and in the mode `observe` the same weights to the last bit.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

import torch  # noqa: E402
import transformers  # noqa: E402
import trl  # noqa: E402

# The vLLM of this environment need not be one that this TRL can import.
import_module("trl.import_utils").is_vllm_available = lambda *_, **__: False

from datasets import Dataset  # noqa: E402
from tiny_reasoner.tasks import make_problems  # noqa: E402
from tiny_reasoner.training import correctness_reward, grpo_config  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from rlguard import GuardConfig  # noqa: E402
from rlguard.integrations.trl import STATE_FILE, GuardedGRPOTrainer, GuardMixin  # noqa: E402

MODEL = ROOT / "recipes" / "tiny_reasoner" / "model"
PROBLEMS = make_problems({"add": 1, "unlearnable": 1}, 16, 5)


class Watching:
    """Keeps what TRL's own method returned, beneath the guard."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        self.host = output["advantages"].clone()
        return output


class Watched(GuardMixin, Watching, trl.GRPOTrainer):
    """The guarded trainer, which keeps the advantages before and after the guard, and those that are logged."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        logged = torch.tensor(list(self._logs["advantages"])[-len(self.host) :])
        self.seen = [*getattr(self, "seen", []), (self.host, output["advantages"], logged)]
        return output


def train(trainer_class: type, folder: str, **options) -> object:
    settings = {
        "max_steps": 2, "per_device_train_batch_size": 32, "num_generations": 4, "logging_steps": 1,
        "save_strategy": "steps", "save_steps": 2,
    }  # fmt: skip
    trainer = trainer_class(
        model=AutoModelForCausalLM.from_pretrained(MODEL),
        args=grpo_config(folder, 1, **settings),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
        reward_funcs=correctness_reward,
        train_dataset=Dataset.from_list(PROBLEMS),
        **options,
    )
    trainer.train()
    return trainer


def weights_of(trainer) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def check_rewrite(trainer, folder: str) -> int:
    """How many advantages the guard changed; AssertionError where it did what it must not."""
    changed = 0
    for host, used, logged in trainer.seen:
        assert torch.isfinite(used).all()
        slack = 0.2 if changed else 1e-4  # the reference is of all batches so far, and the first has only its own
        assert torch.allclose(used.norm(), host.norm(), rtol=slack), "the learning rate carries what is gone"
        assert torch.allclose(used * (logged.norm() / used.norm()), logged, atol=1e-5), "what acts is logged"
        assert logged.view(-1, 4).sum(1).abs().max() < 1e-4, "a group's advantages add up to 0"
        changed += int((logged != host).sum())
    assert changed, "nothing was rewritten"
    assert len(trainer.seen) == 2
    logs = [row for row in trainer.state.log_history if "loss" in row]
    assert [row["rlguard/faults"] for row in logs] == [0, 0]
    assert json.loads((Path(folder) / "checkpoint-2" / STATE_FILE).read_text()) == trainer.guard.state_dict()
    return changed


def check_async() -> str:
    """Whether the asynchronous adapter knows this TRL: "yes", or how it refuses it."""
    try:
        from rlguard.integrations.trl_async import check_signatures

        check_signatures()
    except (ImportError, RuntimeError) as error:
        return str(error).split(" (/")[0]  # without the path of a module
    return "yes"


def main() -> None:
    row = {
        "python": platform.python_version(),
        "trl": trl.__version__,
        "transformers": transformers.__version__,
        "torch": torch.__version__,
    }
    try:
        with tempfile.TemporaryDirectory() as folder:
            guarded = train(Watched, folder)
            row["rewritten"] = check_rewrite(guarded, folder)
            plain = train(trl.GRPOTrainer, folder)
            observed = train(GuardedGRPOTrainer, folder, guard=GuardConfig(mode="observe"))
            assert torch.equal(weights_of(plain), weights_of(observed)), "observe changed the training"
        row["result"] = "passed"
    except Exception as error:
        row["result"] = f"failed: {type(error).__name__}: {error}"
        traceback.print_exc()
    print(json.dumps(row | {"async": check_async()}))


if __name__ == "__main__":
    main()
