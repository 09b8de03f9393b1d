"""Which part of a text the model wrote: turns of users, tools and environments are never its words."""

from __future__ import annotations

import json
import re

from rlguard.types import Messages, completion_text

_MARKS = ("<|", "<start_of_turn>", "[INST]", "<tool", "<obs", "<info", "<inter", "<function_r", "```output")
_OTHERS = re.compile(
    r"<\|im_start\|>\s*(?!assistant)\w+.*?(?:<\|im_end\|>|(?=<\|im_start\|>)|\Z)"
    r"|<\|start_header_id\|>\s*(?!assistant)\w+\s*<\|end_header_id\|>.*?(?:<\|eot_id\|>|(?=<\|start_header_id\|>)|\Z)"
    r"|<start_of_turn>\s*user\b.*?(?:<end_of_turn>|(?=<start_of_turn>)|\Z)"
    r"|<\|(?:user|tool|observation|system)\|>.*?(?=<\|assistant\|>|\Z)"
    r"|\[INST\].*?(?:\[/INST\]|\Z)"
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
    if any(mark in text for mark in _MARKS):
        for turn in _OTHERS.finditer(text):
            start, end = turn.span("tool") if turn["tool"] is not None else turn.span("printed")
            start, end = (start, end) if start >= 0 else turn.span()
            spans.append((at, start))
            at = end
    return [*spans, (at, len(text))]


def spoken_text(messages: Messages) -> str:
    """What the assistant says in chat messages, with its tool calls where it makes them.

    >>> call = {"function": {"name": "calculate", "arguments": "6*7"}}
    >>> spoken_text([{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "42"}])
    '<tool_call>"6*7"</tool_call>'
    """
    parts = []
    for message in messages:
        said = completion_text([message])
        calls = message.get("tool_calls") if message.get("role", "assistant") == "assistant" else None
        for call in calls or []:
            function = call.get("function", call) if isinstance(call, dict) else {}
            arguments = json.dumps(function.get("arguments", function), default=str)
            said += f"\n<tool_call>{arguments}</tool_call>" if said else f"<tool_call>{arguments}</tool_call>"
        if message.get("role", "assistant") == "assistant":
            parts.append(said)
    return "\n".join(parts)
