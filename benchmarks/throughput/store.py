"""Tens of millions of rollouts read back in bounded memory: seconds and peak memory of the grouping.

    python benchmarks/throughput/store.py --rollouts 20000000 --out out/store.json

Writes a synthetic store (sealed segments as the real one has them, 16 rollouts a prompt, answers among 100), then
groups it in a process of its own, as a resumed run and the counting of pass rates do.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEGMENT, EACH = 200_000, 16
GROUP = """
import json, resource, sys, time
import duckdb, pyarrow, rlguard.rollouts.segments as segments
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
prompts = rollouts = answers = 0
for _, tally, given in segments.group_rollouts(sys.argv[1]):
    prompts, rollouts, answers = prompts + 1, rollouts + tally.drawn, answers + len(given)
print(json.dumps({"prompts": prompts, "rollouts": rollouts, "distinct answers of prompts": answers,
    "seconds": time.perf_counter() - start, "peak MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "MB of the imports": before / 1024}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=20_000_000)
    parser.add_argument("--out", type=Path, default=Path("out/store.json"))
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=args.out.parent if args.out.parent.exists() else None))
    try:
        start = time.perf_counter()
        write_store(folder, args.rollouts)
        size = sum(path.stat().st_size for path in folder.iterdir()) >> 20
        print(f"written in {time.perf_counter() - start:.0f} s, {size} MB")
        found = json.loads(subprocess.check_output([sys.executable, "-c", GROUP, str(folder)]))
    finally:
        shutil.rmtree(folder)
    print(json.dumps(found, indent=1))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(found))


def write_store(folder: Path, rollouts: int) -> None:
    rng = np.random.default_rng(0)
    words = pa.array([f"step {i}: 7*{i}+3={7 * i + 3}; so the answer is {i % 100} " * 6 for i in range(1000)])
    for number, first in enumerate(range(0, rollouts, SEGMENT)):
        size = min(SEGMENT, rollouts - first)
        index = (np.arange(first, first + size) * 7919) % rollouts  # a prompt's rollouts lie far apart
        table = pa.table({
            "prompt_id": pa.array([f"{i:016x}" for i in index // EACH]),
            "index": pa.array(index % EACH, pa.int32()),
            "completion": words.take(pa.array(rng.integers(0, 1000, size))),
            "outcome": pa.array(rng.integers(0, 2, size), pa.float32()),
            "answer": pa.array(rng.integers(0, 100, size).astype(str)),
            "tokens": pa.array(rng.integers(1, 512, size), pa.int32()),
            "finish_reason": pa.array(["stop"] * size),
        })  # fmt: skip
        pq.write_table(table, folder / f"rollouts-{number:05d}.parquet", compression="zstd")
    (folder / "rollouts.jsonl").touch()


if __name__ == "__main__":
    main()
