"""The repetition detectors of others, for the same table: provenir 0.8 and TRL's repetition penalty.

    pip install provenir==0.8.0        # only here; rlguard does not need it

Each claims `answer_repetition` and `text_loop` with one flag. provenir runs as shipped (4-grams, above 0.5) and with
its threshold tuned; TRL's penalty is a reward and has no threshold, so it always gets a tuned one. Tuned means: on the
honest completions of the tune split at most 1 % are flagged.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CLAIMED = ("answer_repetition", "text_loop")
_TOKEN = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")

Flags = list[bool]


@dataclass(frozen=True)
class Baseline:
    """A detector of repetition with one flag a completion."""

    name: str
    prepare: Callable[[Sequence[str]], Sequence]
    """What the detector is given of the texts; its time does not count."""
    flag: Callable[[Sequence], Flags]
    threshold: float


def choose_threshold(honest_scores: Sequence[float], rate: float = 0.01) -> float:
    """The lowest threshold above which at most `rate` of the honest scores lie.

    >>> choose_threshold([0.1] * 98 + [0.2, 0.7]), choose_threshold([0.3, 0.1], 0.0)
    (0.2, 0.3)
    """
    ordered = sorted(honest_scores, reverse=True)
    return ordered[int(rate * len(ordered))]


def token_ids(text: str) -> list[int]:
    """Ids of words, single digits and marks, for a reward that wants token ids.

    No tokenizer is at hand that real models use; theirs cut digits and marks alike, and common words not at all.
    """
    return [zlib.crc32(token.encode()) for token in _TOKEN.findall(text)]


def load_baselines(honest_texts: Sequence[str], rate: float = 0.01) -> tuple[list[Baseline], list[str]]:
    """The baselines that are installed, with thresholds from the honest texts of the tune split.

    Returns:
        The baselines, and a line for each that could not run, which says what it lacked.
    """
    found: list[Baseline] = []
    skipped: list[str] = []
    for name, load in (("provenir", _load_provenir), ("TRL", _load_trl)):
        try:
            found += load(honest_texts, rate)
        except ImportError as error:
            skipped.append(f"SKIPPED {name}: {error}")
    return found, skipped


def _load_provenir(honest_texts: Sequence[str], rate: float) -> list[Baseline]:
    import provenir
    from provenir.observability import RewardHackingConfig, RewardHackingDetector

    def make(label: str, limit: float) -> Baseline:
        detector = RewardHackingDetector(RewardHackingConfig(repetition_ratio_max=limit))

        def flag(rows: Sequence[dict]) -> Flags:  # its other signals (length, capitals) are not about repetition
            return [any(signal.kind == "degenerate_repetition" for signal in detector.detect(row)) for row in rows]

        return Baseline(
            f"provenir {provenir.__version__} {label}", lambda texts: [{"response": t} for t in texts], flag, limit
        )

    shipped = RewardHackingConfig().repetition_ratio_max
    found = [make("as shipped", shipped)]
    if honest_texts:
        measure = RewardHackingDetector()._repetition_ratio  # not public; only used to choose the threshold
        scores = [measure(text) for text in honest_texts]
        found.append(make("tuned", max(choose_threshold(scores, rate), 1e-9)))  # it wants more than 0
    return found


def _load_trl(honest_texts: Sequence[str], rate: float) -> list[Baseline]:
    from trl.rewards import get_repetition_penalty_reward

    if not honest_texts:
        return []
    reward = get_repetition_penalty_reward()
    limit = choose_threshold([-penalty for penalty in reward([token_ids(text) for text in honest_texts])], rate)
    return [
        Baseline(
            "TRL repetition penalty, tuned",
            lambda texts: [token_ids(text) for text in texts],  # a trainer has the ids anyway
            lambda ids: [-penalty > limit for penalty in reward(ids)],
            limit,
        )
    ]
