"""Names and shapes of all tensors that a configuration implies, for the families of the native engine.

Pure arithmetic on config.json: no file and no torch. Names are those of Llama's checkpoints for all families;
`families.parameter_name` leads to them. A family that is not known has no layout, and its files are then read
as they are, without a check of the shapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quantbench.sources.families import complete, family_of, has_bias, is_sparse
from quantbench.sources.family import Family, HeadNorm, NormNames
from quantbench.sources.family_table import FAMILIES

Shape = tuple[int, ...]
MatrixParts = tuple[tuple[str, tuple[int, int]], ...]  # matrices [out, in] of one input: names and shapes
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
NORM = "model.norm"


@dataclass(frozen=True, slots=True)
class MatrixTensors:
    """Matrices [out, in] with the same input, held as one: their names, and whether each has a bias."""

    parts: MatrixParts
    bias: bool = False

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Every tensor."""
        for name, shape in self.parts:
            yield name, shape
            if self.bias:
                yield bias_of(name), shape[:1]


@dataclass(frozen=True, slots=True)
class MlpTensors:
    """An MLP: gate and up (or up alone), and down."""

    up: MatrixTensors
    down: MatrixTensors

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Every tensor."""
        yield from self.up.shapes()
        yield from self.down.shapes()


@dataclass(frozen=True, slots=True)
class ExpertTensors:
    """A mixture of experts, and a shared expert that every token passes with its gate, where there is one."""

    router: MatrixTensors
    experts: tuple[MlpTensors, ...]
    shared: MlpTensors | None
    shared_gate: MatrixTensors | None

    def shapes(self) -> Iterator[tuple[str, Shape]]:
        """Every tensor."""
        for part in (self.router, *self.experts, self.shared, self.shared_gate):
            if part is not None:
                yield from part.shapes()


@dataclass(frozen=True, slots=True)
class LayerTensors:
    """One layer; `norms` and `head_norms` are modules with their lengths."""

    norms: NormNames
    qkv: MatrixTensors
    head_norms: tuple[tuple[str, int], ...]  # of queries and keys
    output: MatrixTensors
    mlp: MlpTensors | ExpertTensors


def bias_of(name: str) -> str:
    """The bias beside a matrix."""
    return name.removesuffix("weight") + "bias"


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the head is the embedding."""
    full = complete(config) if family_of(config) else config
    return bool(full.get("tie_word_embeddings", False))


def head_dim_of(config: Mapping[str, Any]) -> int:
    """Of a completed configuration."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def kv_heads_of(config: Mapping[str, Any]) -> int:
    """Of a completed configuration: as many as heads where it says nothing."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def tensor_shapes(config: Mapping[str, Any]) -> dict[str, Shape] | None:
    """Tensor name -> shape, in the order of the forward pass; None for a family that is not known.

    A tied head is left out. KeyError or TypeError where the configuration lacks a size.
    """
    family = family_of(config)
    if family is None:
        return None
    full = complete(config)
    hidden, vocab = int(full["hidden_size"]), int(full["vocab_size"])
    shapes: dict[str, Shape] = {EMBEDDING: (vocab, hidden)}
    for layer in range(int(full["num_hidden_layers"])):
        tensors = layer_tensors(full, layer)
        for norm in filter(None, tensors.norms):
            shapes |= _norm_shapes(norm, hidden, family)
        shapes |= dict(tensors.qkv.shapes())
        shapes |= {f"{norm}.weight": (length,) for norm, length in tensors.head_norms}
        shapes |= dict(tensors.output.shapes()) | dict(tensors.mlp.shapes())
    shapes |= _norm_shapes(NORM, hidden, family)
    if not is_tied(config):
        shapes[HEAD] = (vocab, hidden)
    return shapes


