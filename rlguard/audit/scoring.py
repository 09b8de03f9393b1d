"""What only a model's weights tell: how likely it finds its completions, and the gold answer after each step of them.

Steps that lead to the answer make the gold answer likelier one by one. Published "information gain" (arXiv 2506.02126)
takes the perplexity of all tokens, and its sum telescopes, so that more steps alone shrink its mean. Here only the gold
answer's tokens count, the same ones after every step, and the whole curve is kept: a measure can tell a gain from a
split into more steps.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rlguard.answers import ANSWER_CUE
from rlguard.audit.samples import PLAIN, Sample, Score
from rlguard.engines.origin import describe_origin
from rlguard.engines.requests import encode_prompt
from rlguard.engines.transformers import TransformersEngine
from rlguard.shortcuts.cutting import find_reasoning_end
from rlguard.types import InputError, Messages, Problem, Request, Rollout

BATCH_TOKENS = 1 << 14
LOGITS = 1 << 28
"""Logits that the model gives at once, and so a completion's tokens that are scored at once: 1 GiB in float32."""
CHUNK = 1 << 24
"""Logits that are worked on in float32 at once."""
MAX_STEPS = 32
LONG_LINE = 200
"""Characters from which on a line is split into sentences."""
WINDOW = 32
"""Questions whose texts are encoded and sorted by length together."""

_LINE = re.compile(r"[^\n]*\S[^\n]*")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|;")

Text = tuple[list[int], list[int]]
"""Tokens that are given, and tokens that are scored."""


