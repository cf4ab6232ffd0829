"""The persistent step over matrices of several forms, GGUF blocks among them, is the reference's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.engine.cuda.persistent.forms import BLOCK_NUMBERS, Form, ModelForms, form_of
from quantbench.engine.cuda.persistent.launch import build_persistent_step
from quantbench.engine.cuda.persistent.reference import reference_step
from quantbench.engine.cuda.persistent.shape import unsupported_reason
from quantbench.engine.parameters import Matrix, Parameters
from quantbench.weights.formats import BlockWeight, GpuKind, Weight, stack
from tests.engine.cuda.emulation import COMPILER, emulated_step
from tests.engine.cuda.step_models import CPU, moved, on_gpu, random_model, random_state, random_weight
from tests.engine.cuda.test_few_rows import needs_hopper
from tests.weights.test_ggml_blocks import HALVES, PACKED, blocks

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")
WIDE: dict[str, Any] = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 136,
}
QWEN = {**WIDE, "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "vocab_size": 1024}
# forms of the four matrices of each layer, then of embedding and head
Q4_K_M = [("Q8_0", "Q5_0", "Q5_0", "Q6_K"), ("Q5_0", "Q5_0", "Q5_0", "Q4_K"), ("Q8_0",)]
MIXED = [
    ("double-64", "Q5_0", "int8-groups-128", "double-32"),
    ("Q5_0", "double-64", "Q5_0", "float"),
    ("int8",),
]
CASES: dict[str, tuple[list[tuple[str, ...]], dict[str, Any]]] = {
    "Q4_K_M": (Q4_K_M, WIDE),
    "mixed": (MIXED, WIDE),
    "minima, tall tiles": (
        [("Q5_1", "Q4_K", "Q5_K", "Q4_1"), ("Q4_K", "Q5_1", "Q4_1", "Q5_K"), ("Q4_0",)],
        WIDE,
    ),
    "inputs that are no whole slices": (
        [("Q5_0", "Q4_1", "Q8_0", "Q5_1"), ("Q5_1", "Q8_0", "Q5_0", "Q4_0"), ("Q5_0",)],
        {
            **WIDE,
            "hidden_size": 192,
            "intermediate_size": 320,
            "num_attention_heads": 3,
            "num_key_value_heads": 1,
        },
    ),
    "chunks of rows": (
        [("Q8_0", "Q5_0", "Q5_0", "Q6_K"), ("Q6_K", "Q4_K", "Q8_0", "Q5_1"), ("Q6_K",)],
        {**WIDE, "intermediate_size": 2560, "slot_limit": 8192, "blocks": 20},
    ),
    "tiles of 8 rows": (
        [("Q8_0", "Q5_0", "Q5_0", "Q6_K"), ("Q5_K", "Q4_K", "Q4_0", "Q4_K"), ("Q5_1",)],
        {**WIDE, "intermediate_size": 768, "blocks": 32},
    ),
}
MACHINE = ("blocks", "warps", "shared_bytes", "slot_limit")


def blocks_of_unit_size(kind: str, out: int, inputs: int) -> BlockWeight:
    """Random blocks whose values have about unit variance over the square root of the inputs."""
    weight = blocks(kind, out, inputs, seed=out + inputs)
    data = weight.data.reshape(out * inputs // (256 if kind.endswith("K") else 32), -1)
    size = 2 * HALVES.get(kind, 1)
    where = slice(208, 210) if kind == "Q6_K" else slice(0, size)
    scale = data[:, where].contiguous().view(torch.float16).float()
    data[:, where] = (scale / (weight.dequantize().std() * inputs**0.5)).half().view(torch.uint8)
    return replace(weight, data=data.reshape(out, -1))


def weight_in(form: str, out: int, inputs: int) -> Weight:
    if form in PACKED:
        return blocks_of_unit_size(form, out, inputs)
    scheme, _, group = form.rpartition("-") if form[-1].isdigit() and "-" in form else (form, "", "64")
    return random_weight(scheme, out, inputs, int(group), torch.float16)


def model_in(forms: list[tuple[str, ...]], family: str = "qwen2", **changes: Any) -> Parameters:
    """A random model whose matrices have these forms."""
    model = random_model(family, "float", **changes)

    def held(matrix: Matrix, form: str) -> Matrix:
        return replace(matrix, weight=weight_in(form, *matrix.weight.shape).gpu_layout())

    *of_layers, (end,) = forms
    layers = []
    for layer, names in zip(model.layers, of_layers, strict=True):
        found = iter([held(matrix, name) for matrix, name in zip(layer.matrices, names, strict=True)])
        layers.append(layer.map(lambda matrix, found=found: next(found)))
    embedding = held(model.embedding, end)
    head = embedding if model.tied else held(model.head, end)
    return replace(model, embedding=embedding, layers=tuple(layers), head=head)


def distances(
    model: Parameters, positions: list[int], step_of: Any, device: torch.device, capacity: int
) -> list[float]:
    """Of each row's logits from the reference's, relative."""
    state = random_state(model, positions, capacity, with_logits=True, device=device)
    expected = moved(state, device)
    step_of(model, state)
    logits = reference_step(model, expected)
    assert state.logits is not None
    return ((state.logits - logits).norm(dim=1) / logits.norm(dim=1)).tolist()


LONG_CASES = [pytest.param(name, marks=pytest.mark.long) for name in CASES if name != "Q4_K_M"]


@needs_compiler
@pytest.mark.parametrize("name", ["Q4_K_M", *LONG_CASES])
def test_logits_are_those_of_the_dequantized_matrices(name: str, tmp_path: Path) -> None:
    forms, changes = CASES[name]
    machine = {"shared_bytes": 100_000} | {key: changes[key] for key in MACHINE if key in changes}
    model = model_in(forms, **{key: value for key, value in changes.items() if key not in machine})
    assert unsupported_reason(model) is None

    def step(model: Parameters, state: Any) -> None:
        assert emulated_step(model, state, tmp_path, **machine)()

    assert max(distances(model, [17, 3], step, CPU, 24)) < 2e-3


def test_every_layer_finds_its_forms_in_the_lists_of_its_places() -> None:
    model = model_in(MIXED, **WIDE)
    forms = ModelForms.of(model)
    for layer in model.layers:
        held = [form_of(matrix.weight) for matrix in layer.matrices]
        places = forms.places(layer)
        assert held == [forms.of_layers[number][place] for number, place in enumerate(places)]


def test_no_two_forms_have_one_number() -> None:
    kinds = [*(Form(GpuKind.BLOCKS, block=name) for name in BLOCK_NUMBERS), Form(GpuKind.FLOAT)]
    kinds += [Form(GpuKind.INT8, group) for group in (0, 32, 64, 128)]
    kinds += [Form(GpuKind.INT4, group, double) for group in (32, 64, 128) for double in (False, True)]
    numbers = {form.number for form in kinds}
    assert len(numbers) == len(kinds)
    assert all(0 <= number < 1 << 15 for number in numbers), "the bit above says that there is one"


@pytest.mark.parametrize("name", BLOCK_NUMBERS)
def test_a_tile_of_blocks_takes_the_bytes_of_its_rows(name: str) -> None:
    weight = weight_in(name, 16, 768).gpu_layout()
    assert form_of(weight).tile_bytes(16, 768) == weight.nbytes


@pytest.mark.parametrize(
    ("forms", "changes", "reason"),
    [
        ([("Q8_0",) * 4] * 2 + [("IQ4_NL",)], {}, "blocks of IQ4_NL have no form"),
        ([("Q8_0",) * 4] * 2 + [("Q8_0",)], {"vocab_size": 131}, "outputs that are not a multiple of 8"),
        (
            [("Q8_0",) * 4] * 2 + [("Q8_0",)],
            {"intermediate_size": 320 + 32},
            "inputs that are not a multiple of 64",
        ),
        (
            [("Q8_0",) * 4] * 2 + [("Q8_0",)],
            {"intermediate_size": 64 * 125},
            "cannot be cut at multiples of 256",
        ),
    ],
)
def test_what_the_kernel_does_not_multiply_is_named(
    forms: list[tuple[str, ...]], changes: dict[str, Any], reason: str
) -> None:
    assert reason in str(unsupported_reason(model_in(forms, **{**WIDE, **changes})))


def test_more_formats_of_one_place_than_the_kernel_has_room_for_are_named() -> None:
    names = ("Q4_0", "Q5_0", "Q8_0", "Q4_1", "Q5_1")
    model = model_in([(name,) * 4 for name in names] + [("Q8_0",)], **WIDE, num_hidden_layers=5)
    assert unsupported_reason(model) == "one place of the layers has more than 4 formats"


def test_parts_of_one_matrix_in_two_formats_are_named() -> None:
    model = model_in(Q4_K_M, **WIDE)
    parts = [blocks_of_unit_size("Q4_K", 384, 256), blocks_of_unit_size("Q6_K", 128, 256)]
    model.layers[1].qkv.weight = stack(parts).gpu_layout()
    assert unsupported_reason(model) == "parts of one matrix are Q4_K+Q6_K"


KINDS = ("Q4_K", "Q5_0", "Q6_K", "Q4_1", "Q5_K", "Q8_0", "Q5_1", "Q4_0")
LONG = {**WIDE, "hidden_size": 2048, "intermediate_size": 3072, "num_attention_heads": 16, "head_dim": 128}


def turned(by: int) -> list[tuple[str, ...]]:
    """Two layers and ends that have every type somewhere else for each `by`."""
    names = [KINDS[(place + by) % 8] for place in range(8)]
    return [tuple(names[:4]), tuple(names[4:]), (names[by],)]


ON_GPU = {
    "Q4_K_M": (Q4_K_M, QWEN),
    "mixed": (MIXED, QWEN),
    **{f"tall tiles of every type, {by}": (turned(by), LONG) for by in range(4)},
}


@pytest.mark.gpu
@needs_hopper
@pytest.mark.parametrize("positions", [[130], [0, 77, -1, 199]])
@pytest.mark.parametrize("name", ON_GPU)
def test_a_gpu_finds_the_same(cuda: torch.device, name: str, positions: list[int]) -> None:
    forms, changes = ON_GPU[name]
    model = on_gpu(model_in(forms, **changes), cuda)
    assert unsupported_reason(model) is None

    def step(model: Parameters, state: Any) -> None:
        build_persistent_step(model, state)()
        torch.cuda.synchronize(cuda)

    assert max(distances(model, positions, step, cuda, 208)) < 3e-3
