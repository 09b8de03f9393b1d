"""Logs of any trainer as rows of numbers: JSONL, CSV, a `trainer_state.json`, and what a trainer printed."""

from __future__ import annotations

import codecs
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from rlguard.monitor.watches import is_nan, to_number
from rlguard.tables.columns import check_columns, read_text
from rlguard.tables.files import PACKED, iter_json_lines, open_bytes, read_json
from rlguard.tables.read import iter_rows
from rlguard.types import InputError

Rows = list[tuple[int, dict[str, float]]]
"""Step and figures, in the order of the log."""

STATE = "trainer_state.json"
STEPS = (
    "step", "global_step", "train/global_step", "training/global_step", "progress/step", "progress/batch", "_step",
    "iteration", "iter", "update", "global_step/max_steps", "rollout/step", "train/step", "training_step", "trainstep",
    "trainer/global_step", "current_steps", "rollout_id",
)  # fmt: skip
"""Names of the step, in small letters; the first in a row counts, and a row without any is one step after the last."""
PRINTED = re.compile(r"\{[^{}'\"]*['\"][^{}]*\}")
"""A dictionary in a line, as TRL and ms-swift print one, or a JSON object."""
VALUE = r"-?(?:\d[\d.]*(?:e[+-]?\d+)?|nan|inf)"
PAIR = re.compile(rf"([A-Za-z_][\w./@-]*)\s*[:=]\s*({VALUE})(?![\w:/.])")
"""A name and a number in a line, as verl prints them: `step:12 - actor/entropy:0.4 - critic/score/mean:0.1`."""
REWRITTEN = (
    (re.compile(r"\b(?:np\.\w+|tensor|array)\((-?(?:[\d.]+(?:e[+-]?\d+)?|nan|inf))[^()]*\)"), r"\1"),  # np.float64(0.5)
    (re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?!\d)"), lambda number: number[0].replace(",", "")),  # 12,000
    (re.compile(rf"[│║|]\s*([A-Za-z_][\w./@-]*)\s*[│║|]\s*(?={VALUE}\s*[│║|])"), r"• \1: "),  # a cell each
    (re.compile(rf"(?<=[:,|] )([A-Za-z_][\w./@-]*) (?={VALUE}\s*(?:[,|]|$))"), r"\1: "),  # iter 4: loss 0.1, kl 0
    (re.compile(r"\b(max|min|std|median|eval|val|test|prompt|grad)\.? (?=[a-z])", re.IGNORECASE), r"\1_"),  # Grad. Norm
)
"""What a line is rewritten to before names and numbers are looked for."""
BARE_STEP = re.compile(r"\b(?:step|iter(?:ation)?|update)\s+(\d+)\b", re.IGNORECASE)
NUMBERED = re.compile(
    r"\b(step|iter(?:ation)?|update|rollout|perf|eval)\s+(\d+)\b[^{}\n:]{0,40}:\s*(?=\{)", re.IGNORECASE
)
"""Numbers the dictionary after it: `Global step 4: {…}` of OpenRLHF, `rollout 4: {…}` and `step 4: {…}` of slime."""
LISTED = re.compile(r"\s*• ")
"""How a figure of the step named above begins, as NeMo-RL prints one a line, AReaL one or two."""
BAR = re.compile(r"(\d+)/\d+ \[[^\]=]*[,?] ?([\w./@-]+=[^\]]*)\]")
"""A progress bar with figures beside its times, as tqdm draws one: `12/60 [00:01<00:09, 1.2it/s, reward=0.3]`."""
CELLS = re.compile(r"\s*\t\s*|\s*\|\s*|\s{2,}")
"""What stands between the cells of a table that a notebook or a console shows."""
FIGURE_NAMES = ("key", "metric", "metric_name", "name", "tag")
"""Names of the column that says which figure a row is of, beside `step` and `value`, as MLflow has them."""
OPENED = re.compile(r"\{\s*(?:['\"][^{}]*)?\Z")
"""How a line ends in which a dictionary begins that goes on in the next one."""
INSIDE = frozenset(" \t'\"}")
"""How its further lines begin."""
NO_NUMBER = re.compile(r"([:\[,]\s*)['\"]?[-+]?(?:nan|inf|NaN|Infinity)['\"]?(?=\s*[,}\]])")
RUNS = ("run", "run_id", "run_name", "run.hash", "run.name")
"""Names of a run, in small letters."""
WANDB = re.compile(r"^.* - (?=\S+$)")
"""What an export of Weights & Biases puts before a name: the run's."""
LOGS = ("metrics.jsonl", "metrics.csv", "progress.csv", "*metrics*.jsonl", "*log*.jsonl", "log_history.json",
        "*trainer_state.json", "*.csv", "*.tsv", "*.log", "*.out", "*.txt")  # fmt: skip
"""Names of logs in a folder, the likeliest first."""
EXPECTED = "figures.jsonl of a monitor, a checkpoint with trainer_state.json, metrics.jsonl, metrics.csv, or a *.log"


