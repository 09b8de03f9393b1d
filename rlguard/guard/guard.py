"""The guard that every trainer's adapter calls once a batch: evidence in, rewritten advantages and metrics out."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard.reading import EvidenceReader
from rlguard.guard.rewrite import as_array, as_float, measure_step_scale, rewrite_advantages
from rlguard.guard.settings import MIN_WEIGHT, MIN_WEIGHT_UNSCALED, GuardConfig
from rlguard.luck.chance import ChanceRates, estimate_luck, fading
from rlguard.luck.evidence import Evidence
from rlguard.luck.genuine import success_weights
from rlguard.luck.tracker import PassRateTracker
from rlguard.types import Messages

__all__ = ["Guard", "GuardConfig", "Judged"]

logger = logging.getLogger(__name__)

CLEAN_FAILURES = 1.0, 20.0
"""Failed rollouts taken for seen before any were: with a text that speaks for success, and all."""


@dataclass(frozen=True)
class Judged:
    """The guard's answer for a batch of B rollouts."""

    advantages_B: Any
    """What the trainer should use; the host's own object in the modes `observe` and `drop`, and after a fault."""
    weights_B: np.ndarray
    """Weight of each success before `strength`; 1 for failures."""
    kept_B: np.ndarray
    """False where the mode `drop` wants the rollout masked out of the loss."""
    step_scale: float
    """What the trainer should multiply the learning rate of this batch's steps with, in [0, 1]; its loss then takes
    `step_advantages_B`."""
    kinds_B: list[str]
    """Kinds of the findings in each completion, comma-separated."""
    metrics: dict[str, float]

    @property
    def step_advantages_B(self) -> Any:
        """`advantages_B` at the size of the host's, for a trainer whose learning rate carries `step_scale`.

        Together they discount once, whatever the optimiser. With the smaller advantages Adam's running size of the
        gradient would shrink too, and a rare full batch would then take a step many times the usual. Where rollouts are
        dropped, the mean over those that are left has that size already.
        """
        shrunk = 0 < self.step_scale < 1 and self.kept_B.all()
        return self.advantages_B / self.step_scale if shrunk else self.advantages_B


