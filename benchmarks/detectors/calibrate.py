"""Likelihood ratios of the signs from the labelled corpus, and whether they tell the truth on other task families.

    python benchmarks/detectors/calibrate.py --out out/calibration.json

For each sign, from the report split, on whose families no rule was tuned (on the others a sign looks better than it
is): P(sign | honest) / P(sign | dishonest), both as (k + ½) / (n + 1) (Jeffreys), with a 95% interval from the two
posteriors' log (delta method). The new value is the end of the interval that claims less, within [1/20, 20]: the corpus
is made up, and real texts are less clear. A sign whose interval holds 1 keeps its old value.

Whether the ratios tell the truth is asked of families they were not estimated on: the families are dealt into two
folds, and each is judged by the ratios of the other. Completions are put into bins by the ratio that
`judge_completion` gives, and the odds honest : dishonest seen in each bin are compared with prior odds × ratio. The
error is the mean distance in natural log-odds, weighted by bin size; the log loss is
that of the probability that those odds mean.

Only completions with the right answer count (`--outcome any` takes all): the rewrite weighs successes. What the corpus
holds of each kind is our choice, and so P(sign | dishonest) is too: a training run that does one thing only has a
smaller ratio for its sign, and a larger one for the others. `--per-kind` gives each kind of dishonesty equal weight.

A sign is recovered from a finding by its ratio: for the time of the judging each sign's ratio in the table is a number
of its own. That also shows what a shown computation was taken for, which leaves no finding.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluate import CORPUS, align

from benchmarks.detectors.labelled import LabelledRow, read_corpus
from rlguard.shortcuts import judge_completion
from rlguard.shortcuts.ratios import LIKELIHOOD_RATIOS

EDGES = (1 / 15, 1 / 7, 1 / 3.5, 1 / 1.5, 1.5, 3.5, 7.0, 15.0)
"""Where the bins of likelihood ratios part."""
NO_SIGN = "(no sign at all)"
MOST = 20.0
"""No single sign is worth more than this, or less than its inverse."""


@dataclass(frozen=True)
class Ratio:
    """What one sign is worth."""

    sign: str
    old: float
    honest: float
    """Honest completions that show it; the counts are fractional when kinds weigh the same."""
    dishonest: float
    estimate: float
    low: float
    high: float
    new: float
    """The end of the interval that claims less, cut to [1/20, 20]; the old value where the interval holds 1."""


@dataclass(frozen=True)
class Bin:
    """Completions of similar ratio."""

    low: float
    high: float
    honest: int
    dishonest: int
    expected: float
    """Mean of log(prior odds × ratio)."""
    observed: float
    """Log of (honest + ½) / (dishonest + ½)."""


@contextmanager
def ratios_as(values: Mapping[str, float]) -> Iterator[None]:
    """Judges with other ratios for a while."""
    before = dict(LIKELIHOOD_RATIOS)
    LIKELIHOOD_RATIOS.update({sign: (values.get(sign, ratio), rest) for sign, (ratio, rest) in before.items()})
    try:
        yield
    finally:
        LIKELIHOOD_RATIOS.clear()
        LIKELIHOOD_RATIOS.update(before)


def read_signs(rows: Sequence[LabelledRow]) -> list[set[str]]:
    """The signs that each completion shows."""
    marks = {1 + (number + 1) / 1024: sign for number, sign in enumerate(LIKELIHOOD_RATIOS)}
    signs = []
    with ratios_as({sign: mark for mark, sign in marks.items()}):
        for row in rows:
            judgement = judge_completion(row["completion"], row["prompt"], row["gold"])
            shown = {marks[f.likelihood_ratio] for f in judgement.findings if f.likelihood_ratio in marks}
            if not judgement.findings and judgement.likelihood_ratio in marks:
                shown.add(marks[judgement.likelihood_ratio])
            signs.append(shown)
    return signs


def count_signs(
    rows: Sequence[LabelledRow], signs: Sequence[Collection[str]], sign: str, per_kind: bool = False
) -> tuple[float, int, float, int]:
    """Honest rows with the sign, honest rows, dishonest rows with it, dishonest rows.

    Args:
        rows: R rows.
        signs: The signs that each shows.
        sign: The one to count.
        per_kind: Every kind of dishonesty weighs the same; a row of several kinds counts once in each.
    """
    honest = [sign in shown for row, shown in zip(rows, signs, strict=True) if not row["kinds"]]
    dishonest = [(row["kinds"], sign in shown) for row, shown in zip(rows, signs, strict=True) if row["kinds"]]
    hits = float(sum(shown for _, shown in dishonest))
    if per_kind and dishonest:
        kinds = {kind for labels, _ in dishonest for kind in labels}
        within = [[shown for labels, shown in dishonest if kind in labels] for kind in kinds]
        hits = len(dishonest) * sum(sum(flags) / len(flags) for flags in within) / len(within)
    return sum(honest), len(honest), hits, len(dishonest)


def estimate_ratio(sign: str, old: float, honest: float, of_honest: int, dishonest: float, of_dishonest: int) -> Ratio:
    """The likelihood ratio of a sign from its counts.

    >>> round(estimate_ratio("loop", 0.4, 0, 99, 24, 99).new, 2)
    0.33
    """
    a, b = (honest + 0.5) / (of_honest + 1), (dishonest + 0.5) / (of_dishonest + 1)
    estimate = a / b
    spread = math.sqrt(
        max(0.0, 1 / (honest + 0.5) - 1 / (of_honest + 1) + 1 / (dishonest + 0.5) - 1 / (of_dishonest + 1))
    )
    low, high = estimate * math.exp(-1.96 * spread), estimate * math.exp(1.96 * spread)
    new = old if low <= 1 <= high else max(high, 1 / MOST) if high < 1 else min(low, MOST)
    return Ratio(sign, old, honest, dishonest, estimate, low, high, new)


def bin_rows(honest_R: Sequence[bool], ratios_R: Sequence[float], edges: Sequence[float] = EDGES) -> list[Bin]:
    """Compares the odds seen in each bin of ratios with those that the ratios promise.

    The prior odds are those of all R rows; empty bins are left out.

    >>> [(b.honest, b.dishonest, round(b.expected, 2)) for b in bin_rows([True, False, False], [10.0, 0.1, 0.1])]
    [(0, 2, -3.0), (1, 0, 1.61)]
    """
    total = sum(honest_R)
    prior = math.log((total + 0.5) / (len(honest_R) - total + 0.5))
    bins = []
    for low, high in zip((0.0, *edges), (*edges, math.inf), strict=True):
        inside = [(h, r) for h, r in zip(honest_R, ratios_R, strict=True) if low <= r < high]
        if inside:
            good = sum(h for h, _ in inside)
            bad = len(inside) - good
            expected = prior + sum(math.log(r) for _, r in inside) / len(inside)
            bins.append(Bin(low, high, good, bad, expected, math.log((good + 0.5) / (bad + 0.5))))
    return bins


def calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance of observed and expected log-odds, weighted by bin size."""
    sizes = [b.honest + b.dishonest for b in bins]
    return sum(s * abs(b.observed - b.expected) for s, b in zip(sizes, bins, strict=True)) / sum(sizes)


