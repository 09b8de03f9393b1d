"""Groups whose luck is known: what each method pays for lucky and for genuine successes.

    python benchmarks/rewrite/simulate.py --seeds 1 2 3 4 5 --plot docs/rewrite.png     # 20 s

Prompts of four kinds are visited in turn, in groups of 8 rollouts, by a policy that stands still. A rollout solves with
the prompt's skill rate q, else it passes with its chance rate c; here, unlike in training, each success is known to be
genuine or lucky. Chance rates reach the guard as estimates from 64 guesses; the text of a rollout as one bit, "shows a
computation", which 80% of genuine and 10% of lucky successes have. The measure is a method's *push*: the sum of the
advantages of a group's genuine (or lucky) successes, over G. The ideal pays genuine successes alone, at GRPO's scale.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rlguard.guard.rewrite import rewrite_advantages
from rlguard.guard.size import StepSize
from rlguard.luck.evidence import Evidence
from rlguard.luck.model import LuckModel

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.methods import dr_grpo, grpo, s_grpo, threshold

G = 8
PROMPTS_PER_KIND, BATCH, VISITS = 64, 32, 8
SHOWS = {"genuine": 0.8, "lucky": 0.1}
"""How often a success shows a computation."""
KINDS: dict[str, Callable[[np.random.Generator], tuple[float, float]]] = {
    "unlearnable": lambda rng: (0.0, 0.1),
    "guessable": lambda rng: (0.0, 0.5),
    "rare but valid": lambda rng: (0.03, 0.0),
    "learnable": lambda rng: (rng.uniform(0.2, 0.8), 0.1),
}


@dataclass(frozen=True)
class Groups:
    """One batch of P groups of G rollouts of prompts with known skill."""

    prompts_P: np.ndarray
    genuine_PG: np.ndarray
    """Solved."""
    lucky_PG: np.ndarray
    """Passed without solving."""
    shows_PG: np.ndarray
    chance_P: np.ndarray
    """Estimated chance rates."""

    @property
    def passed_PG(self) -> np.ndarray:
        return (self.genuine_PG | self.lucky_PG).astype(float)


def draw_groups(rng: np.random.Generator, prompts_P: np.ndarray, q_P: np.ndarray, c_P: np.ndarray) -> Groups:
    """Rolls out each prompt G times.

    Args:
        rng: Source of luck.
        prompts_P: Numbers of the prompts.
        q_P: Skill rates, (P,).
        c_P: Chance rates, (P,).
    """
    genuine = rng.random((len(q_P), G)) < q_P[:, None]
    lucky = ~genuine & (rng.random((len(q_P), G)) < c_P[:, None])
    shows = rng.random((len(q_P), G)) < np.where(genuine, SHOWS["genuine"], SHOWS["lucky"])
    return Groups(prompts_P, genuine, lucky, shows, rng.binomial(64, c_P) / 64)


class Rewrite:
    """rlguard's rewrite of GRPO: tracker, chance rates, and the text where `reads_text`."""

    def __init__(self, reads_text: bool) -> None:
        self.luck, self.size, self.reads_text = LuckModel(), StepSize(), reads_text

    def __call__(self, groups: Groups) -> np.ndarray:
        passed = groups.passed_PG
        flat, ids, host = passed.ravel(), np.repeat(np.arange(len(passed)), G), grpo(passed).ravel()
        ratio = SHOWS["genuine"] / SHOWS["lucky"], (1 - SHOWS["genuine"]) / (1 - SHOWS["lucky"])
        ratios = np.where(groups.shows_PG.ravel(), *ratio) if self.reads_text else np.ones(len(flat))
        evidence = [
            Evidence(
                str(groups.prompts_P[group]), likelihood_ratio=float(ratio), chance_rate=float(groups.chance_P[group])
            )
            for group, ratio in zip(ids, ratios, strict=True)
        ]
        genuine = self.luck.observe(evidence, flat, ids)
        weights = self.size.weigh(genuine, flat > 0, host)
        changed = rewrite_advantages(host, flat, flat, ids, weights)
        return changed.reshape(passed.shape) * self.size.measure(genuine, host, changed)[0]


def ideal(groups: Groups) -> np.ndarray:
    """Genuine successes alone are paid, at the scale that GRPO gives the group; nothing where GRPO gives nothing."""
    spread = groups.passed_PG.std(axis=1, ddof=1, keepdims=True)
    return np.where(spread > 0, dr_grpo(groups.genuine_PG.astype(float)) / (spread + 1e-4), 0.0)


def make_methods() -> dict[str, Callable[[Groups], np.ndarray]]:
    """The methods, each new: groups to advantages (P, G)."""
    return {
        "GRPO": lambda groups: grpo(groups.passed_PG),
        "Dr. GRPO": lambda groups: dr_grpo(groups.passed_PG),
        "S-GRPO": lambda groups: s_grpo(groups.passed_PG),
        "threshold on the own group": lambda groups: threshold(groups.passed_PG),
        "rlguard, no text": Rewrite(reads_text=False),
        "rlguard": Rewrite(reads_text=True),
        "ideal": ideal,
    }


