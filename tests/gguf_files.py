"""Small GGUF files on disk: a writer of the format's own layout, without any library."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from quantbench.sources.ggml_types import GGML_TYPES
from tests.model_folders import tiny_config, tiny_tensors

NUMBERS = {kind.name: number for number, kind in GGML_TYPES.items()}
SHORT = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
BYTES = "".join(map(chr, [*range(33, 127), *range(161, 173), *range(174, 256), *range(256, 324)]))
Stored = Mapping[str, tuple[str, tuple[int, ...], bytes]]  # name -> type, shape [out, in], data


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def entry(value: Any) -> bytes:
    """A value with its type before it."""
    if isinstance(value, bool):
        return struct.pack("<I?", 7, value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    inner = {str: 8, int: 5, float: 6}[type(value[0])]
    items = [text(item) if inner == 8 else struct.pack("<i" if inner == 5 else "<f", item) for item in value]
    return struct.pack("<IIQ", 9, inner, len(value)) + b"".join(items)


def write_gguf(path: Path, metadata: Mapping[str, Any], tensors: Stored, *, version: int = 3) -> Path:
    """A file of these entries and tensors."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(text(key) + entry(value) for key, value in metadata.items())
    data = b""
    for name, (kind, shape, content) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in shape[::-1])
        head += struct.pack("<IQ", NUMBERS.get(kind, 99), len(data))
        data += content + bytes(-len(content) % 32)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def q8_0(values: Tensor) -> bytes:
    """Blocks of 32: a float16 scale and signed bytes."""
    groups = values.float().reshape(-1, 32)
    scale = (groups.abs().amax(dim=1, keepdim=True) / 127).half()
    codes = (groups / scale.float().clamp_min(1e-12)).round().clamp(-127, 127).to(torch.int8)
    return torch.cat((scale.view(torch.uint8), codes.view(torch.uint8)), dim=1).numpy().tobytes()


def short_name(name: str) -> str:
    """A parameter's name as GGUF has it."""
    stem, _, suffix = name.rpartition(".")
    if stem in SHORT:
        return f"{SHORT[stem]}.{suffix}"
    _, _, layer, *rest = stem.split(".")
    return f"blk.{layer}.{SHORT['.'.join(rest)]}.{suffix}"


def neighbours(values: Tensor, heads: int) -> Tensor:
    """Rows as llama.cpp's converter orders those of queries and keys: 0, half, 1, half + 1, ..."""
    halves = values.reshape(heads, 2, -1, *values.shape[1:])
    return halves.transpose(1, 2).reshape(values.shape).contiguous()


def metadata_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What llama.cpp's converter writes of a configuration, and a byte-level vocabulary."""
    family = config["model_type"]
    ends = ["<|endoftext|>", "<|im_end|>"]
    tokens = [*ends, "AB", *BYTES][: config["vocab_size"]]
    return {
        "general.architecture": family,
        f"{family}.block_count": config["num_hidden_layers"],
        f"{family}.context_length": config["max_position_embeddings"],
        f"{family}.embedding_length": config["hidden_size"],
        f"{family}.feed_forward_length": config["intermediate_size"],
        f"{family}.attention.head_count": config["num_attention_heads"],
        f"{family}.attention.head_count_kv": config["num_key_value_heads"],
        f"{family}.attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        f"{family}.rope.freq_base": float(config.get("rope_theta", 10000.0)),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(ends) + [1] * (len(tokens) - len(ends)),
        "tokenizer.ggml.merges": ["A B"],
        "tokenizer.ggml.eos_token_id": 1,
    }


def write_tiny(path: Path, *, kind: str = "Q8_0", **changes: Any) -> Path:
    """The model of `model_folders.tiny_tensors` as a GGUF file, matrices in Q8_0 or floats."""
    config = tiny_config(**changes)
    tensors = {}
    for name, values in tiny_tensors(**changes).items():
        values = values.float()
        if config["model_type"] == "llama" and ".q_proj" in name:
            values = neighbours(values, config["num_attention_heads"])
        if config["model_type"] == "llama" and ".k_proj" in name:
            values = neighbours(values, config["num_key_value_heads"])
        packed = values.dim() == 2 and kind == "Q8_0"
        content = q8_0(values) if packed else values.numpy().tobytes()
        tensors[short_name(name)] = ("Q8_0" if packed else "F32", tuple(values.shape), content)
    return write_gguf(path, metadata_of(config), tensors)
