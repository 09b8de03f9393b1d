"""What only a model's weights tell: how likely it finds its completions, and the gold answer after each step of them.

Steps that lead to the answer make the gold answer likelier one by one. Published "information gain" (arXiv 2506.02126)
takes the perplexity of all tokens, and its sum telescopes, so that more steps alone shrink its mean. Here only the gold
answer's tokens count, the same ones after every step, and the whole curve is kept: a measure can tell a gain from a
split into more steps.

The answer is scored behind the words with which the model itself begins it. Behind a phrase that the model never writes
the tiny reasoner, which solves 80% by written steps, seems to lose 0.8 nats by them; behind its own it gains 1.8.
"""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rlguard.audit.samples import PLAIN, Sample, Score
from rlguard.engines.origin import describe_origin
from rlguard.engines.requests import encode_prompt
from rlguard.engines.transformers import TransformersEngine
from rlguard.shortcuts.cutting import find_cue, find_reasoning_end
from rlguard.types import InputError, Problem, Request, Rollout

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

_LINE = re.compile(r"[^\n]*\S[^\n]*\s*")
_SENTENCE_END = re.compile(r"(?:[.!?](?=\s)|;)\s*")

Text = tuple[list[int], list[int]]
"""Tokens that are given, and tokens that are scored."""


def split_steps(completion: str, most: int = MAX_STEPS) -> list[int]:
    r"""Where the steps of a completion end: lines; sentences where a line is long or the only one.

    The words that first state the final answer are no step, nor is what follows them: the answer would stand before the
    question for it. A completion without a final answer is all steps.

    Args:
        completion: Text of the model.
        most: More steps than this are merged, evenly.

    Returns:
        `completion[:end]` are the steps up to one of them, for each.

    >>> text = "7+8=15\n15+5=20\nSo the answer is 20."
    >>> [text[:end] for end in split_steps(text)]
    ['7+8=15\n', '7+8=15\n15+5=20\n']
    >>> split_steps("First 2+2=4; then 4+1=5; answer 5")
    [13, 25]
    """
    reasoning, ends = completion[: find_reasoning_end(completion)], list[int]()
    lines = list(_LINE.finditer(reasoning))
    for line in lines:
        if len(lines) == 1 or len(line[0]) > LONG_LINE:
            ends += [match.end() for match in _SENTENCE_END.finditer(reasoning, line.start(), line.end())]
        if not ends or ends[-1] < line.end():
            ends.append(line.end())
    if len(ends) > most:
        ends = [ends[(turn + 1) * len(ends) // most - 1] for turn in range(most)]
    return ends


def usual_cue(samples: Sequence[Sample]) -> str | None:
    """The words with which most completions begin their final answer (`find_cue`); None where none has any."""
    cues = (find_cue(rollout.completion) for sample in samples for rollout in sample.rollouts)
    ranked = Counter(cue[0] for cue in cues if cue).most_common(1)
    return ranked[0][0] if ranked else None


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

    def score_samples(self, samples: Sequence[Sample], most: int = 4, cue: str | None = None) -> list[Sample]:
        """Scores the first rollouts of many questions.

        Of plain answerable questions with one answer, the gold answer is scored too, after each step of the first
        rollout (`split_steps`): in the spelling of a right rollout, and behind the rollout's own words (`find_cue`).
        A rollout without any takes those of most of the model's rollouts (`usual_cue`).

        Args:
            samples: Of the same model.
            most: Rollouts a question that are scored.
            cue: Words that stand before every gold answer instead.

        Returns:
            The samples with a score or None for each rollout, in the order given. None where prompt and completion are
            longer than the model takes; `gold_logprobs` is empty where they are with the cue and the answer, or there
            is no cue. The entropy of no token is NaN.

        Raises:
            InputError: If the model's chat template does not take the messages, or a batch does not fit into memory.
        """
        usual, done = usual_cue(samples) if cue is None else None, list[Sample]()
        for start in range(0, len(samples), WINDOW):
            window, wanted = samples[start : start + WINDOW], list[list[Text]]()
            for number, sample in enumerate(window, start):
                problem = Problem(sample.item.id, sample.item.prompt, number=number)
                prompt = encode_prompt(self._tokenizer, Request(problem, 1), self._limit)
                wanted += [self._list_texts(prompt, sample, i, cue, usual) for i in range(len(sample.rollouts[:most]))]
            with evaluating(self._model):
                measured = iter(self._measure([text for texts in wanted for text in texts]))
            scores = iter([_to_score(texts, [next(measured) for _ in texts]) for texts in wanted])
            for sample in window:
                known = [next(scores) for _ in sample.rollouts[:most]]
                done.append(replace(sample, scores=known + [None] * (len(sample.rollouts) - len(known))))
        return done

    def _list_texts(
        self, prompt: list[int] | None, sample: Sample, place: int, cue: str | None, usual: str | None
    ) -> list[Text]:
        """A rollout of a sample, then the gold answer after 0, 1, … all of its steps; none where it does not fit."""
        item, rollout = sample.item, sample.rollouts[place]
        spoken = prompt or [], self._encode_completion(rollout)
        if not prompt or not self._fits(spoken):
            return []
        curve: list[Text] = []
        if place == 0 and item.variant == PLAIN and item.answerable and not item.open_ended:
            own, answer = find_cue(rollout.completion) or (usual, item.answer)
            if (words := own if cue is None else cue) is not None:
                curve = self._encode_curve(
                    prompt, rollout.completion, words, answer if rollout.outcome == 1 else item.answer
                )
        return [spoken, *(curve if all(map(self._fits, curve)) else ())]

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []

    def _encode_completion(self, rollout: Rollout) -> list[int]:
        own = self._tokenizer.eos_token_id
        end = own if own in self._eos else min(self._eos)
        return self._encode(rollout.completion) + ([end] if rollout.finish_reason == "stop" and end is not None else [])

    def _encode_curve(self, prompt: list[int], completion: str, cue: str, gold: str) -> list[Text]:
        """The gold answer after 0, 1, … all steps.

        Cue and answer are encoded together, so that the space between them belongs where the tokenizer puts it, and
        apart from the steps: what is compared differs in the steps alone, not in a token of the answer.
        """
        begun, whole = self._encode(cue), self._encode(cue + gold)
        same = next((i for i, (a, b) in enumerate(zip(begun, whole, strict=False)) if a != b), len(begun))
        steps = [completion[:end] for end in (0, *split_steps(completion))]
        shown = [self._encode(text + " " * (text[-1:] not in "\n ;")) for text in steps]
        return [(prompt + tokens + whole[:same], whole[same:]) for tokens in shown]

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


def _to_score(texts: Sequence[Text], sums: Sequence[tuple[float, float]]) -> Score | None:
    if not texts:
        return None
    (logprob, entropy), tokens = sums[0], len(texts[0][1])
    return Score(logprob, tokens, entropy / tokens if tokens else math.nan, tuple(gold for gold, _ in sums[1:]))
