"""The guard that a trainer's adapter calls once a batch: it reads and judges the rollouts and says what to train on."""

from __future__ import annotations

import json
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

from rlguard.guard.reading import EvidenceReader, find_column, leave_unread
from rlguard.guard.rewrite import (
    as_array,
    as_float,
    check_outcomes,
    number_groups,
    put_rows,
    rewrite_groups,
    take_rows,
)
from rlguard.guard.settings import MIN_WEIGHT_UNSCALED, GuardConfig
from rlguard.guard.shaped import keep_paid_size, read_success_reward
from rlguard.guard.silent import find_silent
from rlguard.guard.size import StepSize
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel
from rlguard.sampling import BatchChooser
from rlguard.tables.files import replace_file
from rlguard.types import Messages

__all__ = ["Guard", "GuardConfig", "Judged"]

logger = logging.getLogger(__name__)

GOLD_COLUMNS = ("answer", "solution", "ground_truth", "reward_model.ground_truth", "label", "gold", "target", "gt")
"""Where data sets keep their gold answers."""
ROW = "rlguard_row"
"""Column with the place of each prompt in the data; a rollout without one is not learnt by the sampler."""
BARREN = 10
"""Batches in which no reward passes the threshold before that is said."""
STATE = 4
"""Version of what `Guard.state_dict` gives."""
MOST = 1e15
"""No count in a state comes near it."""
SAVE_REST = 20
"""So many times its duration must pass after a write of the state: writing takes at most 1/21 of the time."""


@dataclass(frozen=True)
class Judged:
    """What the guard says of a batch of B rollouts."""

    advantages_B: Any
    """(B,) what to train on: numpy or torch as the host's own, and the host's own object in the mode `observe`."""
    step_scale: float
    """What to multiply the learning rate of this batch's steps with, in [0, 1]; 1 where the guard was told that the
    trainer cannot (`scales_steps`), and then the advantages keep their own size."""
    genuine_B: np.ndarray
    """(B,) calibrated probability that a success is genuine; NaN for other rollouts."""
    weights_B: np.ndarray
    """(B,) what acts: how a success counts relative to the others, in [0, 1]; all 1 where `genuine` cannot tell
    them apart."""
    trained_B: np.ndarray
    """(B,) which rollouts to keep in the loss: all but those of silent groups, under `mask_silent`."""
    kinds_B: list[str]
    """(B,) kinds of the findings in each completion, comma-separated."""
    metrics: dict[str, float]
    """What to log, named `rlguard/...`."""


