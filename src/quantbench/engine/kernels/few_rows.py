"""One decode step for 1 to 8 rows as a single persistent CUDA kernel; persistent/step.cu says how it works.

This module decides whether the kernel can run, fixes its shape, lays out its workspace and launches it. What
the kernel computes in plain torch is `engine.model.Model` with greedy choice; nothing is computed here.
"""

import ctypes
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from quantbench.engine.kernels.driver import Kernel, compiled, missing, shared_limit
from quantbench.engine.kernels.layout import Int4Rows, PackedLayer, PackedMatrix, PackedModel, PackedWeight
from quantbench.engine.state import StepState
from quantbench.engine.weights import FloatWeight, Int8Weight

MAX_ROWS = 8  # columns of one tensor-core product
WARPS = 15  # that compute, beside the one that copies: 16 warps may use 128 registers a thread
SHORT_SPLIT, SHORT_SPLITS = 120, 4  # up to 480 positions each block takes one head and 120 positions
MAX_LONG_SPLITS = 60
REPLICAS = 1  # copies of what all blocks read, so that they do not all poll the same lines
MARKS = 11  # times that a block notes a layer, where asked to
SLOT_LIMIT = 32 * 1024  # bytes of a tile, at most
SOURCES = ("primitives", "stage", "shared", "ring", "product", "exchange", "attention", "step")
ACTIVATIONS = {"silu": 0, "swish": 0, "gelu": 1, "gelu_pytorch_tanh": 2, "relu": 3}
FLOAT, INT8, INT4 = range(3)


