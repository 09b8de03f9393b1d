"""Malformed rows through what each command reads: used, or refused by name, and never a traceback."""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlguard.difficulty.filter import filter_file
from rlguard.difficulty.preflight import check_preflight
from rlguard.difficulty.published import read_published
from rlguard.difficulty.rates import read_rates
from rlguard.report import write_report
from rlguard.shortcuts.scan import scan_rollouts
from rlguard.tables.read import iter_rows, read_problems
from rlguard.types import InputError, PassRate

ROWS = [
    {"prompt": "6-2?", "completion": "6-2=4", "answer": "4", "reward": 1.0, "step": 1},
    {"step": 3, "prompt": [{"role": "user", "content": "q"}], "completion": "a", "advantage": 0.5, "right": 1.0},
    {"prompt": "6-2?", "answer": "4", "r": 0.5},
    {"prompt_id": "p", "successes": 8, "trials": 16, "low": 0.25, "high": 0.75, "band": "learnable", "rate": 0.5},
    {"columns": ["prompt", "completion"], "data": [["q", "a"]]},
    {"question": "q", "rollouts": [{"text": "a", "correct": True}]},
]
ODD = st.sampled_from(
    [None, True, -1, 1.5, 10**400, float("nan"), float("inf"), "", "half \ud83d", "\x1b[2J", [], {}, [[]], [None],
     [{"role": "user", "content": 7}], [{"role": "assistant", "content": [{"type": "text"}]}], {"a": {"b": [1]}}]
)  # fmt: skip
NAMES = sorted({name for row in ROWS for name in row})
TABLES = st.lists(
    st.builds(
        lambda row, odd, gone: {name: value for name, value in (row | odd).items() if name != gone},
        st.sampled_from(ROWS),
        st.dictionaries(st.sampled_from(NAMES), ODD, max_size=2),
        st.sampled_from(["", *NAMES]),
    ),
    min_size=1,
    max_size=3,
)


def filter_all(path, out):
    rates = [PassRate(problem.id, 8, 16, 0.2, 0.8, "learnable") for problem in read_problems(iter_rows(path))]
    return filter_file(path, rates, out)


READERS = {
    "scan": lambda path: scan_rollouts(path, path).records(),
    "named columns": lambda path: scan_rollouts(path, columns={"completion": "answer", "reward": "r"}),
    "report": lambda path: write_report(path, path.with_name("report.html")),
    "filter": lambda path: filter_all(path, path.with_name("kept.parquet")),
    "filter to CSV": lambda path: filter_all(path, path.with_name("kept.csv")),
    "published": lambda path: read_published(path, "r", scale="pass_rate", trials=8),
    "rates": lambda path: check_preflight(list(read_rates(path).values())),
}


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=TABLES, cut=st.integers(0, 400))
def test_what_a_command_reads_is_used_or_refused(tmp_path_factory, reader, rows, cut):
    path = tmp_path_factory.mktemp("odd") / "a.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text[: len(text) - cut] if cut < 40 else text)
    logging.disable(logging.WARNING)
    try:
        READERS[reader](path)
    except (InputError, OSError):  # exit code 2, and nothing else
        pass
    finally:
        logging.disable(logging.NOTSET)
