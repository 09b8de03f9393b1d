"""Accuracy before and after: by domain, and by the form in which a question is put or its answer is wanted."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from rlguard.audit.paired import Figure, macro_statistic, mean_statistic, ratio_statistic
from rlguard.audit.samples import ALL, PLAIN, Sample, select, split_trained

GROUP, FORMAT = "retention", "format"
ACCURACY = "accuracy"
INSIDE, OUTSIDE = "accuracy in the training domains", "accuracy outside the training domains"


def figures(samples: Sequence[Sample], trained: Collection[str] = ()) -> list[Figure]:
    """Accuracy by domain and over all, truncated completions, and completions without a final answer.

    In `all` every domain weighs the same, however many questions it has.

    Args:
        samples: Of one model; plain answerable questions are used.
        trained: Domains that were trained on: accuracy is then also given over them and over the rest, where there are
            both.
    """
    plain = select(samples)
    if not plain:
        return []
    domains = [sample.item.domain for sample in plain]
    shares = {
        "truncated completions": [_share([rollout.truncated for rollout in sample.rollouts]) for sample in plain],
        "completions without an answer": [_share([r.answer is None for r in sample.rollouts]) for sample in plain],
    }
    parts = zip((INSIDE, OUTSIDE), split_trained(plain, trained), strict=False)
    return [
        *(_accuracy(name, part) for name, part in ((ACCURACY, plain), *parts)),
        *accuracy_by_domain(domains, [sample.pass_rate for sample in plain]),
        *(
            Figure(GROUP, name, ALL, len(plain), macro_statistic(values, domains), better=-1)
            for name, values in shares.items()
        ),
    ]


def accuracy_by_domain(domains_P: Sequence[str], rates_P: Sequence[float]) -> list[Figure]:
    """The accuracy on each domain, from the pass rates of its questions."""
    rates: dict[str, list[float]] = {domain: [] for domain in domains_P}
    for domain, rate in zip(domains_P, rates_P, strict=True):
        rates[domain].append(rate)
    return [Figure(GROUP, ACCURACY, domain, len(own), mean_statistic(own)) for domain, own in rates.items()]


def _accuracy(name: str, part: Sequence[Sample]) -> Figure:
    rates = macro_statistic([sample.pass_rate for sample in part], [sample.item.domain for sample in part])
    return Figure(GROUP, name, ALL, len(part), rates)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else math.nan


def format_figures(samples: Sequence[Sample]) -> list[Figure]:
    """Accuracy in each variant and in the worst one, and what a variant costs against the plain form.

    Args:
        samples: Of one model; answerable questions in the variants `plain`, `prompt:NAME` and `answer:NAME` are used.
            What is lost is over pairs of a variant and the plain question of the same `base`.
    """
    rates: dict[str, dict[str, float]] = {PLAIN: {}}
    for sample in samples:
        item = sample.item
        if item.answerable and (item.variant == PLAIN or item.variant.startswith(("prompt:", "answer:"))):
            rates.setdefault(item.variant, {})[item.base or item.id] = sample.pass_rate
    plain = rates.pop(PLAIN)
    bases = list(dict.fromkeys(base for variant in rates.values() for base in variant))
    if not bases:
        return []
    rates_PV = np.array([[variant.get(base, math.nan) for variant in rates.values()] for base in bases])
    lost_PV = np.array([plain.get(base, math.nan) for base in bases])[:, None] - rates_PV
    known_PV = np.isfinite(lost_PV)
    means = [mean_statistic(rates_P) for rates_P in rates_PV.T]

    def worst(weights_RP: np.ndarray) -> np.ndarray:
        return np.fmin.reduce([mean(weights_RP) for mean in means])

    found = [
        Figure(FORMAT, f"accuracy, {name}", ALL, len(variant), mean_statistic(list(variant.values())))
        for name, variant in rates.items()
    ]
    if any(base in plain for base in bases):
        lost = ratio_statistic(np.where(known_PV, lost_PV, 0).sum(axis=1), known_PV.sum(axis=1))
        found.append(Figure(FORMAT, "accuracy lost to the format", ALL, len(bases), lost, better=-1))
    return [*found, Figure(FORMAT, "accuracy in the worst format", ALL, len(bases), worst)]
