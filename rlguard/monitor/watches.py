"""The figures of a training run that are watched: their names, how each is judged, what a change usually means."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from rlguard.types import InputError


@dataclass(frozen=True)
class Watch:
    """How one figure is judged in one direction; a figure that can go wrong both ways has two."""

    figure: str
    """Its name here; `findings/*` stands for every name that begins so."""
    names: tuple[str, ...]
    """Names that trainers log it under, with or without a leading `train/`; the first one found in a step counts. One
    `*` stands for anything without a slash."""
    rises: bool
    """Whether a rise is bad; if not, a fall is."""
    warning: float | None = None
    """Largest healthy change; a change that is surely larger is a warning. None: any change is healthy."""
    critical: float | None = None
    """Change beyond which the alarm is critical; None: never."""
    relative: bool = False
    """Whether changes are relative to the reference instead of differences."""
    limit: tuple[float | None, float | None] = (None, None)
    """Values beyond which the state is a warning and critical, whatever the reference."""
    window: int = 16
    """Number of last steps whose mean (median if no `share`) is compared with `limit`; early all, at least 4."""
    noise: float = 0.02
    """Floor for the standard deviation from step to step; of the logarithm if `relative`."""
    beside: str = ""
    """A figure logged in the same steps: where it is logged and this one is not, this one is 0."""
    best: bool = False
    """Whether the reference is the best stretch of steps so far instead of the first steps: for what training should
    raise. Changes are then relative to the size of the reference, which may be 0 or negative."""
    recent: bool = False
    """Whether the reference is the best of the last few stretches instead of the first steps: for what may go far in a
    healthy run, if slowly."""
    share: bool = False
    """Whether it is a share of groups or completions, which a tiny batch makes coarse."""
    cause: str = ""
    """What usually is behind an alarm."""
    do: str = ""
    """What to do about it, with the names of settings."""

    def __post_init__(self) -> None:
        most = 1.0 if self.relative and not self.rises else math.inf
        for name in ("warning", "critical"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < most:
                raise InputError(f"Watch {self.figure!r}: {name}: expected a change in [0, {most}), got {value!r}")
        if self.window < 1 or self.noise <= 0:
            raise InputError(f"Watch {self.figure!r}: expected a window of at least 1 and a noise above 0")

    def find(self, logs: Mapping[str, Any]) -> dict[str, str]:
        """Its figures in what a trainer logged: name here -> the trainer's name; the first that is a finite number."""
        found: dict[str, str] = {}
        for name in (self.figure, *self.names):
            lead, star, tail = name.partition("*")
            for key in logs if star else [name] if name in logs else []:
                middle = key[len(lead) : len(key) - len(tail)]
                if star and not (key.startswith(lead) and key.endswith(tail) and middle and "/" not in middle):
                    continue
                if math.isfinite(to_number(logs[key])):
                    found.setdefault(self.figure.replace("*", middle) if star else self.figure, key)
        return found

    def to_scale(self, value: float) -> float:
        """The value on the scale on which changes are differences."""
        return math.log(max(value, 1e-9)) if self.relative else value

    def from_scale(self, value: float) -> float:
        return math.exp(value) if self.relative else value

    def bound(self, mean: float, change: float) -> float:
        """Where a reference mean on the scale and a change that is allowed lead, as the figure is."""
        sign = 1 if self.rises else -1
        if self.best:
            return mean + sign * change * size_of(mean)
        return self.from_scale(mean) * (1 + sign * change) if self.relative else mean + sign * change

    def covers(self, figure: str) -> bool:
        """Whether it judges the figure of that name."""
        return figure.startswith(self.figure[:-1]) if self.figure.endswith("*") else figure == self.figure


PENALTY = 0.2
"""A penalty that was hardly ever paid may well grow: it is judged as one of this size at least."""


def size_of(mean: float) -> float:
    """What changes of a reward are relative to.

    >>> size_of(0.05), size_of(-0.01), size_of(-2.0)
    (0.05, 0.2, 2.0)
    """
    return mean if mean >= 0 else max(-mean, PENALTY)