class Guard:
    """Holds what training has learnt of its prompts; judges and rewrites one batch at a time.

    Nothing in it ends a training run: a fault is logged once, counted in `rlguard/faults`, and the trainer goes on with
    its own advantages.
    """

    def __init__(self, config: GuardConfig | None = None, *, scales_steps: bool = True) -> None:
        """`scales_steps`: whether the trainer's learning rate can carry `Judged.step_scale`, or only its log."""
        self.config = config or GuardConfig()
        least = MIN_WEIGHT if scales_steps and self.config.scale_steps else MIN_WEIGHT_UNSCALED
        self.min_weight = least if self.config.min_weight is None else self.config.min_weight
        self.tracker = PassRateTracker(
            decay=self.config.decay, chance_floor=self.config.chance_floor, max_prompts=self.config.max_prompts
        )
        self.chance = ChanceRates()
        self.reader = EvidenceReader(self.config.answer_column, self.config.detectors, self.config.workers)
        self._failures = np.zeros(2)  # failed rollouts, faded: with a text that speaks for success, and all
        self._kinds: set[str] = set()  # of findings that were seen so far
        self._said: set[str] = set()

    def apply(
        self,
        advantages_B: Any,
        rewards_B: Any,
        *,
        prompts_B: Sequence[str | Messages],
        completions_B: Sequence[str | Messages | None],
        rows_B: Sequence[Mapping[str, Any]] | None = None,
        outcomes_B: Any = None,
        group_ids_B: Any = None,
        scale_B: Any = None,
        total_rewards_B: Any = None,
    ) -> Judged:
        """Reads the texts of a batch of B rollouts, judges it and learns from it.

        Args:
            advantages_B: (B,) the host's advantages, numpy or torch.
            rewards_B: (B,) rewards paid for correctness; NaN or None could not be judged.
            prompts_B: Text or chat messages.
            completions_B: Text or chat messages; None where there is none.
            rows_B: The data set's rows: gold answer, `rlguard_*` columns. None when the trainer has none.
            outcomes_B: (B,) 1 correct, 0 wrong, NaN unknown; None takes rewards above `success_threshold` for correct.
            group_ids_B: (B,) numbers; None makes a group of the rollouts of one prompt.
            scale_B: As for `rewrite_advantages`.
            total_rewards_B: As for `rewrite_advantages`.
        """
        try:
            rows = [{}] * len(prompts_B) if rows_B is None else rows_B
            evidence = self.reader.read(prompts_B, completions_B, rows)
            outcomes = self.read_outcomes(rewards_B) if outcomes_B is None else outcomes_B
            if group_ids_B is None:
                numbers = {item.prompt_id: number for number, item in enumerate(evidence)}
                group_ids_B = [numbers[item.prompt_id] for item in evidence]
        except Exception as error:
            return self._give_back(advantages_B, error)
        return self.judge(evidence, advantages_B, rewards_B, outcomes, group_ids_B, scale_B, total_rewards_B)

    def read_outcomes(self, rewards_B: Any) -> np.ndarray:
        """Outcomes of rewards by `success_threshold`, (B,): 1.0, 0.0, or NaN for rewards that are not finite."""
        rewards = as_float(rewards_B)
        return np.where(np.isfinite(rewards), rewards > self.config.success_threshold, np.nan)

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
        try:
            outcomes = as_float(outcomes_B)
            _, first_P, groups = np.unique(as_array(group_ids_B), return_index=True, return_inverse=True)
            beliefs, metrics = self._learn(evidence_B, outcomes, groups, [evidence_B[row] for row in first_P])
            success = outcomes > 0
            faults = [row for row, evidence in enumerate(evidence_B) if evidence.fault]
            beliefs[faults] = 1.0  # what could not be read stays the host's
            weights = np.where(success & (beliefs < self.min_weight), 0.0, np.where(success, beliefs, 1.0))
            kept = np.bincount(groups, success * (weights - 0.5))[groups] >= 0  # its successes: rather genuine?
            if self.config.mode == "drop":
                changed = as_float(advantages_B) * kept
                metrics["rlguard/dropped_share"] = float(1 - kept.mean())
            else:
                acting = 1 - self.config.strength * (1 - weights)
                changed = rewrite_advantages(
                    advantages_B, rewards_B, outcomes, groups, acting, scale_B, total_rewards_B
                )
            metrics["rlguard/step_scale"] = step_scale = measure_step_scale(advantages_B, changed)
            if success.any():
                metrics["rlguard/weight_mean"] = float(weights[success].mean())
            paid = rewards_B if total_rewards_B is None else total_rewards_B
            metrics["rlguard/faults"] = float(self._count_faults([evidence_B[row].fault for row in faults], paid))
        except Exception as error:
            return self._give_back(advantages_B, error)
        acts, scales = self.config.mode != "observe", self.config.scale_steps
        return Judged(
            advantages_B=changed if self.config.mode == "rewrite" else advantages_B,
            weights_B=weights,
            kept_B=kept if self.config.mode == "drop" else np.ones(len(kept), bool),
            step_scale=step_scale if acts and scales else 1.0,
            kinds_B=[",".join(evidence.kinds) if evidence.kinds else "" for evidence in evidence_B],
            metrics=metrics,
        )

    def _learn(
        self, evidence_B: Sequence[Evidence], outcomes: np.ndarray, groups: np.ndarray, heads_P: list[Evidence]
    ) -> tuple[np.ndarray, dict[str, float]]:
        """P(genuine) of each rollout, were it a success, and what there is to log; then the batch is learnt."""
        scored, success = ~np.isnan(outcomes), outcomes > 0
        trials_P = np.bincount(groups, scored, len(heads_P))
        successes_P = np.bincount(groups, success, len(heads_P))
        self.chance.fade(fading(len(evidence_B)))
        chance_P, correlation_P = estimate_luck(self.chance, heads_P, evidence_B, outcomes, groups)
        genuine_P = self.tracker.judge(
            [head.prompt_id for head in heads_P],
            successes_P,
            trials_P,
            chance_P,
            [head.offline_successes for head in heads_P],
            [head.offline_trials for head in heads_P],
            correlation_P,
        )
        beliefs = success_weights(genuine_P[groups], self._temper(evidence_B, scored & ~success, groups))
        flat = (successes_P == 0) | (successes_P == trials_P)
        metrics = self._count_findings(evidence_B) | {
            "rlguard/flagged_share": sum(map(bool, map(attrgetter("kinds"), evidence_B))) / len(evidence_B),
            "rlguard/unscored_share": float(1 - scored.mean()),
            "rlguard/flat_groups": float(flat.mean()),
            "rlguard/unsolved_groups": float(((successes_P == 0) & (trials_P > 0)).mean()),
        }
        if success.any():
            metrics["rlguard/lucky_share"] = float(1 - beliefs[success].mean())
        if not np.isnan(chance_P).all():
            metrics["rlguard/chance_rate"] = float(np.nanmean(chance_P))
            metrics["rlguard/chance_correlation"] = float(correlation_P.mean())
        if not scored.any():
            self._say("unscored", "no rollout of a batch could be judged: the verifier gave no outcome")
        elif flat.all():
            self._say("flat", "no group of a batch has both right and wrong rollouts: nothing to judge in it")
        return beliefs, metrics

    def _count_findings(self, evidence_B: Sequence[Evidence]) -> dict[str, float]:
        """Share of the rollouts with a finding of each kind that was ever seen."""
        counts = Counter(kind for evidence in evidence_B for kind in evidence.kinds)
        self._kinds |= counts.keys()
        return {f"rlguard/findings/{kind}": counts[kind] / len(evidence_B) for kind in sorted(self._kinds)}

    def _temper(self, evidence_B: Sequence[Evidence], failed: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Likelihood ratios of the texts, no larger than this run's own failures allow.

        A lucky success is a failure that happens to match. Where the share s of failed rollouts show what speaks for a
        genuine success (a gold answer is wrong; steps are true but not the prompt's), lucky successes show it too, and
        the ratio is at most 1/s. Failures of the group itself do not count.
        """
        ratios = np.array([evidence.likelihood_ratio for evidence in evidence_B])
        seen_P = np.stack([np.bincount(groups, failed & (ratios > 1)), np.bincount(groups, failed)])
        others_P = self._failures[:, None] + seen_P.sum(axis=1, keepdims=True) - seen_P
        self._failures = fading(len(evidence_B)) * (self._failures + seen_P.sum(axis=1))
        share_P = (others_P[0] + CLEAN_FAILURES[0]) / (others_P[1] + CLEAN_FAILURES[1])
        return np.minimum(ratios, np.maximum(1 / share_P[groups], 1.0))

    def _count_faults(self, faults: list[str], rewards_B: Any) -> int:
        if faults:
            self._say("detector", "a completion could not be read and is left to the trainer as it is: %s", faults[0])
        infinite = int(np.isinf(as_float(rewards_B)).sum())
        if infinite:
            self._say("infinite", "a reward is infinite: its rollout is not trained on and does not vote")
        return len(faults) + infinite

    def _give_back(self, advantages_B: Any, error: Exception) -> Judged:
        """The host's advantages, after a fault."""
        self._say("guard", "the guard failed, the trainer's own advantages are used: %r", error, trace=True)
        count = len(advantages_B)
        ones, metrics = np.ones(count), {"rlguard/faults": float(count)}
        return Judged(advantages_B, ones, ones.astype(bool), 1.0, [""] * count, metrics)

    def _say(self, kind: str, message: str, *values: Any, trace: bool = False) -> None:
        """Logs a warning of one kind once in the guard's life."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("rlguard: " + message + " (logged once)", *values, exc_info=trace)

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state, saved with the trainer's checkpoint."""
        failures = self._failures.tolist()
        return {"tracker": self.tracker.state_dict(), "chance": self.chance.state_dict(), "failures": failures}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.tracker.load_state_dict(state["tracker"])
        self.chance.load_state_dict(state["chance"])
        self._failures = np.array(state.get("failures", [0.0, 0.0]))

    def save(self, path: str | Path) -> None:
        """Writes the state as one JSON file, whole or not at all."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(self.state_dict()))
        partial.replace(path)

    def load(self, path: str | Path) -> None:
        """Restores what `save` wrote; a missing file is logged, and the guard starts anew."""
        path = Path(path)
        if path.exists():
            self.load_state_dict(json.loads(path.read_text()))
        else:
            logger.warning("%s is missing: the guard resumes knowing nothing of the earlier steps", path)
