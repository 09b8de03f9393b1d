"""Trains two guarded steps with other versions of TRL, transformers and Python: `make versions` (`WHICH=all` for all).

Each combination gets an environment of its own in `.venv/versions`. With this Python it sees the packages of the
environment that runs this file, and only what differs is installed, which takes seconds; another Python gets all. The
rows go to `results.jsonl`, newest in place of older ones, and the table of `docs/versions.md` is made of them. Ends
with 1 if a combination failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RESULTS, PAGE = HERE / "results.jsonl", ROOT / "docs" / "versions.md"
FOLDER = ROOT / ".venv" / "versions"
START, END = "<!-- made by make versions -->", "<!-- end -->"

THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
ENDS = [(THIS, "1.8.0", "5.5.0"), (THIS, "1.16.0", "5.24.0")]
"""Python, TRL, transformers: the two ends of the range."""
OTHERS = [
    *((THIS, version, "5.10.4") for version in ("1.8.0", "1.10.0", "1.12.0", "1.14.2", "1.15.0", "1.16.0")),
    *((version, "1.16.0", "5.24.0") for version in ("3.12", "3.13") if version != THIS),
]
ALONE = ["torch==2.13.0", "peft", "pytest", "reasoning-gym"]
"""What another Python needs beside rlguard, TRL and transformers."""


def prepare(python: str, trl: str, transformers: str) -> Path:
    """The interpreter of an environment with these versions, made if it is not there."""
    folder = FOLDER / f"py{python}-trl{trl}-transformers{transformers}"
    interpreter, ready = folder / "bin" / "python", folder / ".ready"
    if ready.exists():
        return interpreter
    shutil.rmtree(folder, ignore_errors=True)
    start = sys.executable if python == THIS else find_python(python)
    subprocess.run([start, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = [f"trl=={trl}", f"transformers=={transformers}"]
    if python == THIS:
        shared, own = sysconfig.get_path("purelib"), folder / "lib" / f"python{THIS}" / "site-packages"
        (own / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    else:
        packages += [*ALONE, str(ROOT)]
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)
    ready.touch()
    return interpreter


def find_python(version: str) -> str:
    """An interpreter of another version. SystemExit if there is none."""
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True).returncode:
        raise SystemExit(f"no python{version} on the path")
    return found


def run(python: str, trl: str, transformers: str) -> dict:
    """The row of one combination."""
    row = {"python": python, "trl": trl, "transformers": transformers}
    return row | train(prepare(python, trl, transformers))


def train(interpreter: Path) -> dict:
    """What `train.py` found with the packages of an interpreter."""
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    env["TRITON_INTERPRET"] = "1"  # TRL 1.15 has no way around its Triton kernels, with or without rlguard
    done = subprocess.run(
        [str(interpreter), str(HERE / "train.py")], env=env, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or ["no output"]
        return {"result": f"failed: {lines[-1]}"}
    return json.loads(done.stdout.splitlines()[-1])


def read_results() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def write_results(rows: list[dict]) -> None:
    """Puts rows into the file of results, in place of older ones of the same versions, and the table into the page."""

    def name(row: dict) -> tuple:
        versions = (row["python"], row["trl"], row["transformers"])
        return tuple(tuple(map(int, version.split(".")[:2])) for version in versions)

    kept = {name(row): row for row in [*read_results(), *rows]}
    ordered = [kept[key] for key in sorted(kept)]
    RESULTS.write_text("".join(json.dumps(row) + "\n" for row in ordered))
    PAGE.write_text(put_table(PAGE.read_text(), ordered))


def put_table(page: str, rows: list[dict]) -> str:
    """The page with the table of these rows between its two marks."""
    head, _, rest = page.partition(START)
    lines = ["| Python | TRL | transformers | torch | advantages rewritten | result |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['python']} | {row['trl']} | {row['transformers']} | {row.get('torch', '')} | "
        f"{row.get('rewritten', '')} | {row['result']} |"
        for row in rows
    ]
    return head + START + "\n" + "\n".join(lines) + "\n" + END + rest.partition(END)[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("which", nargs="?", choices=["ends", "all"], default="ends")
    rows = []
    for versions in ENDS + (OTHERS if parser.parse_args().which == "all" else []):
        rows.append(run(*versions))
        print(json.dumps(rows[-1]), flush=True)
        write_results(rows)
    return int(any(row["result"] != "passed" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
