"""Luck: how often a prompt is passed without being solved, and how likely a success is genuine."""
