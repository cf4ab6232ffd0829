"""GGUF blocks become rows of other formats where the persistent kernel then runs the model, only there."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from quantbench.engine.config import read_config
from quantbench.engine.cuda.packing import packed_parameters
from quantbench.engine.cuda.persistent import from_blocks
from quantbench.engine.cuda.persistent.launch import build_persistent_step
from quantbench.engine.cuda.persistent.reference import reference_step
from quantbench.engine.cuda.persistent.shape import unsupported_reason
from quantbench.engine.load import ParameterLoader
from quantbench.engine.parameters import Parameters
from quantbench.methods.mixtures import Mixture, pure, q4_k_m
from quantbench.sources.random_weights import RandomSource
from quantbench.weights.formats import BlockWeight, FloatWeight, Weight
from tests.engine.cuda.step_models import moved, on_gpu, random_state
from tests.engine.cuda.test_few_rows import needs_hopper
from tests.weights.test_ggml_blocks import blocks

CONFIG = {
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}


def head_in_eight(config: Mapping[str, Any]) -> Mixture:
    """As llama.cpp writes Q4_0 where a width has no K types."""
    return lambda name, inputs: "Q8_0" if "embed" in name else "Q4_0"


def small(weight: BlockWeight) -> BlockWeight:
    """Of types that begin with their scale: values of about one over the square root of the inputs."""
    if weight.kind in ("Q8_0", "Q4_0"):
        data = weight.data.reshape(weight.shape[0], weight.shape[1] // 32, -1)
        scale = data[..., :2].contiguous().view(torch.float16)
        scale /= (40 if weight.kind == "Q8_0" else 3) * weight.shape[1] ** 0.5
        data[..., :2] = scale.view(torch.uint8)
    return weight


def model_of(mixture: Callable[[Mapping[str, Any]], Mixture], **changes: Any) -> Parameters:
    config = {**CONFIG, **changes}
    source, kind_of = RandomSource("random", config, seed=0), mixture(config)

    class Reader:
        def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
            kind = kind_of(name, shape[1])
            return small(blocks(kind, *shape)) if kind else FloatWeight(torch.ones(shape).half())

        def stored(self, name: str) -> tuple[str, ...]:
            return (name,)

    return ParameterLoader(source, read_config(config), Reader(), torch.device("cpu"), torch.float16).load()


@pytest.fixture(autouse=True)
def a_device_that_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_blocks, "reason_against", unsupported_reason)


@pytest.mark.parametrize("mixture", [pure("Q8_0"), pure("Q4_0"), head_in_eight])
def test_one_type_in_all_layers_becomes_rows_that_the_kernel_runs(
    mixture: Callable[[Mapping[str, Any]], Mixture],
) -> None:
    model = model_of(mixture)
    assert from_blocks.better_as_rows(model)
    packed = packed_parameters(model, as_rows=True)
    assert unsupported_reason(packed) is None
    pairs = zip(packed.matrices(), model.matrices(), strict=True)
    assert all(torch.equal(one.weight.dequantize(), two.weight.dequantize()) for one, two in pairs)


@pytest.mark.parametrize(
    ("mixture", "changes"),
    [
        (q4_k_m, {}),
        (pure("Q4_1"), {}),
        (pure("Q8_0"), {"hidden_act": "gelu"}),
        (pure("Q8_0"), {"intermediate_size": 160}),
        (lambda config: lambda name, inputs: None, {}),
    ],
)
def test_what_the_kernel_does_not_run_as_rows_stays_in_blocks(
    mixture: Callable[[Mapping[str, Any]], Mixture], changes: dict[str, Any]
) -> None:
    assert not from_blocks.better_as_rows(model_of(mixture, **changes))


@pytest.mark.gpu
@needs_hopper
@pytest.mark.parametrize("mixture", [pure("Q8_0"), pure("Q4_0"), head_in_eight])
@pytest.mark.parametrize("positions", [[130], [0, 77, -1, 199]])
def test_a_step_over_these_rows_is_that_of_the_dequantized_blocks(
    cuda: torch.device, mixture: Callable[[Mapping[str, Any]], Mixture], positions: list[int]
) -> None:
    model = on_gpu(packed_parameters(model_of(mixture), as_rows=True), cuda)
    state = random_state(model, positions, 200, with_logits=True, device=cuda)
    expected = moved(state, cuda)
    build_persistent_step(model, state)()
    logits = reference_step(model, expected)
    assert state.logits is not None
    assert ((state.logits - logits).norm(dim=1) <= 3e-3 * logits.norm(dim=1)).all()
