"""How fast texts of 1 to 64 kB are read, beside a plain count of word 4-grams and provenir, and what is found of loops.

    python benchmarks/detectors/speed.py            # prints the table; --write puts it into benchmarks/RESULTS.md

All in one process on one core, in turn, the best of some repeats: only the ratios are meant to last. The texts are
GSM8K solutions, one after the other without the mark of their answers, cut to length: half of them honest, half with a
loop of their own at the end (the last sentence over and over, a paragraph, a sentence with a counter, the answer, a
page), a fifth of the text long. Recall and false alarms are those of the very texts that are timed.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from baselines import load_baselines
from garbage import read_gsm8k

from rlguard.answers import extract_answer
from rlguard.answers.final import _find
from rlguard.shortcuts import detect_shortcuts
from rlguard.shortcuts.case import read_case
from rlguard.shortcuts.judge import find_repetition

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
BEGIN, END = "<!-- detector speed -->", "<!-- end -->"
REPETITION = ("text_loop", "answer_repetition", "garbage")
SIZES = (1_000, 4_000, 16_000, 64_000)
Reader = Callable[[str], bool]


def loop_text(rng: random.Random, text: str) -> str:
    """The text with its last fifth replaced by a loop of one of five sorts, of four rounds or more."""
    head = text[: len(text) * 4 // 5]
    size = len(text) - len(head)
    sentences = [s for s in re.split(r"(?<=[.!?])\s+", head) if 20 < len(s) < 150] or [
        "We look at it again, with care."
    ]
    sort = rng.randrange(5)
    if sort == 0:
        unit = sentences[-1] + " "
    elif sort == 1:
        unit = " ".join(sentences[-3:])[: max(size // 4 - 1, 30)] + "\n"
    elif sort == 2:
        return head + "".join(f"Attempt {i}: let me try once more.\n" for i in range(1, size))[: max(size, 220)]
    elif sort == 3:
        unit = f"The answer is {rng.randrange(100)}.\n"
    else:
        unit = head[-max(size // 4, 40) :] + "\n"
    return head + "\n" + (unit * (size // len(unit) + 1))[: max(size, 4 * len(unit))]


def make_texts(size: int, total: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Honest texts, and as many with loops, of `total` characters in all."""
    rng = random.Random(f"speed {size} {seed}")
    solutions = [text.partition("####")[0] for text in read_gsm8k()]
    honest, loops = [], []
    for _ in range(max(total // size // 2, 5)):
        texts = ["\n".join(rng.sample(solutions, size // 150 + 8))[:size] for _ in range(2)]
        honest.append(texts[0])
        loops.append(loop_text(rng, texts[1]))
    return honest, loops


def count_grams(text: str) -> bool:
    words = text.split()
    counts = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return sum(counts.values()) > 2 * max(len(counts), 1)


def load_readers() -> tuple[dict[str, Reader], list[str]]:
    readers: dict[str, Reader] = {
        "count of word 4-grams": count_grams,
        "rlguard, answer extraction alone": lambda text: extract_answer(text) is None,
        "rlguard, answer, repetition and garbage": lambda text: bool(find_repetition(read_case(text))),
        "rlguard, all detectors": lambda text: any(f.kind in REPETITION for f in detect_shortcuts(text)[0]),
    }
    baselines, skipped = load_baselines([])
    for baseline in baselines:
        readers[baseline.name] = lambda text, b=baseline: b.flag(b.prepare([text]))[0]  # type: ignore[misc]
    return readers, [line for line in skipped if "TRL" not in line]


def measure(size: int, readers: dict[str, Reader], total: int, repeats: int) -> list[Sequence[str]]:
    honest, loops = make_texts(size, total)
    seconds = dict.fromkeys(readers, float("inf"))
    found: dict[str, tuple[int, int]] = {}
    for _ in range(repeats):
        for name, read in readers.items():
            _find.cache_clear()  # answers are remembered: each repeat is to read texts that are new
            start = time.process_time()
            found[name] = sum(map(read, honest)), sum(map(read, loops))
            seconds[name] = min(time.process_time() - start, seconds[name])
    size_all = sum(map(len, honest + loops))
    plain = seconds["count of word 4-grams"]
    rows = []
    for name, taken in seconds.items():
        false, hits = found[name]
        shares = f"{100 * hits / len(loops):.1f} ({len(loops)})", f"{100 * false / len(honest):.1f}"
        rows.append((f"{size // 1000} kB", name, f"{size_all / taken / 1e6:.1f}", f"{plain / taken:.2f}", *shares))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total", type=int, default=1_600_000, help="characters of each size")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="also into benchmarks/RESULTS.md")
    args = parser.parse_args()
    readers, skipped = load_readers()
    lines = [
        "| text | detector | MB/s | speed as a multiple of the count | loops found % (n) | honest flagged % |",
        "|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        lines += ["| " + " | ".join(row) + " |" for row in measure(size, readers, args.total, args.repeats)]
    table = "\n".join([*lines, *("\n" + line for line in skipped)])
    print(table)
    if args.write:
        page = RESULTS.read_text()
        if BEGIN not in page:
            raise SystemExit(f"{RESULTS}: has no line {BEGIN!r}")
        before, _, rest = page.partition(BEGIN)
        RESULTS.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
