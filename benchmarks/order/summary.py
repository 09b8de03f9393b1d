"""Table and figure of the order benchmark, from whatever runs there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.efficacy.stats import t_interval
from benchmarks.order.domains import DOMAINS
from rlguard.order.plan import order_loss, plan_order
from rlguard.order.transfer import Transfer, backward_transfer, read_transfer

Row = dict[str, Any]
COLOURS = {
    "planned": "#0072B2",
    "joint": "#999999",
    "reversed": "#D55E00",
    "random": "#E69F00",
}


def read_runs(out: Path, seeds: Sequence[int]) -> dict[str, list[Row]]:
    """The rows of each arm, by seed; only seeds that every arm has run."""
    rows = [json.loads(path.read_text()) for path in (out / "runs").glob("*.json")]
    arms: dict[str, dict[int, Row]] = {arm: {} for arm in COLOURS}
    for row in rows:
        arms[row["arm"]][row["seed"]] = row
    common = [seed for seed in seeds if all(seed in by_seed for by_seed in arms.values())]
    return {arm: [by_seed[seed] for seed in common] for arm, by_seed in arms.items()}


def final(row: Row) -> float:
    """Mean accuracy over all domains after the run."""
    return float(np.mean(row["accuracy"][-1]))


def transfer_back(row: Row) -> float:
    """Backward transfer of a run in stages; NaN for joint training."""
    if row["arm"] == "joint":
        return float("nan")
    places = [row["domains"].index(name) for name in row["order"]]
    return backward_transfer(np.array(row["accuracy"])[1:, places])


def gain(domain: str) -> Callable[[Row], float]:
    """Accuracy on a domain after the run less before it."""
    place = list(DOMAINS).index(domain)
    return lambda row: row["accuracy"][-1][place] - row["accuracy"][0][place]


def list_measures() -> dict[str, Callable[[Row], float]]:
    """The figures of a run, by name."""
    return {
        "final accuracy": final,
        "backward transfer": transfer_back,
        **{f"{name}, change" + (" (open-ended)" if DOMAINS[name].open_ended else ""): gain(name) for name in DOMAINS},
    }


def write_summary(out: Path, seeds: Sequence[int]) -> str:
    """The whole text: what the probes found, every arm, and the planned order against the others."""
    arms, transfer = read_runs(out, seeds), read_transfer(out / "transfer.json")
    plan = plan_order(transfer)
    used = [row["seed"] for row in arms["planned"]]
    measures = list_measures()
    lines = [
        f"Seeds {', '.join(map(str, used))}; 95% t intervals over seeds, differences paired by seed.", "",
        f"Planned: {' > '.join(plan.order)}.", *plan.describe(), "", *_write_matrix(transfer), "",
        "| | " + " | ".join(arms) + " |", "|---|" + "---|" * len(arms),
        *(f"| {name} | " + " | ".join(_cell([m(r) for r in rows]) for rows in arms.values()) + " |"
          for name, m in measures.items()),
        "", "| planned less ... | " + " | ".join(arm for arm in arms if arm != "planned") + " |",
        "|---|" + "---|" * (len(arms) - 1),
        *(f"| {name} | " + " | ".join(_cell(_differences(arms, arm, m), True) for arm in arms if arm != "planned")
          + " |" for name, m in measures.items()),
        "", "Random orders: " + "; ".join(f"{row['seed']}: {' > '.join(row['order'])}" for row in arms["random"]) + ".",
        "Spearman correlation of what the matrix promises for an order and what its run did, over all runs in stages: "
        f"backward transfer {correlate(arms, transfer, transfer_back):.2f}, final accuracy "
        f"{correlate(arms, transfer, final):.2f}.",
        f"Seconds a run: {np.mean([row['seconds'] for rows in arms.values() for row in rows]):.0f}.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def correlate(arms: dict[str, list[Row]], transfer: Transfer, measure: Callable[[Row], float]) -> float:
    """Spearman correlation over runs in stages: a measure, and the gain that the pairs of the run's order promise."""
    from scipy.stats import spearmanr

    staged = [row for arm, rows in arms.items() if arm != "joint" for row in rows]
    places = [[transfer.domains.index(name) for name in row["order"]] for row in staged]
    promised = [-order_loss(-transfer.change_DD, order) for order in places]
    return float(spearmanr(promised, [measure(row) for row in staged]).statistic)


def _write_matrix(transfer: Transfer) -> list[str]:
    low_DD, high_DD = transfer.intervals()
    lines = ["| change of | before | " + " | ".join(f"after {name}" for name in transfer.domains) + " |"]
    lines.append("|---|" + "---|" * (len(transfer.domains) + 1))
    for i, name in enumerate(transfer.domains):
        cells = (
            f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"
            for change, low, high in zip(transfer.change_DD[i], low_DD[i], high_DD[i], strict=True)
        )
        lines.append(f"| {name} | {transfer.before_D[i]:.3f} | " + " | ".join(cells) + " |")
    return [*lines, "| own entropy | | " + " | ".join(f"{x:+.3f}" for x in transfer.entropy_change_D) + " |"]


def _differences(arms: dict[str, list[Row]], other: str, measure: Callable[[Row], float]) -> list[float]:
    return [measure(one) - measure(two) for one, two in zip(arms["planned"], arms[other], strict=True)]


def _cell(values: Sequence[float], sign: bool = False) -> str:
    if not len(values) or np.isnan(values).any():
        return "–"
    low, high = t_interval(values)
    style = "+.3f" if sign else ".3f"
    return f"{np.mean(values):{style}} [{low:{style}}, {high:{style}}]"


def draw_figure(out: Path, seeds: Sequence[int], path: Path) -> None:
    """Accuracy on each domain over the stages, planned and reversed; beside it the final accuracy of all arms."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    arms = read_runs(out, seeds)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", width_ratios=(3, 3, 2))
    for place, arm in enumerate(("planned", "reversed")):
        order = arms[arm][0]["order"]
        curves_RSD = np.array([row["accuracy"] for row in arms[arm]])
        for name, colour in zip(DOMAINS, ("#0072B2", "#56B4E9", "#D55E00", "#E69F00"), strict=True):
            curve = curves_RSD[:, :, list(DOMAINS).index(name)]
            style = "--" if DOMAINS[name].open_ended else "-"
            axes[place].plot(
                range(len(order) + 1), curve.mean(axis=0), style, color=colour, marker="o", ms=4, label=name
            )
            axes[place].fill_between(
                range(len(order) + 1), *np.transpose([t_interval(v) for v in curve.T]), color=colour, alpha=0.15, lw=0
            )
        axes[place].set_xticks(range(len(order) + 1), ["before", *(f"after\n{name}" for name in order)])
        axes[place].set_title(arm)
        axes[place].set_ylim(0, 1)
    axes[0].set_ylabel("accuracy")
    axes[1].legend(frameon=False, title="dashed: open-ended", fontsize=8, ncols=2, loc="upper left")
    for place, (arm, rows) in enumerate(arms.items()):
        values = [final(row) for row in rows]
        axes[2].plot([place] * len(values), values, "o", color=COLOURS[arm], alpha=0.4, ms=4)
        axes[2].errorbar(
            [place], [np.mean(values)], np.abs(np.array(t_interval(values))[:, None] - np.mean(values)),
            fmt="D", color=COLOURS[arm], ms=6,
        )  # fmt: skip
    axes[2].set_xticks(range(len(arms)), list(arms), rotation=30)
    axes[2].set_title("final accuracy, all domains")
    figure.savefig(path, dpi=160)
    plt.close(figure)
