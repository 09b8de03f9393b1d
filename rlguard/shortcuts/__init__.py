"""Signs of a shortcut in completions: answer repetition, loops and skipped computation, each with its evidence.

Pure Python, linear in the length of the text, and light enough to run on every completion of a training step.
"""

from rlguard.shortcuts.computation import shown_steps
from rlguard.shortcuts.judge import Judgement, detect_shortcuts, judge_completion, likelihood_ratios

__all__ = ["Judgement", "detect_shortcuts", "judge_completion", "likelihood_ratios", "shown_steps"]
