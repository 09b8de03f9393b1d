"""From which level of a task the next prompts come, by the pass rates seen so far."""

from rlguard.curriculum.levels import Level, LevelCurriculum, make_reasoning_gym_row, reasoning_gym_levels

__all__ = ["Level", "LevelCurriculum", "make_reasoning_gym_row", "reasoning_gym_levels"]
