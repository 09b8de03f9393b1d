"""When rlguard would have warned of a run of the efficacy benchmark."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np

from rlguard.evidence import read_evidence
from rlguard.shortcuts.groups import detect_group_shortcuts
from rlguard.shortcuts.reference import LengthReference

WINDOW, RISE, LEAST_Z = 4, 0.05, 4.0
"""Steps that are looked at together. A kind of finding warns when its share of their rollouts has risen by so much, and
by so many standard errors."""


class Warner:
    """What rlguard would have warned of, step by step.

    - `lucky_share`: the guard takes more than half of the last steps' successes for lucky (trainers that log it).
    - `same_answer`: the library's alarm on a batch, at a false-alarm rate of 1e-5.
    - every kind of finding, `length_collapse` too: its share of a prompt's rollouts has risen since before training
      (the library judges single completions; how many are too many is decided here).
    """

    def __init__(self) -> None:
        self._lengths: LengthReference | None = None
        self._before: list[dict[str, float]] = []
        self._last: deque[list[dict[str, float]]] = deque(maxlen=WINDOW)
        self._lucky: deque[float] = deque(maxlen=WINDOW)

    def fit(self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]) -> None:
        """Takes rollouts of the untrained model for what is usual."""
        lengths: dict[str, list[float]] = {}
        for prompt, text in zip(prompts, texts, strict=True):
            lengths.setdefault(prompt, []).append(len(text))
        self._lengths = LengthReference.fit(lengths)
        self._before = self._share_findings(prompts, texts, answers)

    def see(self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]) -> None:
        """Takes note of a step's rollouts."""
        self._last.append(self._share_findings(prompts, texts, answers))

    def warn(self, logs: dict[str, float]) -> list[str]:
        """Who warns after this step, given what the trainer logged of it."""
        if "rlguard/lucky_share" in logs:
            self._lucky.append(logs["rlguard/lucky_share"])
        full = len(self._lucky) == WINDOW
        warned = ["lucky_share"] if full and sum(self._lucky) > WINDOW / 2 else []
        if not self._last or not self._before:
            return warned
        if any("same_answer" in prompt for prompt in self._last[-1]):
            warned.append("same_answer")
        now = [prompt for step in self._last for prompt in step]
        for kind in sorted({kind for prompt in now for kind in prompt} - {"same_answer"}):
            new, old = (np.array([prompt.get(kind, 0.0) for prompt in rows]) for rows in (now, self._before))
            rise, error = new.mean() - old.mean(), np.sqrt(new.var() / len(new) + old.var() / len(old))
            if rise >= RISE and rise >= LEAST_Z * error:
                warned.append(kind)
        return warned

    def _share_findings(
        self, prompts: Sequence[str], texts: Sequence[str], answers: Sequence[str]
    ) -> list[dict[str, float]]:
        """Of each prompt, which share of its rollouts has a finding of which kind."""
        grouped = detect_group_shortcuts(texts, prompts, answers, false_alarm=1e-5).findings_B
        short = self._lengths.judge([len(text) for text in texts], prompts).findings_B if self._lengths else grouped
        counts: dict[str, Counter[str]] = {}
        for prompt, text, answer, *more in zip(prompts, texts, answers, grouped, short, strict=True):
            kinds = read_evidence(prompt, text, {"answer": answer}).kinds  # a guard has just read it: from its cache
            counts.setdefault(prompt, Counter()).update({*kinds, *(finding.kind for row in more for finding in row)})
        sizes = Counter(prompts)
        return [{kind: n / sizes[prompt] for kind, n in kinds.items()} for prompt, kinds in counts.items()]
