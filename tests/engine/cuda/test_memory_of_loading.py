"""Loading needs the memory of the model and of one matrix, or one layer's experts, on its way."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from quantbench.engine.config import read_config
from quantbench.engine.cpu.operations import strip_of
from quantbench.engine.cuda import decoder as cuda_decoder
from quantbench.engine.cuda.persistent_step import PersistentStep
from quantbench.engine.load import ParameterLoader, load_decoder
from quantbench.engine.parameters import ExpertParameters, Parameters
from quantbench.methods.mixtures import q4_k_m
from quantbench.sources.random_weights import RandomSource
from quantbench.weights.formats import FloatWeight, Weight, block_rows
from quantbench.weights.formats.int4 import Int4Weight
from quantbench.weights.formats.int4_double import Int4DoubleWeight
from quantbench.weights.formats.int8_groups import Int8GroupsWeight
from tests.weights.test_ggml_blocks import blocks

CONFIG = {
    "model_type": "qwen2",
    "vocab_size": 64,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
}
EXPERTS = {
    "model_type": "qwen3_moe",
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 128,
}
TEMPORARIES = 4  # of a matrix on its way, in its own size


def floats(out: int, inputs: int) -> Weight:
    return FloatWeight(torch.ones(out, inputs).half())


def int8_groups(out: int, inputs: int) -> Weight:
    return Int8GroupsWeight(torch.ones(out, inputs).char(), torch.ones(out, inputs // 128).half())


def int4(out: int, inputs: int) -> Weight:
    scale = torch.ones(out, inputs // 128).half()
    return Int4Weight(torch.ones(out, inputs // 2).byte(), scale, scale.clone())


def int4_double(out: int, inputs: int) -> Weight:
    affine = torch.ones(out, inputs // 64, 2).byte()
    return Int4DoubleWeight(torch.ones(out, inputs // 2).byte(), affine, torch.ones(out))


class Reader:
    """Makes every matrix of a type or, by its name, of a mixture."""

    def __init__(self, make: Callable[[int, int], Weight] | None, config: dict[str, Any]) -> None:
        self._make, self._mixture = make, q4_k_m(config)

    def __call__(self, name: str, shape: tuple[int, int], /) -> Weight:
        return self._make(*shape) if self._make else blocks(self._mixture(name, shape[1]) or "Q8_0", *shape)

    def stored(self, name: str) -> tuple[str, ...]:
        return (name,)


MAKES: dict[str, Callable[[int, int], Weight] | None] = {
    "fp16": floats,
    "int8-g128": int8_groups,
    "int4-sym": int4,
    "int4": int4_double,
    "q8_0": partial(blocks, "Q8_0"),
    "q4_0": partial(blocks, "Q4_0"),
    "q4_k_m": None,
}


class Alive(TorchDispatchMode):
    """Counts the bytes of all tensors that operations made and somebody still holds."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._most = 0  # with those that nobody holds any more
        self._held: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.add(*(leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)))
        return result

    def add(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            storage = tensor.untyped_storage()
            reference = StorageWeakRef(storage)
            if reference.cdata not in self._held:
                self._held[reference.cdata] = (reference, storage.nbytes())
                self._most += storage.nbytes()
        if self._most > self.peak:
            self.peak = max(self.peak, self.now)

    @property
    def now(self) -> int:
        self._held = {key: held for key, held in self._held.items() if not held[0].expired()}
        self._most = sum(nbytes for _, nbytes in self._held.values())
        return self._most


def sources(name: str, **changes: Any) -> tuple[RandomSource, Reader]:
    source = RandomSource("random", {**CONFIG, **changes}, seed=0)
    return source, Reader(MAKES[name], source.config)


def loaded(name: str, **changes: Any) -> Parameters:
    """In the layout that a GPU gets."""
    source, reader = sources(name, **changes)
    config = read_config(source.config)
    loader = ParameterLoader(source, config, reader, torch.device("cpu"), torch.float16)
    loader._strip = strip_of("cuda")
    return loader.load()


def held_bytes(model: Parameters) -> int:
    return sum(tensor.nbytes for _, tensor in model.tensors())


def on_its_way(model: Parameters) -> int:
    """What is converted together: the largest matrix, or the MLP of a layer with experts."""
    matrices = [matrix.weight.nbytes for matrix in model.matrices()]
    experts = [layer.mlp for layer in model.layers if isinstance(layer.mlp, ExpertParameters)]
    return max(matrices + [sum(matrix.weight.nbytes for matrix in mlp.matrices) for mlp in experts])


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_rows, "AT_ONCE", 1 << 15)


def step_that_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_to_build(model: Any, state: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(cuda_decoder, "persistent_step", lambda _: PersistentStep(none_to_build, "few", 4))


@pytest.mark.parametrize(
    ("name", "changes", "as_rows"),
    [
        *((name, {}, False) for name in MAKES),
        ("q8_0", {}, True),
        ("q4_0", {}, True),
        ("int4", EXPERTS, False),
    ],
)
def test_the_kernels_layout_takes_the_place_of_the_loaded_one(
    monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, Any], as_rows: bool
) -> None:
    step_that_is_not_built(monkeypatch)
    monkeypatch.setattr(cuda_decoder, "better_as_rows", lambda model: as_rows)
    model = loaded(name, **changes)
    one, before = on_its_way(model), held_bytes(model)
    alive = Alive()
    alive.add(*(tensor for _, tensor in model.tensors()))
    with alive:
        decoder = cuda_decoder.load_cuda(model)
    after = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert one < before / 12
    assert alive.peak <= max(before, after) + TEMPORARIES * one
    assert alive.now <= 1.01 * after + one / 10  # a table of rotations beside the weights


@pytest.mark.parametrize("name", MAKES)
def test_a_cpu_holds_what_it_reads_and_one_matrix(name: str) -> None:
    source, reader = sources(name)
    with Alive() as alive:
        decoder = load_decoder(source, reader, device="cpu", dtype="float32")
    after = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    assert alive.peak <= after + TEMPORARIES * on_its_way(loaded(name))


@pytest.mark.gpu
@pytest.mark.parametrize("name", MAKES)
def test_a_gpu_holds_what_it_reads_and_one_matrix(
    monkeypatch: pytest.MonkeyPatch, cuda: torch.device, name: str
) -> None:
    monkeypatch.setattr(block_rows, "AT_ONCE", 1 << 18)
    source, reader = sources(name, hidden_size=1024, intermediate_size=1024, vocab_size=1024)
    torch.cuda.synchronize(cuda)
    torch.cuda.reset_peak_memory_stats(cuda)
    before = torch.cuda.memory_stats(cuda)["requested_bytes.all.current"]  # blocks of the pool are larger
    decoder = load_decoder(source, reader, device=str(cuda), dtype="float16")
    peak = torch.cuda.memory_stats(cuda)["requested_bytes.all.peak"] - before
    held = sum(tensor.nbytes for _, tensor in decoder.resident_tensors())
    one = 2 * max(matrix.nbytes for matrix in decoder.held())  # gate and up are one
    assert peak <= held + (TEMPORARIES + 1) * one
    assert (TEMPORARIES + 1) * one < held / 4