def simulate(seed: int) -> dict[str, dict[str, dict[str, np.ndarray]]]:
    """Pushes of each method, by kind of prompt.

    Returns:
        method → kind → {"lucky": (VISITS, PROMPTS_PER_KIND), "genuine": the same}.
    """
    rng = np.random.default_rng(seed)
    rates = np.array([rates(rng) for rates in KINDS.values() for _ in range(PROMPTS_PER_KIND)])
    methods = make_methods()
    pushes = {name: {part: np.zeros((VISITS, len(rates))) for part in ("lucky", "genuine")} for name in methods}
    for visit in range(VISITS):
        for prompts in rng.permutation(len(rates)).reshape(-1, BATCH):
            groups = draw_groups(rng, prompts, *rates[prompts].T)
            for name, method in methods.items():
                advantages = method(groups)
                pushes[name]["lucky"][visit, prompts] = (advantages * groups.lucky_PG).sum(axis=1) / G
                pushes[name]["genuine"][visit, prompts] = (advantages * groups.genuine_PG).sum(axis=1) / G
    cut = {kind: slice(i * PROMPTS_PER_KIND, (i + 1) * PROMPTS_PER_KIND) for i, kind in enumerate(KINDS)}
    return {
        name: {kind: {part: values[:, cut[kind]] for part, values in parts.items()} for kind in KINDS}
        for name, parts in pushes.items()
    }


def summarise(runs: list[dict]) -> list[dict[str, object]]:
    """One row for each method and kind, from the second half of the visits.

    Bias and spread are those of a group's push against the ideal's expectation: mean and standard deviation over
    groups, and the standard deviation of the mean over seeds.
    """
    rows: list[dict[str, object]] = []
    for method in runs[0]:
        for kind in KINDS:
            row: dict[str, object] = {"method": method, "kind": kind}
            for part in ("lucky", "genuine"):
                pushes = np.array([run[method][kind][part][VISITS // 2 :] for run in runs])  # (seeds, visits, prompts)
                wanted = np.mean([run["ideal"][kind][part][VISITS // 2 :] for run in runs])
                means = pushes.mean(axis=(1, 2)) - wanted
                row[part] = {"bias": means.mean(), "seeds_sd": means.std(ddof=1), "group_sd": pushes.std()}
            rows.append(row)
    return rows


def lucky_share(run: dict, method: str, visit: int) -> float:
    """Lucky successes' share of all push that is paid to successes: scale-free, as Adam is."""
    paid = {part: sum(run[method][kind][part][visit].clip(0).sum() for kind in KINDS) for part in ("lucky", "genuine")}
    return paid["lucky"] / (paid["lucky"] + paid["genuine"])


def write_plot(runs: list[dict], path: Path) -> None:
    """Lucky share of the push by visit, and the push on genuine successes by kind, relative to GRPO's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(1, 1.1))
    colors = dict(
        zip(runs[0], ("#999999", "#555555", "#e69f00", "#d55e00", "#56b4e9", "#0072b2", "#009e73"), strict=True)
    )
    marks = dict(zip(runs[0], "os^vDP*", strict=True))
    for method in runs[0]:
        if method == "ideal":
            continue
        shares = np.array([[lucky_share(run, method, visit) for visit in range(VISITS)] for run in runs])
        visits = np.arange(1, VISITS + 1)
        left.errorbar(visits, shares.mean(0), shares.std(0, ddof=1), color=colors[method], marker=marks[method],
                      markersize=4, capsize=2, label=method)  # fmt: skip
    left.set(title="lucky successes' share of the push", xlabel="visit to the prompts", ylim=(0, 1))
    for number, (method, color) in enumerate(colors.items()):
        kept = [[_genuine(run, method, kind) / _genuine(run, "GRPO", kind) for run in runs] for kind in KINDS_LEARNT]
        places = np.arange(len(KINDS_LEARNT)) + (number - 3) * 0.12
        right.bar(places, np.mean(kept, axis=1), 0.11, yerr=np.std(kept, axis=1, ddof=1), color=color, label=method)
    right.set_xticks(range(len(KINDS_LEARNT)), KINDS_LEARNT)
    right.set(title="push on genuine successes, visits 5 to 8, GRPO = 1")
    for axis in (left, right):
        axis.grid(alpha=0.3, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=7, frameon=False, fontsize=8)
    figure.savefig(path, dpi=144)


KINDS_LEARNT = ("rare but valid", "learnable")


def _genuine(run: dict, method: str, kind: str) -> float:
    return float(run[method][kind]["genuine"][VISITS // 2 :].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--out", type=Path, default=Path("out/rewrite.json"), help="default %(default)s")
    parser.add_argument("--plot", type=Path, help="write the figure here")
    arguments = parser.parse_args()
    runs = [simulate(seed) for seed in arguments.seeds]
    rows = summarise(runs)
    print(f"{'method':28}{'kind':16}{'bias on lucky':>22}{'spread':>8}{'bias on genuine':>24}{'spread':>8}")
    for row in rows:
        cells = [
            f"{row[p]['bias']:+.3f} ± {row[p]['seeds_sd']:.3f}{row[p]['group_sd']:10.3f}" for p in ("lucky", "genuine")
        ]
        print(f"{row['method']:28}{row['kind']:16}{cells[0]:>28}{cells[1]:>32}")
    for method in runs[0]:
        shares = [[lucky_share(run, method, visit) for run in runs] for visit in (0, VISITS - 1)]
        first, last = (f"{np.mean(s):.2f} ± {np.std(s, ddof=1):.2f}" for s in shares)
        print(f"{method:28} lucky share of the push: {first} at the first visit, {last} at the last")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps({"seeds": arguments.seeds, "rows": rows}, indent=1))
    if arguments.plot:
        write_plot(runs, arguments.plot)


if __name__ == "__main__":
    main()