LENGTH = ("completions/mean_length", "response_length/mean", "env/all/ac_tokens_per_turn", "val/sequence_lengths")
REWARD = ("reward/mean", "critic/rewards/mean", "critic/score/mean", "env/all/reward/total", "rollout/raw_reward")
KL = ("objective/kl", "actor/kl_loss", "kl_loss", "optim/kl_sample_train_v1", "actor/ppo_kl", "ppo_kl")
LIKELY = {
    "truncated": r"trunc|cut_?off|no_eos|overlong|(response|completion)\w*[/_]clip",
    "format_rate": r"format",
    "unsolved_groups": r"solve_none|all_(wrong|incorrect|bad)|none_(right|correct|solved)",
    "solved_groups": r"solve_all|all_(right|correct|solved|good)",
    "clip_fraction": r"clip_?(frac|ratio)",
    "grad_norm": r"grad\w*_?norm|\bgnorm",
    "entropy": r"(\b|_)ent(ropy)?(\b|_)",
    "kl": r"(\b|_)kl(\b|_)",
    "accuracy": r"(\b|_)(acc(uracy)?|correct|success|solve|pass)(_?(rate|ratio|share|mean|avg|at_\d+|@\d+)|\b)",
    "length": r"len(gths?)?(\b|_)|(avg|mean)_(\w+_)?tokens|tokens(_per_(turn|completion|response|sample)|/(avg|mean))",
    "reward": r"(\b|_)(rewards?|scores?)(\b|_)",
}
"""A figure -> what its name looks like; the first that fits counts. `Watch.names` say which of several is meant."""
UNLIKELY = re.compile(
    r"prompt|count|advantage|tim(e|ing)|throughput|^(tokens$|rlguard|rollouts|canary|audit|prior)|"
    r"(^|[/_])((eval|val|test)[/_]|(stds?|var|min|max|median|p\d+|low|high|target|beta|ctl|coef\w*)($|[/_]))"
)
"""What is none of these figures for all that."""
RATE = "Lower learning_rate (by half or more), raise beta (TRL) or actor.kl_loss_coef (verl)"
BACK = "go back to the last good checkpoint"
READ = "Read ten of the newest completions that were paid"

WATCHES = (
    Watch("reward", REWARD, False, 0.5, 0.8, best=True, noise=0.02,
          cause="the policy broke (too large steps), or the data or the verifier changed",
          do=f"Read completions of these steps. {RATE}, and {BACK}."),
    Watch("rewards/*", ("rewards/*/mean", "reward/*/mean", "reward_components/*"), False, 0.6, 0.9, best=True,
          noise=0.02,
          cause="the model gives one part of the reward up for another, or that function fails",
          do="Look at this reward function's values in the newest completions; check reward_weights."),
    Watch("accuracy", ("env/all/correct",), False, 0.4, 0.7, best=True, noise=0.02,
          cause="the policy broke, or it is paid for something other than right answers",
          do=f"{READ}. {RATE}, and {BACK}."),
    Watch("format_rate", ("env/all/format",), False, 0.3, 0.6, best=True, noise=0.02,
          cause="completions are cut off before their answer, or turn into gibberish",
          do="Look at the share of truncated completions first, then read completions of these steps."),
    Watch("unearned", (), True, 0.2, 0.4, noise=0.04,
          cause="the reward that is trained on (the proxy) is earned without the task being solved",
          do=f"{READ}; check the verifier: `rlguard verifier DATA --verifier V`. Stop the run until it is repaired."),
    Watch("truncated", (), True, 0.25, 0.5, limit=(0.6, 0.9), noise=0.03, share=True,
          cause="completions reach the length limit before their answer, and earn 0 for it",
          do="Raise max_completion_length (TRL) or data.max_response_length (verl), or leave cut-off completions out "
             "of the loss: mask_truncated_completions=True."),
    Watch("length", LENGTH, False, 0.3, 0.5, relative=True, noise=0.05,
          cause="answers without reasoning are paid as well as answers with it, or a length penalty is too strong",
          do=f"{READ}: is the computation still there? Guard the run, or weaken the length penalty."),
    Watch("length", (), True, 3.0, 9.0, relative=True, noise=0.05,
          cause="loops and padding: length is paid, or the loss is a mean over each completion's own tokens",
          do="Read the longest completions. Set loss_type='dr_grpo' (TRL) or overlong reward shaping (verl); see "
             "whether truncated rises too."),
    Watch("entropy", (), False, 0.95, 0.99, relative=True, recent=True, noise=0.1,
          cause="the policy becomes deterministic at once: groups turn equal and learning ends",
          do="Raise epsilon_high (clip higher) or temperature; drop prompts that are always solved."),
    Watch("entropy", (), True, 2.0, 5.0, relative=True, noise=0.1,
          cause="the policy turns to gibberish: steps too large, an entropy bonus, or engine and trainer disagree",
          do=f"Read completions. {RATE}; set entropy_coef to 0; compare the log-probabilities of engine and trainer."),
    Watch("kl", KL, True, limit=(1.0, 5.0), window=8,
          cause="the policy has left the reference model",
          do=f"{RATE}, and {BACK}."),
    Watch("grad_norm", (), True, 9.0, 99.0, relative=True, noise=0.3,
          cause="steps too large, a broken batch, or log-probabilities that do not match",
          do="Set max_grad_norm (0.1 to 1), lower learning_rate, look at the batch of this step."),
    Watch("clip_fraction", ("clip_ratio/region_mean",), True, 0.2, 0.5, noise=0.03,
          cause="the policy moves far within one batch: too many updates on the same rollouts, or too large steps",
          do="Lower num_iterations or learning_rate (TRL), ppo_epochs or actor.optim.lr (verl)."),
    Watch("findings", ("rlguard/flagged_share",), True, 0.1, 0.4, noise=0.04, share=True,
          cause="shortcuts are spreading", do="Read the flagged completions: `rlguard report RUN`."),
    Watch("findings/*", ("rlguard/findings/*",), True, 0.15, 0.4, noise=0.04, beside="findings", share=True,
          cause="this shortcut is spreading", do="Read the flagged completions: `rlguard report RUN`."),
    Watch("lucky_share", ("rlguard/lucky_share",), True, 0.15, 0.4, limit=(0.5, 0.8), noise=0.05, share=True,
          cause="successes are luck: the problems are beyond the model, or answers can be guessed",
          do="Filter the data (`rlguard filter`); train with the guard, if you do not yet."),
    Watch("chance_rate", ("rlguard/chance_rate",), True, 0.3, 0.6, noise=0.05,
          cause="answers can be guessed more and more often",
          do="Ask for open answers instead of options; filter prompts whose pass rate is their chance rate."),
    Watch("unsolved_groups", ("rlguard/unsolved_groups", "env/all/by_group/frac_all_bad"), True,
          0.3, limit=(0.7, None), noise=0.05, share=True,
          cause="the problems are too hard, or the verifier refuses right answers",
          do="Filter the data (`rlguard filter`); check the verifier: `rlguard verifier DATA --verifier V`."),
    Watch("solved_groups", ("rlguard/solved_groups", "env/all/by_group/frac_all_good"), True, limit=(0.9, None),
          share=True,
          cause="the problems are too easy, or everything is paid",
          do=f"{READ}; then take harder data (`rlguard filter`, the curriculum)."),
    Watch("flat_groups", ("rlguard/flat_groups", "frac_reward_zero_std", "frac_zero_std", "zero_std_ratio"), True,
          limit=(0.98, None), share=True,
          cause="every group is all right, all wrong, or paid alike: nothing is left to learn from",
          do="Look at `reward`: near its top the data is too easy; near 0 too hard, or the verifier is broken."),
    Watch("canary", ("canary/accuracy", "audit/all/accuracy"), False, 0.05, 0.15, noise=0.005,
          cause="training costs the model what it could do before",
          do=f"Compare with `rlguard audit`. {RATE}, and {BACK}."),
    Watch("nan/*", (), True, limit=(None, 0.5), window=3,
          cause="the weights, the loss or a reward are no numbers any more: nothing is learnt from here on",
          do=f"Stop the run and {BACK}. {RATE}; set max_grad_norm; train in bfloat16, not float16; check the rewards."),
)  # fmt: skip
"""What is watched by default, with the names of TRL (old and new), ms-swift, verl, tinker, OpenRLHF, prime-rl, NeMo-RL,
slime and loops of one's own.

`findings` is the share of completions with a shortcut; `lucky_share`, of the successes, and `chance_rate` are the
guard's; `unsolved_groups`, `solved_groups` and `flat_groups` are shares of groups without a right rollout, without a
wrong one, and of zero variance; `canary` is the accuracy on a few questions that are not trained on. `unearned` is
`PROXY` minus `TRUTH`, see `Monitor.see`; `nan/loss` is 1 where the loss is NaN, and 0 in
later steps.
"""

