"""Accuracy against rollouts generated: which prompts should a batch have, where most are near-impossible?

    python benchmarks/sampling/run.py --seeds 1000                    # tuning: as often as you like
    python benchmarks/sampling/run.py --seeds 1 2 3 4 5               # the report
    python benchmarks/sampling/run.py --seeds 1 2 3 4 5 --table       # the table of the rows that are there

The tiny reasoner of the efficacy benchmark is trained by GRPO (16 prompts x 8 rollouts, one Adam step on each batch,
lr 5e-4, T=1; as TRL's defaults are, in a loop of its own that counts every rollout) on 256 problems, a share of which
are hashes that no method solves. The arms are in `choosers.py`. A run ends when so many rollouts were *generated*,
thrown away or not. Held-out problems are measured every tenth of them.

One row of JSON a run goes to `rows.jsonl` beside this file; a run that has its row is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the model is too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

import numpy as np  # noqa: E402

from benchmarks.sampling.choosers import ARMS, ATTEMPTS, RESAMPLED, Mopps, make_chooser  # noqa: E402

ROWS = Path(__file__).with_name("rows.jsonl")
SHARES = (0.0, 0.5, 0.9)
PROMPTS, GROUP, PROBLEMS, HELD_OUT, RATE = 16, 8, 256, 200, 5e-4
POINTS = 10
"""Measurements of a run, beside the one before it."""


def run(family_name: str, arm: str, share: float, seed: int, rollouts: int, rate: float = 1.0) -> dict[str, Any]:
    """Trains and measures one run, at `rate` times the learning rate."""
    import torch
    from scipy.stats import spearmanr
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from benchmarks.efficacy.build import build_model
    from benchmarks.efficacy.families import FAMILIES
    from benchmarks.efficacy.records import find_commit
    from benchmarks.methods import grpo
    from rlguard.guard import Guard, GuardConfig
    from rlguard.sampling import PromptSampler, SamplerConfig

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    start, family = time.time(), FAMILIES[family_name]
    folder = build_model(family_name, ROOT / "out/efficacy/models" / f"{family_name}-llama")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    mix = {"unlearnable": share, family.learnable: 1 - share}
    rows = family.make_problems({kind: part for kind, part in mix.items() if part}, PROBLEMS, seed)
    rewritten = arm in ("rewrite", "both")
    guard = Guard(GuardConfig(mode="rewrite" if rewritten else "observe", detectors=rewritten, workers=0))
    sampler = PromptSampler(len(rows), GROUP, SamplerConfig(seed=seed), guard.luck)
    mopps = Mopps(len(rows), np.random.default_rng(seed), GROUP)
    chooser = make_chooser(arm, len(rows), np.random.default_rng(seed), mopps, sampler)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate * RATE, weight_decay=0.0)
    held_out = {
        name: family.make_problems(kinds, HELD_OUT, seed, held_out=True)
        for name, kinds in {"learnable": (family.learnable,), "prior": family.prior}.items()
    }

    def measure() -> dict[str, float]:
        found = {}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            for name, problems in held_out.items():
                texts = generate(model, tokenizer, [row["prompt"] for row in problems])[2]
                right = [family.find_answer(text) == row["answer"] for text, row in zip(texts, problems, strict=True)]
                found[name] = sum(right) / len(right)
        return found

    curve, seen, predicted = [{"rollouts": 0, "steps": 0, **measure()}], set(), []
    used, steps, mixed, groups, choosing, training = 0, 0, 0, 0, 0.0, time.time()
    while used < rollouts:
        kept: list[tuple[Any, Any, np.ndarray, np.ndarray, float]] = []  # tokens, mask, advantages of some groups
        missing = PROMPTS
        for attempt in range(ATTEMPTS if arm in RESAMPLED else 1):
            clock = time.perf_counter()
            places = chooser.choose(missing)
            choosing += time.perf_counter() - clock
            told = np.stack([mopps.predict(places), sampler.predict(places)], axis=1)
            problems = [rows[place] for place in places for _ in range(GROUP)]
            tokens, mask, texts = generate(model, tokenizer, [row["prompt"] for row in problems])
            used += len(texts)
            rewards = np.array(
                [float(family.find_answer(t) == r["answer"]) for t, r in zip(texts, problems, strict=True)]
            )
            rates = rewards.reshape(-1, GROUP).mean(axis=1)
            host = torch.tensor(grpo(rewards.reshape(-1, GROUP)).ravel())
            judged = guard.apply(
                host, rewards, prompts_B=[row["prompt"] for row in problems], completions_B=texts, rows_B=problems,
                group_ids_B=np.repeat(places, GROUP),
            )  # fmt: skip
            predicted += [(*told[i], rates[i]) for i, place in enumerate(places.tolist()) if place in seen]
            seen |= set(places.tolist())
            clock = time.perf_counter()
            mopps.observe(places, rates)
            if chooser is not mopps and chooser is not sampler:
                chooser.observe(places, rates)
            sampler.observe(places, [guard_id(row) for row in problems[::GROUP]])
            choosing += time.perf_counter() - clock
            signal = (rates > 0) & (rates < 1)
            mixed, groups = mixed + int(signal.sum()), groups + len(signal)
            keep = np.repeat(signal | (arm not in RESAMPLED or attempt == ATTEMPTS - 1), GROUP)
            kept.append((tokens[keep], mask[keep], judged.advantages_B[keep], judged.step_scale))
            missing -= int(keep.sum()) // GROUP
            if not missing:
                break
        train(model, optimizer, kept, tokenizer.pad_token_id, rate * RATE)
        steps += 1
        if used >= rollouts * len(curve) / POINTS:
            curve.append({"rollouts": used, "steps": steps, **measure()})
    columns = np.array(predicted).T if predicted else np.zeros((3, 0))
    rho = {
        name: round(float(spearmanr(columns[i], columns[2]).statistic), 4)
        for i, name in enumerate(("mopps", "rlguard"))
    }
    return {
        "family": family_name, "arm": arm, "share": share, "seed": seed, "rate": rate, "rollouts": rollouts,
        "curve": curve, "signal": mixed / groups, "spearman": rho, "choosing": choosing / (time.time() - training),
        "seconds": round(time.time() - start, 1), "torch": torch.__version__, "commit": find_commit(),
    }  # fmt: skip


def guard_id(row: dict[str, Any]) -> str:
    """What the guard calls a prompt."""
    from rlguard.types import make_prompt_id

    return make_prompt_id(row["prompt"], row["answer"])


def generate(model: Any, tokenizer: Any, prompts: list[str]) -> tuple[Any, Any, list[str]]:
    """(B, T) tokens, prompts on the left; (B, T) which of them the model wrote; (B,) texts. At T=1."""
    import torch
    from tiny_reasoner.tasks import MAX_COMPLETION

    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    width = batch["input_ids"].shape[1]
    model.eval()
    with torch.no_grad():
        tokens = model.generate(
            **{name: batch[name] for name in ("input_ids", "attention_mask")}, max_new_tokens=MAX_COMPLETION,
            do_sample=True, temperature=1.0, top_k=0, pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
    model.train()
    said = tokens[:, width:]
    ended = (said == tokenizer.eos_token_id).int().cumsum(1)
    mask = torch.zeros_like(tokens)
    mask[:, width:] = (ended == 0) | ((said == tokenizer.eos_token_id) & (ended == 1))
    return tokens, mask, tokenizer.batch_decode(said, skip_special_tokens=True)


def train(model: Any, optimizer: Any, kept: list[tuple[Any, Any, Any, float]], pad: int, rate: float) -> None:
    """One step: the policy gradient of all groups, over their tokens (TRL's `loss_type="dapo"` on policy)."""
    import torch

    total = sum(int(mask.sum()) for _, mask, *_ in kept)
    optimizer.zero_grad()
    for tokens, mask, advantages, _ in kept:
        if len(tokens):
            filled = (tokens != pad).long()
            logits = model(
                input_ids=tokens, attention_mask=filled, position_ids=(filled.cumsum(1) - 1).clamp(min=0)
            ).logits[:, :-1]
            logps = torch.log_softmax(logits, dim=-1).gather(2, tokens[:, 1:, None])[..., 0]
            (-(advantages.float()[:, None] * logps * mask[:, 1:]).sum() / total).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    rows = [len(tokens) for tokens, *_ in kept]
    scale = float(np.sqrt(np.average([scale**2 for *_, scale in kept], weights=rows)))
    for group in optimizer.param_groups:
        group["lr"] = rate * scale
    optimizer.step()


def read_at(curve: list[dict[str, float]], rollouts: float, name: str) -> float:
    """A measure after so many rollouts: between two measurements, linearly."""
    return float(np.interp(rollouts, [point["rollouts"] for point in curve], [point[name] for point in curve]))


def write_table(rows: list[dict[str, Any]]) -> str:
    """A line a family, share and arm: means over seeds ± their standard deviation."""
    cells: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        cells[row["family"], row["share"], ARMS.index(row["arm"]), -row.get("rate", 1.0)].append(row)
    lines = [
        "| family | impossible | arm | seeds | half: learnable | whole: learnable | half: prior | whole: prior "
        "| groups with signal | Spearman MoPPS, rlguard | choosing |",
        "|---" * 11 + "|",
    ]
    for (family, share, arm, rate), found in sorted(cells.items()):
        shown = []
        for name in ("learnable", "prior"):
            for part in (0.5, 1.0):
                values = [read_at(row["curve"], part * row["rollouts"], name) for row in found]
                shown.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}")
        rho = [np.mean([row["spearman"][name] for row in found]) for name in ("mopps", "rlguard")]
        told = f"{rho[0]:.3f}, {rho[1]:.3f}" if ARMS[arm] == "uniform" else "–"  # elsewhere the sample is the chooser's
        signal, choosing = (np.mean([row[name] for row in found]) for name in ("signal", "choosing"))
        name = ARMS[arm] + ("" if rate == -1 else f", lr × {-rate:g}")
        lines.append(
            f"| {family} | {share:.0%} | {name} | {len(found)} | {' | '.join(shown)} | {signal:.2f} "
            f"| {told} | {choosing:.1%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1000])
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--families", nargs="+", default=["sums"])
    parser.add_argument("--shares", type=float, nargs="+", default=SHARES)
    parser.add_argument("--rollouts", type=int, default=12_800)
    parser.add_argument("--rate", type=float, default=1.0, help="times the learning rate")
    parser.add_argument("--rows", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()] if args.rows.exists() else []
    if not args.table:
        done = {(r["family"], r["arm"], r["share"], r["seed"], r["rollouts"], r.get("rate", 1.0)) for r in rows}
        for seed, family, share, arm in itertools.product(args.seeds, args.families, args.shares, args.arms):
            if (family, arm, share, seed, args.rollouts, args.rate) not in done:
                row = run(family, arm, share, seed, args.rollouts, args.rate)
                with args.rows.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                last = row["curve"][-1]
                half = read_at(row["curve"], args.rollouts / 2, "learnable")
                print(family, arm, share, seed, f"half {half:.3f}", last, row["spearman"], row["seconds"], flush=True)
    rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    print(write_table([row for row in rows if row["seed"] in args.seeds]))


if __name__ == "__main__":
    main()
