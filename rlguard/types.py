"""The records that the whole library shares.

A *problem* is a prompt with its gold answer. Sampling it gives *rollouts*; a verifier gives each rollout an
*outcome*; detectors attach *findings*; the rollouts of one problem are a *group*.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal, Protocol

Messages = list[dict[str, Any]]
Severity = Literal["warn", "error"]


class InputError(ValueError):
    """Input that cannot be used. The message names the row, what was expected and what came."""


_KINDS = {"bool": bool, "int": Integral, "float": Real, "str": str, "None": type(None)}
_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "None": "None"}


def check_types(settings: Any) -> None:
    """Makes sure that the plain fields of a dataclass hold what they say: YAML and JSON may bring numbers as text.

    Raises:
        InputError: For the first that does not, or is NaN; names it.
    """
    for each in dataclasses.fields(settings):
        value, kinds = getattr(settings, each.name), str(each.type).split(" | ")
        if not set(kinds) <= set(_KINDS):  # of a type that its class checks
            continue
        fits = "bool" in kinds if isinstance(value, bool) else isinstance(value, tuple(_KINDS[kind] for kind in kinds))
        if not fits or value != value:
            expected = ", or ".join(_WORDS[kind] for kind in kinds)
            raise InputError(f"{type(settings).__name__}.{each.name}: expected {expected}, got {value!r:.60}")


_OWN = {"assistant", "model", "gpt", "ai", "bot"}
"""Roles of the model, in small letters."""


def prompt_text(prompt: str | Messages) -> str:
    """The words of a prompt: a string as it is, chat messages joined by newlines.

    >>> prompt_text([{"role": "user", "content": "2+2?"}])
    '2+2?'
    """
    if isinstance(prompt, str):
        return prompt
    return "\n".join(_content_text(message.get("content")) for message in prompt)


def _content_text(content: Any) -> str:
    if isinstance(content, list | tuple):  # multimodal content: typed blocks, of which pictures have no words
        return " ".join(str(block.get("text") or "") if isinstance(block, Mapping) else str(block) for block in content)
    return "" if content is None else str(content)


def _list_calls(message: Mapping[str, Any]) -> list[Any]:
    """The tool calls of a message: OpenAI's, the single one of its older form, and Anthropic's blocks."""
    calls: list[Any] = []
    for value in (message.get("tool_calls"), message.get("function_call")):
        calls += value if isinstance(value, list | tuple) else [value] if value else []
    content = message.get("content")
    blocks = content if isinstance(content, list | tuple) else ()
    return calls + [block for block in blocks if isinstance(block, Mapping) and block.get("type") == "tool_use"]


def is_own(message: Mapping[str, Any]) -> bool:
    """Whether a chat message is the model's own; one without a role is.

    >>> is_own({"role": "Assistant"}), is_own({"role": "tool"})
    (True, False)
    """
    return str(message.get("role") or "assistant").lower() in _OWN


def _find_reasoning(message: Mapping[str, Any]) -> str:
    """What stands beside the content as the thoughts before it, in the words of servers or in Anthropic's blocks."""
    content = message.get("content")
    blocks = content if isinstance(content, list | tuple) else ()
    thoughts = [message.get("reasoning_content") or message.get("reasoning")]
    thoughts += [block.get("thinking") for block in blocks if isinstance(block, Mapping)]
    return "\n".join(thought for thought in thoughts if isinstance(thought, str) and thought)


def completion_text(completion: str | Messages) -> str:
    """The model's own words: a string as it is, of chat messages what the assistant thinks, says and which tools it
    calls.

    What tools, environments and users answer is left out.

    >>> completion_text([{"role": "assistant", "content": "4"}, {"role": "user", "content": "Right!"}])
    '4'
    >>> call = {"function": {"name": "add", "arguments": {"a": 2, "b": 2}}}
    >>> completion_text([{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "4"}])
    '<tool_call>{"name": "add", "arguments": {"a": 2, "b": 2}}</tool_call>'
    """
    if isinstance(completion, str):
        return completion
    parts = []
    for message in completion:
        if is_own(message):
            said, thought = _content_text(message.get("content")), _find_reasoning(message)
            said = f"<think>\n{thought}\n</think>\n\n{said.lstrip()}" if thought else said
            made = [
                json.dumps(
                    call.get("function", call) if isinstance(call, dict) else call, default=str, ensure_ascii=False
                )
                for call in _list_calls(message)
            ]
            parts += [said] * bool(said or not made) + [f"<tool_call>{call}</tool_call>" for call in made]
    return "\n".join(parts)


