"""Verifiers: is this completion correct? 1.0, 0.0, or NaN when it could not be judged.

Each is a small object with a name, a version (part of the key under which rollouts are stored), `score` and
`extract`. `pick_verifier` turns a name from the command line into one. `pool.VerifierPool` runs one in processes of
its own, where it may hang or die; a verifier with a `prepare` method has it called there, once and before any score.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rlguard.answers import (
    extract_answer,
    normalise_answer,
    parse_number,
    read_bare,
    read_gold,
    read_golds,
    read_quantity,
)
from rlguard.types import InputError, Problem, Verifier
from rlguard.verify.compare import SUM, compare_answers, is_string, read_side
from rlguard.verify.mathematics import compare_mathematics, load_math_verify

logger = logging.getLogger(__name__)


class _Verifier(ABC):
    name = ""
    version = "1"

    def extract(self, completion: str) -> str | None:
        """The final answer in the completion, or None."""
        found = extract_answer(completion)
        return found[0] if found else read_bare(completion)

    def score(self, completion: str, problem: Problem) -> float:
        """1.0 correct, 0.0 wrong, NaN could not be judged."""
        answer = self.extract(completion)
        return 0.0 if answer is None else self.judge(answer, problem)

    @abstractmethod
    def judge(self, answer: str, problem: Problem) -> float:
        """The same, for the final answer alone."""


class Exact(_Verifier):
    """The final answer, spelled alike after normalising numbers, units, case and spaces."""

    name = "exact"
    version = "6"

    def judge(self, answer: str, problem: Problem) -> float:
        gold = read_gold(problem.answer)
        if gold is None:
            return math.nan
        right, given = read_quantity(gold), read_quantity(answer)
        if right and given and right[1] and given[1] and right[1] != given[1]:  # 25 cm are not 25 m
            return 0.0
        return float(normalise_answer(answer) == normalise_answer(gold))


class Numeric(_Verifier):
    """The final answer as a number, within a relative tolerance; whole numbers exactly. Units are not compared.

    >>> Numeric().score("The answer is 1,000.0", Problem("p", "?", "1000"))
    1.0
    """

    name = "numeric"

    def __init__(self, tolerance: float = 1e-6) -> None:
        self.tolerance = tolerance
        self.version = f"6 tolerance={tolerance}"

    def judge(self, answer: str, problem: Problem) -> float:
        gold = read_gold(problem.answer)
        right, given = (None if text is None else read_side(text) for text in (gold, answer))
        if right is None:
            return math.nan  # a gold answer that is no number cannot be judged numerically
        if given is None:
            return 0.0
        if right[0].denominator == given[0].denominator == 1:
            return float(right[0] == given[0])
        return float(abs(given[0] - right[0]) <= Fraction(self.tolerance) * max(abs(right[0]), abs(given[0])))


class Math(_Verifier):
    """What the gold answer shows to be mathematics by math-verify; numbers, options, dates and words as such.

    `compare.py` tells which. An answer that cannot be read, or not in time, is unscored. A sum of the question, said
    again where a number is wanted, is no answer.
    """

    name = "math"

    def __init__(self, timeout_s: int | None = 5) -> None:
        """
        Args:
            timeout_s: Limit per comparison in whole seconds, None for none; an answer that takes longer is unscored.
                math-verify keeps time by a signal, which only the main thread can use: elsewhere there is no limit.
        """
        self.timeout_s = timeout_s
        self.version = f"8 math-verify={_package_version('math-verify')}"

    def prepare(self) -> None:
        """Loads math-verify, and leaves the time to the pool that runs this process."""
        load_math_verify()
        self.timeout_s = None

    def judge(self, answer: str, problem: Problem) -> float:
        golds = read_golds(problem.answer)
        if not golds:
            return math.nan
        if _echoes(answer, golds, problem.text):
            return 0.0
        verdicts = [compare_answers(gold, answer, self._compare) for gold in golds]
        if len(golds) == 1 or 1.0 not in verdicts[1:]:
            return verdicts[0]
        if all(verdict == 1.0 for verdict in verdicts[1:]):  # one answer in several spellings
            return 1.0
        return 1.0 if all(is_string(gold) for gold in golds[1:]) else math.nan  # other names, or one of several answers

    def _compare(self, gold: str, given: str) -> float:
        return compare_mathematics(gold, given, self.timeout_s)


class ReasoningGym(_Verifier):
    """reasoning-gym's own `score_answer` for the task that made the row; a score of 1 is correct.

    Needs the row's `metadata` (a dict with `source_dataset`), as reasoning-gym writes it.
    """

    name = "reasoning_gym"

    def __init__(self) -> None:
        self.version = f"1 reasoning-gym={_package_version('reasoning-gym')}"

    def prepare(self) -> None:
        """Loads reasoning-gym, where it is installed."""
        with suppress(ImportError):
            import reasoning_gym  # noqa: F401

    def judge(self, answer: str, problem: Problem) -> float:
        try:
            from reasoning_gym import get_score_answer_fn
        except ImportError as error:
            raise InputError("the reasoning_gym verifier is not installed: pip install reasoning-gym") from error
        task = _reasoning_gym_task(problem)
        if task is None:
            raise InputError(
                f"row {problem.number}: the reasoning_gym verifier expected a `metadata` column with `source_dataset`, "
                f"got {problem.row.get('metadata')!r}"
            )
        entry = {"question": problem.text, "answer": str(problem.answer), "metadata": dict(problem.row["metadata"])}
        return float(get_score_answer_fn(task)(answer, entry) >= 1.0)


class Auto(_Verifier):
    """`reasoning_gym` for rows that say they come from it, `math` for the others."""

    name = "auto"

    def __init__(self) -> None:
        self._math, self._gym = Math(), ReasoningGym()
        self.version = f"{self._math.version}, {self._gym.version}"

    def prepare(self) -> None:
        """Prepares `math`; reasoning-gym takes seconds to load and is left until a row needs it."""
        self._math.prepare()

    def judge(self, answer: str, problem: Problem) -> float:
        verifier = self._math if _reasoning_gym_task(problem) is None else self._gym
        return verifier.judge(answer, problem)


VERIFIERS: dict[str, type[_Verifier]] = {v.name: v for v in (Auto, Math, Exact, Numeric, ReasoningGym)}


def pick_verifier(name: str) -> Verifier:
    """The verifier of that name.

    Raises:
        InputError: If there is none; the message lists those there are.
    """
    if name not in VERIFIERS:
        raise InputError(f"verifier {name!r} is unknown, expected one of: {', '.join(VERIFIERS)}")
    return VERIFIERS[name]()


def read_score(score: Any) -> tuple[float, str | None]:
    """A verifier's score as an outcome, and what is wrong with it: 0 and 1 are outcomes, all else is unscored.

    Returns:
        1.0 or 0.0 and None; or NaN and `nan` (the verifier says that it could not judge) or `junk`.

    >>> [read_score(score) for score in (True, 0.3, math.nan)]
    [(1.0, None), (nan, 'junk'), (nan, 'nan')]
    """
    try:
        outcome = float(score)
    except Exception:
        return math.nan, "junk"
    if outcome in (0.0, 1.0):
        return outcome, None
    return math.nan, "nan" if math.isnan(outcome) else "junk"


def score_safely(verifier: Verifier, completion: str, problem: Problem) -> float:
    """The verifier's score; NaN (and a line in the log) when it raises or returns something else than 0, 1 or NaN."""
    try:
        score = verifier.score(completion, problem)
    except InputError:
        raise
    except Exception as error:  # a verifier's fault must not count as the model's
        logger.warning(
            "verifier %s failed on row %d: %s: %s", verifier.name, problem.number, type(error).__name__, error
        )
        return math.nan
    outcome, cause = read_score(score)
    if cause == "junk":
        logger.warning("verifier %s scored %.80r on row %d, expected 0 or 1", verifier.name, score, problem.number)
    return outcome


def _echoes(answer: str, golds: Sequence[str], asked: str) -> bool:
    """Whether an answer is a sum of the question, left as it stood there, where a number is wanted: it may well equal
    the gold answer, and nothing was worked out."""
    said = "".join(answer.split()).strip("$")
    if not SUM.fullmatch(said) or said not in "".join(asked.split()) or parse_number(answer) is not None:
        return False
    return all(parse_number(gold) is not None for gold in golds)


def _reasoning_gym_task(problem: Problem) -> str | None:
    metadata = problem.row.get("metadata")
    return metadata.get("source_dataset") if isinstance(metadata, dict) else None


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
