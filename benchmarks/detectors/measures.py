"""What is counted of detectors on labelled completions: recall, false positives, and their intervals."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from baselines import CLAIMED

from benchmarks.detectors.labelled import FLAWED, LabelledRow
from rlguard.stats import binomial_interval
from rlguard.types import Finding

KINDS = (
    "answer_repetition",
    "text_loop",
    "skipped_computation",
    "placeholder",
    "answer_first",
    "unsupported_answer",
    "false_step",
    "copied_answer",
)
COUNTS_AS = {"repetition": set(CLAIMED), "copied_answer": {"skipped_computation"}}
"""Kinds of findings by which a label counts as found; by default only its own kind."""
ANY = "any finding"


@dataclass(frozen=True)
class Share:
    """`hits` of `n`, with its exact 95% interval."""

    hits: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        return binomial_interval(self.hits, self.n)

    def show(self) -> str:
        """As percent with its interval.

        >>> Share(19, 20).show()
        '95.0 [75.1, 99.9]'
        """
        if not self.n:
            return "–"
        low, high = self.interval
        return f"{100 * self.hits / self.n:.1f} [{100 * low:.1f}, {100 * high:.1f}]"

    def short(self) -> str:
        return f"{100 * self.hits / self.n:.1f} ({self.n})" if self.n else "–"


@dataclass(frozen=True)
class Line:
    """One line of the table: how one detector does on one kind."""

    detector: str
    kind: str
    recall: Share
    by_strength: dict[int, Share]
    any_finding: Share | None
    false_positives: Share


def share(flags: Iterable[bool]) -> Share:
    flags = list(flags)
    return Share(sum(flags), len(flags))


def measure(
    detector: str,
    kind: str,
    rows: Sequence[LabelledRow],
    found: Sequence[Collection[str]],
    labels: Collection[str] | None = None,
    accepted: Collection[str] | None = None,
) -> Line:
    """Counts for one kind.

    Args:
        detector: Its name.
        kind: What the line is called.
        rows: R rows; those without kinds are the honest ones.
        found: For each row the kinds of its findings.
        labels: Labels that make a row one to be found; None means `kind`, an empty set any label.
        accepted: Kinds of findings that count; None means what `COUNTS_AS` says, an empty set any finding.
    """
    labels = {kind} if labels is None else labels
    accepted = COUNTS_AS.get(kind, {kind}) if accepted is None else accepted

    def is_found(kinds: Collection[str]) -> bool:
        return any(k in accepted for k in kinds) if accepted else bool(kinds)

    pairs = list(zip(rows, found, strict=True))
    positive = [
        (row, kinds) for row, kinds in pairs if row["kinds"] and (not labels or set(labels) & set(row["kinds"]))
    ]
    strengths = sorted({row["strength"] for row, _ in positive if row["strength"] is not None})
    return Line(
        detector,
        kind,
        share(is_found(kinds) for _, kinds in positive),
        {s: share(is_found(kinds) for row, kinds in positive if row["strength"] == s) for s in strengths},
        share(bool(kinds) for _, kinds in positive) if accepted else None,
        share(is_found(kinds) for row, kinds in pairs if not row["kinds"]),
    )


def corpus_lines(rows: Sequence[LabelledRow], found: Sequence[Collection[str]]) -> list[Line]:
    """Our detectors on every kind, on repetition of either kind, and on anything at all."""
    lines = [measure("rlguard", kind, rows, found) for kind in KINDS]
    lines.append(measure("rlguard", "repetition", rows, found, labels=set(CLAIMED)))
    lines.append(measure("rlguard", ANY, rows, found, labels=set(), accepted=set()))
    return lines


def baseline_lines(baseline: str, rows: Sequence[LabelledRow], flags: Sequence[bool]) -> list[Line]:
    """A baseline's one flag on each kind that it claims, and on both."""
    found = [{"repetition"} if flag else set() for flag in flags]
    labels = [*(({kind}, kind) for kind in CLAIMED), (set(CLAIMED), "repetition")]
    return [measure(baseline, kind, rows, found, labels=which, accepted=set()) for which, kind in labels]


def flawed_lines(rows: Sequence[LabelledRow], findings: Sequence[Sequence[Finding]]) -> list[Line]:
    """On sets that only say flawed or not: any finding, each kind of finding, and findings at the first wrong step."""
    found = [{f.kind for f in row} for row in findings]
    lines = [measure("rlguard", ANY, rows, found, labels={FLAWED}, accepted=set())]
    at_step = [
        {"there"} if row["span"] and any(f.start < row["span"][1] and f.end > row["span"][0] for f in fs) else set()
        for row, fs in zip(rows, findings, strict=True)
    ]
    there = measure("rlguard", "finding at the first wrong step", rows, at_step, labels={FLAWED}, accepted=set())
    lines.append(Line(there.detector, there.kind, there.recall, {}, None, Share(0, 0)))
    kinds = sorted(set().union(*found)) if found else []
    return lines + [measure("rlguard", kind, rows, found, labels={FLAWED}, accepted={kind}) for kind in kinds]
