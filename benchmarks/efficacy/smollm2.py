"""A real language model: TRL's GRPO on SmolLM2-135M-Instruct, plain or guarded; one run, one row of JSON.

    python benchmarks/efficacy/smollm2.py --arm rlguard --share 1 --seed 1     # on one CPU core 80 s a step

Training problems are `share` of a reasoning-gym kind that the model passes by luck alone and otherwise one-step
arithmetic, of which it solves some. The prior skill is one-step arithmetic that is held out, at T=1.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two arms run beside each other
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

from benchmarks.efficacy.run import find_commit, write_whole  # noqa: E402
from rlguard.answers import extract_answer, normalise_answer  # noqa: E402

OUT, MODEL = Path("out/efficacy/smollm2"), Path("out/smollm2")
MODES = {"grpo": "observe", "rlguard": "rewrite"}
"""What the guard does in each arm. To observe leaves training bit-identical."""
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
MAX_COMPLETION, PROBLEMS, EVALUATE_ON, EVALUATE_EVERY = 24, 128, 64, 5
HELD_OUT = 2
"""One of so many problems is never trained on."""
_BARE = re.compile(r"\W*\d[\d,.]*\W*")


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


def is_bare(text: str) -> bool:
    """Whether a completion is a number and nothing else.

    >>> is_bare(" -12. "), is_bare("The answer is 12."), is_bare("")
    (True, False, False)
    """
    return _BARE.fullmatch(text) is not None


def measure(model: Any, tokenizer: Any, problems: Sequence[dict[str, Any]], seed: int) -> dict[str, float]:
    """`accuracy`, `share_bare`, `mean_tokens` and `seconds` of one completion of each problem at T=1."""
    import torch

    was_training, start = model.training, time.time()
    model.eval()
    prompts = tokenizer.apply_chat_template(
        [row["prompt"] for row in problems], add_generation_prompt=True, padding=True, return_dict=True,
        return_tensors="pt",
    )  # fmt: skip
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


def make_recorder(steps: int, tokenizer: Any, seed: int) -> Any:
    """A callback that measures at the start, every few steps and at the end, and keeps the means of TRL's figures."""
    from transformers import TrainerCallback

    problems = make_problems("prior", EVALUATE_ON, seed, held_out=True)

    class Recorder(TrainerCallback):
        rows: list[dict[str, Any]] = []  # noqa: RUF012 - the class is made anew for each run
        logged: dict[str, list[float]] = {}  # noqa: RUF012

        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
            self.add(0, model)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:
            if "loss" in logs:
                for name, value in logs.items():
                    self.logged.setdefault(name, []).append(value)
                if state.global_step % EVALUATE_EVERY == 0 or state.global_step == steps:
                    self.add(state.global_step, model)

        def add(self, step: int, model: Any) -> None:
            found = measure(model, tokenizer, problems, seed)
            means = {name: sum(map(float, values)) / len(values) for name, values in self.logged.items()}
            self.rows.append({"step": step} | {f"prior_{name}": value for name, value in found.items()} | means)
            self.logged.clear()

    return Recorder()


def load_model() -> tuple[Any, Any]:
    """The tokenizer and the model in float32; exports the model where it is missing."""
    import torch
    from export_smollm2 import export_smollm2
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = export_smollm2(MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    return tokenizer, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def run(arm: str, share: float, seed: int, steps: int, learning_rate: float, out: Path) -> dict[str, Any]:
    """Trains and measures; writes and returns the row."""
    import torch
    from datasets import Dataset
    from tiny_reasoner.training import grpo_config

    from rlguard.guard import GuardConfig
    from rlguard.integrations.trl import GuardedGRPOTrainer

    torch.set_num_threads(1)
    start, name = time.time(), f"{arm}-{share:g}-{seed}"
    tokenizer, model = load_model()
    recorder = make_recorder(steps, tokenizer, seed)
    # A micro-batch is one of the step's four prompts.
    batch = {
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 4,
        "max_completion_length": MAX_COMPLETION,
    }
    often = {"max_steps": steps, "learning_rate": learning_rate, "logging_steps": 1}
    GuardedGRPOTrainer(
        model=model,
        args=grpo_config(str(out / "trl" / name), seed, **batch, **often),
        processing_class=tokenizer,
        reward_funcs=reward_correct,
        train_dataset=Dataset.from_list(mix_problems(share, PROBLEMS, seed)),
        callbacks=[recorder],
        guard=GuardConfig(mode=MODES[arm]),
    ).train()
    row = {"arm": arm, "share": share, "seed": seed, "steps": steps, "learning_rate": learning_rate}
    row |= {"before": recorder.rows[0], "after": recorder.rows[-1], "curve": recorder.rows}
    row |= {"seconds": time.time() - start, "torch": torch.__version__, "commit": find_commit()}
    write_whole(out / f"{name}.json", row)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=MODES, required=True)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--out", type=Path, default=OUT)
    print(json.dumps(run(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
