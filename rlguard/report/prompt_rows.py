"""One row a prompt from whatever a run holds: pass rates, the filter's decision, or only the rollouts."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

from rlguard.answers.spelling import read_gold
from rlguard.monitor.watches import to_number
from rlguard.report.findings import Owned, find_odd
from rlguard.report.load import Row, Run, finite, show_prompt
from rlguard.types import Rollout, count_reasons

BANDS = ("impossible", "near-impossible", "learnable", "mastered", "unscored")
FACTS = (
    "successes", "trials", "rate", "low", "high", "chance", "truncated", "unscored", "skill", "impossible", "luck",
    "band", "status", "decision", "reason", "detail", "rollouts", "odd",
)  # fmt: skip
"""What is known of a prompt in one run; the page has a column for each."""


def describe_prompts(run: Run, owned: list[Owned]) -> list[Row]:
    """One row for every prompt, in the order of the rates; those that only filter or rollouts know follow.

    A rollout whose prompt id is not known belongs to the prompt with its text, and gets its id: tables of completions
    rarely hold the gold answer, which is part of the id.
    """
    rows = {row["id"]: row for row in map(_from_rates, run.rates or [])}
    for decision, decided in (("dropped", run.dropped), ("kept", run.kept)):  # kept wins: a duplicate is also dropped
        for filtered in decided or []:
            row = _from_filter(filtered)
            row = rows.setdefault(row["id"], row)
            row["decision"] = decision
            row["reason"] = None if decision == "kept" else str(filtered["rlguard_drop_reason"])
            detail = filtered.get("rlguard_drop_detail")
            row["detail"] = None if decision == "kept" or detail is None else str(detail)
            if filtered.get("rlguard_band") is not None:  # drawn by the range that was kept; the rates know no range
                row["band"] = str(filtered["rlguard_band"])
    known = set(rows)
    by_text = {row["text"]: row["id"] for row in rows.values() if row["text"]}
    for number, (rollout, found) in enumerate(owned):
        prompt_id = rollout.prompt_id
        if not prompt_id:
            continue
        if prompt_id not in rows:
            prompt_id = by_text.get(show_prompt(rollout.prompt), prompt_id)
            owned[number] = dataclasses.replace(rollout, prompt_id=prompt_id), found
        if prompt_id not in rows:
            rows[prompt_id] = _describe(prompt_id, text=rollout.prompt, answer=rollout.gold)
        if number < len(run.rollouts or []):
            _count(rows[prompt_id], rollout, tally=prompt_id not in known)
    for prompt_id, reason in find_odd(owned).items():
        rows[prompt_id]["odd"] = reason
    return list(rows.values())


def _count(row: Row, rollout: Rollout, tally: bool) -> None:
    """Adds a rollout to its prompt; to its successes and trials only where no table of rates has those."""
    row["rollouts"] += 1
    if not row["text"]:
        row["text"] = show_prompt(rollout.prompt)
    if not tally:
        return
    row["successes"] = (row["successes"] or 0) + (rollout.outcome == 1)
    row["trials"] = (row["trials"] or 0) + (not math.isnan(rollout.outcome))
    row["truncated"] = (row["truncated"] or 0) + rollout.truncated
    row["unscored"] = (row["unscored"] or 0) + math.isnan(rollout.outcome)
    row["rate"] = row["successes"] / row["trials"] if row["trials"] else None


def _from_rates(row: Row) -> Row:
    """A row of rates.parquet in the page's words."""
    numbers = ("successes", "trials", "low", "high", "truncated", "unscored")
    known: Row = {name: finite(row.get(name)) for name in numbers}
    if known["successes"] is None or not known["trials"]:
        known |= {"low": None, "high": None}
    rate = finite(row.get("pass_rate"))
    if rate is None and known["trials"] and known["successes"] is not None:
        rate = known["successes"] / known["trials"]
    known |= {"rate": rate, "chance": finite(row.get("chance_rate")), "text": row.get("prompt")}
    return _describe(row["prompt_id"], **known, **{name: row.get(name) for name in ("answer", "band", "status")})


def _from_filter(row: Row) -> Row:
    """A row of the filtered data set in the page's words; the prompt column may have any name."""
    text = row.get("prompt")
    if text is None:
        text = next((v for k, v in row.items() if isinstance(v, str) and not k.startswith("rlguard_")), "")
    figures = ("successes", "trials", "low", "high")
    return _describe(
        row["rlguard_id"],
        text=text,
        answer=row.get("answer"),
        rate=finite(to_number(row.get("rlguard_pass_rate"))),
        band=row.get("rlguard_band"),
        chance=finite(to_number(row.get("rlguard_chance_rate"))),
        **{name: finite(to_number(row.get(f"rlguard_{name}"))) for name in figures},
    )


def _describe(prompt_id: Any, *, text: Any = None, answer: Any = None, **known: Any) -> Row:
    """A row of the prompt table; what is not known is None."""
    if answer is not None:  # a worked solution ends in the answer, for which the table would have no room
        answer = read_gold(answer) or str(answer)
    row: Row = {"id": str(prompt_id), "text": show_prompt(text), "answer": answer}
    row |= {name: known.get(name) for name in FACTS}
    if row["successes"] is None or not (row["trials"] or row["unscored"]):  # a published rate has no rollouts
        row["successes"] = row["trials"] = None
    row["band"] = None if known.get("band") is None else str(known["band"])
    return row | {"status": str(known.get("status") or "ok"), "rollouts": 0}


def merge_prompts(runs: list[list[Row]]) -> list[Row]:
    """The prompts of all runs, each once, with `of`: its row in every run, None where a run lacks it.

    Those whose successes look odd in any run come first.
    """
    merged: dict[str, Row] = {}
    for number, prompts in enumerate(runs):
        for row in prompts:
            blank = {"id": row["id"], "text": row["text"], "answer": row["answer"], "of": [None] * len(runs)}
            merged.setdefault(row["id"], blank)["of"][number] = row
    return sorted(merged.values(), key=lambda row: not any(one and one["odd"] for one in row["of"]))


def count_bands(prompts: list[Row]) -> dict[str, int]:
    """Prompts in each band, hardest first; a band this version does not know comes last."""
    counts = Counter(str(row["band"]) for row in prompts if row["band"] is not None)
    known = {band: counts.pop(band) for band in BANDS if band in counts}
    return {**known, **dict(sorted(counts.items()))}


def place_rate(row: Row) -> int | None:
    """The bin of a prompt's pass rate: 0 never solved, 11 always, 1 to 10 the tenths between; None without a rate.

    The ends stand apart because a prompt never solved and one solved once in 16 ask for different treatment.
    """
    rate = row["successes"] / row["trials"] if row["trials"] else row["rate"]  # the latter may be corrected
    if rate is None:
        return None
    return 0 if rate <= 0 else 11 if rate >= 1 else 1 + min(9, int(rate * 10 + 1e-9))


def bin_rates(prompts: list[Row]) -> list[Row]:
    """Prompts by pass rate, of each bin a label and how many are in each band."""
    counts: list[Counter[str]] = [Counter() for _ in range(12)]
    for row in prompts:
        place = place_rate(row)
        if place is not None:
            counts[place][row["band"] or "unscored"] += 1
    labels = ["0", *(f"{i / 10:.1f}–{(i + 1) / 10:.1f}" for i in range(10)), "1"]
    return [{"label": label, "bands": list(count.items())} for label, count in zip(labels, counts, strict=True)]


def count_drops(run: Run) -> dict[str, int]:
    """Dropped rows by reason, most frequent first."""
    return count_reasons(str(row["rlguard_drop_reason"]) for row in run.dropped or [])
