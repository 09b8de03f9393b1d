r"""Texts that are made to take time or memory, for verifiers (through the pool) and for what reads completions.

Verifiers: within the time limit, no answer judged right that is not, memory bounded. Readers: time in proportion to
the length, which two sizes tell.
"""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

TIMEOUT_S, MEMORY_GB = 2.0, 1.0
SMALL, LARGE = 250_000, 1_000_000
SLOWEST_S = 4.0
"""Of a megabyte, in one reader, on one core."""

BOMBS: dict[str, Callable[[int], str]] = {
    "brackets": lambda n: "(" * n,
    "bracket pairs": lambda n: "(" * (n // 2) + ")" * (n // 2),
    "square and curly": lambda n: "[{" * (n // 2),
    "digits": lambda n: "9" * n,
    "decimals": lambda n: "0." + "3" * n,
    "grouped digits": lambda n: "1" + ",000" * (n // 4),
    "sum": lambda n: "1+" * (n // 2) + "1",
    "product": lambda n: "9*" * (n // 2) + "9",
    "powers": lambda n: "9^" * (n // 2) + "9",
    "factorials": lambda n: "9" + "!" * n,
    "nested powers": lambda n: "9^{" * (n // 4) + "9" + "}" * (n // 4),
    "nested fractions": lambda n: "\\frac{1}{" * (n // 10) + "4" + "}" * (n // 10),
    "nested roots": lambda n: "\\sqrt{" * (n // 7) + "4" + "}" * (n // 7),
    "nested boxes": lambda n: "\\boxed{" * (n // 8) + "4" + "}" * (n // 8),
    "many boxes": lambda n: "\\boxed{5} " * (n // 10),
    "open tags": lambda n: "<answer>" * (n // 8),
    "think tags": lambda n: "<think></think>" * (n // 15),
    "dollars": lambda n: "$ " * (n // 2),
    "spaces": lambda n: " " * n,
    "newlines": lambda n: "\n" * n,
    "stars": lambda n: "**" * (n // 2),
    "one letter": lambda n: "a" * n,
    "phrases": lambda n: "the answer is " * (n // 14),
    "hashes": lambda n: "#### " * (n // 5),
    "equations": lambda n: "1+1=3; " * (n // 7),
    "chain": lambda n: "1=" * (n // 2) + "1",
    "mods": lambda n: "1 mod " * (n // 6),
    "commas": lambda n: "1," * (n // 2),
    "units": lambda n: "1 cm " * (n // 5),
    "zero width": lambda n: "\u200b" * n,
    "combining": lambda n: "e" + "\u0301" * n,
    "surrogates": lambda n: "\ud800" * n,
    "nul": lambda n: "\0" * n,
    "matrix": lambda n: "\\begin{pmatrix}" + "1&" * (n // 2) + "1\\end{pmatrix}",
    "set": lambda n: "\\{" + "1," * (n // 2) + "1\\}",
    "dates": lambda n: "2026-11-28 " * (n // 11),
    "words as numbers": lambda n: "hundred thousand " * (n // 17),
}
SMALL_BOMBS = {
    "tower": "9^{9^{9^{9^{9}}}}", "tower*": "9**9**9**9", "factorial": "100000000!", "double factorial": "(10000!)!",
    "binomial": "\\binom{10^9}{5 \\cdot 10^8}", "root of a tower": "\\sqrt{9^{9^{9^9}}}",
    "sum": "\\sum_{i=1}^{10^{12}} i^9", "product": "\\prod_{i=1}^{10^9} i", "integral": "\\int_0^1 x^{x^{x^{x^x}}} dx",
    "limit": "\\lim_{x\\to 0} x^{x^{x^x}}",
    "exponent": "1e999999999", "repeat": "'a'*10**10", "import": "__import__('os').system('true')",
    "modulo": "7^{10^{18}} \\mod 10^{18}", "interval": "[0, 10^{10^{10}}]", "product of sums": "(x+1)^{100000}",
    "small fraction": "1e-999999999", "percent": "9^9^9^9\\%", "degrees": "\\sin(9^{9^{9}}^\\circ)",
}  # fmt: skip
ENDINGS = ("{}", "\\boxed{{{}}}", "The answer is {}.", "<answer>{}</answer>", "#### {}")
GOLDS = ("4", "\\frac{1}{2}", "x^2+1", "Yes", "9^{9^{9^{9}}}")


def bomb_verifiers() -> Iterator[dict[str, Any]]:
    """Each verifier on each bomb, in one or two endings, against a gold answer: outcome, and seconds."""
    from rlguard.types import Problem
    from rlguard.verify.pool import VerifierPool
    from rlguard.verify.verifiers import pick_verifier

    texts = {name: make(LARGE) for name, make in BOMBS.items()} | {f"small {n}": t for n, t in SMALL_BOMBS.items()}
    for verifier in ("auto", "exact", "numeric"):
        with VerifierPool(pick_verifier(verifier), 1, TIMEOUT_S, MEMORY_GB) as pool:
            for number, (name, text) in enumerate(texts.items()):
                gold = GOLDS[number % len(GOLDS)]
                for ending in ENDINGS[1:2] if name.startswith("small") else (ENDINGS[1], ENDINGS[2 + number % 3]):
                    begin = time.perf_counter()
                    pool.submit(0, [ending.format(text)], Problem("p", "What is it?", gold))
                    [(_, [(outcome, _)])] = pool.collect(block=True)
                    seconds = time.perf_counter() - begin
                    limit = TIMEOUT_S + 70 if number == 0 else 3 * TIMEOUT_S + 5  # a new process loads math-verify
                    same = text == gold
                    wrong = f"{seconds:.1f} s" if seconds > limit else ""
                    wrong = "judged right" if outcome == 1.0 and not same else wrong
                    yield {"what": f"verifier {verifier}", "bomb": name, "ending": ending, "gold": gold,
                           "seconds": seconds, "outcome": None if math.isnan(outcome) else outcome,
                           "wrong": wrong}  # fmt: skip
            counts = pool.counts
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        yield {"what": f"verifier {verifier}", "bomb": "all", "counts": counts, "peak MB": peak,
               "wrong": f"{peak:.0f} MB" if peak > 1024 * (MEMORY_GB + 1) else ""}  # fmt: skip


def bomb_readers() -> Iterator[dict[str, Any]]:
    """What reads a completion in the trainer's process or in a scan: seconds at two lengths."""
    from rlguard import Guard, GuardConfig, detect_shortcuts
    from rlguard.answers import extract_answer, normalise_answer, read_gold, read_quantity

    def guard(text: str) -> None:
        Guard(GuardConfig(workers=0)).apply(
            [1.0, -1.0],
            [1.0, 0.0],
            prompts_B=["q", "q"],
            completions_B=[text, "answer 4"],
            rows_B=[{"answer": "4"}] * 2,
        )

    readers: dict[str, Callable[[str], Any]] = {
        "extract_answer": extract_answer, "normalise_answer": normalise_answer, "read_gold": read_gold,
        "read_quantity": read_quantity, "guard": guard,
        "detect_shortcuts": lambda text: detect_shortcuts([text, "answer 4"], ["What is 2 + 2?"] * 2),
        "detect_shortcuts, as prompt": lambda text: detect_shortcuts(["2 + 2 = 4, answer 4"] * 2, [text, "2 + 2?"]),
        "detect_shortcuts, as gold": lambda text: detect_shortcuts(["answer 4"] * 2, ["2+2?"] * 2, [text, "4"]),
    }  # fmt: skip
    for reader, read in readers.items():
        read("warm 1 + 1 = 2, answer 4")
        for name, make in BOMBS.items():
            for ending in ("{}", "The answer is {}"):
                wrong, seconds = "", []
                for size in (SMALL, LARGE):
                    begin = time.process_time()
                    try:
                        read(ending.format(make(size)))
                    except Exception as error:
                        wrong = f"{type(error).__name__}: {error!s:.80}"
                    seconds.append(time.process_time() - begin)
                if seconds[1] > SLOWEST_S:
                    wrong = f"{seconds[0]:.2f} s at {SMALL} characters, {seconds[1]:.2f} s at {LARGE}"
                yield {"what": reader, "bomb": name, "ending": ending, "seconds": seconds[1], "wrong": wrong}
