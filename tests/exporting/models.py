"""Small models with a tokenizer on disk, and what is compared when an export is loaded again."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders
from tokenizers.models import BPE
from torch import Tensor

from quantbench.engine.load import load_decoder
from quantbench.methods import METHODS, LoadSettings
from quantbench.sources import ModelSource, open_source
from quantbench.sources.gguf_tokenizer import split_by
from tests.gguf_files import BYTES
from tests.model_folders import tiny_config, tiny_tensors, write_folder

LOAD = LoadSettings(device="cpu", dtype="float32")
IDS = (5, 9, 1, 40, 17)
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
SHAPE = {"hidden_size": 256, "intermediate_size": 384, "vocab_size": 288, "num_attention_heads": 4}


def write_model(folder: Path, *, pre: str = "qwen2", **changes: Any) -> Path:
    """A folder with weights, a byte-level tokenizer that splits text by `pre`, and a chat template."""
    config = tiny_config(**SHAPE | {"eos_token_id": 257} | changes)
    write_folder(folder, tiny_tensors(**SHAPE | changes), config)
    write_tokenizer(folder, pre)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [257, 258]}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def write_tokenizer(folder: Path, pre: str) -> None:
    """All bytes, two merges, and two special tokens behind them."""
    vocabulary = {text: index for index, text in enumerate([*BYTES, "ab"])}
    tokenizer = Tokenizer(BPE(vocabulary, [("a", "b")]))
    if pre == "qwen2":
        from tokenizers import normalizers

        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split_by(pre, "m")
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ("<|im_end|>", "<|endoftext|>")])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def values_of(source: ModelSource, method: str) -> dict[str, Tensor]:
    """Every matrix as the method gives it, float32."""
    from quantbench.exporting.matrices import parameters_of

    reader = METHODS[method].reader(source, LOAD)  # type: ignore[attr-defined]
    return {
        p.name: p.weight.dequantize() if p.weight is not None else p.vector.float()
        for p in parameters_of(source, reader)
    }


def logits_of(source: ModelSource, method: str) -> Tensor:
    """Of a few tokens, by plain arithmetic on the CPU."""
    decoder = load_decoder(
        source,
        METHODS[method].reader(source, LOAD),
        device="cpu",
        dtype="float32",
        exact_prompts=True,  # type: ignore[attr-defined]
    )
    return next(iter(decoder.score([IDS])))


def opened(folder: Path) -> ModelSource:
    return open_source(str(folder))


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
