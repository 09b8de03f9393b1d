"""How often does a model solve each problem, and which problems are worth training on?

    python recipes/estimate_and_filter.py --out out/filtered

About 15 seconds on one core, and again at once: rollouts that were sampled are not sampled again. Prints

    616 rollouts of 64 problems
    preflight: learnable 77% · pass@8 − pass@1 = 0.88 − 0.54 = 0.34 · guessable 61% of the learnable · wrong labels ...
    kept 19; dropped 30 chance, 10 mastered, 5 impossible
    train on out/filtered/kept.jsonl; what was dropped, and why: out/filtered/kept.dropped.jsonl; data card: ...

Four kinds of problems that the tiny reasoner can, can sometimes, and cannot solve. With a model of yours: another
`MODEL`, `engine="vllm"`, and a file in the place of the rows. The columns
`rlguard_*` of what is kept are read by the guard in training.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

from tiny_reasoner.tasks import MAX_COMPLETION, make_problems

from rlguard import Plan, Sampling, check_preflight, estimate_pass_rates, filter_file
from rlguard.tables import write_rows

MODEL = Path(__file__).parent / "tiny_reasoner" / "model"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for rollouts, rates and the filtered data")
    parser.add_argument("--problems", type=int, default=64, help="how many problems (default %(default)s)")
    args = parser.parse_args()

    data = args.out / "problems.jsonl"
    write_rows(make_problems(["add", "mul", "rare_valid", "unlearnable"], args.problems, seed=0), data)
    rates = estimate_pass_rates(
        data, str(MODEL), out=args.out / "rates", engine="transformers", verifier="numeric",
        plan=Plan(max_n=32, error_rate=0.1), sampling=Sampling(max_tokens=MAX_COMPLETION),
        answer_only=4, answer_cue="answer ",
    )  # fmt: skip
    print(f"{sum(rate.trials for rate in rates)} rollouts of {len(rates)} problems")
    print("preflight:", check_preflight(rates, 8).describe())
    found = filter_file(data, args.out / "rates", args.out / "kept.jsonl")
    print(f"kept {found.kept}; dropped", ", ".join(f"{count} {reason}" for reason, count in found.reasons.items()))
    print(f"train on {found.kept_path}; what was dropped, and why: {found.dropped_path}; data card: {found.card_path}")


if __name__ == "__main__":
    main()
