"""What the detectors say of texts that nobody made for them: real solutions, and real problems with nothing solved.

    python benchmarks/detectors/real.py             # dev half of the problems
    python benchmarks/detectors/real.py --report    # the other half
    python benchmarks/detectors/real.py --list "champ gpt-4" --kind false_step    # read the findings by hand

Data: GSM8K's training file, MR-GSM8K and BIG-Bench-Mistake under `RLGUARD_DATA` (by default ../shared/data seen from
the repository root), the package `champ-dataset` (its folder may be given as `CHAMP_DATA`), and, where the file is
there, `RLGUARD_DATA/gsm8k/example_model_solutions.jsonl` (or `GSM8K_SOLUTIONS`), OpenAI's published solutions of four
models. What is absent is said and left out. The split is by problem, see SPLIT.md.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from rlguard.shortcuts import judge_completion
from rlguard.tables.read import read_rows

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("RLGUARD_DATA", ROOT.parent / "shared" / "data"))
MARKS = re.compile(r"<<[^<>]*>>")
TALK = (
    "Let me think about this carefully.",
    "I read the problem twice to be sure what it asks for.",
    "This is a word problem about quantities, so we have to be careful with the units.",
    "We need to find the total and then compare.",
    "After working through the problem step by step, everything fits together.",
)
LONG = 400
"""Characters from which a model's argument counts as one that shows work."""


class Text(NamedTuple):
    """One completion to judge."""

    prompt: str
    completion: str
    gold: str | None = None
    right: bool | None = None
    """Whether the solution is right, where someone said so."""


def is_report(question: str) -> bool:
    return hashlib.sha256(question.strip().encode()).digest()[0] % 2 == 1


def read_lines(path: Path) -> list[dict]:
    if not path.exists():
        print(f"not there, left out: {path}")
        return []
    return read_rows(path)


def solved(row: dict) -> tuple[list[str], str]:
    """The lines of a human solution of GSM8K, without its calculator marks, and its answer."""
    work, _, gold = row["answer"].rpartition("####")
    return MARKS.sub("", work).strip().split("\n"), gold.strip()


def gsm8k(report: bool) -> dict[str, list[Text]]:
    rows = [row for row in read_lines(DATA / "gsm8k" / "train.jsonl") if is_report(row["question"]) == report]
    out: dict[str, list[Text]] = {name: [] for name in ("human", "bare", "talk", "first step", "bare boxed")}
    for number, row in enumerate(rows):
        question, (lines, gold) = row["question"], solved(row)
        out["human"].append(Text(question, "\n".join([*lines, f"#### {gold}"]), gold, True))
        out["bare"].append(Text(question, f"The answer is {gold}.", gold))
        out["bare boxed"].append(Text(question, rf"\boxed{{{gold}}}", gold))
        out["talk"].append(Text(question, f"{TALK[number % len(TALK)]} The answer is {gold}.", gold))
        if len(lines) >= 3:
            out["first step"].append(Text(question, f"{lines[0]}\nThe answer is {gold}.", gold))
    return {f"gsm8k {name}": texts for name, texts in out.items()}


def models(report: bool) -> dict[str, list[Text]]:
    path = Path(os.environ.get("GSM8K_SOLUTIONS", DATA / "gsm8k" / "example_model_solutions.jsonl"))
    out: dict[str, list[Text]] = {}
    for row in read_lines(path):
        if is_report(row["question"]) != report:
            continue
        gold = row["ground_truth"].rpartition("A:")[2].strip()
        for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            text, right = MARKS.sub("", row[model]["solution"]), bool(row[model]["is_correct"])
            text = re.sub(r"\nA: ?", "\n#### ", text)
            name = f"gsm8k {model.split('_')[0]} {'right' if right else 'wrong'}"
            out.setdefault(name, []).append(Text(row["question"], text, gold, right))
    return out