def find_state(folder: Path) -> Path | None:
    """The state of a `transformers` trainer's newest checkpoint, or the one in the folder itself."""
    numbered = [
        (int(match[1]), path)
        for path in folder.glob(f"checkpoint-*/{STATE}")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.parent.name))
    ]
    own = folder / STATE
    return max(numbered)[1] if numbered else own if own.exists() else None


def find_log(run: Path) -> Path | None:
    """The log of a run: the file itself, or the likeliest one in a folder that has rows of numbers."""
    if run.is_file():
        return run
    state = find_state(run)
    found = [state] if state else [path for name in LOGS for path in sorted(run.glob(name))]
    return next((path for path in found if has_numbers(path)), None)


def has_numbers(path: Path) -> bool:
    """Whether a log can be read and holds any number."""
    try:
        return bool(read_log(path))
    except InputError:
        return path.name in (STATE, *LOGS[:3])  # reading it says what is wrong with it


def read_log(
    path: str | Path,
    torn: list[int] | None = None,
    columns: Mapping[str, str] | None = None,
    lost: dict[str, list[int]] | None = None,
) -> Rows:
    """The numbers and NaN that a trainer logged, a row for each step; several rows of one step are put together.

    A step that is smaller than the one before stays where it is: a log that starts over.

    Args:
        path: The log.
        torn: As in `iter_json_lines`; of CSV and printed pairs too, whose last number may lack digits.
        columns: Figure, or `step` -> what this log calls it.
        lost: Here go the names that have a value which is no number, such as NaN or text, each with the steps.

    Raises:
        InputError: If the file cannot be read as a log; names it, and the line. If it has no such column, holds several
            runs side by side, or its steps are not in order.
    """
    rows: Rows = []
    names: dict[str, Any] = {}
    runs: dict[str, list[str]] = {}
    for row in _iter_raw(Path(path), [] if torn is None else torn):
        flat = {}
        for written, value in _flatten(row):
            name = written.strip()
            if run := WANDB.match(name):
                _take_run(run[0][:-3], runs.setdefault("", []), str(path))
            elif name.lower() in RUNS and isinstance(value, str):
                _take_run(value, runs.setdefault(name, []), str(path))
            if not name.endswith(("__MIN", "__MAX")):
                flat[WANDB.sub("", name)] = value
        names |= flat
        flat |= {figure: flat.pop(name) for figure, name in (columns or {}).items() if name in flat}
        steps = {name.lower(): value for name, value in flat.items() if name.lower() in STEPS}
        known = next((to_number(str(steps[name]).partition("/")[0]) for name in STEPS if name in steps), math.nan)
        numbers = {name: to_number(value) for name, value in flat.items() if not isinstance(value, bool)}
        figures = {name: v for name, v in numbers.items() if math.isfinite(v) and name.lower() not in STEPS}
        step = int(known) if math.isfinite(known) else rows[-1][0] + 1 if rows else 0
        for name, value in flat.items():
            if name not in figures and value is not None and value != "":
                if lost is not None:
                    lost.setdefault(name, []).append(step)
                if is_nan(value):
                    figures[name] = math.nan
        if rows and rows[-1][0] == step:
            rows[-1][1].update({name: v for name, v in figures.items() if not math.isnan(v) or name not in rows[-1][1]})
        elif figures:
            rows.append((step, figures))
    if names:  # else nothing is logged yet
        check_columns(names, columns or {}, str(path))
    _check_order([step for step, _ in rows], str(path))
    return rows


def _check_order(steps: list[int], where: str) -> None:
    """Refuses a log whose steps come in another order; one that starts over goes back once, or repeats some."""
    back = [number for number, (earlier, later) in enumerate(pairwise(steps)) if later < earlier]
    if len(back) < 2 or len(set(steps)) < len(steps) or len(back) <= len(steps) / 4:
        return
    order = "the newest step comes first" if len(back) == len(steps) - 1 else "steps are in no order"
    raise InputError(f"{where}: {order} ({steps[back[0]]}, {steps[back[0] + 1]}, …): sort the rows by step")


def _take_run(run: str, runs: list[str], where: str) -> None:
    """Notes the run that a value belongs to; one that comes back after another stands beside it, not after it."""
    if run in runs[:-1]:
        raise InputError(
            f"{where}: expected one run, found {runs[-1]!r} beside {run!r}: take the rows or columns of one"
        )
    if run not in runs:
        runs.append(run)