def split_steps(completion: str, most: int = MAX_STEPS) -> list[int]:
    r"""Where the steps of a completion end: lines; sentences where a line is long or the only one.

    The line or sentence in which the final answer is first stated is no step, nor is what follows it: the answer itself
    would stand before the question for it. A completion without a final answer is all steps.

    Args:
        completion: Text of the model.
        most: More steps than this are merged, evenly.

    Returns:
        `completion[:end]` are the steps up to one of them, for each.

    >>> text = "7+8=15\n15+5=20\nSo the answer is 20."
    >>> [text[:end] for end in split_steps(text)]
    ['7+8=15', '7+8=15\n15+5=20']
    >>> split_steps("First 2+2=4; then 4+1=5; answer 5")
    [12, 24]
    """
    said = find_reasoning_end(completion)
    ends = [end for end in _segment_ends(completion) if said is None or end <= said]
    if len(ends) > most:
        ends = [ends[(turn + 1) * len(ends) // most - 1] for turn in range(most)]
    return ends


def _segment_ends(text: str) -> list[int]:
    lines, ends = list(_LINE.finditer(text)), list[int]()
    for line in lines:
        if len(lines) == 1 or len(line[0]) > LONG_LINE:
            ends += [match.end() for match in _SENTENCE_END.finditer(text, line.start(), line.end())]
        if not ends or text[ends[-1] : line.end()].strip():
            ends.append(line.end())
    return ends


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Puts every module of a model into eval mode, and afterwards back into its own; so too torch's random state."""
    import torch

    kind = model.device.type
    devices = [] if kind in ("cpu", "mps") else list(range(torch.get_device_module(kind).device_count()))
    training = [module for module in model.modules() if module.training]
    with torch.random.fork_rng(devices, device_type=kind if devices else "cuda"):
        model.eval()
        try:
            yield
        finally:
            for module in training:
                module.training = True


class Scorer(TransformersEngine):
    """A model in transformers, asked how likely it finds a text; as an engine it samples too.

    A prompt is encoded as an engine encodes it, the completion's text after it by itself and without special tokens.
    The end-of-sequence token is added where the completion stopped by itself; with several of them, the tokenizer's.
    A text can be written in other tokens than those it was sampled in, so the log-probability is that of the tokens
    that the tokenizer would choose.
    """

    batch_tokens = BATCH_TOKENS
    """Tokens, padding included, that are scored at once."""
    cue = f"\n{ANSWER_CUE}"
    """What stands between the steps and the gold answer. For a model that thinks between tags, with the closing tag."""

    @classmethod
    def from_loaded(cls, model: Any, tokenizer: Any, batch_size: int = 64) -> Scorer:
        """The same for a model that is loaded already; scoring puts it into eval mode for as long as it takes."""
        import torch
        import transformers

        self = cls.__new__(cls)
        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self.batch_size = batch_size
        name = str(getattr(model.config, "_name_or_path", "")) or type(model).__name__
        self._origin = describe_origin("transformers", transformers.__version__, name, {}, tokenizer)
        eos = model.generation_config.eos_token_id or tokenizer.eos_token_id
        self._eos = set(eos) if isinstance(eos, list) else {eos}
        self._pad = (min(self._eos) or 0) if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._limit = getattr(model.config, "max_position_embeddings", None) or 10**9
        return self

    def score(
        self, prompt: str | Messages, completions: Sequence[str], gold: str | None = None, stopped: bool = True
    ) -> list[Score | None]:
        """Scores completions of one prompt.

        Args:
            prompt: Text or chat messages.
            completions: Any number; an empty one counts its end only.
            gold: Gold answer whose log-probability is taken after each step (`split_steps`); None for none.
            stopped: Whether they ended by themselves.

        Returns:
            A score each. None where prompt and completion are longer than the model takes; `gold_logprobs` is empty
            where they are with the cue and the answer. The entropy of no token is NaN.

        Raises:
            InputError: If the model's chat template does not take the messages, or a batch does not fit into memory.
        """
        reason = "stop" if stopped else "length"
        rollouts = [Rollout("", number, text, finish_reason=reason) for number, text in enumerate(completions)]
        return self._score([(Problem("", prompt), rollouts, [gold] * len(rollouts))])[0]

    def score_samples(
        self,
        samples: Sequence[Sample],
        most: int = 4,
        gold_most: int = 1,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Sample]:
        """Scores the rollouts of many questions.

        Args:
            samples: Of the same model.
            most: Rollouts a question that are scored, the first ones.
            gold_most: Those of them for which the gold answer is too, of plain answerable questions with one answer.
            on_progress: Called with the questions done, and how many there are.

        Returns:
            The samples with a score or None for each rollout, in the order given.

        Raises:
            InputError: As for `score`.
        """
        done: list[Sample] = []
        for start in range(0, len(samples), WINDOW):
            window = samples[start : start + WINDOW]
            cases = []
            for number, sample in enumerate(window, start):
                item, chosen = sample.item, list(sample.rollouts[:most])
                asked = item.variant == PLAIN and item.answerable and not item.open_ended
                golds = [item.answer if asked and place < gold_most else None for place in range(len(chosen))]
                cases.append((Problem(item.id, item.prompt, number=number), chosen, golds))
            for sample, scores in zip(window, self._score(cases), strict=True):
                done.append(replace(sample, scores=[*scores, *[None] * (len(sample.rollouts) - len(scores))]))
            if on_progress:
                on_progress(len(done), len(samples))
        return done

    def _score(
        self, cases: Sequence[tuple[Problem, Sequence[Rollout], Sequence[str | None]]]
    ) -> list[list[Score | None]]:
        """Scores of the rollouts of each problem, with the gold answers given for them."""
        spoken: list[Text | None] = []
        curves: list[list[Text]] = []
        for problem, rollouts, golds in cases:
            prompt = encode_prompt(self._tokenizer, Request(problem, 1), self._limit)
            for rollout, gold in zip(rollouts, golds, strict=True):
                text = None if not prompt else (prompt, self._encode_completion(rollout))
                spoken.append(text if text and self._fits(text) else None)
                curve = self._encode_curve(prompt, rollout.completion, gold) if prompt and gold else []
                curves.append(curve if spoken[-1] and all(map(self._fits, curve)) else [])
        with evaluating(self._model):
            measured = iter(self._measure([text for text in spoken if text]))
            likely = iter(self._measure([text for curve in curves for text in curve]))
        found: list[Score | None] = []
        for text, curve in zip(spoken, curves, strict=True):
            golds_known = tuple(next(likely)[0] for _ in curve)
            if text is None:
                found.append(None)
                continue
            (logprob, entropy), tokens = next(measured), len(text[1])
            found.append(Score(logprob, tokens, entropy / tokens if tokens else math.nan, golds_known))
        rest = iter(found)
        return [[next(rest) for _ in rollouts] for _, rollouts, _ in cases]

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _encode_completion(self, rollout: Rollout) -> list[int]:
        own = self._tokenizer.eos_token_id
        end = own if own in self._eos else min(self._eos)
        return self._encode(rollout.completion) + ([end] if rollout.finish_reason == "stop" and end is not None else [])

    def _encode_curve(self, prompt: list[int], completion: str, gold: str) -> list[Text]:
        """The gold answer after 0, 1, … all steps.

        Cue and answer are encoded together, so that the space between them belongs where the tokenizer puts it, and
        apart from the steps: what is compared differs in the steps alone, not in a token of the answer.
        """
        begun, whole = self._encode(self.cue), self._encode(f"{self.cue} {gold}")
        same = next((i for i, (a, b) in enumerate(zip(begun, whole, strict=False)) if a != b), len(begun))
        steps = [self._encode(completion[:end]) for end in (0, *split_steps(completion))]
        return [(prompt + shown + whole[:same], whole[same:]) for shown in steps]

    def _fits(self, text: Text) -> bool:
        return len(text[0]) + len(text[1]) <= self._limit

    def _measure(self, texts: Sequence[Text]) -> list[tuple[float, float]]:
        """Sum of the log-probabilities of each text's scored tokens, and of the entropies before them, in nats."""
        vocabulary = len(self._tokenizer)
        piece = max(1, LOGITS // vocabulary)
        pieces = [
            (number, (given + scored[:start], scored[start : start + piece]))
            for number, (given, scored) in enumerate(texts)
            for start in range(0, len(scored), piece)
        ]
        pieces.sort(key=lambda pair: sum(map(len, pair[1])))  # little padding
        totals = [(0.0, 0.0)] * len(texts)
        while pieces:
            size, first = 0, math.inf
            while size < len(pieces):
                given, scored = pieces[size][1]
                width, first = len(given) + len(scored) - 1, min(first, len(given) - 1)
                rows = size + 1
                if size and (rows * width > self.batch_tokens or rows * (width - first) * vocabulary > LOGITS):
                    break
                size = rows
            batch, pieces = pieces[:size], pieces[size:]
            try:
                sums = self._forward([text for _, text in batch])
            except self._torch.OutOfMemoryError as error:
                raise InputError(f"{size} texts do not fit into memory, lower batch_tokens: {error}") from error
            for (number, _), (logprob, entropy) in zip(batch, sums, strict=True):
                totals[number] = totals[number][0] + logprob, totals[number][1] + entropy
        return totals

    def _forward(self, texts: Sequence[Text]) -> list[tuple[float, float]]:
        """The same for one batch, padded on the right, where a causal model does not see it."""
        torch, device = self._torch, self._model.device
        inputs = [(given + scored)[:-1] for given, scored in texts]
        width, first = max(map(len, inputs)), min(len(given) for given, _ in texts) - 1
        ids = torch.tensor([row + [self._pad] * (width - len(row)) for row in inputs], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in inputs], device=device)
        takes = inspect.signature(self._model.forward).parameters.values()
        keeps = any(p.name == "logits_to_keep" or p.kind is p.VAR_KEYWORD for p in takes)
        options = {"logits_to_keep": width - first} if keeps else {}
        with torch.inference_mode():
            logits = self._model(input_ids=ids, attention_mask=mask, use_cache=False, **options).logits
            logits = logits[:, first - width :]
            return [
                self._sum_up(row[len(given) - 1 - first :][: len(scored)], torch.tensor(scored, device=row.device))
                for row, (given, scored) in zip(logits, texts, strict=True)
            ]

    def _sum_up(self, logits: Any, targets: Any) -> tuple[float, float]:
        """Log-probability of (T,) targets by (T, V) logits, and the entropies, each summed."""
        torch, logprob, entropy = self._torch, 0.0, 0.0
        size = max(1, CHUNK // logits.shape[1])
        for part, wanted in zip(logits.split(size), targets.split(size), strict=True):
            known = torch.log_softmax(part.float(), dim=-1)
            logprob += float(known.gather(1, wanted[:, None]).double().sum())
            entropy += float(torch.special.entr(known.exp()).sum(dim=-1).double().sum())
        return logprob, entropy