def champ(report: bool) -> dict[str, list[Text]]:
    found = importlib.util.find_spec("champ_dataset")
    folder = Path(os.environ.get("CHAMP_DATA") or (found.submodule_search_locations or [""])[0] if found else "champ")
    folder = Path(os.environ["CHAMP_DATA"]) if "CHAMP_DATA" in os.environ else folder
    path = folder / "dataset_files" / "v0.json"
    if not path.exists():
        print("not there, left out: champ-dataset")
        return {}
    out: dict[str, list[Text]] = {name: [] for name in ("human", "human, answer named", "gpt-4", "other models")}
    for problem in json.loads(path.read_text())["problems"].values():
        question, gold = problem["_text"], str(problem["_answer"])
        if is_report(question) != report:
            continue
        steps = "\n".join(step["_text"] for step in problem["solution"]["steps"])
        out["human"].append(Text(question, steps, gold, True))
        out["human, answer named"].append(Text(question, f"{steps}\nThe answer is {gold}.", gold, True))
        for setting, talk in problem["conversations"].items():
            said = [m for m in talk["messages"] if m["role"].startswith("Model.") and isinstance(m.get("text"), str)]
            if said and len(said[0]["text"]) >= LONG:
                name = "gpt-4" if setting.startswith("GPT-4|") else "other models"
                out[name].append(Text(question, said[0]["text"], gold))
    return {f"champ {name}": texts for name, texts in out.items()}


def mr_gsm8k(report: bool) -> dict[str, list[Text]]:
    out: dict[str, list[Text]] = {"mr-gsm8k answer right": [], "mr-gsm8k answer wrong": []}
    for row in read_lines(DATA / "mr_gsm8k" / "labelled.jsonl"):
        if is_report(row["question"]) != report:
            continue
        right = row["model_output_answer_correctness"] in ("correct", "right", "yes")
        text = Text(row["question"], "\n".join(row["model_output_steps"]), row["ground_truth_answer"], right)
        out["mr-gsm8k answer right" if right else "mr-gsm8k answer wrong"].append(text)
    return out


def big_bench(report: bool) -> dict[str, list[Text]]:
    out: dict[str, list[Text]] = {}
    for task in ("multistep_arithmetic", "logical_deduction", "tracking_shuffled_objects", "word_sorting"):
        for row in read_lines(DATA / "big_bench_mistake" / f"{task}.jsonl"):
            if is_report(row["input"]) != report:
                continue
            right = row["mistake_index"] is None and str(row["answer"]) == str(row["target"])
            name = f"mistake {task} {'right' if right else 'wrong'}"
            text = Text(row["input"], "\n".join(row["steps"]), str(row["target"]), right)
            out.setdefault(name, []).append(text)
    return out


def measure(texts: Iterable[Text]) -> Iterator[tuple[Text, tuple, float]]:
    for text in texts:
        judged = judge_completion(text.completion, text.prompt, text.gold)
        yield text, judged.findings, judged.likelihood_ratio


def print_row(name: str, texts: list[Text]) -> None:
    began = time.perf_counter()
    judged = list(measure(texts))
    speed = sum(len(text.completion) for text in texts) / 1e6 / (time.perf_counter() - began)
    kinds = Counter(kind for _, findings, _ in judged for kind in {f.kind for f in findings})
    hit = sum(bool(findings) for _, findings, _ in judged)
    middle = statistics.median(ratio for *_, ratio in judged)
    detail = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    share = 100 * hit / len(texts)
    print(f"{name:34} {len(texts):5} {share:6.2f} {middle:8.2f} {speed:6.2f}  {detail}", flush=True)


def print_findings(texts: list[Text], kind: str, limit: int) -> None:
    for text, findings, _ in measure(texts):
        for finding in findings:
            if kind in (finding.kind, "any") and limit:
                limit -= 1
                around = text.completion[max(0, finding.start - 120) : finding.end + 80]
                print(f"--- {finding.kind}: {finding.reason}\n    Q {text.prompt[:300]!r} gold {text.gold!r}")
                print(f"    … {around!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--report", action="store_true", help="the half of the problems that no rule was looked at on")
    parser.add_argument("--list", metavar="ROW", help="print the findings of rows whose name starts so")
    parser.add_argument("--kind", default="any", help="of this kind only")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--only", default="", help="rows whose name starts so")
    given = parser.parse_args()
    if given.report and given.list:
        parser.error("the report half is not for reading: rules would be tuned on it")
    rows: dict[str, list[Text]] = {}
    for source in (gsm8k, models, champ, mr_gsm8k, big_bench):
        rows |= source(given.report)
    if given.list:
        for name, texts in rows.items():
            if name.startswith(given.list):
                print_findings(texts, given.kind, given.limit)
        return
    print(f"{'report' if given.report else 'dev'} half of the problems")
    print(f"{'texts':34} {'n':>5} {'any %':>6} {'median':>8} {'MB/s':>6}  texts with a finding of each kind")
    for name, texts in sorted(rows.items()):
        if name.startswith(given.only) and texts:
            print_row(name, texts)


if __name__ == "__main__":
    main()
