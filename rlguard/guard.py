"""The guard that every trainer's adapter calls once a batch: evidence in, rewritten advantages and metrics out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rlguard.advantage import CHANCE_FLOOR, as_float, measure_step_scale, rewrite_advantages, success_weights
from rlguard.answers import extract_answer
from rlguard.chance import ChanceRates
from rlguard.shortcuts import judge_completion
from rlguard.tracker import PassRateTracker
from rlguard.types import Messages, make_prompt_id, prompt_text

MODES = ("rewrite", "observe")


@dataclass(frozen=True)
class GuardConfig:
    """What the guard does in training."""

    mode: Literal["rewrite", "observe"] = "rewrite"
    """`observe` logs what `rewrite` would do and changes nothing."""
    outcome_reward: str | int = 0
    """Which reward function says whether the answer is correct: its name or its position. Groups in which it scores
    no row are left to the trainer."""
    success_threshold: float = 0.5
    """A reward of that function above this is a success."""
    answer_column: str = "answer"
    """Data set column with the gold answer, for chance rates; without it they come from `rlguard_chance_rate`."""
    detectors: bool = True
    """Read the completions for shortcuts; without it only pass rates and chance rates speak."""
    min_weight: float | None = 0.5
    """Smaller weights become 0: more likely lucky than genuine. Adam undoes any common factor on the gradients, so that
    merely small weights protect nothing."""
    chance_floor: float = CHANCE_FLOOR
    """Smallest chance rate: how often flawed reasoning or a verifier fault passes anyway."""
    decay: float = 0.8
    """What a prompt's earlier outcomes keep at each new visit."""
    scale_steps: bool = True
    """Shrink the learning rate of a step by what the rewrite took out of its advantages. Adam would blow the rest up to
    full size: the few groups that are left would move the policy like a full batch."""

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"GuardConfig.mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        for name in ("min_weight", "chance_floor", "decay"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"GuardConfig.{name}: expected a number in [0, 1], got {value!r}")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one rollout tells besides its reward. Small and picklable: it travels between ranks."""

    prompt_id: str
    gold: Any = None
    answer: str | None = None
    likelihood_ratio: float = 1.0
    kinds: tuple[str, ...] = ()
    """Kinds of the findings in its completion."""
    offline_successes: float = math.nan
    offline_trials: float = math.nan
    chance_rate: float = math.nan
    """Offline chance rate, where the data set brings one."""


@dataclass(frozen=True)
class Judged:
    """The guard's answer for a batch of B rollouts."""

    advantages_B: Any
    """What the trainer should use: the host's own in observe mode."""
    weights_B: np.ndarray
    """Weight of each success; 1 for failures."""
    step_scale: float
    """What the trainer should multiply the learning rate of this batch's steps with, in [0, 1]."""
    metrics: dict[str, float]


def read_evidence(
    prompt: str | Messages, completion: str | Messages, row: dict[str, Any], config: GuardConfig
) -> Evidence:
    """Reads one rollout: its prompt's id and offline columns, its final answer, the detectors' evidence.

    Args:
        prompt: Text or chat messages.
        completion: Text or chat messages.
        row: The data set row; uses `rlguard_*` columns (written by `rlguard filter`) and the answer column if present.
        config: The guard's settings.
    """
    gold, text = row.get(config.answer_column), prompt_text(completion)
    found = extract_answer(text)
    judgement = None
    if config.detectors:
        try:
            judgement = judge_completion(text, prompt_text(prompt), None if gold is None else str(gold))
        except Exception as error:  # a fault of ours must not end a training run; Python shows each warning once
            warnings.warn(f"rlguard: a detector failed, its evidence is left out: {error!r}", stacklevel=2)
    return Evidence(
        prompt_id=row.get("rlguard_id") or make_prompt_id(prompt, gold),
        gold=gold,
        answer=found[0] if found else None,
        likelihood_ratio=judgement.likelihood_ratio if judgement else 1.0,
        kinds=tuple(sorted({finding.kind for finding in judgement.findings})) if judgement else (),
        offline_successes=_number(row.get("rlguard_successes")),
        offline_trials=_number(row.get("rlguard_trials")),
        chance_rate=_number(row.get("rlguard_chance_rate")),
    )