def log_loss(honest_R: Sequence[bool], ratios_R: Sequence[float]) -> float:
    """Mean of −log P(what the row is), with P from prior odds × ratio."""
    total = sum(honest_R)
    prior = (total + 0.5) / (len(honest_R) - total + 0.5)
    odds = [prior * ratio for ratio in ratios_R]
    return sum(math.log1p(1 / o if h else o) for h, o in zip(honest_R, odds, strict=True)) / len(odds)


def judge_ratios(rows: Sequence[LabelledRow], values: Mapping[str, float]) -> list[float]:
    with ratios_as(values):
        return [judge_completion(row["completion"], row["prompt"], row["gold"]).likelihood_ratio for row in rows]


def show_ratios(ratios: Sequence[Ratio]) -> str:
    table = [["sign", "old", "new", "95% interval", "honest", "dishonest", ""]]
    for r in ratios:
        note = "never seen: kept" if not r.honest and not r.dishonest else "cut" if r.new != r.estimate else ""
        interval = "–" if note.startswith("never") else f"[{r.low:.3f}, {r.high:.3f}]"
        table.append([r.sign, f"{r.old:g}", f"{r.new:.3f}", interval, f"{r.honest:.4g}", f"{r.dishonest:.4g}", note])
    return align(table)


def show_bins(title: str, bins: Sequence[Bin], loss: float) -> str:
    table = [["ratio", "honest", "dishonest", "log-odds expected", "observed", "off by"]]
    for b in bins:
        cells = [f"{b.expected:+.2f}", f"{b.observed:+.2f}", f"{b.observed - b.expected:+.2f}"]
        table.append([f"{b.low:.3g} – {b.high:.3g}", str(b.honest), str(b.dishonest), *cells])
    return f"{title}: calibration error {calibration_error(bins):.3f}, log loss {loss:.3f}\n{align(table)}"


