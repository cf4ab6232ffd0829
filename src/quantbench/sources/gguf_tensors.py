"""A GGUF file's tensors by the names, in the shapes and the order of rows of the model's own checkpoint.

Three things differ. Rows of queries and keys of llama's kin lie so that neighbours are rotated, where the
engine rotates halves; GPT-NeoX's queries, keys and values lie apart, not head by head; Gemma's norms are
stored with their one added. All are undone in whatever type the rows are packed, as they are packed one by
one. Experts of a layer are one tensor, of which each becomes a part.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quantbench.sources.family import Family
from quantbench.sources.family_table import FAMILIES
from quantbench.sources.gguf_families import NEIGHBOURS
from quantbench.sources.gguf_file import GgufTensor

if TYPE_CHECKING:
    import torch

OUTSIDE = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")  # by their place, as in NormNames
MORE_IN_LAYER = {
    "attn_qkv": "self_attn.qkv_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
    "ffn_gate_inp_shexp": "mlp.shared_expert_gate",
}
EXPERTS = {"ffn_gate": "gate_proj", "ffn_up": "up_proj", "ffn_down": "down_proj"}
ROPE_FACTORS = "rope_freqs.weight"
LONG_FACTORS, SHORT_FACTORS = "rope_factors_long.weight", "rope_factors_short.weight"
COMPUTED = (ROPE_FACTORS, LONG_FACTORS, SHORT_FACTORS)  # of the positions: no parameters


def named_tensors(tensors: Mapping[str, GgufTensor], model_type: str) -> dict[str, GgufTensor]:
    """Every tensor by the model's own name; by its own where that is not known."""
    names = names_in_layer(FAMILIES[model_type])
    found: dict[str, GgufTensor] = {}
    for stored, tensor in tensors.items():
        if stored not in COMPUTED:
            found |= _named(stored, tensor, names)
    return found


def names_in_layer(family: Family) -> dict[str, str]:
    """The names of a layer's modules in files -> in a family's checkpoints."""
    norms = {short: long for short, long in zip(NORMS, family.norms, strict=True) if long}
    names = {short: long for short, long in IN_LAYER.items() if short not in NORMS}
    names |= MORE_IN_LAYER | norms
    if family.fused_gate_up:
        names["ffn_up"] = "mlp.gate_up_proj"
    return names


def _named(stored: str, tensor: GgufTensor, names: Mapping[str, str]) -> dict[str, GgufTensor]:
    stem, _, suffix = stored.rpartition(".")
    if stem in OUTSIDE:
        return {f"{OUTSIDE[stem]}.{suffix}": tensor}
    block, _, rest = stem.partition(".")
    layer, _, module = rest.partition(".")
    if block != "blk" or not module:
        return {stored: tensor}
    prefix = f"model.layers.{layer}"
    stacked = module.removesuffix("_exps")
    if module.endswith("_exps") and stacked in EXPERTS and len(tensor.shape) >= 2:
        return {
            f"{prefix}.mlp.experts.{n}.{EXPERTS[stacked]}.{suffix}": e for n, e in enumerate(parts(tensor))
        }
    kind, _, number = module.partition(".")
    if number.isdigit() and kind in EXPERTS:  # files of Mixtral's first months
        return {f"{prefix}.mlp.experts.{number}.{EXPERTS[kind]}.{suffix}": tensor}
    if module == "ffn_gate_inp_shexp" and len(tensor.shape) == 1:
        tensor = replace(tensor, shape=(1, *tensor.shape))
    return {f"{prefix}.{names[module]}.{suffix}" if module in names else stored: tensor}


def parts(tensor: GgufTensor) -> Iterator[GgufTensor]:
    """A stack of matrices one by one."""
    count, *shape = tensor.shape
    size = tensor.size // max(1, count)
    for number in range(count):
        yield replace(tensor, shape=tuple(shape), offset=tensor.offset + number * size, size=size)


def restored(name: str, tensor: "torch.Tensor", config: Mapping[str, Any]) -> "torch.Tensor":
    """What the model's own checkpoint holds under a name, from what a file does."""
    family = FAMILIES[config["model_type"]]
    stem = name.rpartition(".")[0]
    if (heads := heads_to_restore(name, config)) is not None:
        return restore_rows(tensor, heads)
    if family.interleaved and stem.endswith("self_attn.qkv_proj"):
        return head_by_head(tensor, int(config["num_attention_heads"]))
    if family.norm_offset and stem.endswith("norm"):
        return tensor.float() - family.norm_offset
    return tensor


def heads_to_restore(name: str, config: Mapping[str, Any]) -> int | None:
    """Heads of a tensor whose rows a file holds as neighbours; None for one that needs nothing."""
    if config["model_type"] not in NEIGHBOURS:
        return None
    stem = name.rpartition(".")[0]
    if stem.endswith("self_attn.q_proj"):
        return int(config["num_attention_heads"])
    return int(config["num_key_value_heads"]) if stem.endswith("self_attn.k_proj") else None


def restore_rows(tensor: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Rows of neighbours (0 and half, 1 and half + 1, ...) back to halves, head by head."""
    half = tensor.shape[0] // heads // 2
    rows = tensor.reshape(heads, half, 2, *tensor.shape[1:])
    return rows.transpose(1, 2).reshape(tensor.shape).contiguous()


def reorder_rows(tensor: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Rows in halves as a file has them, in neighbours: what `restore_rows` takes back."""
    half = tensor.shape[0] // heads // 2
    rows = tensor.reshape(heads, 2, half, *tensor.shape[1:])
    return rows.transpose(1, 2).reshape(tensor.shape).contiguous()


def head_by_head(tensor: "torch.Tensor", heads: int) -> "torch.Tensor":
    """All queries, all keys, all values -> the queries, keys and values of each head beside each other."""
    rows = tensor.reshape(3, heads, -1, *tensor.shape[1:])
    return rows.transpose(0, 1).reshape(tensor.shape).contiguous()
