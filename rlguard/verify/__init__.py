"""Is a completion correct? Verifiers, the check of the gold answers, and processes that verifiers run in."""

from rlguard.verify.gold import check_gold
from rlguard.verify.verifiers import Auto, Exact, Math, Numeric, ReasoningGym, pick_verifier, score_safely

__all__ = ["Auto", "Exact", "Math", "Numeric", "ReasoningGym", "check_gold", "pick_verifier", "score_safely"]
