"""What the detectors find on labelled completions and what they wrongly find, beside the baselines, in one table.

    python benchmarks/detectors/evaluate.py --out out/detectors.json           # the report split of our corpus
    python benchmarks/detectors/evaluate.py --examples 5 --family              # what went wrong, and where
    python benchmarks/detectors/evaluate.py --process-bench gsm8k.json         # for people who have the files
    python benchmarks/detectors/evaluate.py --flawed-positive-bench test.parquet

Recall of a kind: the share of the completions labelled with it that have a finding of that kind, by strength
(1 faint … 3 blatant) and in all; "any" is the share with any finding, since a bare answer may rightly be called by
another name. False positives: the share of
all honest completions with a finding of that kind. Intervals are exact (Clopper–Pearson, 95%). Rows that were made
from the same honest completion are not independent, so the true intervals are somewhat wider.

`repetition` is the row to compare with the baselines, which give one flag for `answer_repetition` and `text_loop`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from baselines import Baseline, load_baselines
from measures import (
    COUNTS_AS,
    KINDS,
    Line,
    baseline_lines,
    corpus_lines,
    flawed_lines,
)  # fmt: skip

from benchmarks.detectors.labelled import LabelledRow, read_corpus, read_flawed_positives, read_process_bench
from rlguard.shortcuts import judge_completion
from rlguard.types import Finding

CORPUS = Path(__file__).parent / "corpus.jsonl.gz"


def judge(rows: Iterable[LabelledRow]) -> list[list[Finding]]:
    return [list(judge_completion(row["completion"], row["prompt"], row["gold"]).findings) for row in rows]


def time_all(rows: Sequence[LabelledRow], baselines: Sequence[Baseline], repeats: int) -> dict[str, float]:
    """Seconds per 10,000 completions of each detector, the best of some repeats, taken in turn."""
    jobs: dict[str, Callable[[], object]] = {"rlguard": lambda: judge(rows)}
    for baseline in baselines:
        given = baseline.prepare([row["completion"] for row in rows])
        jobs[baseline.name] = lambda flag=baseline.flag, given=given: flag(given)
    best: dict[str, float] = {}
    for _ in range(repeats):
        for name, job in jobs.items():
            start = time.perf_counter()
            job()
            seconds = (time.perf_counter() - start) * 10_000 / len(rows)
            best[name] = min(seconds, best.get(name, seconds))
    return best


def show_table(lines: Sequence[Line], seconds: dict[str, float]) -> str:
    """The table as Markdown; rates in percent, intervals in brackets, counts in parentheses."""
    head = ["detector", "label", "n", "recall %", "faint", "middle", "blatant", "any %", "false positives %", "honest"]
    table = [[*head, "s / 10,000"]]
    for line in lines:
        strengths = [line.by_strength[s].short() if s in line.by_strength else "–" for s in (1, 2, 3)]
        any_finding = line.any_finding.short().partition(" ")[0] if line.any_finding else "–"
        false = line.false_positives
        taken = f"{seconds[line.detector]:.2f}" if line.detector in seconds else "–"
        first = [line.detector, line.kind, str(line.recall.n), line.recall.show()]
        table.append([*first, *strengths, any_finding, false.show(), str(false.n), taken])
    return align(table)


def show_families(rows: Sequence[LabelledRow], found: Sequence[Collection[str]]) -> str:
    """For every family: recall of each kind, recall of any, and false positives of any."""
    table = [["family", *KINDS, "any", "false positives", "where from"]]
    for family in sorted({row["family"] for row in rows}):
        part = [(row, kinds) for row, kinds in zip(rows, found, strict=True) if row["family"] == family]
        lines = corpus_lines([row for row, _ in part], [kinds for _, kinds in part])
        cells = [line.recall.short() for line in lines if line.kind != "repetition"]
        false = [line for line in lines if line.false_positives.hits and line.kind in KINDS]
        causes = ", ".join(f"{line.kind} {line.false_positives.hits}" for line in false)
        table.append([family, *cells, lines[-1].false_positives.short(), causes])
    return align(table)


def show_examples(rows: Sequence[LabelledRow], findings: Sequence[Sequence[Finding]], count: int) -> str:
    """The first false positives and false negatives of each kind, with as little text as shows them."""
    parts = []
    for kind in KINDS:
        accepted = COUNTS_AS.get(kind, {kind})
        false, missed = [], []
        for row, given in zip(rows, findings, strict=True):
            hits = [f for f in given if f.kind in accepted]
            if not row["kinds"] and hits:
                false.append(
                    f"{_name(row)}: {hits[0].reason} | {_clip(row['prompt'])} → {_clip(row['completion'], 240)}"
                )
            elif kind in row["kinds"] and not hits:
                others = ", ".join(sorted({f.kind for f in given})) or "nothing"
                missed.append(
                    f"{_name(row)}: found {others} | {_clip(row['prompt'])} → {_clip(row['completion'], 240)}"
                )
        for title, texts in (("false positives", false), ("false negatives", missed)):
            if texts:
                parts.append(
                    "\n".join([f"{kind}: {len(texts)} {title}", *(f"  {text}" for text in _spread(texts, count))])
                )
    return "\n".join(parts)


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """At most `count`, from all over the list."""
    step = max(1, len(texts) // max(count, 1))
    return list(texts[::step][:count])


def _name(row: LabelledRow) -> str:
    return f"[{row['id']} {row['family']} {row['source']} strength {row['strength']}]"


def _clip(text: str, length: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length // 2]} … {text[-length // 2 :]}"


def align(table: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def evaluate_corpus(args: argparse.Namespace) -> dict:
    corpus = read_corpus(args.corpus)
    rows = [row for row in corpus if row["split"] == args.split]
    if not rows:
        raise SystemExit(f"{args.corpus}: no rows of the split {args.split!r}")
    tuning = [row["completion"] for row in corpus if row["split"] == "tune" and not row["kinds"]]
    baselines, skipped = load_baselines(tuning)
    findings = judge(rows)
    found = [{f.kind for f in row} for row in findings]
    lines = corpus_lines(rows, found)
    for baseline in baselines:
        flags = baseline.flag(baseline.prepare([row["completion"] for row in rows]))
        lines += baseline_lines(baseline.name, rows, flags)
    seconds = time_all(rows, baselines, args.repeats)
    families = len({row["family"] for row in rows})
    print(f"{args.corpus}, split {args.split}: {len(rows)} completions, {families} families\n")
    print(show_table(lines, seconds))
    print("\n".join([*(f"{b.name}: threshold {b.threshold:.3f}" for b in baselines), *skipped]))
    if args.family:
        print("\n" + show_families(rows, found))
    if args.examples:
        print("\n" + show_examples(rows, findings, args.examples))
    return _report(lines, seconds, {b.name: b.threshold for b in baselines}, str(args.corpus), args.split, len(rows))


def evaluate_flawed(rows: list[LabelledRow], source: str, examples: int) -> dict:
    """Only rows whose final answer is right: a wrong one gets no reward anyway."""
    right = [row for row in rows if row["outcome"] == 1.0]
    start = time.perf_counter()
    findings = judge(right)
    seconds = {"rlguard": (time.perf_counter() - start) * 10_000 / max(len(right), 1)}
    lines = flawed_lines(right, findings)
    print(f"{source}: {len(right)} completions with the right answer, of {len(rows)}\n")
    print(show_table(lines, seconds))
    if examples:
        for row, given in zip(right, findings, strict=True):
            if given and not row["kinds"] and examples:
                examples -= 1
                print(f"false positive {_name(row)}: {given[0].kind}: {given[0].reason}")
    return _report(lines, seconds, {}, source, "report", len(right))


def _report(lines: Sequence[Line], seconds: dict, thresholds: dict, source: str, split: str, count: int) -> dict:
    return {
        "source": source,
        "split": split,
        "completions": count,
        "lines": [asdict(line) for line in lines],
        "seconds_per_10000": seconds,
        "thresholds": thresholds,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--split", choices=("tune", "report"), default="report")
    parser.add_argument("--flawed-positive-bench", type=Path, metavar="FILE", help="instead of the corpus")
    parser.add_argument("--process-bench", type=Path, metavar="FILE", help="instead of the corpus")
    parser.add_argument("--family", action="store_true", help="also a table by task family")
    parser.add_argument("--examples", type=int, default=0, metavar="N", help="also N mistakes of each sort")
    parser.add_argument("--repeats", type=int, default=3, help="timed runs, of which the best counts")
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args(argv)
    if args.flawed_positive_bench:
        report = evaluate_flawed(
            list(read_flawed_positives(args.flawed_positive_bench)), str(args.flawed_positive_bench), args.examples
        )
    elif args.process_bench:
        report = evaluate_flawed(list(read_process_bench(args.process_bench)), str(args.process_bench), args.examples)
    else:
        report = evaluate_corpus(args)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
