"""Random models and states in the kernels' layout, small enough for any machine."""

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from quantbench.engine.config import read_config
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.kv_format import KV_CODES, decode, encode
from quantbench.engine.parameters import (
    LayerNorms,
    LayerParameters,
    Matrix,
    MlpParameters,
    Norm,
    Parameters,
)
from quantbench.settings import KvFormat
from quantbench.weights.formats import (
    FloatWeight,
    Int4DoubleWeight,
    Int4Weight,
    Int8GroupsWeight,
    Int8Weight,
    Weight,
)

CPU = torch.device("cpu")
SHAPES: dict[str, dict[str, Any]] = {
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 64},
    "llama": {"model_type": "llama", "attention_bias": True, "mlp_bias": True},
    "mistral": {"model_type": "mistral", "sliding_window": 5, "head_dim": 32},
}
SMALL = {
    "vocab_size": 131,
    "hidden_size": 192,
    "intermediate_size": 320,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
}


def random_weight(scheme: str, out: int, inputs: int, group: int, dtype: torch.dtype) -> Weight:
    """Values of about unit variance over the square root of the inputs."""
    if scheme == "float":
        return FloatWeight((torch.randn(out, inputs) / inputs**0.5).to(dtype))
    if scheme == "int8":
        q = torch.randint(-127, 128, (out, inputs), dtype=torch.int8)
        return Int8Weight(q, (0.5 + torch.rand(out)) / (73 * inputs**0.5))
    if scheme == "int8-groups":
        q = torch.randint(-127, 128, (out, inputs), dtype=torch.int8)
        return Int8GroupsWeight(q, ((0.5 + torch.rand(out, inputs // group)) / (73 * inputs**0.5)).half())
    packed = torch.randint(0, 256, (out, inputs // 2), dtype=torch.uint8)
    if scheme == "double":
        affine = torch.randint(64, 192, (out, 2 * inputs // group, 2), dtype=torch.uint8)
        return Int4DoubleWeight(packed, affine, (0.5 + torch.rand(out)) / (700 * inputs**0.5))
    scale = ((0.5 + torch.rand(out, inputs // group)) / (4.6 * inputs**0.5)).half()
    return Int4Weight(packed, scale, (scale.float() * (torch.rand_like(scale.float()) + 0.2)).half())


def random_model(
    family: str,
    scheme: str,
    *,
    group: int = 64,
    ends: tuple[str, int] | None = None,
    dtype: torch.dtype = torch.float16,
    **changes: Any,
) -> Parameters:
    """Packed parameters, every matrix in `scheme` (see `random_weight`), norms and biases random.

    `ends` is another scheme, and its group, of embedding and head.
    """
    config = read_config({**SMALL, **SHAPES[family], **changes})
    torch.manual_seed(7)

    def matrix(
        out: int, inputs: int, bias: bool = False, *, form: tuple[str, int] = (scheme, group)
    ) -> Matrix:
        weight = random_weight(form[0], out, inputs, form[1], dtype).gpu_layout()
        return Matrix(weight=weight, bias=vector(out, 0) if bias else None, parts=(("w", out),))

    def vector(size: int, mean: float = 1) -> Tensor:
        return (mean + 0.2 * torch.randn(size)).to(dtype)

    table = ends or (scheme, group)
    embedding = matrix(config.vocab_size, config.hidden_size, form=table)
    layers = tuple(
        LayerParameters(
            norms=LayerNorms(
                before_attention=Norm(vector(config.hidden_size)), before_mlp=Norm(vector(config.hidden_size))
            ),
            qkv=matrix(config.q_size + 2 * config.kv_size, config.hidden_size, config.qkv_bias),
            q_norm=vector(config.head_dim) if config.qk_norm else None,
            k_norm=vector(config.head_dim) if config.qk_norm else None,
            output=matrix(config.hidden_size, config.q_size, config.out_bias),
            mlp=MlpParameters(
                matrix(2 * config.intermediate_size, config.hidden_size, config.mlp_bias),
                matrix(config.hidden_size, config.intermediate_size, config.mlp_bias),
            ),
        )
        for _ in range(config.layers)
    )
    head = embedding if config.tied else matrix(config.vocab_size, config.hidden_size, form=table)
    return Parameters(
        config=config,
        embedding=embedding,
        layers=layers,
        final_norm=Norm(vector(config.hidden_size)),
        head=head,
    )


def smoothed(model: Parameters) -> Parameters:
    """The same model, whose layers change rotated queries and keys, as those with a cache of codes may."""
    config = model.config
    generator = torch.Generator().manual_seed(11)

    def smoothing() -> Tensor:
        offset, factor = torch.randn(2, config.heads + config.kv_heads, config.head_dim, generator=generator)
        offset[: config.heads] = 0
        return torch.stack((offset, factor.round().exp2()))

    return replace(model, layers=tuple(replace(layer, smoothing=smoothing()) for layer in model.layers))


def on_gpu(model: Parameters, device: torch.device) -> Parameters:
    """The same model with all its tensors on a GPU; what was shared stays shared."""
    moved_parts: dict[int, Any] = {}

    def move(part: Any) -> Any:
        if id(part) not in moved_parts:
            moved_parts[id(part)] = move_anew(part)
        return moved_parts[id(part)]

    def move_anew(part: Any) -> Any:
        if isinstance(part, Weight):
            return part.map(lambda tensor: tensor.to(device))
        if isinstance(part, Tensor):
            return part.to(device)
        if isinstance(part, tuple):
            return tuple(move(each) for each in part)
        if isinstance(part, Matrix | LayerNorms | LayerParameters | MlpParameters | Norm | Parameters):
            return replace(
                part, **{field.name: move(getattr(part, field.name)) for field in fields(part) if field.init}
            )
        return part

    moved_model: Parameters = move(model)
    return moved_model


def random_state(
    model: Parameters,
    positions: list[int],
    capacity: int,
    *,
    with_logits: bool = False,
    device: torch.device = CPU,
    kv: KvFormat | None = None,
) -> StepState:
    """Rows at `positions` with a random past; what has not been written yet is NaN."""
    state = allocate_state(
        model.config,
        rows=len(positions),
        capacity=capacity,
        dtype=model.dtype,
        device="cpu",
        with_logits=with_logits,
        kv=kv,
    )
    torch.manual_seed(11)
    state.tokens.copy_(torch.randint(model.config.vocab_size, state.tokens.shape))
    state.positions.copy_(torch.tensor(positions))
    for cache, scales in ((state.keys, state.key_scales), (state.values, state.value_scales)):
        past = torch.randn(cache.shape)
        if kv is None:
            cache.copy_(past)
        else:
            for held, codes in zip((cache, scales), encode(KV_CODES[kv], past), strict=True):
                held.copy_(codes)
        for b, position in enumerate(positions):
            (cache if scales is None else scales)[:, b, :, max(position, 0) :] = torch.nan
    if state.logits is not None:
        state.logits.fill_(torch.nan)
    return moved(state, device)


def moved(state: StepState, device: torch.device) -> StepState:
    """A copy on another device."""
    tensors = {field.name: getattr(state, field.name) for field in fields(state)}
    return StepState(**{n: t if t is None else t.clone().to(device) for n, t in tensors.items()})


def held_in(state: StepState) -> tuple[Tensor, Tensor]:
    """Keys and values as they are read from a state's cache."""
    if state.key_scales is None or state.value_scales is None:
        return state.keys, state.values
    return decode(state.keys, state.key_scales), decode(state.values, state.value_scales)
