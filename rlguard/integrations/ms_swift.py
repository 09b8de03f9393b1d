"""ms-swift: a plugin file of two lines and the run is guarded.

    from rlguard.integrations.ms_swift import register
    register()                             # or register(GuardConfig(mode="observe", answer_column="solution"))

    swift rlhf --rlhf_type grpo --external_plugins guard_plugin.py …

It wraps `GRPOTrainer._compute_advantages` of ms-swift 4.6 through `super()`; the Megatron and Ray trainers of ms-swift
are others and stay unguarded. The gold answer is the column `solution` unless the config says otherwise. In a
multi-turn run the prompt is the conversation so far, so that only an `rlguard_id` column lets the guard know it again.
"""

from __future__ import annotations

from typing import Any

from rlguard.guard import GuardConfig
from rlguard.integrations.seams import check_overrides, needing

INSTALL = "pip install 'ms-swift>=4.6,<4.7'"
with needing("ms-swift", f": {INSTALL}"):
    import swift
    from accelerate.utils import gather_object
    from swift.rlhf_trainers import GRPOTrainer
    from swift.trainers.trainer_factory import TrainerFactory

    from rlguard.integrations.hf_trainer import TrainerGuard

CANNOT_MASK = "ms-swift counts the tokens of its loss before it computes advantages; use its --dynamic_sample true"
ADVICE = f"This is ms-swift {swift.__version__}; install one that rlguard knows: {INSTALL}"


class GuardedGRPOTrainer(TrainerGuard, GRPOTrainer):
    """ms-swift's GRPOTrainer with the guard in it."""

    guard_config = GuardConfig(answer_column="solution")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            RuntimeError: If the installed ms-swift or its settings are not such that rlguard knows the advantage.
            ValueError: If `outcome_reward` names no reward function of the trainer, or for `mask_silent`.
        """
        check_overrides(GRPOTrainer, ADVICE, GuardedGRPOTrainer)
        super().__init__(*args, **kwargs)
        if self.scale_rewards == "gdpo" and len(self.reward_func_names) > 1:
            raise RuntimeError("rlguard does not guard --scale_rewards gdpo with more than one reward function")
        self._start_guard(self.guard_config, CANNOT_MASK)

    def _compute_advantages(self, samples: list, rewards_per_func: Any, batch_encoded_inputs: list) -> Any:
        host = super()._compute_advantages(samples, rewards_per_func, batch_encoded_inputs)
        if not self.model.training:
            return host
        chats = [[{**m, "content": self._text(m["content"])} for m in sample.messages] for sample in samples]
        prompts, completions = [chat[:-1] for chat in chats], [chat[-1:] for chat in chats]
        evidence = self.guard.begin(prompts, completions, [sample.extra for sample in samples])()
        ids = [(row // self.num_generations, row) for row in range(len(host))]
        if self.dynamic_num_samples:
            ids = gather_object([(sample.prompt_id, sample.request_id) for sample in samples])
        last = {request: row for row, (_, request) in enumerate(ids)}  # a rollout cut into several samples counts once
        groups, speakers = [group for group, _ in ids], [last[request] for _, request in ids]
        return self._judge(gather_object(evidence), host, rewards_per_func, groups, speaker_B=speakers).advantages_B

    def _text(self, content: Any) -> Any:
        """By now the trainer has put token ids in the place of what the model said."""
        content = content["token_ids"] if isinstance(content, dict) else content
        tokens = isinstance(content, list) and content and isinstance(content[0], int)
        return self.processing_class.decode(content, skip_special_tokens=True) if tokens else content


def register(config: GuardConfig | None = None) -> None:
    """Makes `swift rlhf --rlhf_type grpo` train with the guarded trainer."""
    if config is not None:
        GuardedGRPOTrainer.guard_config = config
    TrainerFactory.TRAINER_MAPPING["grpo"] = f"{__name__}.{GuardedGRPOTrainer.__name__}"