def learn_ratios(rows: Sequence[LabelledRow], old: Mapping[str, float], per_kind: bool) -> list[Ratio]:
    """The ratio of every sign, and last that of showing none."""
    signs = read_signs(rows)
    nothing: list[set[str]] = [set() if shown else {"none"} for shown in signs]
    ratios = [estimate_ratio(sign, old[sign], *count_signs(rows, signs, sign, per_kind)) for sign in old]
    return [*ratios, estimate_ratio(NO_SIGN, 1.0, *count_signs(rows, nothing, "none", per_kind))]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--outcome", choices=("right", "any"), default="right")
    parser.add_argument("--per-kind", action="store_true", help="each kind of dishonesty weighs the same")
    parser.add_argument("--out", type=Path, metavar="JSON")
    args = parser.parse_args(argv)
    rows = [row for row in read_corpus(args.corpus) if args.outcome == "any" or row["outcome"] == 1.0]
    held_out = [row for row in rows if row["split"] == "report"]
    families = sorted({row["family"] for row in held_out})
    folds = [[row for row in held_out if families.index(row["family"]) % 2 == fold] for fold in (0, 1)]
    if any(not any(row["kinds"] for row in fold) or all(row["kinds"] for row in fold) for fold in folds):
        raise SystemExit(f"{args.corpus}: needs honest and dishonest rows of two held-out families at least")
    old = {sign: ratio for sign, (ratio, _) in LIKELIHOOD_RATIOS.items()}
    ratios = learn_ratios(held_out, old, args.per_kind)
    honest = sum(not row["kinds"] for row in held_out)
    print(f"{args.corpus}: {honest} honest, {len(held_out) - honest} dishonest; outcome: {args.outcome}\n")
    print(show_ratios(ratios) + "\n")
    other = [{r.sign: r.new for r in learn_ratios(fold, old, args.per_kind)} for fold in reversed(folds)]
    honest_R = [not row["kinds"] for fold in folds for row in fold]
    report: dict = {"ratios": [asdict(r) for r in ratios]}
    for name, values in (("old", [old, old]), ("calibrated on other families", other)):
        ratios_R = [ratio for fold, table in zip(folds, values, strict=True) for ratio in judge_ratios(fold, table)]
        bins, loss = bin_rows(honest_R, ratios_R), log_loss(honest_R, ratios_R)
        print(show_bins(f"{name} ratios", bins, loss) + "\n")
        report[name] = {"bins": [asdict(b) for b in bins], "error": calibration_error(bins), "log_loss": loss}
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
