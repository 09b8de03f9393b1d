"""`rlguard verifier`: does a verifier pay what it should?"""

from __future__ import annotations

import importlib
import sys
from dataclasses import asdict
from itertools import compress, islice
from typing import Annotated, Any

import typer
from rich.table import Table

from rlguard.cli.app import AS_JSON, COLUMN, DATA, app, console, print_json, read_problem_columns
from rlguard.types import InputError, Problem, Verifier


@app.command()
def verifier(
    data: DATA,
    verifier: Annotated[
        str, typer.Option(help="auto, math, exact, numeric, reasoning_gym, or MODULE:FUNCTION of (completion, answer).")
    ] = "auto",
    rows: Annotated[int, typer.Option(min=1, help="Rows of DATA to plant completions for, from the first.")] = 200,
    fail_over: Annotated[
        float | None, typer.Option(min=0, max=1, help="Exit with 1 if a kind surely errs more often than this.")
    ] = None,
    column: COLUMN = None,
    as_json: AS_JSON = False,
) -> None:
    """Test a verifier: what does it pass that is wrong, or fail?

    It judges planted completions: the gold answers in other forms and spellings, near misses, nothing at all, all
    options at once, instructions to the grader, and the gold answer inside a wrong one. No model is needed.
    """
    from rlguard.cli.console import working
    from rlguard.tables.read import iter_problems, iter_rows
    from rlguard.verify.planted import examine_verifier

    problems = list(islice(iter_problems(iter_rows(data), *read_problem_columns(column), data), rows))
    with working("judging"):
        found = examine_verifier(problems, _find_verifier(verifier))
    if as_json:
        print_json([asdict(one) for one in found])
    else:
        columns = ["planted", "should", "errors", "95% interval", "unscored", "for example"]
        lines = []
        for one in found:
            example = f"row {one.examples[0][0]}: {one.examples[0][1]!r:.60}" if one.examples else ""
            unscored = str(one.unscored) if one.unscored else ""
            told = (f"{one.wrong} of {one.judged}", f"{one.low:.1%} to {one.high:.1%}", unscored, example)
            lines.append((one.kind, "pass" if one.right else "fail", *told))
        shown = [any(line[place] for line in lines) for place in range(len(columns))]  # no empty column
        table = Table(*compress(columns, shown), title=f"{verifier} on {len(problems)} rows")
        for one, line in zip(found, lines, strict=True):
            table.add_row(*compress(line, shown), style="bold red" if one.wrong else "")
        console.print(table)
    if fail_over is not None and any(one.low > fail_over for one in found):
        raise typer.Exit(1)


class _Function:
    """A function of completion and gold answer as a verifier."""

    version = "1"

    def __init__(self, name: str, function: Any) -> None:
        self.name, self._function = name, function

    def extract(self, completion: str) -> str | None:
        return completion

    def score(self, completion: str, problem: Problem) -> float:
        return float(self._function(completion, problem.answer))


def _find_verifier(name: str) -> Verifier:
    """A verifier by its name, or a function or verifier of the user's."""
    from rlguard.verify.verifiers import pick_verifier

    module, colon, attribute = name.partition(":")
    if not colon:
        return pick_verifier(name)
    sys.path.insert(0, "")  # the user's module lies where the command is run
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's module does
        raise InputError(f"--verifier {name}: expected MODULE:FUNCTION that can be imported here ({error})") from error
    finally:
        sys.path.remove("")
    if not (callable(found) or hasattr(found, "score")):
        raise InputError(f"--verifier {name}: expected a function or a verifier, got {found!r:.60}")
    own: Verifier = found() if isinstance(found, type) else found if hasattr(found, "score") else _Function(name, found)
    return own
