"""ms-swift: a plugin file of two lines and the run is guarded.

    from rlguard.integrations.ms_swift import register
    register()                             # or register(GuardConfig(mode="observe", answer_column="solution"))

    swift rlhf --rlhf_type grpo --external_plugins guard_plugin.py …

It wraps `GRPOTrainer._compute_advantages` of ms-swift 4.6 through `super()`; the Megatron and Ray trainers of ms-swift
are others and stay unguarded. The gold answer is the column `solution` unless the config says otherwise. In `drop` mode
advantages become 0: the tokens stay in the loss's denominator, and a KL loss still acts on them. In a multi-turn run
the prompt is the conversation so far, so that only an `rlguard_id` column lets the guard know it again. Metrics are
logged with the trainer's own, and its state is saved with its checkpoints.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard import Guard
from rlguard.guard.rewrite import as_float
from rlguard.guard.settings import GuardConfig
from rlguard.integrations.seams import STATE_FILE, check_seam, find_reward
from rlguard.luck.evidence import Evidence

try:
    import swift
    from accelerate.utils import gather_object
    from swift.rlhf_trainers import GRPOTrainer
    from swift.trainers.trainer_factory import TrainerFactory

    from rlguard.integrations.trl import StepScaler
except ImportError as error:
    raise ImportError(
        f"rlguard.integrations.ms_swift needs ms-swift: pip install 'ms-swift>=4.6,<4.7' ({error})"
    ) from error

SEAM = ["self", "samples", "rewards_per_func", "batch_encoded_inputs"]
ADVICE = f"This is ms-swift {swift.__version__}; install one that rlguard knows: pip install 'ms-swift>=4.6,<4.7'"


class GuardedGRPOTrainer(GRPOTrainer):
    """ms-swift's GRPOTrainer with the guard in it."""

    guard_config = GuardConfig(answer_column="solution")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If the installed ms-swift or its settings are not such that rlguard knows the advantage.
            ValueError: If `outcome_reward` names no reward function of the trainer.
        """
        check_seam("GRPOTrainer._compute_advantages", getattr(GRPOTrainer, "_compute_advantages", None), SEAM, ADVICE)
        super().__init__(*args, **kwargs)
        if self.scale_rewards == "gdpo" and len(self.reward_func_names) > 1:
            raise RuntimeError("rlguard does not guard --scale_rewards gdpo with more than one reward function")
        self.guard = Guard(self.guard_config)
        self._guard_outcome = find_reward(self.reward_func_names, self.guard.config.outcome_reward)
        self._guard_steps = StepScaler()
        self.add_callback(self._guard_steps)

    def _compute_advantages(self, samples: list, rewards_per_func: Any, batch_encoded_inputs: list) -> Any:
        host = super()._compute_advantages(samples, rewards_per_func, batch_encoded_inputs)
        if not self.model.training:
            return host
        evidence = gather_object(self._read_evidence(samples))
        ids = [(row // self.num_generations, row) for row in range(len(host))]
        if self.dynamic_num_samples:
            ids = gather_object([(sample.prompt_id, sample.request_id) for sample in samples])
        last = {request: row for row, (_, request) in enumerate(ids)}  # a rollout cut into several samples counts once
        rows = list(last.values())
        judged = self.guard.judge(
            [evidence[row] for row in rows],
            host[rows],
            *self._read_rewards(rewards_per_func[rows]),
            group_ids_B=[ids[row][0] for row in rows],
            total_rewards_B=(rewards_per_func[rows] * self.reward_weights).nansum(dim=1),
        )
        self._guard_steps.add_batch(judged.step_scale)
        for name, value in judged.metrics.items():
            self._metrics["train"][name].append(value)
        place = {request: position for position, request in enumerate(last)}
        advantages = judged.step_advantages_B * host.new_tensor(judged.kept_B)
        return advantages[[place[request] for _, request in ids]]

    def _read_evidence(self, samples: list) -> list[Evidence]:
        chats = [[{**m, "content": self._text(m["content"])} for m in sample.messages] for sample in samples]
        rows = [sample.extra for sample in samples]
        return self.guard.reader.read([chat[:-1] for chat in chats], [chat[-1:] for chat in chats], rows)

    def _text(self, content: Any) -> Any:
        """By now the trainer has put token ids in the place of what the model said."""
        if isinstance(content, dict):
            content = content["token_ids"]
        if isinstance(content, list) and content and isinstance(content[0], int):
            return self.processing_class.decode(content, skip_special_tokens=True)
        return content

    def _read_rewards(self, rewards_per_func: Any) -> tuple[np.ndarray, np.ndarray]:
        """The outcome's rewards as the trainer weighs them, and the outcomes; each (B,)."""
        raw = as_float(rewards_per_func[:, self._guard_outcome])
        return raw * float(self.reward_weights[self._guard_outcome]), self.guard.read_outcomes(raw)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._save_checkpoint(*args, **kwargs)
        if self.args.should_save:
            self.guard.save(Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / STATE_FILE)
        return result

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.guard.load(Path(checkpoint) / STATE_FILE)


def register(config: GuardConfig | None = None) -> None:
    """Makes `swift rlhf --rlhf_type grpo` train with the guarded trainer."""
    if config is not None:
        GuardedGRPOTrainer.guard_config = config
    TrainerFactory.TRAINER_MAPPING["grpo"] = f"{__name__}.{GuardedGRPOTrainer.__name__}"
