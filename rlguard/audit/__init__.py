"""Capability audit: what did training break elsewhere? The same questions to a model before and after, paired.

suite, builtin    what is asked, and in which forms
marking           which answers are right
scoring           what only the model's weights tell: log-probabilities, entropy, what the steps add
retention, distance, calibration, coverage, reasoning       what is measured: samples -> figures
compare           figures before and after -> rows with an interval and a verdict
run               all of it, each model's answers kept; `rlguard.report` writes the page
in_training       a small audit every so many steps; `rlguard.integrations.trl_audit` has the callback
"""
