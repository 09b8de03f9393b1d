"""Capability audit: what did training break elsewhere? The same questions to a model before and after, paired.

suite.py        the questions: domains, variants (formats, stated confidence, leave to abstain), and their verifier
samples.py      one question with what one model answered
scoring.py      what only the model's weights tell: log-probabilities, entropy, what the steps add
measures        retention, calibration, coverage, reasoning, formats, diversity: samples -> figures
compare.py      figures before and after -> rows with an interval and a verdict
"""
