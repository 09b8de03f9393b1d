"""A real language model: TRL's GRPO on SmolLM2-135M-Instruct, plain or guarded; one row of JSON a run, and a table.

    python benchmarks/efficacy/smollm2.py --workers 5    # on one GPU, 23 GB a run; on a CPU core a step takes minutes

Training problems are `share` of a reasoning-gym kind that the model passes by luck alone and otherwise one-step
arithmetic, of which it solves some. The prior skill is one-step arithmetic of single digits, held out, at T=1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two arms run beside each other
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

from benchmarks.efficacy.run import find_commit, write_whole  # noqa: E402
from benchmarks.efficacy.sweep import work_off  # noqa: E402
from benchmarks.efficacy.table import write_cell  # noqa: E402
from rlguard.answers import extract_answer, normalise_answer  # noqa: E402
from rlguard.shortcuts.wording import is_bare  # noqa: E402

OUT, MODEL = Path("out/efficacy/smollm2"), Path("out/smollm2")
ARMS, SHARES, SEEDS = ("grpo", "rlguard", "max_rl"), (1.0, 0.75), (1, 2, 3)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "unlearnable": ("gcd", {"min_value": 100, "max_value": 999}),
    "learnable": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}),
    "prior": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}),
}
"""Tasks of reasoning-gym and their settings. The untrained model cannot work out a greatest common divisor."""
ASKED = (
    ("system", "Solve the problem briefly."),
    ("user", "What is 3 + 4?"),
    ("assistant", "3 + 4 = 7. The answer is 7."),
)
"""What stands before a problem: without an example the model seldom comes to an answer in so few tokens."""
MAX_COMPLETION, PROMPTS, ROLLOUTS, PROBLEMS = 32, 16, 8, 512
"""Tokens of a completion; prompts a step and rollouts of each; training problems."""
EVALUATE_ON, SAMPLES, EVALUATE_EVERY = 64, 8, 20
"""Held-out problems of a measurement, rollouts of each, and every how many steps."""
HELD_OUT = 2
"""One of so many problems is never trained on."""


def make_problems(kind: str, count: int, seed: int, held_out: bool = False) -> list[dict[str, Any]]:
    """Distinct problems of a kind: `prompt` (messages), `answer`, `kind`. Text decides which ones are held out."""
    import reasoning_gym

    task, settings = KINDS[kind]
    # The gym seeds its i-th problem with seed + i: seeds that lie close to each other would share problems.
    source = reasoning_gym.create_dataset(task, size=100 * count + 1, seed=seed * 1_000_003, **settings)
    found: dict[str, str] = {}
    for i in range(len(source)):
        if len(found) == count:
            return [{"prompt": _ask(text), "answer": answer, "kind": kind} for text, answer in found.items()]
        text = source[i]["question"].strip()
        if (zlib.crc32(text.encode()) % HELD_OUT == 0) == held_out:
            found[text] = str(source[i]["answer"])
    raise ValueError(f"{kind}: expected {count} distinct problems, found {len(found)}; ask for fewer")


def _ask(text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in (*ASKED, ("user", text))]


def mix_problems(share: float, count: int, seed: int) -> list[dict[str, Any]]:
    """Training problems, `share` of them near-impossible, shuffled."""
    impossible = round(share * count)
    counts = {"unlearnable": impossible, "learnable": count - impossible}
    rows = [row for kind, n in counts.items() if n for row in make_problems(kind, n, seed)]
    random.Random(seed).shuffle(rows)
    return rows


def reward_correct(completions: Sequence[Any], answer: Sequence[str], **_: Any) -> list[float]:
    """1.0 where the final answer of a text, or of the messages TRL gives, is the gold answer, else 0.0."""
    texts = [said if isinstance(said, str) else said[-1]["content"] for said in completions]
    spans = [extract_answer(text) for text in texts]
    return [
        float(span is not None and normalise_answer(span[0]) == normalise_answer(gold))
        for span, gold in zip(spans, answer, strict=True)
    ]


def measure(model: Any, tokenizer: Any, problems: Sequence[dict[str, Any]], seed: int) -> dict[str, float]:
    """`accuracy`, `share_bare`, `mean_tokens` and `seconds` of `SAMPLES` completions of each problem at T=1."""
    import torch

    problems = [row for row in problems for _ in range(SAMPLES)]

    was_training, start = model.training, time.time()
    model.eval()
    prompts = tokenizer.apply_chat_template(
        [row["prompt"] for row in problems], add_generation_prompt=True, padding=True, return_dict=True,
        return_tensors="pt",
    ).to(model.device)  # fmt: skip
    with torch.random.fork_rng(), torch.no_grad():  # training must not notice
        torch.manual_seed(seed)
        sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
        tokens_BT = model.generate(
            **prompts, **sampling, max_new_tokens=MAX_COMPLETION,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        )[:, prompts["input_ids"].shape[1] :]  # fmt: skip
    model.train(was_training)
    texts, n = tokenizer.batch_decode(tokens_BT, skip_special_tokens=True), len(problems)
    return {
        "accuracy": sum(reward_correct(texts, [row["answer"] for row in problems])) / n,
        "share_bare": sum(map(is_bare, texts)) / n,
        "mean_tokens": float((tokens_BT != tokenizer.pad_token_id).sum()) / n,
        "seconds": time.time() - start,
    }


@dataclass(frozen=True)
class SmolRun:
    """What is run."""

    arm: str
    share: float
    """Of training problems that are passed by luck alone, in [0, 1]."""
    seed: int
    steps: int = 200
    learning_rate: float = 1e-5

    @property
    def name(self) -> str:
        return f"{self.arm}-{self.share:g}-{self.seed}-{self.learning_rate:g}"


def make_recorder(tokenizer: Any, settings: SmolRun) -> Any:
    """A callback that measures at the start and every few steps, and keeps the means of TRL's figures between."""
    from transformers import TrainerCallback

    problems = {kind: make_problems(kind, EVALUATE_ON, settings.seed, held_out=True) for kind in KINDS}

    class Recorder(TrainerCallback):
        def __init__(self) -> None:
            self.rows: list[dict[str, Any]] = []
            self._logged: dict[str, list[float]] = {}

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.add(0, model)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
            if "loss" in logs:
                for name, value in logs.items():
                    self._logged.setdefault(name, []).append(float(value))
                if state.global_step % EVALUATE_EVERY == 0:
                    self.add(state.global_step, model)

        def add(self, step: int, model: Any) -> None:
            row: dict[str, Any] = {"step": step}
            for kind, rows in problems.items():
                found = measure(model, tokenizer, rows, settings.seed)
                row |= {f"{kind}_{name}": value for name, value in found.items()}
            means = {name: sum(values) / len(values) for name, values in self._logged.items()}
            self.rows.append(row | means)
            self._logged.clear()

    return Recorder()


