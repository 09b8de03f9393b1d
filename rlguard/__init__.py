"""rlguard: the guard around RLVR training."""

__version__ = "0.1.0"
