"""A data set in the planned order, as a trainer takes it: one block per domain."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlguard.order.transfer import write_json
from rlguard.tables.columns import pick
from rlguard.tables.write import write_rows
from rlguard.types import InputError

STAGE = "stage"
NOTE = (
    "TRL keeps this order with GRPOConfig(shuffle_dataset=False, num_train_epochs=1): a second epoch would begin again "
    "with the first domain. It leaves out the last prompts if they do not fill a batch, and a batch on the border of "
    "two domains holds both."
)


def group_rows(rows: Iterable[Mapping[str, Any]], domain_column: str = "domain") -> dict[str, list[dict[str, Any]]]:
    """The rows of each domain, domains in the order in which they come.

    Raises:
        InputError: If a row names no domain.

    >>> group_rows([{"domain": "sums", "prompt": "1+1?"}])
    {'sums': [{'domain': 'sums', 'prompt': '1+1?'}]}
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for number, row in enumerate(rows):
        domain = pick(row, domain_column)
        if domain is None or not str(domain).strip():
            has = ", ".join(map(repr, row))
            raise InputError(
                f"row {number}: expected the name of a domain in {domain_column!r}, got {domain!r}; it has {has}"
            )
        found.setdefault(str(domain), []).append(dict(row))
    return found


def order_rows(
    domains: Mapping[str, Sequence[Mapping[str, Any]]], order: Sequence[str], epochs: int = 1, seed: int = 0
) -> list[dict[str, Any]]:
    """The rows one domain after the other, shuffled inside its block, with the number of the block in `stage`.

    Args:
        domains: The rows of each domain.
        order: All the domains, each once.
        epochs: How often a block goes through its domain's rows, each time in another order.
        seed: Of the shuffling.

    Raises:
        InputError: If the order is not one of these domains, or rows have a column `stage` already.
    """
    if sorted(order) != sorted(domains):
        raise InputError(f"expected an order of the domains {', '.join(domains)}, each once, got {', '.join(order)}")
    if epochs < 1:
        raise InputError(f"epochs: expected at least 1, got {epochs}")
    for domain, rows in domains.items():
        if any(STAGE in row for row in rows):
            raise InputError(f"{domain}: rows have a column {STAGE!r} already, which the schedule adds; rename it")
    scheduled = []
    for stage, domain in enumerate(order):
        for epoch in range(epochs):
            block = [dict(row) | {STAGE: stage} for row in domains[domain]]
            random.Random(f"{seed}|{domain}|{epoch}").shuffle(block)
            scheduled += block
    return scheduled


def write_schedule(
    rows: Iterable[Mapping[str, Any]],
    order: Sequence[str],
    out: str | Path,
    domain_column: str = "domain",
    epochs: int = 1,
    seed: int = 0,
) -> Path:
    """Writes a data set in planned order, and beside it `NAME.card.json`, which says how to train on it.

        GRPOTrainer(..., train_dataset=load_dataset("json", data_files=str(out), split="train"),
                    args=GRPOConfig(shuffle_dataset=False, num_train_epochs=1, ...))

    Args:
        rows: Of all the domains.
        order: The domains, each once.
        out: Where; the ending is the format (`tables.write.RowWriter`).
        domain_column: Column with a row's domain.
        epochs: How often a block goes through its domain's rows.
        seed: Of the shuffling inside the blocks.

    Returns:
        The card's path.

    Raises:
        InputError: If the order does not fit the rows, or they have a column `stage` already.
    """
    out, domains = Path(out), group_rows(rows, domain_column)
    scheduled = order_rows(domains, order, epochs, seed)
    write_rows(scheduled, out)
    card = out.with_name(f"{out.name}.card.json")
    stages = [{STAGE: stage, "domain": name, "rows": epochs * len(domains[name])} for stage, name in enumerate(order)]
    write_json({"stages": stages, "epochs": epochs, "seed": seed, "note": NOTE}, card)
    return card
