"""Does a verifier accept the gold answers themselves?"""

from __future__ import annotations

from collections.abc import Sequence

from rlguard.answers import read_gold
from rlguard.types import Problem, Verifier
from rlguard.verify.pool import VerifierPool
from rlguard.verify.verifiers import score_safely


def check_gold(problems: Sequence[Problem], verifier: Verifier | VerifierPool) -> list[Problem]:
    """The problems whose gold answer is none, or rejected by their own verifier: no rollout could ever be judged right.

    Args:
        problems: Any number.
        verifier: A verifier, or a pool with no job in it; what the pool cannot judge is in its `counts`.

    >>> from rlguard.verify.verifiers import Numeric
    >>> [p.id for p in check_gold([Problem("a", "1+1?", "2"), Problem("b", "?", "both")], Numeric())]
    ['b']
    """
    golds = [None if (gold := read_gold(p.answer)) is None else f"\\boxed{{{gold}}}" for p in problems]
    if not isinstance(verifier, VerifierPool):
        return [
            p for p, gold in zip(problems, golds, strict=True) if gold is None or score_safely(verifier, gold, p) != 1.0
        ]
    rejected = [number for number, gold in enumerate(golds) if gold is None]  # NaN, an empty list, another dict
    for number, problem in enumerate(problems):
        if (gold := golds[number]) is not None:
            verifier.submit(number, [gold], problem)
        while verifier.pending >= (1000 if number + 1 < len(problems) else 1):
            rejected += [job for job, results in verifier.collect(block=True) if results[0][0] != 1.0]
    return [problems[number] for number in sorted(rejected)]
