"""Is a completion correct? Verifiers, the check of the gold answers, and processes that verifiers run in."""

from rlguard.verify.verifiers import Auto, Exact, Math, Numeric, ReasoningGym, pick_verifier

__all__ = ["Auto", "Exact", "Math", "Numeric", "ReasoningGym", "pick_verifier"]
