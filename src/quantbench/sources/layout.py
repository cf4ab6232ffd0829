"""Names and shapes of all tensors that a configuration implies, for the families of the native engine.

Pure arithmetic on config.json: no file and no torch. A family that is not here has no known layout, and
its files are then read as they are, without a check of the shapes.
"""

from collections.abc import Mapping
from typing import Any

Shape = tuple[int, ...]
FAMILIES = ("qwen2", "qwen3", "llama", "mistral")
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the head is the embedding."""
    return bool(config.get("tie_word_embeddings", False))


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, Shape] | None:
    """Tensor name -> shape, in the order of the forward pass; None for a family that is not known.

    A tied head is left out. KeyError or TypeError where the configuration lacks a size.
    """
    if config.get("model_type") not in FAMILIES:
        return None
    hidden, vocab = int(config["hidden_size"]), int(config["vocab_size"])
    shapes: dict[str, Shape] = {EMBEDDING: (vocab, hidden)}
    for layer in range(int(config["num_hidden_layers"])):
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in _layer_shapes(config).items()}
    shapes["model.norm.weight"] = (hidden,)
    if not is_tied(config):
        shapes[HEAD] = (vocab, hidden)
    return shapes


def _layer_shapes(config: Mapping[str, Any]) -> dict[str, Shape]:
    family = config["model_type"]
    hidden, inner = int(config["hidden_size"]), int(config["intermediate_size"])
    heads = int(config["num_attention_heads"])
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or (128 if family == "qwen3" else hidden // heads))
    matrices = {
        "self_attn.q_proj": (heads * head_dim, hidden),
        "self_attn.k_proj": (kv_heads * head_dim, hidden),
        "self_attn.v_proj": (kv_heads * head_dim, hidden),
        "self_attn.o_proj": (hidden, heads * head_dim),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }
    shapes: dict[str, Shape] = {"input_layernorm.weight": (hidden,)}
    for name, shape in matrices.items():
        shapes[f"{name}.weight"] = shape
        if _has_bias(config, name):
            shapes[f"{name}.bias"] = shape[:1]
    if family == "qwen3":
        shapes |= {"self_attn.q_norm.weight": (head_dim,), "self_attn.k_norm.weight": (head_dim,)}
    shapes["post_attention_layernorm.weight"] = (hidden,)
    return shapes


def _has_bias(config: Mapping[str, Any], matrix: str) -> bool:
    if config["model_type"] == "qwen2":  # fixed by the architecture, not a setting
        return matrix.endswith(("q_proj", "k_proj", "v_proj"))
    if config["model_type"] == "mistral":
        return False
    return bool(config.get("mlp_bias" if matrix.startswith("mlp") else "attention_bias", False))


def count(shape: Shape) -> int:
    """Elements of a tensor of this shape."""
    total = 1
    for size in shape:
        total *= size
    return total


def parameter_count(config: Mapping[str, Any]) -> int | None:
    """Parameters of the model, tied weights once; None for a family that is not known."""
    shapes = tensor_shapes(config)
    return None if shapes is None else sum(count(shape) for shape in shapes.values())
