"""Guarded trainings with TRL that are killed and resumed: real ones of the tiny model that the repository carries.

Each is killed once at a random moment (SIGKILL, SIGTERM), or its guard's state is cut off after a kill, and runs on to
its end. It must end with as many steps and rollouts as one that was left alone, and, where the last checkpoint was
whole, with the same guard and the same weights. All steps are of one epoch: after the first, the order
of TRL's own prompts does not survive a resume.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.jobs import start, wait

STEPS, SEED = 4, 1
ROOT = Path(__file__).parents[2]


def train(out: Path) -> None:
    """Trains, from the last whole checkpoint if there is one; writes what came of it to `ended.json`."""
    import torch
    from datasets import Dataset
    from tiny_reasoner.tasks import make_problems
    from tiny_reasoner.training import correctness_reward, grpo_config
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlguard.integrations.trl import GuardedGRPOTrainer

    model = ROOT / "recipes" / "tiny_reasoner" / "model"
    settings = {"max_steps": STEPS, "per_device_train_batch_size": 32, "num_generations": 4, "logging_steps": 1}
    trainer = GuardedGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(model),
        args=grpo_config(str(out), SEED, **settings, save_strategy="steps", save_steps=1),
        processing_class=AutoTokenizer.from_pretrained(model),
        reward_funcs=correctness_reward,
        train_dataset=Dataset.from_list(make_problems({"add": 1, "unlearnable": 1}, 8 * STEPS, 5)),
    )
    whole = find_checkpoint(out)
    print("training", flush=True)
    trainer.train(resume_from_checkpoint=None if whole is None else str(whole))
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).numpy().tobytes()
    (out / "ended.json").write_text(json.dumps({
        "steps": trainer.state.global_step, "weights": hashlib.sha256(weights).hexdigest(),
        "guard": trainer.guard.state_dict(),
    }))  # fmt: skip


def find_checkpoint(out: Path) -> Path | None:
    """The last checkpoint that transformers finished: it writes trainer_state.json last."""
    steps = [path for path in out.glob("checkpoint-*") if (path / "trainer_state.json").exists()]
    return max(steps, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def load_libraries() -> None:
    """Here, so that the children that are forked need not load them."""
    sys.path[:0] = [str(ROOT / "recipes")]
    import tiny_reasoner.training  # noqa: F401
    import torch
    from datasets import disable_progress_bars
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: F401

    import rlguard.integrations.trl  # noqa: F401

    torch.set_num_threads(1)
    disable_progress_bars()


def measure_reference(work: Path) -> dict[str, Any]:
    """A training that is left alone: what it ends with, and its seconds."""
    out, log = work / "training", work / "training.log"
    load_libraries()
    ended = wait(start(lambda: train(out), log), log, 300.0)
    if ended.status or not (out / "ended.json").exists():
        raise SystemExit(f"a training fails without interruption: {ended.said[-2000:]}")
    return json.loads((out / "ended.json").read_text()) | {"seconds": ended.seconds}


def interrupt_training(number: int, work: Path, reference: dict[str, Any], seed: int) -> dict[str, Any]:
    """One training, killed once and resumed."""
    draw = random.Random(f"{seed} training {number}")
    kind = draw.choice(("SIGKILL", "SIGTERM", "torn state"))
    out, log, wrong = work / f"training {number}", work / "training.log", list[str]()
    log.unlink(missing_ok=True)
    pid = start(lambda: train(out), log)
    checkpoints, begun = draw.randrange(STEPS), time.monotonic()
    while len(list(out.glob("checkpoint-*"))) < checkpoints and time.monotonic() - begun < 120:
        time.sleep(0.01)
    time.sleep(draw.uniform(0.0, 1.0) * reference["seconds"] / STEPS)
    os.kill(pid, signal.SIGTERM if kind == "SIGTERM" else signal.SIGKILL)
    killed = wait(pid, log)
    whole = find_checkpoint(out)
    state = None if whole is None else whole / "rlguard_state.json"
    kept = state is not None and state.exists()
    if kind == "torn state" and kept:
        content = state.read_bytes()  # type: ignore[union-attr]
        state.write_bytes(content[: draw.randrange(len(content))])  # type: ignore[union-attr]
    (out / "ended.json").unlink(missing_ok=True)
    log.unlink(missing_ok=True)
    ended = wait(start(lambda: train(out), log), log, 180.0)
    if ended.status or not (out / "ended.json").exists():
        wrong.append(f"could not be resumed, {ended.status}: {ended.said[-1500:]}")
    else:
        found = json.loads((out / "ended.json").read_text())
        same = ("steps",) if kind == "torn state" or (whole is not None and not kept) else ("steps", "weights", "guard")
        wrong += [f"{name} differ from those without interruption" for name in same if found[name] != reference[name]]
    shutil.rmtree(out, ignore_errors=True)
    return {
        "number": number, "job": "guarded training", "kind": kind, "hit": killed.status != 0, "wrong": wrong,
        "status": [killed.status], "peak MB": ended.peak_mb, "resumed at": whole and whole.name, "with its guard": kept,
    }  # fmt: skip