class Guard:
    """Remembers what training has shown of its prompts; judges and rewrites one batch at a time.

    The guard never ends a training run, unless `GuardConfig.on_fault` says so: a fault is logged once and counted in
    `rlguard/faults`, and the trainer goes on with its own advantages.
    """

    def __init__(
        self,
        config: GuardConfig | None = None,
        *,
        scales_steps: bool = True,
        cannot_mask: str = "",
        state_file: str | Path | None = None,
        resume: bool | str | Path = True,
    ) -> None:
        """
        Args:
            config: Settings; None takes the defaults.
            scales_steps: Whether the trainer multiplies its learning rate with `Judged.step_scale`.
            cannot_mask: Why the trainer cannot leave rollouts out of its loss, and what to do instead, if it cannot.
            state_file: Where to write the state after each batch, for a trainer whose checkpoints cannot hold it.
            resume: Read `state_file` first, if it exists; or another file.

        Raises:
            ValueError: For `mask_silent` in a trainer that cannot mask, or another config than a `GuardConfig`.
        """
        if not isinstance(config, GuardConfig | None):
            raise ValueError(f"config: expected a GuardConfig, got {config!r:.60}: GuardConfig.from_options makes one")
        self.config = config or GuardConfig()
        if self.config.mask_silent and cannot_mask:
            raise ValueError(f"GuardConfig.mask_silent: {cannot_mask}")
        self.scales_steps = scales_steps and self.config.scale_steps
        least = 0.0 if self.scales_steps else MIN_WEIGHT_UNSCALED
        self.min_weight = least if self.config.min_weight is None else self.config.min_weight
        self.luck = LuckModel(self.config.decay, self.config.max_prompts, self.config.luck)
        self.size = StepSize(self.config.luck)
        self.reader = EvidenceReader(self.config.answer_column, self.config.detectors, self.config.workers)
        self._success_reward = 1.0  # until a success was seen
        self._kinds: set[str] = set()  # of findings that were seen so far
        self._said: set[str] = set()
        self._named = False  # whether a score of the name `outcome_reward` was reported
        self._barren = 0  # batches without a success so far; -1 once there was one
        self.outcome_name = f"outcome_reward {self.config.outcome_reward!r}"
        self.chooser: BatchChooser | None = None
        """Chooses prompts and learns each batch, where a trainer lets it (`rlguard.sampling`)."""
        self.step_scale = 1.0
        """`Judged.step_scale` of the batch judged last."""
        self._state_file = None if state_file is None else Path(state_file)
        self._next_save = -math.inf
        if isinstance(resume, str | Path):
            self.load(resume)
        elif resume and self._state_file is not None and self._state_file.exists():
            self.load(self._state_file)

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
        speaker_B: Any = None,
    ) -> Judged:
        """Reads the texts of a batch of B rollouts, judges it and learns from it.

        Args:
            advantages_B: (B,) the host's advantages, numpy or torch; NaN and infinite ones become 0.
            rewards_B: (B,) rewards paid for correctness; NaN or None could not be judged.
            prompts_B: Text or chat messages.
            completions_B: Text or chat messages; None where there is none.
            rows_B: The data set's rows: gold answer, `rlguard_*` columns (`rlguard_row` is the prompt's place in the
                data, for `chooser`). None when the trainer has none.
            outcomes_B: (B,) 1 correct, 0 wrong, NaN unknown; None takes rewards above `success_threshold` for correct.
            group_ids_B: (B,) numbers or names; None makes a group of the rollouts of one prompt.
            scale_B: As for `rewrite_advantages`.
            total_rewards_B: As for `rewrite_advantages`.
            speaker_B: (B,) where a rollout has several rows, the one that is judged for each of them; -1 leaves a row
                to the host. None: each row speaks for itself.
        """
        try:
            rows = [{}] * len(prompts_B) if rows_B is None else rows_B
            _check_rows(
                len(advantages_B), advantages_B=advantages_B, rewards_B=rewards_B, prompts_B=prompts_B,
                completions_B=completions_B, rows_B=rows, outcomes_B=outcomes_B, group_ids_B=group_ids_B,
                total_rewards_B=total_rewards_B, speaker_B=speaker_B,
            )  # fmt: skip
            evidence = self.reader.read(prompts_B, completions_B, rows)
            if rows and not any(item.gold for item in evidence):
                self.check_gold_column(rows[0])
            outcomes = self.read_outcomes(rewards_B) if outcomes_B is None else outcomes_B
            groups = [item.prompt_id for item in evidence] if group_ids_B is None else group_ids_B
            places = [row.get(ROW) for row in rows]
        except (Exception, SystemExit) as error:
            return self._give_back(advantages_B, error)
        return self.judge(
            evidence, advantages_B, rewards_B, outcomes, groups, scale_B, total_rewards_B, speaker_B, places
        )

    def begin(
        self,
        prompts_B: Sequence[str | Messages],
        completions_B: Sequence[str | Messages | None],
        rows_B: Sequence[Mapping[str, Any]],
    ) -> Callable[[], list[Evidence]]:
        """Begins to read a batch for `judge`, and returns at once where other processes do the work.

        Returns:
            What to call for the evidence. It does not raise: what failed stays unread.
        """

        def attempt(step: Callable[[], Any]) -> Any:
            try:
                return step()
            except (Exception, SystemExit) as error:
                logger.debug("reading failed", exc_info=True)
                return [leave_unread(prompt, error) for prompt in prompts_B]

        collect = attempt(lambda: self.reader.begin(prompts_B, completions_B, rows_B))
        return (lambda: attempt(collect)) if callable(collect) else lambda: collect

    def check_gold_column(self, row: Mapping[str, Any] | Iterable[str]) -> None:
        """Says once where a data set seems to keep its gold answers, when it is not in `answer_column`.

        Args:
            row: One of its rows, or the names of its columns.
        """
        columns = row if isinstance(row, Mapping) else {name: {"ground_truth": ""} for name in row}
        wanted = self.config.answer_column
        near = [name for name in GOLD_COLUMNS if name != wanted and find_column(columns, name) is not None]
        if near and wanted.partition(".")[0] not in columns:
            self._say(
                "gold",
                "the data has no column %r, so that chance rates are not known from gold answers; it has %r: "
                "GuardConfig(answer_column=%r)", wanted, near[0], near[0],
            )  # fmt: skip

    def read_outcomes(self, rewards_B: Any) -> np.ndarray:
        """Outcomes of rewards by `success_threshold`, (B,): 1.0, 0.0, or NaN for rewards that are not finite."""
        rewards = as_float(rewards_B)
        return np.where(np.isfinite(rewards), rewards > self.config.success_threshold, np.nan)

    def read_named(self, rewards_B: Any, reported_B: Sequence[Any], usual: str = "") -> np.ndarray:
        """Outcomes, (B,), by the score that is named; by the rewards if no rollout of the batch has it.

        Args:
            rewards_B: (B,) whole rewards.
            reported_B: (B,) scores by name, as a reward function reports them; what is no mapping reports nothing.
            usual: The name, unless `GuardConfig.outcome_reward` gives one.

        Raises:
            ValueError: If `outcome_reward` names a score that was never reported.
        """
        wanted = self.config.outcome_reward if isinstance(self.config.outcome_reward, str) else ""
        told_B = [told if isinstance(told, Mapping) else {} for told in reported_B]
        if any((wanted or usual) in told for told in told_B):
            self._named = True
        elif wanted and not self._named:
            known = sorted({name for told in told_B for name in told})
            raise ValueError(f"outcome_reward: expected one of {known} (reported), got {wanted!r}")
        elif not wanted:
            return self.read_outcomes(rewards_B)
        return self.read_outcomes([told.get(wanted or usual) for told in told_B])

    def clean_rewards(self, rewards: Any) -> Any:
        """A tensor of rewards with NaN for infinite ones, for a host that leaves NaN out of its baseline; in the mode
        `observe` the tensor itself."""
        return rewards if self.config.mode == "observe" else rewards.where(~rewards.isinf(), math.nan)

    def judge(
        self,
        evidence_B: Sequence[Evidence],
        advantages_B: Any,
        rewards_B: Any,
        outcomes_B: Any,
        group_ids_B: Any,
        scale_B: Any = None,
        total_rewards_B: Any = None,
        speaker_B: Any = None,
        places_B: Any = None,
    ) -> Judged:
        """As `apply`, for texts that are read already (`Guard.reader`); places_B, (B,), are those of `rlguard_row`.

        On several ranks, call it on every rank with the gathered batch: the result is the same on all of them.
        """
        columns = evidence_B, advantages_B, rewards_B, outcomes_B, group_ids_B, scale_B, total_rewards_B, places_B
        try:
            if speaker_B is None:
                judged = self._judge(*columns)
            else:
                speaker = as_array(speaker_B)
                rows, place = np.unique(speaker, return_inverse=True)
                chosen = rows >= 0
                if rows.max(initial=-1) >= len(speaker):
                    raise ValueError(f"speaker_B: expected rows below {len(speaker)}, got {rows.max()}")
                judged = self._judge(*(take_rows(values, rows[chosen]) for values in columns))
                judged = _spread_rows(judged, advantages_B, np.where(speaker >= 0, place - (~chosen).sum(), -1))
        except (Exception, SystemExit) as error:
            return self._give_back(advantages_B, error)
        self.step_scale = judged.step_scale
        self._save_state_file()
        if judged.metrics:
            logger.info("%s", judged.metrics)  # for trainers that have no log of their own for it
        return replace(judged, advantages_B=advantages_B) if self.config.mode == "observe" else judged

    def _judge(
        self,
        evidence_B: Sequence[Evidence],
        advantages_B: Any,
        rewards_B: Any,
        outcomes_B: Any,
        group_ids_B: Any,
        scale_B: Any,
        total_rewards_B: Any,
        places_B: Any,
    ) -> Judged:
        if not len(evidence_B):
            return _leave_to_host(advantages_B, {})
        outcomes = check_outcomes(outcomes_B)
        self._watch_outcomes(outcomes, rewards_B)
        groups, first_P = number_groups(group_ids_B)
        success, paid = outcomes > 0, rewards_B if total_rewards_B is None else total_rewards_B
        sized = keep_paid_size(advantages_B, paid, outcomes, groups, self._see_success_reward(rewards_B, outcomes))
        genuine, metrics = self._learn(evidence_B, outcomes, groups, first_P)
        # What pushes a failure, such as its format, was meant; not so where it is a bare answer.
        meant = np.where(success, genuine, [not evidence.bare for evidence in evidence_B])
        known = ~np.isnan(outcomes)  # what could not be judged says nothing of the push
        weights = self.size.weigh(meant, success, np.where(known, as_float(sized), 0.0))
        weights[success & (genuine < self.min_weight)] = 0.0
        faults = [row for row, evidence in enumerate(evidence_B) if evidence.fault]
        weights[faults] = 1.0  # what could not be read stays the host's
        changed, kept = rewrite_groups(sized, rewards_B, outcomes, groups, weights, scale_B, total_rewards_B)
        size, reference = self.size.measure(meant, *(np.where(known, v, 0.0) for v in (kept, as_float(changed))))
        metrics |= {"rlguard/step_scale": size * reference, "rlguard/size": size}
        if success.any():
            metrics["rlguard/weight_mean"] = float(weights[success].mean())
        said = [f"row {row}: {evidence_B[row].fault}" for row in faults]
        metrics["rlguard/faults"] = float(self._count_faults(said, paid))
        silent = find_silent(sized, changed, paid, groups)
        metrics["rlguard/silent_groups"] = float(silent[first_P].mean())
        trained = ~silent if self.config.mask_silent and self.config.mode != "observe" else np.ones(len(silent), bool)
        changed[~trained] = 0.0
        if self.chooser is not None and places_B is not None:
            rows = [row for row, place in enumerate(places_B) if place is not None]
            names = [evidence_B[row].prompt_id for row in rows]
            metrics |= self.chooser.observe([places_B[row] for row in rows], names, outcomes[rows])
        scales = self.scales_steps and self.config.mode != "observe"
        return Judged(
            # At the host's size where the learning rate carries the scale: with the smaller advantages Adam's running
            # size of the gradient would shrink too, and a rare full batch take a step many times the usual.
            advantages_B=changed / reference if scales and 0 < reference < 1 else changed,
            step_scale=size * reference if scales else 1.0,
            genuine_B=np.where(success, genuine, np.nan),
            weights_B=weights,
            trained_B=trained,
            kinds_B=[",".join(evidence.kinds) for evidence in evidence_B],
            metrics=metrics,
        )

    def _see_success_reward(self, rewards_B: Any, outcomes: np.ndarray) -> float:
        """By how much a success is paid more than a failure: as set, else as the last batch with both showed."""
        if self.config.success_reward is not None:
            return self.config.success_reward
        seen = read_success_reward(rewards_B, outcomes)
        self._success_reward = seen if seen > 0 else self._success_reward
        return self._success_reward

    def _learn(
        self, evidence_B: Sequence[Evidence], outcomes: np.ndarray, groups: np.ndarray, first_P: np.ndarray
    ) -> tuple[np.ndarray, dict[str, float]]:
        """(B,) P(genuine) of each rollout, were it a success, and what to log; the batch is learnt."""
        scored, success = ~np.isnan(outcomes), outcomes > 0
        trials_P, successes_P = (np.bincount(groups, rows, len(first_P)) for rows in (scored, success))
        genuine_B = self.luck.observe(evidence_B, outcomes, groups)
        flat = (successes_P == 0) | (successes_P == trials_P)
        metrics = self._count_findings(evidence_B) | {
            "rlguard/flagged_share": sum(map(bool, map(attrgetter("kinds"), evidence_B))) / len(evidence_B),
            "rlguard/unscored_share": float(1 - scored.mean()),
            "rlguard/flat_groups": float(flat.mean()),
            "rlguard/unsolved_groups": float(((successes_P == 0) & (trials_P > 0)).mean()),
        }
        if success.any():
            metrics["rlguard/lucky_share"] = float(1 - genuine_B[success].mean())
        metrics["rlguard/chance_rate"] = self.luck.chance_rate
        if not scored.any():
            self._say("unscored", "no rollout of a batch could be judged: the verifier gave no outcome")
        elif flat.all():
            self._say("flat", "no group of a batch has both right and wrong rollouts: nothing to judge in it")
        return genuine_B, metrics

    def _count_findings(self, evidence_B: Sequence[Evidence]) -> dict[str, float]:
        """Share of the rollouts with a finding of each kind that was ever seen."""
        counts = Counter(kind for evidence in evidence_B for kind in evidence.kinds)
        self._kinds |= counts.keys()
        return {f"rlguard/findings/{kind}": counts[kind] / len(evidence_B) for kind in sorted(self._kinds)}

    def _watch_outcomes(self, outcomes_B: np.ndarray, rewards_B: Any) -> None:
        """Says so when nothing ever counts as a success: it may be the wrong reward, or the wrong threshold."""
        if self._barren >= 0:
            scored = ~np.isnan(outcomes_B)
            self._barren = -1 if (outcomes_B > 0).any() else self._barren + bool(scored.any())
        if self._barren == BARREN:
            rewards = as_float(rewards_B)[scored]
            self._say(
                "barren",
                "no rollout of %d batches counts as a success: %s lies in [%g, %g], and a success is above "
                "success_threshold %g. Set that, or outcome_reward if another reward tells correctness",
                BARREN, self.outcome_name, rewards.min(), rewards.max(), self.config.success_threshold,
            )  # fmt: skip

    def _count_faults(self, faults: list[str], rewards_B: Any) -> int:
        if faults and self.config.on_fault == "raise":
            raise RuntimeError(f"a completion could not be read: {faults[0]}")
        if faults:
            self._say("detector", "a completion could not be read and is left to the trainer as it is: %s", faults[0])
        infinite = int(np.isinf(as_float(rewards_B)).sum())
        if infinite:
            self._say("infinite", "a reward is infinite: its rollout is not trained on and does not vote")
        return len(faults) + infinite

    def _give_back(self, advantages_B: Any, error: BaseException) -> Judged:
        """The host's advantages, after a fault."""
        if self.config.on_fault == "raise":
            raise error
        self.step_scale = 1.0
        self._say("guard", "the guard failed, the trainer's own advantages are used: %r", error, trace=True)
        return _leave_to_host(advantages_B, {"rlguard/faults": float(len(advantages_B))})

    def _say(self, kind: str, message: str, *values: Any, trace: bool = False) -> None:
        """Logs a warning of one kind once in the guard's life."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("rlguard: " + message + " (logged once)", *values, exc_info=trace)

    def state_dict(self) -> dict[str, Any]:
        """JSON-serialisable state, saved with the trainer's checkpoint."""
        return {"version": STATE, "luck": self.luck.state_dict(), "size": self.size.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            ValueError: If it is no guard's state, or one of an earlier version; this guard stays as it was.
        """
        known = self.state_dict()
        if isinstance(state, Mapping) and ("tracker" in state or state.get("version", STATE) != STATE):
            raise ValueError(
                "a guard's state of rlguard 0.1 or an earlier 0.2, which had another model of luck: start without it; "
                "what it knew is learnt again within some batches"
            )
        try:
            _check_numbers([state["size"], {**state["luck"], "seen": {}}])  # of `seen` a row that is none is left out
            self.luck.load_state_dict(state["luck"])
            self.size.load_state_dict(state["size"])
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            self.luck.load_state_dict(known["luck"])
            self.size.load_state_dict(known["size"])
            raise ValueError(f"expected what Guard.state_dict gives, got another state ({error!r})") from error

    def save(self, path: str | Path) -> None:
        """Writes the state as one JSON file, whole or not at all; where it cannot be written, that is said once."""
        try:
            if "://" in str(path):
                raise ValueError(f"{path} is no local file")
            replace_file(path, json.dumps(self.state_dict()))
        except (OSError, ValueError) as error:
            self._say("save", "the guard's state could not be written: %s", error)

    def load(self, path: str | Path) -> None:
        """Restores what `save` wrote; where that is missing or damaged, it is logged, and the guard starts anew."""
        try:
            self.load_state_dict(json.loads(Path(path).read_bytes()))
        except FileNotFoundError:
            logger.warning("%s is missing: the guard resumes knowing nothing of the earlier steps", path)
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s: %s: the guard resumes knowing nothing of the earlier steps", path, error)

    def _save_state_file(self) -> None:
        """Writes `state_file` after a batch, unless the last write was so slow that it has to wait."""
        start = time.monotonic()
        if self._state_file is None or start < self._next_save:
            return
        self.save(self._state_file)
        end = time.monotonic()
        self._next_save = end + SAVE_REST * (end - start)


def _check_rows(rows: int, **columns: Any) -> None:
    """ValueError for a column that does not hold one entry for each rollout; None is no column."""
    for name, values in columns.items():
        if values is None:
            continue
        if isinstance(values, str | Mapping):
            raise ValueError(f"{name}: expected one entry for each of the advantages, got {values!r:.60}")
        numbers = name in ("advantages_B", "rewards_B", "outcomes_B", "total_rewards_B")
        shape = tuple(getattr(values, "shape", np.shape(values) if numbers else (len(values),)))
        if shape != (rows,):
            raise ValueError(f"{name} has shape {shape}, expected ({rows},): one entry for each of the advantages")


def _check_numbers(value: Any) -> None:
    """ValueError for a value in a state that nothing was ever counted to: it would make each later batch a fault."""
    if isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            _check_numbers(inner)
    elif not isinstance(value, int | float) or not abs(value) < MOST:
        raise ValueError(f"expected numbers below {MOST:g}, got {value!r:.60}")


def _leave_to_host(advantages_B: Any, metrics: dict[str, float]) -> Judged:
    """A batch that is left to the host."""
    count = len(advantages_B)
    return Judged(
        advantages_B, 1.0, np.full(count, np.nan), np.ones(count), np.ones(count, bool), [""] * count, metrics
    )


def _spread_rows(judged: Judged, advantages_B: Any, place_B: np.ndarray) -> Judged:
    """Gives each row what was said of its speaker, at `place_B` in `judged`; -1 leaves it to the host."""
    kinds = [judged.kinds_B[place] if place >= 0 else "" for place in place_B]
    return replace(
        judged,
        advantages_B=put_rows(advantages_B, judged.advantages_B, place_B),
        genuine_B=put_rows(np.full(len(place_B), np.nan), judged.genuine_B, place_B),
        weights_B=put_rows(np.ones(len(place_B)), judged.weights_B, place_B),
        trained_B=put_rows(np.ones(len(place_B)), judged.trained_B, place_B) > 0,
        kinds_B=kinds,
    )
