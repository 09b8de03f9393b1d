"""How far luck moves a policy under torch's Adam with momentum and clipping, against how far it was meant to.

    python benchmarks/streams/adam.py --seeds 1000 1001                           # docs/rewrite.md
    python benchmarks/streams/adam.py --seeds 1000 1001 --steps 8 --clip inf      # how it starts

A linear policy of 64 weights: the gradient of a rollout is its advantage times its direction, one for genuine
successes, one for lucky ones, one of its own for noise. Meant is what the advantages, times their size, do under the
host's own running size of the gradient. Kinds of batches: half of the prompts are luck ("mixed"), whole batches are
luck in turn with genuine ones ("turns"), and luck alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.methods import grpo
from rlguard.guard.rewrite import rewrite_groups
from rlguard.guard.size import StepSize

WEIGHTS, PROMPTS, G, STEPS = 64, 16, 8, 200
SKILL, CHANCE, CLIP, NOISE = 0.5, 0.15, 4.0, 3.0
"""NOISE: of a rollout's gradient in each weight; a direction is 4 long, so noise rules Adam's second moment, as it
does in RL."""
KINDS = "mixed", "turns", "luck alone"


def simulate(kind: str, how: str, seed: int, steps: int = STEPS, clip: float = CLIP) -> float:
    """What luck moves along its direction over what was meant: its part of Adam's first moment, step by step.

    Args:
        kind: Of batches, one of `KINDS`.
        how: "slow": as the guard does; "own": the advantages at the host's size and the rate at each batch's own scale;
            "none": the smaller advantages, and the rate as it is.
        seed: Of what is drawn.
        steps: How many.
        clip: Largest norm of the gradient; infinity clips nothing.
    """
    import torch

    rng, size = np.random.default_rng(seed), StepSize()
    genuine_u, lucky_u = np.linalg.qr(rng.normal(size=(WEIGHTS, 2)))[0].T
    weight = torch.nn.Parameter(torch.zeros(WEIGHTS, dtype=torch.float64))
    host = torch.nn.Parameter(torch.zeros(WEIGHTS, dtype=torch.float64))
    adams = [torch.optim.Adam([p], lr=1e-3, betas=(0.9, 0.99)) for p in (weight, host)]
    parts, moved = (
        np.zeros((2, WEIGHTS)),
        np.zeros(2),
    )  # luck's share of the first moment; what it moves: guarded, meant
    groups = np.repeat(np.arange(PROMPTS), G)
    for step in range(steps):
        luck_P = {"mixed": np.arange(PROMPTS) % 2 == 0, "turns": np.full(PROMPTS, step % 4 > 0),
                  "luck alone": np.full(PROMPTS, True)}[kind]  # fmt: skip
        passed = (rng.random((PROMPTS, G)) < np.where(luck_P, CHANCE, SKILL)[:, None]).astype(float)
        genuine = np.where(luck_P, 0.05, 0.95)[groups]
        before, flat, noise = grpo(passed).ravel(), passed.ravel(), rng.normal(size=(len(groups), WEIGHTS)) * NOISE
        luck = np.where((luck_P[groups] & (flat > 0))[:, None], 4 * lucky_u, 0.0)
        towards = luck + np.where((~luck_P[groups] & (flat > 0))[:, None], 4 * genuine_u, 0.0) + noise
        weights = size.weigh(genuine, flat > 0, before)
        after, _ = rewrite_groups(before, flat, flat, groups, weights)
        share, reference = size.measure(genuine, before, after)
        own = min(1.0, float(np.sqrt(after @ after / max(before @ before, 1e-12)))) or 1.0
        given, rate = {
            "slow": (after / reference, share * reference), "own": (after / own, share * own),
            "none": (after * share, 1.0),
        }[how]  # fmt: skip
        every = (weight, adams[0], given, rate, given), (host, adams[1], before, 1.0, share * after)
        for who, (parameter, adam, advantages, scale, lucky) in enumerate(every):
            parameter.grad = -torch.from_numpy(advantages @ towards / len(groups))
            norm = float(torch.nn.utils.clip_grad_norm_([parameter], clip))
            adam.param_groups[0]["lr"] = 1e-3 * scale
            adam.step()
            second = adam.state[parameter]["exp_avg_sq"].numpy() / (1 - 0.99 ** (step + 1))
            parts[who] = 0.9 * parts[who] + 0.1 * min(1.0, clip / norm) * (lucky @ luck) / len(groups)
            moved[who] += scale * (parts[who] / (1 - 0.9 ** (step + 1)) / (np.sqrt(second) + 1e-8)) @ lucky_u
    return float(moved[0] / moved[1])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--clip", type=float, default=CLIP, help="largest norm of the gradient (default %(default)s)")
    chosen = parser.parse_args(arguments)
    print("| batches | one slow reference | each batch's own | none |\n|---|---|---|---|")
    for kind in KINDS:
        found = [
            [simulate(kind, how, seed, chosen.steps, chosen.clip) for seed in chosen.seeds]
            for how in ("slow", "own", "none")
        ]
        print(f"| {kind} | " + " | ".join(f"{np.mean(v):.2f} ({min(v):.2f}–{max(v):.2f})" for v in found) + " |")


if __name__ == "__main__":
    main()
