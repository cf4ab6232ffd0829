"""Random models of any shape, drawn on the GPU in the layout of its kernels, for few_rows.py."""

import torch

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.parameters import LayerNorms, LayerParameters, Matrix, MlpParameters, Norm, Parameters
from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats import BlockWeight, FloatWeight, Int4DoubleRows, Int8Weight, Weight

CUDA = torch.device("cuda", 0)
HALF = torch.float16
HALVES = {"Q4_1": 2, "Q5_1": 2, "Q4_K": 2, "Q5_K": 2}  # float16 at the start of a block; Q6_K's is at its end
LEVELS = {
    "Q8_0": 73,
    "Q6_K": 1400,
    "Q4_K": 280,
    "Q5_K": 560,
    "Q5_0": 9,
    "Q4_0": 4.6,
}  # a code's and step's size


def random_weight(method: str, out: int, inputs: int) -> Weight:
    """Values of about one over the square root of the inputs."""
    if method == "fp16":
        return FloatWeight(torch.randn(out, inputs, device=CUDA, dtype=HALF) * inputs**-0.5)
    if method == "int8":
        q = torch.randint(-127, 128, (out, inputs), dtype=torch.int8, device=CUDA)
        return Int8Weight(q, (0.5 + torch.rand(out, device=CUDA)) / (73 * inputs**0.5))
    if method in TYPES_BY_NAME:
        return random_blocks(method, out, inputs).gpu_layout()
    group = 64
    data = torch.randint(0, 256, (out, inputs // 2), dtype=torch.uint8, device=CUDA)
    affine = torch.randint(64, 192, (out, 2 * inputs // group), dtype=torch.uint8, device=CUDA)
    scale = (0.5 + torch.rand(out, device=CUDA)) / (700 * inputs**0.5)
    return Int4DoubleRows.of(data, affine, scale, group)


def random_blocks(kind: str, out: int, inputs: int) -> BlockWeight:
    """Of a GGUF type, of the same size."""
    block = TYPES_BY_NAME[kind]
    count = inputs // block.values
    data = torch.randint(0, 256, (out, count, block.nbytes), dtype=torch.uint8, device=CUDA)
    scale = (0.5 + torch.rand(out, count, 2, device=CUDA)) / (LEVELS[kind] * inputs**0.5)
    scales = scale.to(HALF).view(torch.uint8)
    if kind == "Q6_K":
        data[..., 208:] = scales[..., :2]
    else:
        size = 2 * HALVES.get(kind, 1)
        data[..., :size] = scales[..., :size]
    return BlockWeight(data.reshape(out, -1), kind)


def random_matrix(method: str, out: int, inputs: int) -> Matrix:
    return Matrix(weight=random_weight(method, out, inputs), bias=None, parts=(("w", out),))


def random_model(config: ModelConfig, method: str) -> Parameters:
    """All layers, on the device, in the kernels' layout."""
    hidden, middle = config.hidden_size, config.intermediate_size

    def norm() -> Norm:
        return Norm((1 + 0.2 * torch.randn(hidden, device=CUDA)).to(HALF))

    def layer() -> LayerParameters:
        return LayerParameters(
            norms=LayerNorms(before_attention=norm(), before_mlp=norm()),
            qkv=random_matrix(method, config.q_size + 2 * config.kv_size, hidden),
            output=random_matrix(method, hidden, config.q_size),
            mlp=MlpParameters(
                random_matrix(method, 2 * middle, hidden), random_matrix(method, hidden, middle)
            ),
        )

    embedding = random_matrix(method, config.vocab_size, hidden)
    head = embedding if config.tied else random_matrix(method, config.vocab_size, hidden)
    layers = tuple(layer() for _ in range(config.layers))
    return Parameters(config=config, embedding=embedding, layers=layers, final_norm=norm(), head=head)


def random_state(model: Parameters, rows: int, context: int, *, with_logits: bool = False) -> StepState:
    state = allocate_state(
        model.config, rows=rows, capacity=context + 256, dtype=HALF, device=CUDA, with_logits=with_logits
    )
    for cache in (state.keys, state.values):
        cache.normal_()
    state.positions.fill_(context)
    state.tokens.random_(0, model.config.vocab_size)
    return state