def _iter_raw(path: Path, torn: list[int]) -> Iterator[Mapping[str, Any]]:
    bare = path.with_suffix("") if path.suffix in PACKED else path
    if bare.suffix == ".json":
        value = read_json(path, object, "JSON")
        history = value.get("log_history") if isinstance(value, dict) else value
        if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
            found = f"an object with {', '.join(value)[:60]}" if isinstance(value, dict) else f"{value!r:.60}"
            raise InputError(
                f"{path}: expected a trainer's state with its log_history, or a list of steps, got {found}"
            )
        yield from (row for row in history if "step" in row or history is value)
    elif bare.suffix in (".log", ".txt", ".out", ""):
        with open_bytes(path) as data:
            wide = data.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # type: ignore[attr-defined]
            encoding = "utf-16" if wide else "utf-8-sig"
            first = next(rows := _read_printed(io.TextIOWrapper(data, encoding, "replace"), torn), None)
            if first is not None:
                yield from chain([first], rows)
                return
        with open_bytes(path) as data:
            yield from _read_drawn(io.TextIOWrapper(data, encoding, "replace"), torn)
    elif bare.suffix == ".jsonl":
        yield from (row for _, row in iter_json_lines(path, torn))
    else:
        yield from _widen(iter_rows(path, torn, allow_empty=True), path)


def _widen(rows: Iterator[dict[str, Any]], path: Path) -> Iterator[dict[str, Any]]:
    """A table with a row for each figure and step as one with a row a step; any other as it is."""
    first = next(rows, None)
    if first is None:
        return
    by_name = {name.lower(): name for name in first}
    figure, step, value = next((name for name in FIGURE_NAMES if name in by_name), ""), "step", "value"
    if not all(name in by_name for name in (figure, step, value)):
        yield from chain([first], rows)
        return
    figure, step, value = (by_name[name] for name in (figure, step, value))
    wide: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, row in enumerate(chain([first], rows)):
        if not math.isfinite(to_number(row[step])):
            raise InputError(f"{path}: row {number}: expected a step, got {row[step]!r:.60}")
        run = {name: str(row[name]) for name in row if name.lower() in RUNS}
        wide.setdefault((*run.values(), str(row[step])), {**run, step: row[step]})[str(row[figure])] = row[value]
    yield from sorted(wide.values(), key=lambda row: to_number(row[step]))


def _read_drawn(lines: Iterable[str], torn: list[int]) -> Iterator[dict[str, Any]]:
    """Figures of progress bars, and of tables with a column for the step.

    Bars stand within bars, so what one counts is no step: each is one after the last.
    """
    names: list[str] = []
    last: object = None
    for number, line in enumerate(lines, 1):
        cells = CELLS.split(line.strip().strip("|").strip())
        if cells[0].lower() in STEPS and len(cells) > 1:
            names = cells
        elif names and len(cells) == len(names) and all(math.isfinite(to_number(cell)) for cell in cells):
            if line.endswith("\n"):
                yield dict(zip(names, cells, strict=True))
            else:
                torn.append(number)
        elif bar := BAR.search(line):
            pairs = dict(PAIR.findall(bar[2]))
            if pairs and (bar[1], pairs) != last:  # a bar is drawn more often than it moves
                yield pairs
            last = bar[1], pairs


def _join_lines(lines: Iterable[str]) -> Iterator[tuple[int, str, bool]]:
    """Lines with their numbers; those of one dictionary, as `pprint` and JSON's indent write it, joined to one."""
    held: list[tuple[int, str, bool]] = []
    depth = 0
    for number, line in enumerate(lines, 1):
        if held and line[:1] not in INSIDE:  # was none
            yield from held
            held, depth = [], 0
        if not held and not OPENED.search(line):
            yield number, line, False
            continue
        held.append((number, line, False))
        depth += line.count("{") - line.count("}")
        if depth <= 0:
            yield number, " ".join(part.strip() for _, part, _ in held) + "\n", True
            held, depth = [], 0
    yield from held


def _read_printed(lines: Iterable[str], torn: list[int]) -> Iterator[dict[str, Any]]:
    above, reached = None, 0
    for number, line, joined in _join_lines(lines):
        for pattern, by in REWRITTEN:
            line = pattern.sub(by, line)
        printed = PRINTED.findall(line)
        pairs: dict[str, Any] = {} if printed else dict(PAIR.findall(line))
        if bare := BARE_STEP.search(line):
            pairs.setdefault("step", bare[1])
        elif pairs and above and LISTED.match(line):
            pairs.setdefault("step", above)
        if len(pairs) > 1 and any(name.lower() in STEPS for name in pairs):
            if line.endswith("\n"):
                yield pairs
            else:
                torn.append(number)
        elif bare:
            above = bare[1]
        for text in printed:
            row = read_text(NO_NUMBER.sub(r'\1"nan"', text))
            if not isinstance(row, dict):
                continue
            if (numbered := NUMBERED.search(line)) and not any(str(name).lower() in STEPS for name in row):
                counted = BARE_STEP.search(numbered[0])  # a rollout has one step or several
                reached = int(numbered[2]) if counted else max(reached, int(numbered[2]))
                row["step"] = reached
            if joined and not any(str(name).lower() in STEPS for name in row):
                if above is None:
                    continue  # a configuration
                row["step"] = above
            known = "'" in text or any(str(name).lower() in STEPS for name in row)  # other JSON may be anything
            if known and any(math.isfinite(to_number(value)) for value in row.values()):
                yield row


def _flatten(row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values, those under `data` or `metrics` as if they stood in the row."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _flatten(value)
        else:
            yield str(name), value
