"""One decode step for 1 to 4 rows as a single persistent CUDA kernel; persistent/step.cu says how it works.

This module decides whether the kernel can run, fixes its shape, lays out its workspace and launches it. What
the kernel computes in plain torch is `engine.model.Model` with greedy choice; nothing is computed here.
"""

import ctypes
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from quantbench.engine.cuda.nvrtc import CompiledKernel, compiled, missing, shared_limit
from quantbench.engine.cuda.persistent.forms import ModelForms, planes
from quantbench.engine.cuda.persistent.shape import (
    MARKS,
    MAX_ROWS,
    StepShape,
    blocks_for,
    unsupported_reason,
)
from quantbench.engine.cuda.sources import joined_source
from quantbench.engine.cuda.state import StepState
from quantbench.engine.kv_format import KV_CODES, codes_in
from quantbench.engine.parameters import Parameters
from quantbench.settings import KvFormat


class Unsupported(RuntimeError):
    """The kernel cannot run this model here; the message is a phrase that says why."""


class KernelParams(ctypes.Structure):
    """`Params` of persistent/shared.cuh, field by field."""

    _fields_ = (
        ("layers", ctypes.c_void_p),
        ("embedding", ctypes.c_void_p * 4),
        ("head", ctypes.c_void_p * 4),
        ("final_norm", ctypes.c_void_p),
        ("inverse_frequencies", ctypes.c_void_p),
        ("keys", ctypes.c_void_p),
        ("values", ctypes.c_void_p),
        ("key_scales", ctypes.c_void_p),
        ("value_scales", ctypes.c_void_p),
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
        ("buffers", ctypes.c_void_p * 7),
        ("times", ctypes.c_void_p),
    )


class StepArguments:
    """The kernel's parameters for one model and state, and the memory behind them."""

    def __init__(self, model: Parameters, state: StepState, shape: StepShape) -> None:
        config, device = model.config, model.device
        self._kept: list[object] = [model, state]
        self.parameters = p = KernelParams()
        p.layers = self._keep(layer_table(model).to(device))
        p.embedding[:], p.head[:] = planes(model.embedding), planes(model.head)
        p.final_norm = model.norm.data_ptr()
        p.inverse_frequencies = self._keep(config.rope.inverse_frequencies().to(device, torch.float32))
        p.attention_factor = config.rope.attention_factor
        p.norm_eps = config.norm_eps
        p.keys, p.values = state.keys.data_ptr(), state.values.data_ptr()
        p.key_scales, p.value_scales = address(state.key_scales), address(state.value_scales)
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


def address(tensor: Tensor | None) -> int:
    """Of its data; 0, a null pointer, where there is none."""
    return 0 if tensor is None else tensor.data_ptr()


def buffer_bytes(model: Parameters, shape: StepShape) -> tuple[int, ...]:
    """Bytes of each exchange buffer, in the order of `Params`."""
    config, rows = model.config, shape.rows
    heads, long = rows * config.heads, shape.long_splits(config.kv_heads)
    return (
        4 * rows * (config.q_size + 2 * config.kv_size),
        4 * rows * config.hidden_size,
        4 * rows * config.hidden_size,
        4 * rows * config.intermediate_size,
        16 * heads * shape.short_splits * config.head_dim // 4,
        16 * heads * long * config.head_dim // 4,
        8 * rows * shape.blocks * 2,
    )


def layer_table(model: Parameters) -> Tensor:
    """`Layer` of persistent/shared.cuh for every layer: int64 [layers, 27] on the CPU."""
    table, forms = [], ModelForms.of(model)
    for layer, window in zip(model.layers, model.config.windows, strict=True):
        matrices = [place for matrix in layer.matrices for place in planes(matrix)]
        biases = [matrix.bias for matrix in layer.matrices]
        norms = [layer.input_norm, layer.post_norm, layer.q_norm, layer.k_norm]
        others = [address(tensor) for tensor in (*biases, *norms, layer.smoothing)]
        places = sum(place << 8 * number for number, place in enumerate(forms.places(layer)))
        table.append([*matrices, *others, 1 << 30 if window is None else window, places])
    return torch.tensor(table, dtype=torch.int64)


def build_persistent_step(model: Parameters, state: StepState) -> Callable[[], None]:
    """A function that enqueues one whole decode step of all rows of `state` on the current stream.

    It reads and writes device memory alone, so that it can be captured in a graph; what a step does to the
    state is told at StepState. The kernel takes every multiprocessor: nothing may run beside it. Compiling
    (cached on disk) happens here. Unsupported, with the reason, where the kernel cannot run.
    """
    if reason := reason_against(model):
        raise Unsupported(reason)
    if not 1 <= state.rows <= MAX_ROWS:
        raise Unsupported(f"{state.rows} rows are not between 1 and {MAX_ROWS}")
    return launcher(model, state, shape_of(model, state.rows, codes=codes_of(state)))


def reason_against(model: Parameters) -> str | None:
    """Why the kernel cannot run a model where it is, as a phrase; None when it can."""
    if reason := missing() or unsupported_reason(model):
        return reason
    properties = torch.cuda.get_device_properties(model.device)
    if properties.major != 9:
        return f"compute capability {properties.major}.{properties.minor} is not 9.0"
    return None


def codes_of(state: StepState) -> int:
    """The format of a state's cache, as the kernel names it."""
    codes = codes_in(state.keys.dtype)
    return 0 if codes is None else codes.number


def shape_of(model: Parameters, rows: int, *, times: bool = False, codes: int = 0) -> StepShape:
    """The kernel's shape on the model's device."""
    properties = torch.cuda.get_device_properties(model.device)
    return StepShape(
        rows=rows,
        blocks=blocks_for(model, properties.multi_processor_count),
        shared_bytes=shared_limit(model.device.index or 0),
        times=times,
        kv_codes=codes,
    )


def compile_calls(
    model: Parameters, kv: KvFormat | None = None, *, most_rows: int = MAX_ROWS
) -> list[Callable[[], bytes]]:
    """What compiles each variant that a run comes to, to be called in threads; none where none can run."""
    if most_rows < 1 or reason_against(model):
        return []
    codes = 0 if kv is None else KV_CODES[kv].number
    shapes = [shape_of(model, 1 << power, codes=codes) for power in range(most_rows.bit_length())]
    timed = shape_of(model, 1, times=True, codes=codes)
    return [partial(machine_code, model, shape) for shape in (*shapes, timed)]


def machine_code(model: Parameters, shape: StepShape) -> bytes:
    """The kernel compiled for one shape."""
    return compiled(joined_source("step.cu"), shape.defines(model), "sm_90a")


def launcher(
    model: Parameters, state: StepState, shape: StepShape, arguments: StepArguments | None = None
) -> Callable[[], None]:
    """The step compiled for one shape, as `build_persistent_step` returns it."""
    arguments = arguments or StepArguments(model, state, shape)
    code = machine_code(model, shape)
    kernel = CompiledKernel(code, "decode_step", shared_bytes=shape.shared_bytes, device=model.device)
    threads = (shape.warps + 1) * 32

    def step() -> None:
        kernel.launch(arguments.parameters, blocks=shape.blocks, threads=threads)

    return step
