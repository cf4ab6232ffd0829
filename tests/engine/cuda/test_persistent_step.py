"""The persistent step against the plain reference, on an emulated machine; the GPU has a file of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch

from quantbench.decoding import NO_TOKEN
from quantbench.engine.cuda.persistent import launch as persistent
from quantbench.engine.cuda.persistent.reference import reference_step
from quantbench.engine.cuda.persistent.shape import StepShape, unsupported_reason
from quantbench.settings import KvFormat
from tests.engine.cuda.emulation import COMPILER, emulated_step
from tests.engine.cuda.step_models import CPU, held_in, moved, random_model, random_state, smoothed

pytestmark = pytest.mark.skipif(COMPILER is None, reason="the emulator needs g++")
CAPACITY = 40
# Half precision inputs of about ten products in a row: a few units of 2**-11, of 2**-8 for bfloat16.
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.5e-2}

CASES: dict[str, tuple[str, str, list[int], dict[str, Any]]] = {
    "float, one block's split of the text": ("qwen2", "float", [4], {}),
    "int8, biases everywhere, first and last position": ("llama", "int8", [0, CAPACITY - 1], {"blocks": 5}),
    "int4 in groups of 32, text longer than the short splits": ("qwen3", "int4", [33], {"group": 32}),
    "int4 in groups of 64, sliding window": ("mistral", "int4", [8, 30], {"group": 64}),
    "bfloat16, window in a long text": ("mistral", "float", [35], {"dtype": torch.bfloat16}),
    "an idle row between busy ones, another warp count": ("qwen3", "float", [25, -1, 3], {"warps": 4}),
    "heads of 128 dimensions": ("qwen3", "float", [21], {"head_dim": 128}),
    "int8, more warps than slices of an input": ("qwen2", "int8", [20], {"warps": 4, "blocks": 4}),
    "int4, two slices of one chunk for a warp": ("qwen2", "int4", [9], {"warps": 2}),
    "float, at most 8 rows of every matrix but one a block": (
        "qwen2",
        "float",
        [7],
        {
            "hidden_size": 64,
            "intermediate_size": 160,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "blocks": 16,
        },
    ),
    "int8 in groups of 32": ("qwen3", "int8-groups", [33], {"group": 32}),
    "int8 in groups of 128, tiles of both heights, chunks": (
        "qwen2",
        "int8-groups",
        [17, 3],
        {
            "group": 128,
            "hidden_size": 256,
            "intermediate_size": 2304,
            "num_attention_heads": 8,
            "blocks": 20,
            "shared_bytes": 100_000,
        },
    ),
    "double quantization, a slice of two pairs": ("qwen3", "double", [33], {"group": 64}),
    "double quantization, a slice of four pairs": ("llama", "double", [8, 30], {"group": 32}),
    "double quantization, tiles of both heights": (
        "qwen2",
        "double",
        [17],
        {"group": 128, "hidden_size": 256, "intermediate_size": 384, "num_attention_heads": 8, "blocks": 20},
    ),
    "double quantization between ends of 8 bits in groups": (
        "qwen2",
        "double",
        [17],
        {"group": 64, "ends": ("int8-groups", 64)},
    ),
    "double quantization of small groups, ends of 8 bits in wide ones, tiles of both heights": (
        "qwen3",
        "double",
        [17, 3],
        {
            "group": 32,
            "ends": ("int8-groups", 128),
            "hidden_size": 256,
            "intermediate_size": 384,
            "num_attention_heads": 8,
            "blocks": 20,
        },
    ),
    "cache in int8, text longer than the short splits": ("qwen2", "int8", [33], {"kv": KvFormat.INT8}),
    "cache in int8, head norms, ragged rows, one idle": (
        "qwen3",
        "float",
        [25, -1, 3],
        {"kv": KvFormat.INT8},
    ),
    "cache in int8, heads of 32 dimensions, window": ("mistral", "int4", [8, 39], {"kv": KvFormat.INT8}),
    "cache in fp8, first position": ("llama", "float", [0, 39], {"kv": KvFormat.FP8, "blocks": 5}),
    "cache in fp8, heads of 128 dimensions": ("qwen3", "float", [37], {"head_dim": 128, "kv": KvFormat.FP8}),
    "cache in int8, bfloat16": ("mistral", "float", [35], {"dtype": torch.bfloat16, "kv": KvFormat.INT8}),
    "cache in fp8, bfloat16": ("qwen2", "float", [12], {"dtype": torch.bfloat16, "kv": KvFormat.FP8}),
    "int4 in groups of 128, tiles of both heights": (
        "qwen2",
        "int4",
        [17],
        {"group": 128, "hidden_size": 256, "intermediate_size": 384, "num_attention_heads": 8, "blocks": 20},
    ),
}

# an element whose rounding is turned over by half precision changes by a whole code
CODE_TOLERANCE = {KvFormat.INT8: 4e-3, KvFormat.FP8: 2e-2}


SHORT = "cache in int8, text longer than the short splits"  # of the cases with codes
SLOW = {
    "int8, biases everywhere, first and last position",
    "heads of 128 dimensions",
    "double quantization, a slice of two pairs",
    "cache in fp8, heads of 128 dimensions",
    "float, one block's split of the text",
    "float, at most 8 rows of every matrix but one a block",
    "int4 in groups of 32, text longer than the short splits",
    "int4 in groups of 64, sliding window",
    "int8, more warps than slices of an input",
    "int4, two slices of one chunk for a warp",
    "int8 in groups of 32",
    "an idle row between busy ones, another warp count",
    "double quantization between ends of 8 bits in groups",
    "int8 in groups of 128, tiles of both heights, chunks",
    "double quantization, a slice of four pairs",
    "double quantization, tiles of both heights",
    "double quantization of small groups, ends of 8 bits in wide ones, tiles of both heights",
}


def marked(name: str) -> object:
    """A case; those that a shorter one nearly covers have their long form here, and run on a GPU."""
    is_long = name in SLOW or (name.startswith("cache in") and name != SHORT)
    return pytest.param(name, marks=pytest.mark.long) if is_long else name


@pytest.mark.parametrize("name", map(marked, CASES))
def test_logits_and_cache_equal_the_reference(name: str, tmp_path: Path) -> None:
    family, scheme, positions, changes = CASES[name]
    changes = dict(changes)
    kv = changes.pop("kv", None)
    machine = {key: changes[key] for key in ("blocks", "warps", "shared_bytes") if key in changes}
    model = random_model(family, scheme, **{k: v for k, v in changes.items() if k not in machine})
    if kv is not None and family != "mistral":
        model = smoothed(model)
    state = random_state(model, positions, CAPACITY, with_logits=True, kv=kv)
    expected = moved(state, CPU)
    assert emulated_step(model, state, tmp_path, **machine)()
    logits = reference_step(model, expected)
    tolerance = TOLERANCE[model.dtype] + (CODE_TOLERANCE[kv] if kv else 0)
    assert state.logits is not None
    assert ((state.logits - logits).norm(dim=1) <= tolerance * logits.norm(dim=1)).all()
    for got, wanted in zip(held_in(state), held_in(expected), strict=True):
        assert torch.equal(got.isnan(), wanted.isnan()), "only the new position is written"
        difference = (got.float() - wanted.float()).nan_to_num()
        assert difference.norm() <= tolerance * wanted.float().nan_to_num().norm()


def test_steps_choose_tokens_and_advance_as_the_reference(tmp_path: Path) -> None:
    model = random_model("qwen2", "int4", group=64)
    state = random_state(model, [5, -1, CAPACITY - 1], CAPACITY)
    expected = moved(state, CPU)
    step = emulated_step(model, state, tmp_path)
    for _ in range(2):
        assert step()
        reference_step(model, expected)
    assert state.tokens.tolist() == expected.tokens.tolist()
    assert state.positions.tolist() == expected.positions.tolist() == [7, -1, CAPACITY]
    assert torch.equal(state.output, expected.output)


@pytest.mark.parametrize("bad", [torch.nan, pytest.param(torch.inf, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "scheme", ["int8", *(pytest.param(other, marks=pytest.mark.long) for other in ("float", "int4"))]
)
def test_a_norm_that_is_not_finite_chooses_no_token_and_reads_nothing_beyond(
    scheme: str, bad: float, tmp_path: Path
) -> None:
    model = random_model("qwen2", scheme)
    model.norm[5] = bad
    state = random_state(model, [5, -1, 30], CAPACITY)
    before = state.tokens.tolist()
    step = emulated_step(model, state, tmp_path)
    assert step() and step(), "the second step is fed with NO_TOKEN"
    assert state.tokens.tolist() == [NO_TOKEN, before[1], NO_TOKEN]
    assert state.positions.tolist() == [7, -1, 32]


def test_few_weights_are_under_way_where_a_layer_fits_into_shared_memory() -> None:
    model = random_model("qwen2", "float")  # 0.6 MB a layer
    small, large = (StepShape(rows=1, blocks=4, shared_bytes=size) for size in (40_000, 200_000))
    assert small.flight_bytes(model) == small.shared_bytes
    assert large.flight_bytes(model) == large.in_flight < large.shared_bytes


def test_a_slot_holds_whole_rows_where_the_limit_lets_it() -> None:
    model = random_model("qwen2", "int8")  # rows of 192 and of 320 bytes
    shapes = [StepShape(rows=1, blocks=4, shared_bytes=60_000, slot_limit=n) for n in (8192, 4096, 1024)]
    whole, hidden, chunks = (shape.slot_bytes(model) for shape in shapes)
    assert (whole, hidden) == (16 * 320, 16 * 192)
    assert chunks == 16 * (128 + 64), "never less than one slice of 16 padded rows"


def test_a_model_that_the_kernel_cannot_run_is_named() -> None:
    assert unsupported_reason(random_model("qwen2", "float", dtype=torch.float32)) == (
        "activations are torch.float32"
    )
    assert "head" in str(unsupported_reason(random_model("qwen2", "float", head_dim=48)))
    assert unsupported_reason(random_model("qwen2", "int4", group=64)) is None


def test_without_a_gpu_the_reason_is_given() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    model = random_model("qwen2", "float")
    with pytest.raises(persistent.Unsupported, match="no CUDA device"):
        persistent.build_persistent_step(model, random_state(model, [0], 8))
