"""The queue: what is run on a GPU, most valuable first, and what each item answers. Imports nothing heavy."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import rlguard

ROOT = Path(__file__).parents[2]

THREE = ("rlguard", "grpo", "grpo_mean_rate")
"""The guarded run stands first: the third takes its mean learning rate."""
FIVE = (*THREE, "grpo_half", "grpo_quarter")
FACTORS = {"grpo": 1.0, "rlguard": 1.0, "grpo_half": 0.5, "grpo_quarter": 0.25}
"""Of the learning rate; that of `grpo_mean_rate` is measured."""
LEARNING_RATES = {"smollm2": 4e-5, "gemma3": 4e-5, "tiny": 2e-4}
"""SmolLM2's was chosen on seed 1000 (LOG.md); the second family takes the same, untuned."""
SEEDS = (1, 2, 3)
STEPS = {"arithmetic": 150, "gsm8k": 100}
"""GRPO's harm showed within 150 steps on SmolLM2; GSM8K, whose completions are four times as long, has the minimum."""

QUESTIONS = {
    1: "Trained on luck alone, what is kept of the prior skills? Would a smaller learning rate do the same?",
    2: "With 25% and 50% learnable problems among them: what is kept, and what is learnt?",
    3: "All learnable: what does the guard cost where there is nothing to guard?",
    4: "GSM8K, near-impossible share 0 and 75%: the same, alone and beside a format reward and a length penalty?",
    5: "Does a second model family say the same on luck alone and on all learnable?",
    6: "What does the guard cost in milliseconds a step, and its detectors beside generation?",
    7: "Does the vLLM recipe run on a GPU?",
}


@dataclass(frozen=True)
class Run:
    """One child process and one row."""

    item: int
    """Of the queue."""
    what: str
    """`train`, `rates` (pass rates of the base model), `cost` or `vllm`."""
    family: str
    task: str = "arithmetic"
    share: float = 1.0
    """Of training problems that are near-impossible, in [0, 1]."""
    arm: str = ""
    seed: int = 0
    rewards: str = "correct"
    """`correct`, or `three`: a format reward and a length penalty beside it."""
    steps: int = 150

    @property
    def name(self) -> str:
        parts = [self.what, self.family, self.task, f"{self.share:g}", self.rewards, self.arm, f"{self.seed}"]
        return "-".join(parts) if self.what == "train" else "-".join(filter(None, (self.what, self.family, self.arm)))

    @property
    def kind(self) -> str:
        """Runs of a kind need the same memory and take the same time a step."""
        return "-".join((self.what, self.family, *([self.task] if self.what == "train" else [])))

    @property
    def guarded(self) -> bool:
        """Whether another version of the guard would give another row."""
        return self.arm in ("rlguard", "grpo_mean_rate") or self.what == "vllm"

    @property
    def alone(self) -> bool:
        """Whether nothing may run beside it: it is a timing, or takes what memory it likes."""
        return self.what in ("cost", "vllm")


@dataclass(frozen=True)
class Size:
    """How much a run is."""

    prompts: int = 16
    """A step's, with `rollouts` of each."""
    rollouts: int = 8
    problems: int = 512
    """Distinct training problems, at most."""
    short: int = 32
    """Tokens of a completion of arithmetic, and of GSM8K."""
    long: int = 128
    evaluate_on: int = 64
    """Held-out problems of each kind, `samples` rollouts of each."""
    samples: int = 8
    evaluate_every: int = 25
    rate_problems: int = 1024
    """GSM8K problems whose pass rates are measured, by `rate_samples` rollouts, `rate_batch` at a time."""
    rate_samples: int = 16
    rate_batch: int = 2048
    cost_completions: int = 512
    cost_tokens: int = 1024
    cost_micro: int = 16
    """Completions of one forward pass in training."""

    def tokens_of(self, kind: str) -> int:
        """Tokens of a completion of a kind of problems, at most."""
        return self.long if kind == "gsm8k" else self.short

    def tokens(self, run: Run) -> int:
        """Tokens of a completion in training, at most."""
        return self.tokens_of(run.task)


