"""The guard of a training run: it judges each success and says what to train on."""

from rlguard.guard.guard import Guard, Judged
from rlguard.guard.settings import GuardConfig

__all__ = ["Guard", "GuardConfig", "Judged"]
