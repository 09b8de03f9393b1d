"""Capability audit: what did training break elsewhere? The same questions to a model before and after, paired.

suite, builtin, questions, variants     what is asked, and in which forms
marking, open_answers                   which answers are right
distance          how far a domain's prompts lie from the training prompts
taking            what one model answers: rollouts, cut reasoning, scores, each kept
scoring           what only the model's weights tell: log-probabilities, entropy, what the steps add
retention, calibration, coverage, reasoning, formats, diversity       what is measured: samples -> figures
compare           figures before and after -> rows with an interval and a verdict
run               all of it; `rlguard.report` writes the page
in_training       a small audit every so many steps; `rlguard.integrations.trl_audit` has the callback
"""
