"""Lost calibration: rlguard's audit of the final models of GRPO and rlguard, on their prior skills and elsewhere.

    python benchmarks/efficacy/calibration.py    # audits every final model that has no row yet; stops and goes on

The sweep keeps the final models of two mixes in out/efficacy/final. Each is audited against the model it began with;
one line a model goes to calibration.jsonl beside this file. About half a minute of a core for each (words: two).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are too small for more
ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]
from benchmarks.efficacy.families import FAMILIES, MAX_COMPLETION  # noqa: E402
from benchmarks.efficacy.plan import MAIN  # noqa: E402
from benchmarks.efficacy.records import Row, append_row, find_commit, key, read_rows  # noqa: E402
from benchmarks.efficacy.results import AUDITS  # noqa: E402
from benchmarks.efficacy.run import CODE  # noqa: E402
from benchmarks.efficacy.settings import OUT, SEEDS, Run  # noqa: E402
from rlguard.types import Problem  # noqa: E402

QUESTIONS, VARIED, ROLLOUTS = 24, 6, 16
"""Questions of each kind, those of them that are also asked in other forms, rollouts of each."""


class FamilyVerifier:
    """Judges an answer in a family's own form, or in a box or other form that a question asked for."""

    version = "1"

    def __init__(self, family: str) -> None:
        self.name, self._family = f"efficacy {family}", family

    def extract(self, completion: str) -> str | None:
        """The answer at the end."""
        from rlguard.answers import extract_answer

        found = extract_answer(completion)
        return FAMILIES[self._family].find_answer(completion) or (found[0] if found else None)

    def score(self, completion: str, problem: Problem) -> float:
        """1.0 or 0.0."""
        return float(self.extract(completion) == str(problem.answer))


def audit(run: Run, final: Path, out: Path) -> dict[str, Any]:
    """Every figure of the audit over all kinds together, before and after, with its interval and verdict."""
    from rlguard import Sampling, run_audit
    from rlguard.audit.run import AuditSettings
    from rlguard.engines import load_engine
    from rlguard.tables import write_rows

    family, suite = FAMILIES[run.family], out / "questions.jsonl"
    kinds = (*family.prior, family.learnable)
    rows = [row for kind in kinds for row in family.make_problems([kind], QUESTIONS, run.seed, held_out=True)]
    write_rows([{"prompt": row["prompt"], "answer": row["answer"], "domain": row["family"]} for row in rows], suite)
    taking = AuditSettings(n=ROLLOUTS, scored=4, truncated=16, sampling=Sampling(max_tokens=MAX_COMPLETION))
    base = OUT / "models" / f"{run.family}-{run.design}"
    done = run_audit(
        str(base), [str(final)], out / "audit", str(suite), varied=VARIED, seed=run.seed, trained=[family.learnable],
        settings=taking, verifier=FamilyVerifier(run.family), load=lambda model: load_engine("transformers", model),
    )  # fmt: skip
    (compared,) = done.comparisons
    shown = {
        f"{row.group}: {row.name}": [row.before, row.after, row.low, row.high, row.verdict]
        for row in compared.rows if row.domain == "all" and row.before == row.before
    }  # fmt: skip
    return {"figures": shown, "skipped": done.skipped}


def find_models(final: Path) -> dict[Path, Run]:
    """The kept models of the reported rows, by folder."""
    rows = [row for row in read_rows() if row["seed"] in SEEDS and row["arm"] in MAIN]
    runs = [Run(**{name: row[name] for name in Run.__dataclass_fields__}) for row in rows]
    return {final / run.name: run for run in runs if (final / run.name / "config.json").exists()}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    done = {key(row) for row in read_rows(AUDITS)}
    for folder, run in find_models(out / "final").items():
        if key(run) not in done:
            named: Row = {
                name: getattr(run, name) for name in ("arm", "family", "kind", "share", "seed", "rate", "design")
            }
            append_row(named | audit(run, folder, out / "audits" / run.name) | {"commit": find_commit(*CODE)}, AUDITS)
            print(run.name, flush=True)


if __name__ == "__main__":
    main()
