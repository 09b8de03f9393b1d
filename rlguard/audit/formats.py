"""Does accuracy depend on the form in which a question is put, or its answer is wanted?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rlguard.audit.compare import Figure, mean_statistic, ratio_statistic
from rlguard.audit.samples import PLAIN, Sample

GROUP = "format"


def figures(samples: Sequence[Sample]) -> list[Figure]:
    """Accuracy in each variant and in the worst one, and what a variant costs against the plain form.

    Args:
        samples: Of one model; answerable questions in the variants `plain`, `prompt:NAME` and `answer:NAME` are used.
            What is lost is over pairs of a variant and the plain question of the same `base`.
    """
    rates: dict[str, dict[str, float]] = {}
    for sample in samples:
        item = sample.item
        if item.answerable and (item.variant == PLAIN or item.variant.startswith(("prompt:", "answer:"))):
            rates.setdefault(item.variant, {})[item.base or item.id] = sample.pass_rate
    plain = rates.pop(PLAIN, {})
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
        Figure(GROUP, f"accuracy, {name}", "all", len(variant), mean_statistic(list(variant.values())))
        for name, variant in rates.items()
    ]
    if any(base in plain for base in bases):
        lost = ratio_statistic(np.where(known_PV, lost_PV, 0).sum(axis=1), known_PV.sum(axis=1))
        found.append(Figure(GROUP, "accuracy lost to the format", "all", len(bases), lost, better=-1))
    return [*found, Figure(GROUP, "accuracy in the worst format", "all", len(bases), worst)]