def make_prompt_id(prompt: str | Messages, answer: Any = None) -> str:
    """A 16-character content hash of a prompt and its gold answer: the same problem has the same id everywhere.

    A prompt may hold pictures, arrays, tensors and bytes, which count by their content.

    >>> make_prompt_id("2+2?", 4) == make_prompt_id("2+2?", "4")
    True
    """
    asked = [prompt, None if answer is None else str(answer)]
    canonical = json.dumps(asked, sort_keys=True, default=_describe_content)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _describe_content(value: Any) -> Any:
    """What JSON holds in the place of a value: the same where the content is, in every process."""
    if hasattr(value, "detach"):  # a tensor, on any device and of any type
        value = value.detach().cpu()
        value = value.double().numpy() if value.is_floating_point() else value.numpy()
    shape = [str(getattr(value, name, "")) for name in ("mode", "size", "shape", "dtype")]  # of pictures and arrays
    try:
        content = value.tobytes() if hasattr(value, "tobytes") else pickle.dumps(value)
    except Exception:  # a handle, say: its kind is all that can be told
        content = type(value).__name__.encode()
    return [*shape, hashlib.sha256(content).hexdigest()]


def without_nan(value: Any) -> Any:
    """The same dicts, lists and values as JSON can hold them: null for NaN and infinity.

    >>> without_nan({"rates": (0.5, math.nan)})
    {'rates': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, slots=True)
class Problem:
    """A prompt with its gold answer, and the data row it came from."""

    id: str
    prompt: str | Messages
    answer: Any = None
    row: Mapping[str, Any] = field(default_factory=dict)
    """Every column of the data row, for verifiers that need more than the answer."""
    number: int = 0
    """Row number in the data set, from 0; errors name it."""

    @property
    def text(self) -> str:
        return prompt_text(self.prompt)


@dataclass(frozen=True, slots=True)
class Generation:
    """What an engine returns for one completion."""

    text: str
    tokens: int
    finish_reason: str
    """`stop`, `length` (truncated), or the engine's own word."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A completion with its prompt, its outcome and its origin."""

    prompt_id: str
    """`make_prompt_id` of its problem, or the name that a log gives it; empty when not known."""
    index: int
    """Number of this rollout among those of its prompt, from 0."""
    completion: str
    """The model's own words."""
    outcome: float = math.nan
    """1.0 correct, 0.0 wrong, NaN could not be judged."""
    answer: str | None = None
    """The final answer found in the completion."""
    tokens: int = 0
    finish_reason: str = "stop"
    prompt: str | Messages = ""
    gold: Any = None
    """The gold answer; None when not known."""
    reward: float = math.nan
    """The reward that training optimised; NaN if unknown, here and below."""
    advantage: float = math.nan
    weight: float = math.nan
    """The weight that the guard gave it."""
    step: int | None = None
    """Training step."""
    source: str = ""
    """The run or file that it was read from."""

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


BANDS = ("impossible", "near-impossible", "learnable", "mastered")
BOUNDS = (0.02, 0.1, 0.9)


def name_band(rate: float, bounds: tuple[float, float, float] = BOUNDS) -> str:
    """The difficulty band of a pass rate.

    Args:
        rate: In [0, 1]; NaN is `unscored`.
        bounds: Where near-impossible, learnable and mastered begin; a rate equal to the last is still learnable.

    >>> [name_band(rate) for rate in (0.0, 0.05, 0.1, 0.9, 1.0, math.nan)]
    ['impossible', 'near-impossible', 'learnable', 'learnable', 'mastered', 'unscored']
    """
    if math.isnan(rate):
        return "unscored"
    return BANDS[int(rate >= bounds[0]) + int(rate >= bounds[1]) + int(rate > bounds[2])]


