"""Pass rates: how often a model solves each prompt, and the data set filtered by it."""

from rlguard.difficulty.estimate import estimate_pass_rates
from rlguard.difficulty.filter import filter_dataset, filter_file

__all__ = ["estimate_pass_rates", "filter_dataset", "filter_file"]
