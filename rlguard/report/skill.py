"""What the guard makes of each prompt: the posterior by which its sampler chooses and its rewrite weighs luck."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from rlguard.guard.guard import Guard
from rlguard.guard.reading import read_evidence
from rlguard.luck.model import LuckModel
from rlguard.luck.settings import LuckSettings
from rlguard.report.load import Row, Run, find_trainings
from rlguard.sampling.sampler import PromptSampler
from rlguard.types import Rollout

STATES = ("rlguard_state.json", "checkpoint-*/rlguard_state.json")
"""Where a guard's state lies in the folder of a training."""


def judge_prompts(run: Run, rows: Sequence[Row], rollouts: Sequence[Rollout]) -> None:
    """Adds to each row `skill` (expected share of rollouts that solve it), `impossible` (P(skill < 0.02)) and `luck`
    (how often one that does not solve it passes); all None where nothing is known.

    The model of luck is the one that a training's guard has saved. Where none was, one is made, and observes what a
    guard would have: the rollouts of the last training, or of the store, step by step. `Run.judge` says which it was.
    """
    names, sound = ("successes", "trials", "chance"), np.full((len(rows), 3), np.nan)
    for own, row in zip(sound, rows, strict=True):
        successes, trials, chance = (np.nan if row[name] is None else float(row[name]) for name in names)
        own[:2] = (successes, trials) if 0 <= successes <= trials else np.nan
        own[2] = chance if 0 <= chance <= 1 else np.nan
    run.judge, luck = next(_read_guards(run, [row["id"] for row in rows]), None) or _observe(run, rows, sound, rollouts)
    seen = luck.find(row["id"] for row in rows) >= 0
    judged = np.flatnonzero(seen | (sound[:, 1] > 0))
    if not len(judged):
        return
    sampler = PromptSampler(len(rows), 2, None, luck, *sound.T)
    sampler.observe(np.flatnonzero(seen), [rows[place]["id"] for place in np.flatnonzero(seen)])
    known = sampler.posterior(judged)
    for place, *figures in zip(judged.tolist(), known.mean_P, known.impossible_P, known.chance_P, strict=True):
        rows[place].update(
            zip(("skill", "impossible", "luck"), (round(float(figure), 4) for figure in figures), strict=True)
        )


def _read_guards(run: Run, prompt_ids: Sequence[str]) -> Iterator[tuple[str, LuckModel]]:
    """The models of luck that guards have saved and that know some of the prompts; the last training's first."""
    folders = [(name, folder) for name, folder in find_trainings(run.path) if name in run.arms]
    for name, folder in sorted(folders, key=lambda item: -[*run.arms].index(item[0])):
        saved = [path for pattern in STATES for path in folder.glob(pattern)]
        guard = Guard()
        if saved:
            newest = max(saved, key=lambda path: path.stat().st_mtime)
            try:
                guard.load_state_dict(json.loads(newest.read_bytes()))
            except ValueError as error:
                run.notes.append(f"{run.show(newest)} was left out: {error}.")
        if (guard.luck.find(prompt_ids) >= 0).any():
            yield f"the guard of {name}", guard.luck


def _observe(run: Run, rows: Sequence[Row], offline: np.ndarray, rollouts: Sequence[Rollout]) -> tuple[str, LuckModel]:
    """A model that observes the rollouts of the last training that has any, else all; a step is a batch. Counts from
    before a training weigh as little as they do in a guard, those of the model itself count in full."""
    place = {row["id"]: place for place, row in enumerate(rows)}
    arm = next((name for name in reversed(run.arms) if any(one.source == name for one in rollouts)), None)
    luck = LuckModel(settings=LuckSettings() if arm else LuckSettings(offline_trials=math.inf))
    own = [one for one in rollouts if one.prompt_id in place and (arm is None or one.source == arm)]
    for _, batch in groupby(sorted(own, key=_step), key=_step):
        evidence, outcomes, groups = [], [], []
        for one in batch:
            at = place[one.prompt_id]
            successes, trials, chance = offline[at] if arm else (np.nan, np.nan, offline[at, 2])  # not its own counts
            row = {"answer": rows[at]["answer"] if one.gold is None else one.gold, "rlguard_id": one.prompt_id,
                   "rlguard_successes": successes, "rlguard_trials": trials, "rlguard_chance_rate": chance}  # fmt: skip
            evidence.append(read_evidence(rows[at]["text"], one.completion, row, detectors=False))
            outcomes.append(np.nan if np.isnan(one.outcome) else float(one.outcome == 1))
            groups.append(at)
        luck.observe(evidence, np.array(outcomes), np.unique(groups, return_inverse=True)[1])
    return f"a guard that reads the rollouts of {arm or run.name}", luck


def _step(rollout: Rollout) -> int:
    return -1 if rollout.step is None else rollout.step