@dataclass(frozen=True, slots=True)
class PassRate:
    """The pass rate of one prompt: successes of trials, an interval, and the chance rate."""

    prompt_id: str
    successes: int
    trials: int
    """Scored rollouts; a truncated one counts as the verifier judged it, an unscored one does not count."""
    low: float
    high: float
    """Bounds of the 95% interval for the pass rate, valid whenever the sampling stopped."""
    band: str
    """One of `BANDS`, or `unscored` when no pass rate is known."""
    truncated: int = 0
    unscored: int = 0
    rate: float = math.nan
    """The pass rate, corrected for the stopping rule if there was one; successes / trials unless given, NaN unknown."""
    band_error: float = math.nan
    """Probability that the true pass rate lies in another band, given the population of this run; NaN unknown."""
    chance_rate: float = math.nan
    """How often a guess would pass; NaN when it could not be estimated."""
    chance_low: float = math.nan
    chance_high: float = math.nan
    """Bounds of the 95% interval for the chance rate."""
    above_chance: float = math.nan
    """Probability that the pass rate is higher than the chance rate; NaN unknown."""
    other_answer: str | None = None
    """The answer that the model agrees on instead of the gold answer, more often than chance explains."""
    other_count: int = 0
    """Number of trials that gave that answer."""
    unanswered: int = 0
    """Rollouts in which no final answer was found, empty ones among them."""
    status: str = "ok"
    """`ok`; or why there is no rate (`gold_rejected`, `not_sampled`), or where it comes from (`published`)."""
    model: str | None = None
    """The model whose pass rate it is: a rate does not carry over to another one."""

    def __post_init__(self) -> None:
        if math.isnan(self.rate) and self.trials:
            object.__setattr__(self, "rate", self.successes / self.trials)

    def suspects_label(self, share: float = 0.5) -> bool:
        """Whether at least `share` of the trials, and six of them, agree on an answer that is not the gold answer."""
        return self.other_count >= max(6, share * self.trials)


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign of a shortcut in one completion, with the span that shows it."""

    kind: str
    """Of one completion: `answer_repetition`, `text_loop`, `skipped_computation`, `answer_first`,
    `unsupported_answer`, `false_step`, `garbage`; of a batch: `same_answer`, `same_text`,
    `lucky_guess`, `length_collapse`, `truncation_test`."""
    reason: str
    """One line in plain words."""
    start: int
    end: int
    """Characters `completion[start:end]` show it."""
    likelihood_ratio: float
    """P(this evidence | the success is genuine) / P(this evidence | it is lucky); below 1 speaks for luck."""
    severity: Severity = "warn"
    prompt_id: str | None = None
    index: int | None = None
    """Which rollout of the prompt."""
    step: int | None = None
    """Training step, when the rollouts carry one."""


class Verifier(Protocol):
    """Judges completions against gold answers."""

    name: str
    version: str

    def score(self, completion: str, problem: Problem) -> float:
        """1.0 correct, 0.0 wrong, NaN could not be judged."""

    def extract(self, completion: str) -> str | None:
        """The final answer in the completion, or None."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn."""

    max_tokens: int = 512
    """Longest completion; a longer one is cut, and counts as truncated."""
    temperature: float = 1.0
    """As in training: pass rates depend on it."""
    top_p: float = 1.0
    """Nucleus sampling; 1 is none."""
    seed: int = 0
    """Seed of the whole run; each request derives its own from it, the prompt id and the rollout's number."""


@dataclass(frozen=True, slots=True)
class Request:
    """An order for `n` more completions of one problem, numbered from `first`."""

    problem: Problem
    n: int
    first: int = 0


class Engine(Protocol):
    """Turns prompts into completions."""

    def describe(self) -> dict[str, Any]:
        """Provenance: what must be equal for two rollouts to come from the same distribution. Names `model`."""

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Request, list[Generation]]]:
        """Yields each request with its `n` generations as soon as they are finished, in any order.

        Requests are drawn from the iterable when there is room for them, with `next(source, None)`: None says that
        nothing is waiting *now*, and what comes out may bring more. So an engine asks again after each result, and
        ends when nothing is waiting and nothing is on its way. A request that cannot be sampled yields no generations.
        """


def is_same_model(one: str, other: str) -> bool:
    """Whether two model names mean the same, as far as names tell: the last part counts, in any case.

    >>> is_same_model("org/Model-7B", "/models/model-7b/")
    True
    """
    return one.rstrip("/").rpartition("/")[2].lower() == other.rstrip("/").rpartition("/")[2].lower()


def count_reasons(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason occurs, most frequent first, ties by name.

    >>> count_reasons(["b", "a", "b"])
    {'b': 2, 'a': 1}
    """
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
