"""Which part of a text the model wrote: turns of users, tools and environments are never its words."""

from __future__ import annotations

import re

_MARKS = ("<|", "<start_of_turn>", "[INST]", "<tool", "<obs", "<info", "<inter", "<function_r", "```output",
          "[TOOL_R", "Observation:", "<output>")  # fmt: skip
_OTHERS = re.compile(
    r"<\|im_start\|>\s*(?!assistant)\w+.*?(?:<\|im_end\|>|(?=<\|im_start\|>)|\Z)"
    r"|<\|start_header_id\|>\s*(?!assistant)\w+\s*<\|end_header_id\|>.*?(?:<\|eot_id\|>|(?=<\|start_header_id\|>)|\Z)"
    r"|<start_of_turn>\s*user\b.*?(?:<end_of_turn>|(?=<start_of_turn>)|\Z)"
    r"|<\|(?:user|tool|observation|system)\|>.*?(?=<\|assistant\|>|\Z)"
    r"|<\|start\|>(?!assistant).*?(?:<\|end\|>|(?=<\|start\|>)|\Z)"
    r"|\[INST\].*?(?:\[/INST\]|\Z)|\[TOOL_RESULTS\].*?(?:\[/TOOL_RESULTS\]|\Z)|(?<=\nObservation:)[^\n]*"
    r"|(?:(?<=</python>\n<output>)|(?<=</code>\n<output>)).*?(?=</output>|\Z)"
    r"|<(tool_(?:response|output|results?)|observation|information|interpreter|function_results)>(?P<tool>.*?)(?:</\1>|\Z)"
    r"|```output\b(?P<printed>.*?)(?:```|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""Turns of others in the ways that chat templates and agents write them, and between their tags what tools returned."""


def own_spans(text: str) -> list[tuple[int, int]]:
    r"""The spans that the model wrote itself; the tags around what a tool returned stay, as a sign of its work.

    >>> text = "6*7=42<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\nYes"
    >>> "".join(text[a:b] for a, b in own_spans(text))
    '6*7=42<|im_end|>\n\n<|im_start|>assistant\nYes'
    """
    spans, at = [], 0
    if any(mark in text for mark in _MARKS if mark[0] in text):
        for turn in _OTHERS.finditer(text):
            start, end = turn.span("tool") if turn["tool"] is not None else turn.span("printed")
            start, end = (start, end) if start >= 0 else turn.span()
            spans.append((at, start))
            at = end
    return [*spans, (at, len(text))]
