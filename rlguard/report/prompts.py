"""One row a prompt from whatever the run holds: pass rates, the filter's decision, or only the rollouts."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rlguard.report.read import Row, Run, finite
from rlguard.types import InputError, count_reasons, prompt_text

BANDS = ("impossible", "near-impossible", "learnable", "mastered", "unscored")
LONGEST_PROMPT = 4000
"""Characters of a prompt that are embedded."""


def describe_prompts(run: Run) -> list[Row]:
    """One row for every prompt, in the order of the rates; prompts only the filter or the rollouts know follow."""
    rows = {row["id"]: row for row in map(from_rates, run.rates or [])}
    for decision, decided in (("dropped", run.dropped), ("kept", run.kept)):  # kept wins: a duplicate is also dropped
        for filtered in decided or []:
            row = from_filter(filtered)
            row = rows.setdefault(row["id"], row)
            row["decision"] = decision
            row["reason"] = None if decision == "kept" else str(filtered["rlguard_drop_reason"])
            row["detail"] = None if decision == "kept" else show_detail(filtered)
            if filtered.get("rlguard_band") is not None:  # drawn by the range that was kept; the rates know no range
                row["band"] = str(filtered["rlguard_band"])
    if not rows:
        rows = {row["id"]: row for row in count_rollouts(run.rollouts or [])}
    stored = Counter(str(rollout["prompt_id"]) for rollout in run.rollouts or [])
    for row in rows.values():
        row["rollouts"] = stored[row["id"]]
    return list(rows.values())


def from_rates(row: Row) -> Row:
    """A row of rates.parquet in the page's words."""
    successes, trials = finite(row.get("successes")), finite(row.get("trials"))
    rate = finite(row.get("pass_rate"))
    if rate is None and successes is not None and trials:
        rate = successes / trials
    return describe_prompt(
        row["prompt_id"],
        text=row.get("prompt"),
        answer=row.get("answer"),
        successes=successes,
        trials=trials,
        rate=rate,
        low=finite(row.get("low")) if trials else None,
        high=finite(row.get("high")) if trials else None,
        band=row.get("band"),
        chance=finite(row.get("chance_rate")),
        truncated=finite(row.get("truncated")),
        unscored=finite(row.get("unscored")),
        status=row.get("status") or "ok",
    )


def from_filter(row: Row) -> Row:
    """A row of the filtered data set in the page's words; the prompt column may have any name."""
    text = row.get("prompt")
    if text is None:
        text = next((v for k, v in row.items() if isinstance(v, str) and not k.startswith("rlguard_")), "")
    return describe_prompt(
        row["rlguard_id"],
        text=text,
        answer=row.get("answer"),
        successes=finite(row.get("rlguard_successes")),
        trials=finite(row.get("rlguard_trials")),
        rate=finite(row.get("rlguard_pass_rate")),
        low=finite(row.get("rlguard_low")),
        high=finite(row.get("rlguard_high")),
        band=row.get("rlguard_band"),
        chance=finite(row.get("rlguard_chance_rate")),
    )


def count_rollouts(rollouts: list[Row]) -> list[Row]:
    """Successes of trials by prompt where there are no rates; a rollout without a 0/1 outcome is no trial."""
    tallies: dict[str, list[int]] = {}
    for rollout in rollouts:
        tally = tallies.setdefault(str(rollout["prompt_id"]), [0, 0, 0, 0])
        outcome = finite(rollout.get("outcome"))
        tally[0] += outcome == 1
        tally[1] += outcome is not None
        tally[2] += rollout.get("finish_reason") == "length"
        tally[3] += outcome is None
    return [
        describe_prompt(
            prompt_id,
            successes=won,
            trials=trials,
            rate=won / trials if trials else None,
            truncated=truncated,
            unscored=unscored,
        )
        for prompt_id, (won, trials, truncated, unscored) in tallies.items()
    ]


def describe_prompt(prompt_id: Any, *, text: Any = None, answer: Any = None, **known: Any) -> Row:
    """A row of the prompt table; what is not known is None."""
    words = show_prompt(text)
    row: Row = {"id": str(prompt_id), "text": words[:LONGEST_PROMPT], "answer": None if answer is None else str(answer)}
    row["omitted"] = max(0, len(words) - LONGEST_PROMPT)
    for name in ("successes", "trials", "rate", "low", "high", "chance", "truncated", "unscored"):
        row[name] = known.get(name)
    row["band"] = None if known.get("band") is None else str(known["band"])
    return {**row, "status": str(known.get("status") or "ok"), "decision": None, "reason": None, "detail": None}


def show_detail(filtered: Row) -> str | None:
    """The figures behind a drop, where the filter gave them."""
    return None if filtered.get("rlguard_drop_detail") is None else str(filtered["rlguard_drop_detail"])


def show_prompt(prompt: Any) -> str:
    """The words of a prompt column, whatever its type."""
    if prompt is None or isinstance(prompt, str):
        return prompt or ""
    try:
        return prompt_text(prompt)
    except (InputError, TypeError, AttributeError):
        return str(prompt)


def count_bands(prompts: list[Row]) -> dict[str, int]:
    """Prompts in each band, hardest first; a band this version does not know comes last."""
    counts = Counter(str(row["band"]) for row in prompts if row["band"] is not None)
    known = {band: counts.pop(band) for band in BANDS if band in counts}
    return {**known, **dict(sorted(counts.items()))}


def count_drops(run: Run) -> dict[str, int]:
    """Dropped rows by reason, most frequent first."""
    return count_reasons(str(row["rlguard_drop_reason"]) for row in run.dropped or [])


def bin_rates(prompts: list[Row]) -> list[Row]:
    """Prompts by pass rate: never and always solved stand apart, tenths between; each bin counts its bands.

    The ends stand apart because a prompt never solved and one solved once in 16 ask for different treatment.
    """
    bins: list[Row] = [{"label": "0", "bands": Counter()}]
    bins += [{"label": f"{i / 10:.1f}–{(i + 1) / 10:.1f}", "bands": Counter()} for i in range(10)]
    bins += [{"label": "1", "bands": Counter()}]
    for row in prompts:
        rate = row["successes"] / row["trials"] if row["trials"] else row["rate"]  # the latter may be corrected
        if rate is None:
            continue
        place = 0 if rate <= 0 else 11 if rate >= 1 else 1 + min(9, int(rate * 10 + 1e-9))
        bins[place]["bands"][row["band"] or "unscored"] += 1
    return [{"label": bin["label"], "bands": list(bin["bands"].items())} for bin in bins]
