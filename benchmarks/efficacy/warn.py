"""When rlguard's monitor warns of a run of the efficacy benchmark.

    python benchmarks/efficacy/warn.py    # judges the rows that are there again, by today's monitor

A row keeps what the monitor saw of each step, so that a change of the monitor needs no run anew.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from benchmarks.efficacy.problems import load_problems  # noqa: E402
from benchmarks.efficacy.records import write_whole  # noqa: E402
from benchmarks.efficacy.settings import BATCH, OUT, Run  # noqa: E402
from rlguard.guard.reading import read_evidence  # noqa: E402
from rlguard.monitor import Monitor, MonitorConfig  # noqa: E402
from rlguard.monitor.watches import WATCHES, Watch  # noqa: E402
from rlguard.shortcuts.groups import detect_group_shortcuts  # noqa: E402
from rlguard.shortcuts.reference import LengthReference  # noqa: E402

PREFIX = "findings/"
REFERENCE = 64, 8
"""Training prompts, and rollouts of each, that are sampled before training for the detectors to compare with."""
SAME_ANSWER = Watch("findings/same_answer", (), True, 0.05, 0.3, limit=(0.0, None), window=1)
"""The library's alarm on a batch, at a false-alarm rate of 1e-5, is an alarm here."""


class Warner:
    """Shows the monitor what a user's would see: what the trainer logs, and what the guard's detectors find.

    Lengths and findings are compared with rollouts of the untrained model, all else with the run's first steps. A
    finding's share is the mean over prompts of the share of a prompt's rollouts.
    """

    def __init__(self, steps: int, prompts: int = BATCH) -> None:
        """`steps`: of the run, among which the monitor shares its false alarms; `prompts`: of a step."""
        self.monitor = Monitor(MonitorConfig(watches=(SAME_ANSWER, *WATCHES), steps=steps))
        self._lengths: LengthReference | None = None
        self._before: list[dict[str, float]] = []
        self.figures: dict[str, float] = {}
        """What the monitor saw of the last step."""
        self._figures: dict[str, float] = {}
        self._prompts = prompts

    def fit(self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]) -> None:
        """Takes rollouts of the untrained model for what is usual."""
        lengths: dict[str, list[float]] = {}
        for prompt, text in zip(prompts, texts, strict=True):
            lengths.setdefault(prompt, []).append(len(text))
        self._lengths = LengthReference.fit(lengths)
        self._before = self._read(prompts, texts, answers)

    def see(self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]) -> None:
        """Takes note of a step's rollouts."""
        rows = self._read(prompts, texts, answers)
        kinds = {kind for row in (*rows, *self._before) for kind in row}
        self._figures = {kind: float(np.mean([row.get(kind, 0.0) for row in rows])) for kind in kinds}

    def warn(self, logs: Mapping[str, float]) -> list[str]:
        """Which figures are in alarm after this step, given what the trainer logged of it."""
        self.figures, self._figures = self.monitor.read(dict(logs) | self._figures), {}
        return self.judge(self.figures)

    def judge(self, figures: Mapping[str, float]) -> list[str]:
        """Which figures are in alarm after a step of which the monitor sees these."""
        for figure in figures:
            track = self.monitor.tracks.get(figure)
            of_rollouts = figure in ("length", "findings") or figure.startswith(PREFIX)
            if of_rollouts and self._before and (track is None or track.reference is None):
                before = np.array([row.get(figure, 0.0) for row in self._before])
                spread = float(before.std(ddof=1)) / self._prompts**0.5
                self.monitor.refer(figure, float(before.mean()), spread, len(before) / self._prompts)
        self.monitor.see(self.monitor.step + 1, dict(figures))
        return sorted(figure.removeprefix(PREFIX) for figure in self.monitor.standing)

    def _read(self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]) -> list[dict[str, float]]:
        """Of each prompt, its mean length and which share of its rollouts has a finding of which kind, or of any."""
        grouped = detect_group_shortcuts(texts, prompts, answers, false_alarm=1e-5).findings_B
        short = self._lengths.judge([len(text) for text in texts], prompts).findings_B if self._lengths else grouped
        sums: dict[str, Counter[str]] = {}
        for prompt, text, answer, *more in zip(prompts, texts, answers, grouped, short, strict=True):
            own = read_evidence(prompt, text, {"answer": answer}).kinds  # a guard has just read it: from its cache
            kinds = {*own, *(finding.kind for row in more for finding in row)}
            tally = sums.setdefault(prompt, Counter())
            tally.update({PREFIX + kind: 1 for kind in kinds} | {"length": len(text), "findings": int(bool(kinds))})
        sizes = Counter(prompts)
        return [{name: total / sizes[prompt] for name, total in tally.items()} for prompt, tally in sums.items()]


def sample_before(model: Any, tokenizer: Any, problems: Sequence[dict], seed: int) -> list[list[str]]:
    """Prompts, texts and answers of rollouts of the untrained model on what it trains on; training does not notice."""
    import torch
    from tiny_reasoner.training import generate_texts

    rows = [problems[i] for i in range(min(REFERENCE[0], len(problems))) for _ in range(REFERENCE[1])]
    prompts = [row["prompt"] for row in rows]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        texts = generate_texts(model, tokenizer, prompts, temperature=1.0)
    return [prompts, texts, [row["answer"] for row in rows]]


def judge_again(row: dict[str, Any], fitted: Warner) -> dict[str, Any]:
    """The row with the warnings of today's monitor, given one that knows the untrained model's rollouts."""
    warner, curve = deepcopy(fitted), []
    for point in row["curve"]:
        warnings: dict[str, int] = {}
        for seen in point["figures"]:
            figures = {name: value for name, value in seen.items() if name != "step"}
            for name in warner.judge(figures):
                warnings.setdefault(name, seen["step"])
        curve.append(point | {"warnings": warnings})
    return row | {"curve": curve}


def main() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    models: dict[Path, tuple[Any, Any]] = {}
    fitted: dict[str, Warner] = {}
    changed = 0
    paths = sorted((out / "runs").glob("*.json"))
    for path in paths:
        row = json.loads(path.read_text())
        settings = Run(**{name: row[name] for name in Run.__dataclass_fields__})
        if row["kept"] < BATCH:
            continue  # nothing was trained
        folder, problems = load_problems(settings, out)
        if folder not in models:
            models[folder] = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        key = json.dumps([problems[: REFERENCE[0]], settings.seed, settings.steps])
        if key not in fitted:
            fitted[key] = Warner(settings.steps)
            fitted[key].fit(*sample_before(*models[folder], problems, settings.seed))
        judged = judge_again(row, fitted[key])
        changed += judged != row
        write_whole(path, judged)
    print(f"{changed} of {len(paths)} rows have other warnings than before")


if __name__ == "__main__":
    main()
