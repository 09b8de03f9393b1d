"""Choose the prompts of the next batch by what they are expected to teach."""

from rlguard.sampling.chooser import BatchChooser
from rlguard.sampling.sampler import PromptSampler, SamplerConfig

__all__ = ["BatchChooser", "PromptSampler", "SamplerConfig"]
