"""What did training break elsewhere? Two checkpoints, the same questions, intervals and verdicts.

    python recipes/train_guarded_peft.py --out out/peft        # something to audit; or checkpoints of yours
    python recipes/audit_checkpoints.py --before recipes/tiny_reasoner/model --after out/peft/merged --out out/audit

About 25 seconds on one core. Ends with 1 if something is lost for sure. Prints

    all      0.86 -> 0.87  [-0.01, +0.03]  kept
    add      0.88 -> 0.88  [-0.09, +0.10]  too few
    sub      0.86 -> 0.87  [-0.08, +0.10]  too few
    mul      0.85 -> 0.85  [-0.09, +0.10]  too few
    mix      0.86 -> 0.88  [-0.09, +0.12]  too few
    everything else: out/audit/report.html

The questions are the tiny reasoner's own skills, which the built-in suite does not ask; with a model that reads
English leave `suite` at "builtin". "Too few" is no verdict: `--questions` helps.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

from tiny_reasoner.tasks import MAX_COMPLETION, SKILLS, make_problems

from rlguard import Sampling, run_audit
from rlguard.audit.run import AuditSettings
from rlguard.engines import load_engine
from rlguard.tables import write_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="model before training")
    parser.add_argument("--after", required=True, nargs="+", help="models after, or a folder of checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the answers, audit.json and report.html")
    parser.add_argument("--questions", type=int, default=40, help="of each skill (default %(default)s)")
    args = parser.parse_args()

    suite = args.out / "questions.jsonl"
    rows = [row for skill in SKILLS for row in make_problems([skill], args.questions, seed=1, held_out=True)]
    write_rows([{"prompt": row["prompt"], "answer": row["answer"], "domain": row["family"]} for row in rows], suite)
    audit = run_audit(
        args.before, args.after, args.out, str(suite), varied=0,
        settings=AuditSettings(n=8, truncated=0, sampling=Sampling(max_tokens=MAX_COMPLETION)),
        load=lambda model: load_engine("transformers", model),
    )  # fmt: skip
    for comparison in audit.comparisons:
        for row in comparison.rows:
            if row.name == "accuracy":
                interval = f"[{row.low:+.2f}, {row.high:+.2f}]"
                print(f"{row.domain:8} {row.before:.2f} -> {row.after:.2f}  {interval}  {row.verdict}")
    print(f"everything else: {audit.folder / 'report.html'}")
    sys.exit(1 if audit.lost else 0)


if __name__ == "__main__":
    main()