class Guard:
    """Holds what training has learnt of its prompts; rewrites one batch of advantages at a time."""

    def __init__(self, config: GuardConfig | None = None) -> None:
        self.config = config or GuardConfig()
        self.tracker = PassRateTracker(decay=self.config.decay, chance_floor=self.config.chance_floor)
        self.chance = ChanceRates()

    def judge(
        self,
        evidence_B: Sequence[Evidence],
        advantages_B: Any,
        rewards_B: Any,
        outcomes_B: Any,
        group_ids_B: Any,
        scale_B: Any = None,
        total_rewards_B: Any = None,
    ) -> Judged:
        """Judges and learns a batch. Arguments beside `evidence_B` are those of `rewrite_advantages`.

        On several ranks, call it on every rank with the gathered batch: the result is the same on all of them.
        """
        outcomes = as_float(outcomes_B)
        _, first_P, groups_B = np.unique(np.asarray(group_ids_B), return_index=True, return_inverse=True)
        heads = [evidence_B[row] for row in first_P]
        scored = ~np.isnan(outcomes)
        trials_P = np.bincount(groups_B, scored, len(heads))
        successes_P = np.bincount(groups_B, scored & (outcomes > 0), len(heads))
        chance_P = self._chance(heads, evidence_B, groups_B)
        genuine_P = self.tracker.judge(
            [head.prompt_id for head in heads],
            successes_P,
            trials_P,
            chance_P,
            [head.offline_successes for head in heads],
            [head.offline_trials for head in heads],
        )
        ratios_B = np.array([evidence.likelihood_ratio for evidence in evidence_B])
        beliefs_B = success_weights(genuine_P[groups_B], ratios_B, None)
        success = scored & (outcomes > 0)
        weights_B = np.where(success, success_weights(genuine_P[groups_B], ratios_B, self.config.min_weight), 1.0)
        rewritten = rewrite_advantages(advantages_B, rewards_B, outcomes, groups_B, weights_B, scale_B, total_rewards_B)
        step_scale = measure_step_scale(advantages_B, rewritten)
        metrics = _metrics(evidence_B, success, beliefs_B, weights_B, chance_P, trials_P)
        metrics["rlguard/step_scale"] = step_scale
        if self.config.mode == "observe":
            return Judged(advantages_B, weights_B, 1.0, metrics)
        return Judged(rewritten, weights_B, step_scale if self.config.scale_steps else 1.0, metrics)

    def _chance(self, heads: list[Evidence], evidence_B: Sequence[Evidence], groups_B: np.ndarray) -> np.ndarray:
        """Chance rate of each group: measured in training from other prompts' answers, else the offline one."""
        answers_P: list[list[str | None]] = [[] for _ in heads]
        for group, evidence in zip(groups_B, evidence_B, strict=True):
            answers_P[group].append(evidence.answer)
        self.chance.fade(0.9)
        for head, answers in zip(heads, answers_P, strict=True):
            if head.gold is not None:
                self.chance.add(head.gold, answers)
        live = [math.nan if head.gold is None else self.chance.rate(head.gold) for head in heads]
        return np.array(
            [head.chance_rate if math.isnan(rate) else rate for head, rate in zip(heads, live, strict=True)]
        )

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state, saved with the trainer's checkpoint."""
        return {"tracker": self.tracker.state_dict(), "chance": self.chance.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.tracker.load_state_dict(state["tracker"])
        self.chance.load_state_dict(state["chance"])


def _metrics(
    evidence_B: Sequence[Evidence],
    success: np.ndarray,
    beliefs_B: np.ndarray,
    weights_B: np.ndarray,
    chance_P: np.ndarray,
    trials_P: np.ndarray,
) -> dict[str, float]:
    """What the trainer logs; metrics that have nothing to speak of (no success, no chance rate) are left out."""
    metrics = {
        "rlguard/flagged_share": float(np.mean([bool(evidence.kinds) for evidence in evidence_B])),
        "rlguard/unscored_share": float(1 - trials_P.sum() / len(evidence_B)),
    }
    if success.any():
        metrics["rlguard/lucky_share"] = float(1 - beliefs_B[success].mean())
        metrics["rlguard/weight_mean"] = float(weights_B[success].mean())
    if not np.isnan(chance_P).all():
        metrics["rlguard/chance_rate"] = float(np.nanmean(chance_P))
    return metrics


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
