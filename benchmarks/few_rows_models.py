"""Random models of any shape, drawn on the GPU in the layout of its kernels, for few_rows.py."""

import torch

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.parameters import LayerNorms, LayerParameters, Matrix, MlpParameters, Norm, Parameters
from quantbench.weights.formats import FloatWeight, Int4DoubleRows, Int8Weight, Weight

CUDA = torch.device("cuda", 0)
HALF = torch.float16


def random_weight(method: str, out: int, inputs: int) -> Weight:
    """Values of about one over the square root of the inputs."""
    if method == "fp16":
        return FloatWeight(torch.randn(out, inputs, device=CUDA, dtype=HALF) * inputs**-0.5)
    if method == "int8":
        q = torch.randint(-127, 128, (out, inputs), dtype=torch.int8, device=CUDA)
        return Int8Weight(q, (0.5 + torch.rand(out, device=CUDA)) / (73 * inputs**0.5))
    group = 64
    data = torch.randint(0, 256, (out, inputs // 2), dtype=torch.uint8, device=CUDA)
    affine = torch.randint(64, 192, (out, 2 * inputs // group), dtype=torch.uint8, device=CUDA)
    scale = (0.5 + torch.rand(out, device=CUDA)) / (700 * inputs**0.5)
    return Int4DoubleRows.of(data, affine, scale, group)


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
