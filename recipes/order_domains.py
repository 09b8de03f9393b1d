"""In which order should a model be trained on several domains? Short trainings on each tell.

    python recipes/order_domains.py --out out/order_domains        # 88 s on one core

It ends with the order and how sure it is of it; here, where the domains help each other:

    sub > add > mix > mul > rare_valid
    Nothing separates the orders: the domains' effects on each other differ no more than noise does. More structured
    domains come first.

Five kinds of arithmetic stand for domains, the tiny reasoner for the model. The schedule is a data set that TRL
trains on as it stands.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
sys.path.insert(0, str(Path(__file__).parent))

from tiny_reasoner.tasks import MAX_COMPLETION, SKILLS, make_problems

from rlguard.order.plan import plan_order
from rlguard.order.probe import ProbeSettings, hold_out, probe
from rlguard.order.schedule import write_schedule

MODEL = Path(__file__).parent / "tiny_reasoner" / "model"
DOMAINS = [*SKILLS, "rare_valid"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings and the schedule")
    parser.add_argument("--steps", type=int, default=10, help="steps of each short training")
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=DOMAINS, help="default: all")
    args = parser.parse_args()

    domains = {kind: make_problems([kind], 128, seed=0) for kind in args.domains}
    training, held_out = hold_out(domains, 32)
    settings = ProbeSettings(args.steps, trainings=2, max_tokens=MAX_COMPLETION, learning_rate=2e-4)
    transfer = probe(str(MODEL), training, held_out, args.out / "probes", settings, "exact")
    plan = plan_order(transfer)
    print(" > ".join(plan.order), *plan.describe(), sep="\n")

    rows = [dict(problem.row) for problems in training.values() for problem in problems]
    write_schedule(rows, plan.order, args.out / "schedule.jsonl", domain_column="family")
    print(f"to train on it: GRPOConfig(shuffle_dataset=False, num_train_epochs=1) and {args.out / 'schedule.jsonl'}")


if __name__ == "__main__":
    main()