class Unsupported(RuntimeError):
    """The kernel cannot run this model here; the message is a phrase that says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """What the kernel is compiled for; lengths in elements."""

    rows: int
    blocks: int
    shared_bytes: int  # of a block, at most
    warps: int = WARPS
    short_split: int = SHORT_SPLIT
    short_splits: int = SHORT_SPLITS
    slot_limit: int = SLOT_LIMIT
    replicas: int = REPLICAS
    pause_ns: int = 0  # between two polls
    times: bool = False  # whether each block notes clock ticks at every stage

    def defines(self, model: PackedModel) -> dict[str, object]:
        """The kernel's macros for this model."""
        config = model.config
        kinds = {"LAYER": model.layers[0].qkv, "HEAD": model.head, "EMBEDDING": model.embedding}
        return {
            "LAYERS": config.layers,
            "HIDDEN": config.hidden_size,
            "HEADS": config.heads,
            "KV_HEADS": config.kv_heads,
            "HEAD_DIM": config.head_dim,
            "INTERMEDIATE": config.intermediate_size,
            "VOCAB": config.vocab_size,
            **{f"{name}_KIND": kind_of(matrix.weight) for name, matrix in kinds.items()},
            "GROUP": group_size(model),
            "BF16": int(model.dtype == torch.bfloat16),
            "ACTIVATION": ACTIVATIONS[config.activation],
            "QK_NORM": int(config.qk_norm),
            "SOFTMAX_SCALE": f"{1 / math.sqrt(config.head_dim):.9g}f",
            "ROWS": self.rows,
            "BLOCKS": self.blocks,
            "WARPS": self.warps,
            "SHORT_SPLIT": self.short_split,
            "SHORT_SPLITS": self.short_splits,
            "LONG_SPLITS": self.long_splits(config.kv_heads),
            "SLOT_BYTES": self.slot_bytes(model),
            "SHARED_LIMIT": self.shared_bytes,
            "REPLICAS": self.replicas,
            "PAUSE": self.pause_ns,
            "TIMES": int(self.times),
        }

    def long_splits(self, kv_heads: int) -> int:
        """Into how many parts a long text is split, so that each block has about one."""
        return max(1, min(MAX_LONG_SPLITS, self.blocks // (self.rows * kv_heads)))

    def slot_bytes(self, model: PackedModel) -> int:
        """Bytes of a tile: 16 rows of the hidden size, or what a longer row's chunk may take."""
        group, hidden = group_size(model), model.config.hidden_size
        kinds = {kind_of(weight) for weight in (model.layers[0].qkv.weight, model.head.weight)}
        whole = max(tile_bytes(kind, hidden, group, padded=False) for kind in kinds)
        least = max(tile_bytes(kind, 4 * group if kind == INT4 else 64, group, padded=True) for kind in kinds)
        return max(min(whole, self.slot_limit), least)


def tile_bytes(kind: int, inputs: int, group: int, *, padded: bool) -> int:
    """Of 16 rows in shared memory; chunks of rows are padded so that they lie 64 bytes apart modulo 128."""
    row = inputs * {FLOAT: 16, INT8: 8, INT4: 4}[kind] // 8
    row += -(-inputs // group // 4) * 16 if kind == INT4 else 0
    return int(16 * (-(-(row + 64) // 128) * 128 - 64 if padded else row))


def kind_of(weight: PackedWeight) -> int:
    """The kernel's number for a weight's form."""
    return FLOAT if isinstance(weight, FloatWeight) else INT8 if isinstance(weight, Int8Weight) else INT4


def group_size(model: PackedModel) -> int:
    """Of the 4-bit matrices; 128 where there are none."""
    sizes = {m.weight.group_size for m in model.matrices() if isinstance(m.weight, Int4Rows)}
    return max(sizes, default=128)


def blocks_for(model: PackedModel, multiprocessors: int) -> int:
    """One block a multiprocessor, but each must own a row of every matrix.

    Packed weights leave time to spare, so that equal shares matter more than all multiprocessors: the hidden
    size is split evenly where that costs at most a fifth of them.
    """
    config = model.config
    most = min(multiprocessors, config.hidden_size, config.intermediate_size, config.q_size)
    if kind_of(model.layers[0].qkv.weight) == FLOAT:
        return most
    even = (n for n in range(most, most * 4 // 5, -1) if config.hidden_size % n == 0)
    return next(even, most)


def unsupported(model: PackedModel) -> str | None:
    """Why the kernel cannot run this model, whatever the device; None when it can."""
    config = model.config
    if model.dtype not in (torch.float16, torch.bfloat16):
        return f"activations are {model.dtype}"
    floats = {FLOAT} if model.dtype == torch.bfloat16 else {FLOAT, INT8, INT4}
    layers = {kind_of(m.weight) for layer in model.layers for m in matrices_of(layer)}
    if len(layers) > 1 or not layers | {kind_of(model.head.weight)} <= floats:
        return f"weights mix forms, or are packed beside {model.dtype} activations"
    if any(
        isinstance(m.weight, FloatWeight) and m.weight.values.dtype != model.dtype for m in model.matrices()
    ):
        return "float weights are not of the activations' type"
    sizes = {m.weight.group_size for m in model.matrices() if isinstance(m.weight, Int4Rows)}
    if len(sizes) > 1 or not sizes <= {32, 64, 128}:
        return f"group sizes {sorted(sizes)} are not one of 32, 64 and 128"
    unit = 64 if INT8 in layers else 32
    if any(n % unit for n in (config.hidden_size, config.intermediate_size, config.q_size)):
        return f"a matrix has inputs that are not a multiple of {unit}"
    if config.head_dim not in (32, 64, 128, 256) or config.heads // config.kv_heads > 8:
        return f"heads of {config.head_dim} dimensions, {config.heads} over {config.kv_heads}"
    return None


def matrices_of(layer: PackedLayer) -> tuple[PackedMatrix, ...]:
    """In the order in which a step reads them."""
    return (layer.qkv, layer.output, layer.gate_up, layer.down)


class Parameters(ctypes.Structure):
    """`Params` of persistent/shared.cuh, field by field."""

    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("embedding", ctypes.c_void_p),
        ("head", ctypes.c_void_p),
        ("embedding_scale", ctypes.c_void_p),
        ("head_scale", ctypes.c_void_p),
        ("final_norm", ctypes.c_void_p),
        ("inverse_frequencies", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("cache_strides", ctypes.c_int64 * 3),
        ("tokens", ctypes.c_void_p),
        ("positions", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("output_stride", ctypes.c_int64),
        ("logits", ctypes.c_void_p),
        ("logits_stride", ctypes.c_int64),
        ("capacity", ctypes.c_int),
        ("norm_eps", ctypes.c_float),
        ("attention_factor", ctypes.c_float),
        ("counter", ctypes.c_void_p),
        ("buffers", ctypes.c_void_p * 9),
        ("times", ctypes.c_void_p),
    )


class StepArguments:
    """The kernel's parameters for one model and state, and the memory behind them."""

    def __init__(self, model: PackedModel, state: StepState, shape: StepShape) -> None:
        config, device = model.config, model.device
        self._kept: list[object] = [model, state]
        self.parameters = p = Parameters()
        p.layers = self._keep(layer_table(model).to(device))
        p.embedding, p.embedding_scale = matrix_pointers(model.embedding)
        p.head, p.head_scale = matrix_pointers(model.head)
        p.final_norm = model.norm.data_ptr()
        p.inverse_frequencies = self._keep(config.rope.inverse_frequencies().to(device, torch.float32))
        p.attention_factor = config.rope.attention_factor
        p.norm_eps = config.norm_eps
        p.keys, p.values = state.keys.data_ptr(), state.values.data_ptr()
        p.cache_strides[:] = state.keys.stride()[:3]
        p.tokens, p.positions = state.tokens.data_ptr(), state.positions.data_ptr()
        p.output, p.output_stride = state.output.data_ptr(), state.output.stride(0)
        if state.logits is not None:
            p.logits, p.logits_stride = state.logits.data_ptr(), state.logits.stride(0)
        p.capacity = state.capacity
        p.counter = self._keep(torch.zeros(1, dtype=torch.int32, device=device))
        for i, size in enumerate(buffer_bytes(model, shape)):
            p.buffers[i] = self._keep(torch.zeros(size, dtype=torch.uint8, device=device))
        columns = config.layers * MARKS + 4 if shape.times else 0
        self.times = torch.zeros(shape.blocks, columns, dtype=torch.int64, device=device)
        p.times = self.times.data_ptr()

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor)
        return tensor.data_ptr()


def buffer_bytes(model: PackedModel, shape: StepShape) -> tuple[int, ...]:
    """Bytes of each exchange buffer, in the order of `Params`."""
    config, rows = model.config, shape.rows
    heads, long = rows * config.heads, shape.long_splits(config.kv_heads)
    return (
        4 * rows * (config.q_size + 2 * config.kv_size),
        4 * rows * config.hidden_size * shape.replicas,
        4 * rows * config.hidden_size * shape.replicas,
        4 * rows * config.intermediate_size * shape.replicas,
        8 * heads * shape.short_splits * config.head_dim // 2,
        8 * heads * shape.short_splits,
        8 * heads * long * config.head_dim // 2,
        8 * heads * long,
        8 * rows * shape.blocks * 2,
    )


def matrix_pointers(matrix: PackedMatrix) -> tuple[int, int]:
    """Of the rows, and of the scales of 8-bit rows (0 where there are none)."""
    weight = matrix.weight
    if isinstance(weight, Int8Weight):
        return weight.q.data_ptr(), weight.scale.data_ptr()
    return (weight.values if isinstance(weight, FloatWeight) else weight.words).data_ptr(), 0


def layer_table(model: PackedModel) -> Tensor:
    """`Layer` of persistent/shared.cuh for every layer: int64 [layers, 17] on the CPU."""
    table = []
    for layer, window in zip(model.layers, model.config.windows, strict=True):
        pointers = [matrix_pointers(matrix) for matrix in matrices_of(layer)]
        biases = [matrix.bias for matrix in matrices_of(layer)]
        norms = [layer.input_norm, layer.post_norm, layer.q_norm, layer.k_norm]
        others = [0 if tensor is None else tensor.data_ptr() for tensor in biases + norms]
        columns = [p[0] for p in pointers] + [p[1] for p in pointers] + others
        table.append([*columns, 1 << 30 if window is None else window])
    return torch.tensor(table, dtype=torch.int64)


@cache
def source() -> str:
    """The kernel's CUDA C++, its parts joined in order; it includes nothing."""
    folder = files("quantbench.engine.kernels") / "persistent"
    names = [f"{name}.{'cu' if name == 'step' else 'cuh'}" for name in SOURCES]
    text = "\n".join((folder / name).read_text() for name in names)
    return text.replace("#pragma once\n", "")


def build_few_rows_step(model: PackedModel, state: StepState) -> Callable[[], None]:
    """A function that enqueues one whole decode step of all rows of `state` on the current stream.

    It reads and writes device memory alone, so that it can be captured in a graph; what a step does to the
    state is told at StepState. The kernel takes every multiprocessor: nothing may run beside it. Compiling
    (cached on disk) happens here. Unsupported, with the reason, where the kernel cannot run.
    """
    if reason := missing() or unsupported(model):
        raise Unsupported(reason)
    properties = torch.cuda.get_device_properties(model.device)
    if properties.major != 9:
        raise Unsupported(f"compute capability {properties.major}.{properties.minor} is not 9.0")
    if not 1 <= state.rows <= MAX_ROWS:
        raise Unsupported(f"{state.rows} rows are not between 1 and {MAX_ROWS}")
    shape = StepShape(
        rows=state.rows,
        blocks=blocks_for(model, properties.multi_processor_count),
        shared_bytes=shared_limit(model.device.index or 0),
    )
    return launcher(model, state, shape)


def launcher(
    model: PackedModel, state: StepState, shape: StepShape, arguments: StepArguments | None = None
) -> Callable[[], None]:
    """The step compiled for one shape, as `build_few_rows_step` returns it."""
    arguments = arguments or StepArguments(model, state, shape)
    code = compiled(source(), shape.defines(model), "sm_90a")
    kernel = Kernel(code, "decode_step", shared_bytes=shape.shared_bytes)
    threads = (shape.warps + 1) * 32

    def step() -> None:
        kernel.launch(arguments.parameters, blocks=shape.blocks, threads=threads)

    return step
