"""Where the final answer of a completion stands, what a gold answer says, and when two answers are the same.

Light and fast, for detectors and chance rates; verifiers that decide a reward use heavier tools.
"""

from rlguard.answers.final import (
    ANSWER_CUE,
    FinalAnswer,
    begin_answer,
    end_answer,
    extract_answer,
    find_answer,
    read_bare,
)
from rlguard.answers.numerals import parse_number, read_quantity
from rlguard.answers.spelling import answer_type, normalise_answer, read_gold, read_golds, undress_answer

__all__ = [
    "ANSWER_CUE",
    "FinalAnswer",
    "answer_type",
    "begin_answer",
    "end_answer",
    "extract_answer",
    "find_answer",
    "normalise_answer",
    "parse_number",
    "read_bare",
    "read_gold",
    "read_golds",
    "read_quantity",
    "undress_answer",
]
