"""Rollouts: the store that sampling writes, its files, and the reader of everybody's logs."""

from rlguard.rollouts.segments import read_rollouts
from rlguard.rollouts.store import RolloutStore

__all__ = ["RolloutStore", "read_rollouts"]
