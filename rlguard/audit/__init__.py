"""Capability audit: what did training break elsewhere? The same questions to a model before and after, paired.

suite, builtin, questions, open_questions, variants, judge, checks    what is asked, in which forms, and what is right
distance          how far a domain's prompts lie from the training prompts
taking            what one model answers: rollouts, cut reasoning, scores, each kept
scoring           what only the model's weights tell: log-probabilities, entropy, what the steps add
retention, calibration, coverage, reasoning, formats, diversity       what is measured: samples -> figures
compare           figures before and after -> rows with an interval and a verdict
run               all of it; `rlguard.report` writes the page (tables: words of the built-in suite)
in_training       a small audit every so many steps; `rlguard.integrations.trl_audit` has the callback
"""
