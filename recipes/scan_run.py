"""Which shortcuts did a finished run take, and since when?

    python recipes/train_guarded_peft.py --out out/peft       # or a run of yours, with GRPOConfig(log_completions=True)
    python recipes/scan_run.py out/peft

Under two seconds for its 2,560 completions. Prints each kind of finding, most frequent first, with a completion:

    591 of 2560 rollouts flagged (TRL completions)

    false_step: 309, in steps 1 to 20
      2-4=4 is false: the left side is -2 (8 modulo 10), the right side 4
      '2-4=4'

    skipped_computation: 276, in steps 1 to 20
      answer 0 with no step, where the prompt takes 14
      '0'
    ...

Reads TRL's output folder, a store that `rlguard estimate` wrote, or a table with a column of completions. What
could not be looked for, and what it would take, is said at the end.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rlguard import scan_rollouts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder or file with the completions of the run")
    parser.add_argument("--examples", type=int, default=1, help="completions shown of each kind (default %(default)s)")
    args = parser.parse_args()

    result = scan_rollouts(args.run)
    print(f"{result.flagged} of {result.rollouts} rollouts flagged ({result.schema})")
    for kind, count in result.kinds.items():
        found = [(finding, rollout) for finding, rollout in result.findings if finding.kind == kind]
        steps = Counter(finding.step for finding, _ in found)
        since = "" if None in steps else f", in steps {min(steps)} to {max(steps)}"
        print(f"\n{kind}: {count}{since}")
        for finding, rollout in found[: args.examples]:
            print(f"  {finding.reason}\n  {rollout.completion[finding.start : finding.end]!r}")
    for check, reason in result.skipped.items():
        print(f"\n{check}: {reason}")


if __name__ == "__main__":
    main()
