"""Which GGUF type each matrix takes: one for all, or the mixture that llama.cpp makes of the name Q4_K_M.

The rules of the mixture are those of llama.cpp's quantizer (llama-quant.cpp): what harms most gets more bits,
values and down projections of the first and last eighth of the layers and every third between. A width that
is no whole number of a type's blocks takes the type that stands in for it, at last float16.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.sources.layout import EMBEDDING, HEAD, is_tied

Mixture = Callable[[str, int], str | None]  # matrix name, inputs -> type; None is float16
STAND_INS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
LAYER = re.compile(r"\.(\d+)\.")
MOST_LAYERS = 80  # of models of 70 billion weights, whose values take more bits
TREATED = {  # gguf-py's tensors -> our names' ends
    "ATTN_QKV": "self_attn.qkv_proj",
    "ATTN_K": "self_attn.k_proj",
    "ATTN_V": "self_attn.v_proj",
    "ATTN_OUT": "self_attn.o_proj",
    "FFN_DOWN": "mlp.down_proj",
    "FFN_DOWN_EXP": "mlp.down_proj",
}
EIGHT = 8  # experts: then the small projections take more bits
OF_EIGHT = {"v_proj": "Q8_0", "k_proj": "Q8_0", "o_proj": "Q5_K"}


def pure(kind: str) -> Callable[[Mapping[str, Any]], Mixture]:
    """Every matrix in one type."""
    return lambda config: lambda name, inputs: kind if inputs % TYPES_BY_NAME[kind].values == 0 else None


def q4_k_m(config: Mapping[str, Any]) -> Mixture:
    """Q4_K with Q6_K, and where a width is no multiple of 256 Q5_0 with Q8_0."""

    def kind(name: str, inputs: int) -> str | None:
        return fitting(asked(name, config), inputs)

    return kind


def familiar(name: str) -> str:
    """The name that our layout has for a matrix of any architecture that gguf-py can convert.

    Only what the mixture treats unlike the rest is translated; other names are returned as they are.
    """
    from gguf.tensor_mapping import TensorNameMap

    number = LAYER.search(name)
    if number is None:
        return name
    pattern = name.removesuffix(".weight").replace(number[0], ".{bid}.", 1)
    for tensor, patterns in TensorNameMap.block_mappings_cfg.items():
        if pattern in patterns and tensor.name in TREATED:
            return f"model.layers.{number[1]}.{TREATED[tensor.name]}.weight"
    return name


def fitting(kind: str, inputs: int) -> str | None:
    """The type itself, or what stands in for it at this width."""
    if inputs % TYPES_BY_NAME[kind].values == 0:
        return kind
    stand_in = STAND_INS.get(kind)
    return stand_in if stand_in and inputs % TYPES_BY_NAME[stand_in].values == 0 else None


def asked(name: str, config: Mapping[str, Any]) -> str:
    """The type of a matrix, whatever its width is."""
    if name == HEAD or (name == EMBEDDING and is_tied(config)):
        return "Q6_K"
    layers, number = int(config["num_hidden_layers"]), LAYER.search(name)
    more = number is not None and more_bits(int(number[1]), layers)
    last = name.removesuffix(".weight").rpartition(".")[2]
    experts = config.get("num_local_experts") or config.get("num_experts")
    if experts == EIGHT and last in OF_EIGHT:
        return OF_EIGHT[last]
    if last == "qkv_proj" or (last == "v_proj" and not more and layers == MOST_LAYERS):
        return "Q5_K"
    return "Q6_K" if more and last in ("v_proj", "down_proj") else "Q4_K"


def more_bits(layer: int, layers: int) -> bool:
    """Whether a layer is in the first or last eighth, or the third of three between."""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
