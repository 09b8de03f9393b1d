"""What each sign is worth: the one table of likelihood ratios, and the making of findings from it."""

from __future__ import annotations

from rlguard.types import Finding, Severity

LIKELIHOOD_RATIOS: dict[str, tuple[float, Severity]] = {
    # P(sign | success genuine) / P(sign | success lucky), estimated by benchmarks/detectors/calibrate.py on completions
    # of made-up task families on which no rule was tuned: the end of the 95% interval that claims less, within
    # [1/20, 20]. On real texts, only false_step (1 : 15) and unsupported_answer are frequent enough to be compared:
    # right and wrong solutions of two models agree with the table. Set by hand, as too rare in both: answer_first,
    # garbage, every_option.
    "computed": (18.75, "warn"),
    "computed_in_part": (3.74, "warn"),
    "bare_answer": (0.05, "error"),
    "no_intermediate": (0.05, "warn"),
    "answer_first": (0.4, "warn"),
    "answer_first_alone": (0.05, "error"),
    "unsupported_answer": (0.05, "warn"),
    "false_step": (0.08, "warn"),
    "false_steps": (0.05, "error"),
    "answer_repeated": (0.2, "warn"),
    "answer_repeated_often": (0.05, "error"),
    "loop": (0.29, "warn"),
    "long_loop": (0.05, "error"),
    "little_new_text": (0.44, "warn"),
    "garbage": (0.05, "error"),
    "every_option": (0.05, "error"),
}
LIMIT = 50.0
"""No combination of signs is worth more than this, or less than its inverse: they are not independent."""


def make_finding(sign: str, kind: str, reason: str, start: int, end: int) -> Finding:
    """A finding whose ratio and severity come from the table.

    >>> make_finding("bare_answer", "skipped_computation", "no step", 0, 1).likelihood_ratio
    0.05
    """
    ratio, severity = LIKELIHOOD_RATIOS[sign]
    return Finding(kind, reason, start, end, ratio, severity)


def combine_ratios(findings: tuple[Finding, ...] | list[Finding], shown: float = 1.0) -> float:
    """The strongest sign of each kind, multiplied, with what the shown computation is worth; within 1/50 and 50.

    Signs of one kind are the same fact seen twice, so they do not multiply.

    >>> combine_ratios([make_finding("false_steps", "false_step", "", 0, 1)] * 3)
    0.05
    """
    strongest: dict[str, float] = {}
    for finding in findings:
        strongest[finding.kind] = min(finding.likelihood_ratio, strongest.get(finding.kind, LIMIT))
    ratio = shown
    for value in strongest.values():
        ratio *= value
    return min(max(ratio, 1 / LIMIT), LIMIT)


def quote(text: str, length: int = 30) -> str:
    """A short one-line excerpt for a reason.

    >>> quote("a  very long\\nline", 8)
    'a very …'
    """
    text = " ".join(text[: 4 * length].split())
    return text if len(text) <= length else text[: length - 1] + "…"
