"""When rlguard's monitor would have warned of a run of the efficacy benchmark."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from rlguard.evidence import read_evidence
from rlguard.monitor import Monitor, MonitorConfig
from rlguard.monitor.watches import WATCHES, Watch
from rlguard.shortcuts.groups import detect_group_shortcuts
from rlguard.shortcuts.reference import LengthReference

PREFIX = "findings/"
SAME_ANSWER = Watch("findings/same_answer", (), True, 0.05, 0.3, limit=(0.0, None), window=1)
"""The library's alarm on a batch, at a false-alarm rate of 1e-5, is an alarm here."""


class Warner:
    """Shows the monitor what a user's would see: what the trainer logs, and what the guard's detectors find.

    Lengths and findings are compared with rollouts of the untrained model, all else with the run's first steps. A
    finding's share is the mean over prompts of the share of a prompt's rollouts.
    """

    def __init__(self, steps: int) -> None:
        """`steps`: of the run, among which the monitor shares its false alarms."""
        self.monitor = Monitor(MonitorConfig(watches=(SAME_ANSWER, *WATCHES), steps=steps))
        self._lengths: LengthReference | None = None
        self._before: list[dict[str, float]] = []
        self.figures: dict[str, float] = {}
        """What the monitor saw of the last step."""
        self._figures: dict[str, float] = {}
        self._prompts = 1

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
        self._prompts = len(rows)
        kinds = {kind for row in (*rows, *self._before) for kind in row}
        self._figures = {kind: float(np.mean([row.get(kind, 0.0) for row in rows])) for kind in kinds}

    def warn(self, logs: Mapping[str, float]) -> list[str]:
        """Which figures are in alarm after this step, given what the trainer logged of it."""
        for figure in self._figures:
            track = self.monitor.tracks.get(figure)
            if self._before and (track is None or track.reference is None):
                before = np.array([row.get(figure, 0.0) for row in self._before])
                spread = float(before.std(ddof=1)) / self._prompts**0.5
                self.monitor.refer(figure, float(before.mean()), spread, len(before) / self._prompts)
        self.figures, self._figures = self.monitor.read(dict(logs) | self._figures), {}
        self.monitor.see(self.monitor.step + 1, self.figures)
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
