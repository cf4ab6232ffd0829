"""A model's config.json as metadata of a GGUF file, which `sources.gguf_config` reads as the same model."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError
from quantbench.exporting.matrices import shapes_of
from quantbench.sources import ModelSource
from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.sources.gguf_config import config_of
from quantbench.sources.gguf_file import GgufTensor
from quantbench.sources.gguf_tensors import IN_LAYER, OUTSIDE

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.engine.config import ModelConfig
    from quantbench.engine.rope import Rope

FAMILIES = {"qwen2": "qwen2", "qwen3": "qwen3", "llama": "llama", "mistral": "llama"}
SCALINGS = ("linear", "yarn")
NAMES_ALONE = ("family", "architecture")  # what files of another name for the same family differ in
SHORT_OUTSIDE = {long: short for short, long in OUTSIDE.items()}
SHORT_IN_LAYER = {long: short for short, long in IN_LAYER.items()}


def short_name(parameter: str) -> str:
    """The name that a parameter has in GGUF files."""
    stem, _, suffix = parameter.rpartition(".")
    if stem in SHORT_OUTSIDE:
        return f"{SHORT_OUTSIDE[stem]}.{suffix}"
    _, _, layer, rest = stem.split(".", 3)
    return f"blk.{layer}.{SHORT_IN_LAYER[rest]}.{suffix}"


def check_family(source: ModelSource) -> str:
    """The family's name in files; ModelError for one that is not written."""
    kind = str(source.config.get("model_type"))
    if kind not in FAMILIES:
        raise unwritten(source, f"its family is {kind}, and those written are {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def model_metadata(source: ModelSource, name: str) -> dict[str, Any]:
    """What a GGUF file says of the model, tokenizer apart; ModelError for what it cannot say."""
    from quantbench.engine.config import read_config

    family = check_family(source)
    known, scaling = read_config(source.config), rope_settings(source.config)
    of_family: dict[str, Any] = {
        "block_count": known.layers,
        "context_length": known.max_positions,
        "embedding_length": known.hidden_size,
        "feed_forward_length": known.intermediate_size,
        "attention.head_count": known.heads,
        "attention.head_count_kv": known.kv_heads,
        "attention.key_length": known.head_dim,
        "attention.value_length": known.head_dim,
        "attention.layer_norm_rms_epsilon": known.norm_eps,
        "rope.dimension_count": known.head_dim,
        "rope.freq_base": known.rope.theta,
        "vocab_size": known.vocab_size,
    }
    if known.rope.kind in SCALINGS:
        of_family["rope.scaling.type"] = known.rope.kind
        of_family["rope.scaling.factor"] = float(known.rope.factor)
        if original := scaling.get("original_max_position_embeddings"):
            of_family["rope.scaling.original_context_length"] = int(original)
    found: dict[str, Any] = {"general.architecture": family, "general.name": name}
    found |= {f"{family}.{key}": value for key, value in of_family.items()}
    check_same(source, found, known)
    return found


def rope_settings(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scaling of positions, under either of its names."""
    return config.get("rope_scaling") or config.get("rope_parameters") or {}


def rope_factors(source: ModelSource) -> "Tensor | None":
    """What each frequency is divided by, float32 [head_dim / 2], of Llama 3's scaling; None without one."""
    import torch

    from quantbench.engine.config import read_config

    rope = read_config(source.config).rope
    if rope.kind == "factors":
        return torch.tensor(rope.factors, dtype=torch.float32)
    if rope.kind != "llama3":
        return None
    plain = rope.theta ** (-torch.arange(0, rope.head_dim, 2, dtype=torch.float64) / rope.head_dim)
    return (plain / rope.inverse_frequencies().double()).float()


def check_same(source: ModelSource, metadata: Mapping[str, Any], known: "ModelConfig") -> None:
    """ModelError where the file would be read as another model."""
    from quantbench.engine.config import read_config

    float32 = TYPES_BY_NAME["F32"]
    tensors = {
        short_name(name): GgufTensor(path=Path(), kind=float32, shape=shape, offset=0, size=0)
        for name, shape in shapes_of(source).items()
    }
    config = config_of(metadata, tensors, source.name)
    if (factors := rope_factors(source)) is not None:
        config["rope_scaling"] = {"rope_type": "factors", "factors": factors.tolist()}
    read = read_config(config)
    differing = [
        field.name
        for field in fields(known)
        if field.name not in (*NAMES_ALONE, "ropes")
        and getattr(read, field.name) != getattr(known, field.name)
    ]
    if not all(map(same_positions, read.ropes, known.ropes)):
        differing.append("scaling of positions")
    if differing:
        raise unwritten(source, f"its {' and '.join(differing)} cannot be said there")


def same_positions(one: "Rope", other: "Rope") -> bool:
    """Whether two layers turn positions alike, to the rounding of float32."""
    import torch

    if one.attention_factor != other.attention_factor:
        return False
    first, second = one.inverse_frequencies(), other.inverse_frequencies()
    return first.shape == second.shape and torch.allclose(first, second, rtol=1e-6, atol=0)


def unwritten(source: ModelSource, reason: str) -> ModelError:
    """The sentence for a model that cannot be written as GGUF."""
    return ModelError(
        f"'{source.name}' cannot be written as GGUF: {reason}; use --format compressed-tensors, or convert "
        "it with llama.cpp"
    )