def load_model() -> tuple[Any, Any]:
    """The tokenizer and the model in float32; exports the model where it is missing."""
    import torch
    from export_smollm2 import export_smollm2
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = export_smollm2(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def run(settings: SmolRun, out: Path) -> dict[str, Any]:
    """Trains and measures; writes and returns the row."""
    import torch
    from datasets import Dataset
    from tiny_reasoner.training import grpo_config
    from transformers import PrinterCallback

    from benchmarks.efficacy.arms import ARMS as TRAINERS

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    start = time.time()
    arm = TRAINERS["rlguard_rewrite" if settings.arm == "rlguard" else settings.arm]
    tokenizer, model = load_model()
    recorder = make_recorder(tokenizer, settings)
    trainer = arm.trainer(
        model=model,
        args=grpo_config(
            str(out / "trl" / settings.name), settings.seed, max_steps=settings.steps, logging_steps=1,
            learning_rate=settings.learning_rate, use_cpu=not torch.cuda.is_available(),
            per_device_train_batch_size=PROMPTS * ROLLOUTS, max_completion_length=MAX_COMPLETION,
        ),
        processing_class=tokenizer,
        reward_funcs=reward_correct,
        train_dataset=Dataset.from_list(mix_problems(settings.share, PROBLEMS, settings.seed)),
        callbacks=[recorder],
        **arm.options,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    row = asdict(settings) | {"curve": recorder.rows, "device": device, "seconds": time.time() - start}
    row |= {"torch": torch.__version__, "commit": find_commit()}
    write_whole(out / "runs" / f"{settings.name}.json", row)
    return row


def write_summary(rows: Iterable[dict[str, Any]]) -> str:
    """A table: accuracy of each kind before and after, by share and arm; intervals over seeds."""
    kinds = list(KINDS)
    lines = [
        "| trained on | arm | seeds | prior skills kept | "
        + " | ".join(f"{kind}: before → after" for kind in kinds)
        + " | bare answers, prior | tokens, prior |",
        "|---" * (6 + len(kinds)) + "|",
    ]
    cells: dict[tuple[float, str], list[list[dict[str, Any]]]] = {}
    for row in sorted(rows, key=lambda row: (-row["share"], row["arm"], row["seed"])):
        cells.setdefault((row["share"], row["arm"]), []).append(row["curve"])
    for (share, arm), curves in cells.items():
        ends = [
            write_cell([curve[0][f"{kind}_accuracy"] for curve in curves])
            + " → "
            + write_cell([curve[-1][f"{kind}_accuracy"] for curve in curves])
            for kind in kinds
        ]
        kept = write_cell([curve[-1]["prior_accuracy"] / curve[0]["prior_accuracy"] for curve in curves])
        looks = [write_cell([curve[-1][f"prior_{name}"] for curve in curves]) for name in ("share_bare", "mean_tokens")]
        lines.append("| " + " | ".join([f"{share:.0%} luck", arm, str(len(curves)), kept, *ends, *looks]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--steps", type=int, default=SmolRun.steps)
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[SmolRun.learning_rate])
    parser.add_argument("--workers", type=int, default=1, help="runs at once")
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    load_model()  # exported once, before the workers want it
    runs = [
        SmolRun(arm, share, seed, args.steps, rate)
        for rate, share, seed, arm in product(args.learning_rates, args.shares, args.seeds, args.arms)
    ]
    for name in work_off(runs, args.out, args.workers, run):
        print(f"failed: {name}, see {args.out / 'logs' / (name + '.txt')}")
    rows = [json.loads(path.read_text()) for path in sorted((args.out / "runs").glob("*.json"))]
    (args.out / "summary.md").write_text(write_summary(rows) + "\n")
    print(f"written: {args.out / 'summary.md'}")


if __name__ == "__main__":
    main()
