"""Does a verifier accept the gold answers themselves?"""

from __future__ import annotations

from collections.abc import Sequence

from rlguard.types import Problem, Verifier
from rlguard.verify.pool import VerifierPool
from rlguard.verify.verifiers import score_safely


def check_gold(problems: Sequence[Problem], verifier: Verifier | VerifierPool) -> list[Problem]:
    """The problems whose own gold answer their verifier rejects or cannot judge: no rollout could ever be judged right.

    Args:
        problems: Any number.
        verifier: A verifier, or a pool with no job in it; what the pool cannot judge is in its `counts`.

    >>> from rlguard.verify.verifiers import Numeric
    >>> [p.id for p in check_gold([Problem("a", "1+1?", "2"), Problem("b", "?", "two")], Numeric())]
    ['b']
    """
    golds = [f"\\boxed{{{problem.answer}}}" for problem in problems]
    if not isinstance(verifier, VerifierPool):
        return [p for p, gold in zip(problems, golds, strict=True) if score_safely(verifier, gold, p) != 1.0]
    rejected: list[int] = []
    for number, problem in enumerate(problems):
        verifier.submit(number, [golds[number]], problem)
        while verifier.pending >= (1000 if number + 1 < len(problems) else 1):
            rejected += [job for job, results in verifier.collect(block=True) if results[0][0] != 1.0]
    return [problems[number] for number in sorted(rejected)]
