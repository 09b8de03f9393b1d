"""How far are the questions of a domain from what was trained on, by their wording alone?"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from rlguard.audit.samples import PLAIN, Item
from rlguard.types import Messages, prompt_text

SIZES = (3, 4, 5)
"""Characters of the n-grams."""
MOST_PROMPTS, MOST_CHARACTERS = 500, 2000
"""What is read: so many prompts of a domain or of training, evenly spaced, and so much of each."""

Vector = Mapping[str, float]


def domain_distances(items: Iterable[Item], trained: Sequence[str | Messages]) -> dict[str, float]:
    """Distance of each domain's plain questions from what was trained on, in [0, 1].

    It is 1 − the cosine of two mean vectors, of the domain's prompts and of the training prompts. A prompt's vector is
    its character 3- to 5-grams, lower case and every digit a 0, weighted by TF-IDF (1 + ln tf, and ln of the share of
    prompts that have the n-gram) and of length 1. Wording is all that it sees: the same task in other words is far.

    Args:
        items: A suite.
        trained: Training prompts; or names of domains, which stand for their prompts: their distance is 0, and that of
            the others is to the nearest of them.

    Returns:
        The domains in the order in which they come; 1 where nothing is in common, or nothing was trained on.

    >>> items = [Item("a", "What is 2 + 3?", "5", "sums"), Item("b", "Name a colour.", "red", "naming")]
    >>> domain_distances(items, ["What is 7 + 1?"])
    {'sums': 0.0, 'naming': 1.0}
    """
    prompts: dict[str, list[str | Messages]] = defaultdict(list)
    for item in items:
        if item.variant == PLAIN:
            prompts[item.domain].append(item.prompt)
    texts = [prompt for prompt in trained if not (isinstance(prompt, str) and prompt in prompts)]
    named = [str(name) for name in trained if isinstance(name, str) and name in prompts]
    grams = {domain: [_count_grams(prompt) for prompt in _thin(pool)] for domain, pool in prompts.items()}
    trained_on = [grams[name] for name in named] + ([[_count_grams(text) for text in _thin(texts)]] if texts else [])
    weights = _weigh([*grams.values(), *(pool for pool in trained_on[len(named) :])])
    targets = [_mean_vector(pool, weights) for pool in trained_on]
    distances = {}
    for domain, pool in grams.items():
        vector = _mean_vector(pool, weights)
        nearest = max((_cosine(vector, target) for target in targets), default=0.0)
        distances[domain] = round(min(1.0, max(0.0, 1 - nearest)), 9)
    return distances


def _thin(prompts: Sequence[str | Messages]) -> Sequence[str | Messages]:
    step = max(1, len(prompts) / MOST_PROMPTS)
    return [prompts[int(place * step)] for place in range(min(len(prompts), MOST_PROMPTS))]


def _count_grams(prompt: str | Messages) -> Counter[str]:
    text = " ".join(re.sub(r"\d", "0", prompt_text(prompt)[:MOST_CHARACTERS].lower()).split())
    return Counter(text[at : at + size] for size in SIZES for at in range(len(text) - size + 1))


def _weigh(pools: Iterable[Sequence[Counter[str]]]) -> Vector:
    """The inverse document frequency of each n-gram, above 0 even where all prompts have it."""
    pools = list(pools)
    total = sum(map(len, pools))
    having = Counter(gram for pool in pools for grams in pool for gram in grams)
    return {gram: math.log((1 + total) / (0.5 + count)) for gram, count in having.items()}


def _mean_vector(pool: Sequence[Counter[str]], weights: Vector) -> Vector:
    mean: dict[str, float] = defaultdict(float)
    for grams in pool:
        vector = {gram: (1 + math.log(count)) * weights[gram] for gram, count in grams.items()}
        length = math.hypot(*vector.values()) or 1.0
        for gram, value in vector.items():
            mean[gram] += value / length / len(pool)
    return mean


def _cosine(one: Vector, other: Vector) -> float:
    dot = sum(value * other[gram] for gram, value in one.items() if gram in other)
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    return dot / lengths if lengths else 0.0