def matrices_as_held(config: Mapping[str, Any]) -> list[MatrixParts]:
    """Every matrix but routers, those of one input together, in the order of the forward pass.

    A tied head is left out. KeyError for a family that is not known.
    """
    full = complete(config)
    table = (int(full["vocab_size"]), int(full["hidden_size"]))
    held = [MatrixTensors(((EMBEDDING, table),))]
    for number in range(int(full["num_hidden_layers"])):
        layer = layer_tensors(full, number)
        held += [layer.qkv, layer.output]
        mlps = (
            (*layer.mlp.experts, *filter(None, (layer.mlp.shared,)))
            if isinstance(layer.mlp, ExpertTensors)
            else (layer.mlp,)
        )
        held += [matrix for mlp in mlps for matrix in (mlp.up, mlp.down)]
    if not is_tied(config):
        held.append(MatrixTensors(((HEAD, table),)))
    return [matrix.parts for matrix in held]


def _norm_shapes(norm: str, hidden: int, family: Family) -> dict[str, Shape]:
    names = ("weight", "bias") if family.centered_norms else ("weight",)
    return {f"{norm}.{name}": (hidden,) for name in names}


def layer_tensors(config: Mapping[str, Any], layer: int) -> LayerTensors:
    """What a layer of a completed configuration holds."""
    family, prefix = FAMILIES[config["model_type"]], f"model.layers.{layer}"
    attention, head_dim = f"{prefix}.self_attn", head_dim_of(config)
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    q_size, kv_size = heads * head_dim, kv_heads_of(config) * head_dim
    names = ("qkv",) if family.fused_qkv else ("q", "k", "v")
    sizes = (q_size + 2 * kv_size,) if family.fused_qkv else (q_size, kv_size, kv_size)
    lengths = (q_size, kv_size) if family.head_norm is HeadNorm.WIDTH else (head_dim, head_dim)
    return LayerTensors(
        norms=NormNames(*(name and f"{prefix}.{name}" for name in family.norms)),
        qkv=_joined(attention, names, sizes, hidden, has_bias(config, family.qkv_bias)),
        head_norms=tuple(
            (f"{attention}.{name}_norm", length) for name, length in zip("qk", lengths, strict=True)
        )
        if family.head_norm
        else (),
        output=_joined(attention, ("o",), (hidden,), q_size, has_bias(config, family.out_bias)),
        mlp=_experts(config, f"{prefix}.mlp")
        if is_sparse(config, layer)
        else _mlp(config, f"{prefix}.mlp", int(config["intermediate_size"])),
    )


def _mlp(config: Mapping[str, Any], prefix: str, width: int) -> MlpTensors:
    family, hidden = FAMILIES[config["model_type"]], int(config["hidden_size"])
    bias = has_bias(config, family.mlp_bias)
    names: tuple[str, ...] = ("gate", "up") if family.gated else ("up",)
    if family.fused_gate_up:
        return MlpTensors(
            _joined(prefix, ("gate_up",), (2 * width,), hidden, bias),
            _joined(prefix, ("down",), (hidden,), width, bias),
        )
    return MlpTensors(
        _joined(prefix, names, (width,) * len(names), hidden, bias),
        _joined(prefix, ("down",), (hidden,), width, bias),
    )


def _experts(config: Mapping[str, Any], prefix: str) -> ExpertTensors:
    hidden, count, width = (
        int(config[key]) for key in ("hidden_size", "num_experts", "moe_intermediate_size")
    )
    shared = int(config.get("shared_expert_intermediate_size") or 0)
    return ExpertTensors(
        router=MatrixTensors(((f"{prefix}.gate.weight", (count, hidden)),)),
        experts=tuple(_mlp(config, f"{prefix}.experts.{number}", width) for number in range(count)),
        shared=_mlp(config, f"{prefix}.shared_expert", shared) if shared else None,
        shared_gate=MatrixTensors(((f"{prefix}.shared_expert_gate.weight", (1, hidden)),))
        if shared
        else None,
    )


def _joined(
    prefix: str, names: tuple[str, ...], sizes: tuple[int, ...], inputs: int, bias: bool
) -> MatrixTensors:
    return MatrixTensors(
        tuple(
            (f"{prefix}.{name}_proj.weight", (size, inputs)) for name, size in zip(names, sizes, strict=True)
        ),
        bias,
    )


def stays_float(name: str) -> bool:
    """Whether a matrix is a router or a gate of a shared expert, which no method of ours quantizes."""
    return name.endswith((".mlp.gate.weight", ".shared_expert_gate.weight"))


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