BREAKS = ("reward", "kl", "grad_norm", "entropy")
"""Figures that are NaN in no healthy run, beside the loss. A part of the reward may be: it judges some prompts only."""
LOSS = re.compile(r"(^|[/_])loss$")

_OF = r"([/_]?(rewards?|scores?|acc(uracy)?|success|solved|pass(ed)?|tests?|mean|rate|share))*$"
PROXY = re.compile(rf"(^|[/_])(proxy|visible|rm_score|reward_model_score){_OF}")
TRUTH = re.compile(rf"(^|[/_])(ground_)?(truth|true|gold|hidden){_OF}")
"""What a reward that is trained on looks like by its name, and what it stands for, where a run logs both."""

BOOKKEEPING = re.compile(
    r"loss|learning_rate|percent|(^|[/_])lr\b|epoch|step|update|time|timing|perf/|mfu|memory|throughput|num_|total|seqlen|clock|"
    r"flos|pid|coef|samples|mean_terminated_length|eval|val-|val/|prompt_length|advantages|returns|(std|min|max)(imum)?$|(min|max|std)_|/(low|high)_"
)
"""Names that nobody expects to be watched: they are not told as unread."""


@cache
def guess_figure(name: str) -> str | None:
    """The figure that an unknown name stands for, by its looks; None where it looks like none.

    >>> guess_figure("grpo_actor/update/entropy/avg"), guess_figure("response_len_mean"), guess_figure("entropy_coef")
    ('entropy', 'length', None)
    """
    low = re.sub("num_tokens", "tokens", re.sub(r"(hit|at)_max", "trunc", re.sub("[.-]", "_", name.lower())))
    if UNLIKELY.search(low):
        return None
    return next((figure for figure, looks in LIKELY.items() if re.search(looks, low)), None)


def is_nan(value: Any) -> bool:
    """Whether it is NaN, also as text; text of another kind is not.

    >>> is_nan("nan"), is_nan("45%"), is_nan(None)
    (True, False, False)
    """
    try:
        return math.isnan(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def to_number(value: Any) -> float:
    """A number, also as text, where "45%" is 0.45; NaN for anything else."""
    try:
        if isinstance(value, str) and value.rstrip().endswith("%"):
            return float(value.rstrip()[:-1]) / 100
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