FULL = Size()
DRY = Size(
    prompts=4, problems=16, short=40, long=40, evaluate_on=4, samples=2, evaluate_every=1,
    rate_problems=16, rate_samples=4, rate_batch=64, cost_completions=16, cost_tokens=16, cost_micro=8,
)  # fmt: skip
"""For the tiny model on a CPU."""


def list_needs(run: Run) -> list[str]:
    """Names of the runs whose rows a run reads."""
    needs = []
    if run.what == "train" and run.arm == "grpo_mean_rate":
        parts = ["train", run.family, run.task, f"{run.share:g}", run.rewards, "rlguard", f"{run.seed}"]
        needs.append("-".join(parts))
    if run.what == "train" and run.task == "gsm8k":
        needs.append(f"rates-{run.family}")
    return needs


def _train(item: int, family: str, task: str, shares, arms, seeds, rewards=("correct",)) -> Iterator[Run]:  # type: ignore[no-untyped-def]
    for seed, reward, share, arm in product(seeds, rewards, shares, arms):
        yield Run(item, "train", family, task, share, arm, seed, reward, STEPS[task])


def list_queue() -> list[Run]:
    """Every run in order of worth: three seeds each, seed by seed, all arms of a seed together."""
    batches = FULL.rate_problems * FULL.rate_samples // FULL.rate_batch
    return [
        *_train(1, "smollm2", "arithmetic", (1.0,), FIVE, SEEDS),
        *_train(2, "smollm2", "arithmetic", (0.75, 0.5), THREE, SEEDS),
        *_train(3, "smollm2", "arithmetic", (0.0,), THREE, SEEDS),
        Run(4, "rates", "smollm2", "gsm8k", steps=batches),
        *_train(4, "smollm2", "gsm8k", (0.0, 0.75), THREE, SEEDS),
        *_train(4, "smollm2", "gsm8k", (0.0, 0.75), THREE, SEEDS, ("three",)),
        *_train(5, "gemma3", "arithmetic", (1.0,), FIVE, SEEDS),
        *_train(5, "gemma3", "arithmetic", (0.0,), THREE, SEEDS),
        *(Run(6, "cost", "smollm2", arm=arm, steps=3) for arm in ("grpo", "rlguard")),
        Run(7, "vllm", "tiny", steps=5),
    ]


def list_dry_queue() -> list[Run]:
    """One of each sort, for the tiny model."""
    train = {"family": "tiny", "seed": 1, "steps": 2}
    return [
        *(Run(1, "train", arm=arm, **train) for arm in THREE),  # type: ignore[arg-type]
        Run(4, "rates", "tiny", "gsm8k", steps=1),
        Run(4, "train", "tiny", "gsm8k", 0.75, "rlguard", 1, "three", 2),
        *(Run(6, "cost", "tiny", arm=arm, steps=2) for arm in ("grpo", "rlguard")),
    ]


@cache
def read_guard_version() -> str:
    """The version of the guard: rlguard's own, and a hash of the code that guards a TRL run.

    That code is what `rlguard.integrations.trl` imports from rlguard, wherever it lies. Comments and docstrings do
    not count, so that a better sentence makes no row stale.
    """
    seen: dict[str, ast.AST] = {}
    waiting = ["rlguard.integrations.trl"]
    while waiting:
        name = waiting.pop()
        path = ROOT.joinpath(*name.split("."))
        file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
        if name in seen or name == "rlguard" or not file.exists():
            continue
        seen[name] = ast.parse(file.read_text())
        for node in ast.walk(seen[name]):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("rlguard"):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names if alias.name.startswith("rlguard.")]
    shapes = [shape_code(seen[name]) for name in sorted(seen)]
    return f"{rlguard.__version__}+{hashlib.sha256(repr(shapes).encode()).hexdigest()[:10]}"


def shape_code(node: object) -> object:
    """Code as nested tuples without docstrings, positions and empty fields, the same in every Python."""
    if isinstance(node, list):
        return tuple(shape_code(item) for item in node if not _is_docstring(item))
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [(name, shape_code(value)) for name, value in ast.iter_fields(node) if value not in (None, [])]
    return (type(node).__name__, *fields)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
