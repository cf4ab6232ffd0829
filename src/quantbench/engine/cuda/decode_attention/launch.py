"""Attention of decode steps by attend.cu, where a model and a device let it run, else by Triton's kernel.

What a launch computes in plain torch is `triton.decode_attention.decode_attention_reference`.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from quantbench.engine.config import ModelConfig
from quantbench.engine.cuda.nvrtc import DEPENDENT, CompiledKernel, compiled, missing
from quantbench.engine.cuda.sources import joined_source
from quantbench.engine.cuda.triton import decode_attention as by_triton
from quantbench.engine.cuda.triton.decode_attention import CHUNK, AttentionCall, chunks_of, combine
from quantbench.engine.cuda.triton.launch import asked
from quantbench.engine.cuda.triton.softmax import LOG2_E
from quantbench.engine.parameters import Parameters

# of heads and activations: those that were compared with the plain reference on a GPU
KNOWN = {(64, torch.float16), (128, torch.float16)}
MOST_GROUP = 8  # query heads of a key-value head: the columns of a product
REGISTERS = 65536  # of a multiprocessor


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the kernel is compiled for; calling it compiles it."""

    head_dim: int
    bf16: bool
    qk_norm: bool
    warps: int
    held: int  # pieces of 16 positions that a warp has in registers
    registers: int  # of a thread, at most

    @property
    def shared_bytes(self) -> int:
        """Of a block."""
        heads = 2 * self.head_dim * (MOST_GROUP + 2)
        parts = self.warps * MOST_GROUP * (16 * (self.head_dim // 4 + 1) + 8)
        return heads + parts

    def defines(self) -> dict[str, object]:
        """The kernel's macros."""
        return {
            "HEAD_DIM": self.head_dim,
            "BF16": int(self.bf16),
            "QK_NORM": int(self.qk_norm),
            "WARPS": self.warps,
            "HELD": self.held,
            "SHARED_LIMIT": self.shared_bytes,
            "LEAST_BLOCKS": max(1, REGISTERS // (32 * self.warps * self.registers)),
        }

    def __call__(self) -> bytes:
        return compiled(joined_source("attend.cu"), self.defines(), "sm_90a")


def form_for(head_dim: int, *, bf16: bool, qk_norm: bool) -> Form:
    """The form for a model, whatever the rows: it fixes the order of sums.

    The outcome of timing five forms of each on an H100: 8, 64 and 164 rows of 300 positions, 8 of 4,000.
    """
    warps, held, registers = (4, 3, 168) if head_dim <= 64 else (8, 2, 232)
    return Form(head_dim=head_dim, bf16=bf16, qk_norm=qk_norm, warps=warps, held=held, registers=registers)


class AttentionParams(ctypes.Structure):
    """`Attention` of attend.cu, field by field."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("qkv", "q_norm", "k_norm", "cosines", "sines", "positions")),
        *((name, ctypes.c_void_p) for name in ("keys", "values", "out", "parts", "extremes", "totals")),
        ("row_stride", ctypes.c_int64),
        ("head_stride", ctypes.c_int64),
        *((name, ctypes.c_int) for name in ("rows", "heads", "kv_heads", "capacity", "window", "chunk")),
        ("chunks", ctypes.c_int),
        ("order", ctypes.c_int),
        ("scale", ctypes.c_float),
        ("eps", ctypes.c_float),
    )


Run = Callable[[Form, AttentionParams, int], None]  # with so many blocks


def decode_attention(call: AttentionCall) -> None:
    """`decode_attention_reference` by the faster kernel that can."""
    qkv = call.qkv
    codes = call.cache[0].dtype != qkv.dtype or call.rotation.smoothing is not None
    if attends(call.config, qkv.dtype, qkv.device, codes=codes):
        launch(runner_on(qkv.device), call)
    else:
        by_triton.decode_attention(call)


def attention_name(model: Parameters, operations: str, *, codes: bool) -> str:
    """What attends in a model's passes, which take these operations; `codes` says that a cache holds them."""
    fast = operations == "triton" and attends(model.config, model.dtype, model.device, codes=codes)
    steps = "CUDA C++ in decode steps, " if fast else ""
    return f"{steps}{operations}{' in prompts' if fast else ''}, split over chunks of long contexts"


def attends(config: ModelConfig, dtype: torch.dtype, device: torch.device, *, codes: bool) -> bool:
    """Whether the kernel attends in a model's steps on a device; `codes` says that the cache holds them."""
    known = not codes and (config.head_dim, dtype) in KNOWN and config.attention_cap is None
    return known and config.groups <= MOST_GROUP and reason_against(device) is None


@cache
def reason_against(device: torch.device) -> str | None:
    """Why the kernel does not run on a device; None where it does."""
    if device.type != "cuda":
        return "no CUDA device"
    if reason := missing():
        return reason
    major, minor = torch.cuda.get_device_capability(device)
    return None if major == 9 else f"compute capability {major}.{minor} is not 9.0"


def launch(run: Run, call: AttentionCall) -> None:
    """Reads each cached key and value once; rows with several chunks are joined by Triton's kernel."""
    config, rotation, qkv, positions = call.config, call.rotation, call.qkv, call.positions
    (keys, values), out, scratch, order = call.cache, call.out, call.scratch, call.order
    rows, capacity = len(positions), keys.shape[2]
    chunks = chunks_of(capacity)
    form = form_for(config.head_dim, bf16=qkv.dtype is torch.bfloat16, qk_norm=rotation.q_norm is not None)
    pointers = (qkv, rotation.q_norm, rotation.k_norm, rotation.cosines, rotation.sines, positions)
    sums = (None,) * 3 if scratch is None else (scratch.parts, scratch.extremes, scratch.totals)
    addresses = [None if t is None else t.data_ptr() for t in (*pointers, keys, values, out, *sums)]
    scale = config.head_dim**-0.5 * LOG2_E
    numbers = (rows, config.heads, config.kv_heads, capacity, call.window or 0, CHUNK, chunks, order)
    strides = (keys.stride(0), keys.stride(1))
    parameters = AttentionParams(*addresses, *strides, *numbers, scale, config.norm_eps)
    run(form, parameters, config.kv_heads * rows * chunks)
    if scratch is not None:
        combine(config, positions, scratch, out, capacity, order)


@cache
def runner_on(device: torch.device) -> Run:
    """Compiles each form once and launches it on the current stream of one device.

    While kernels are `asked` for, a form is put there to be compiled, and not launched.
    """

    @cache
    def kernel_of(form: Form) -> CompiledKernel:
        return CompiledKernel(
            form(), "attend", shared_bytes=form.shared_bytes, device=device, attribute=DEPENDENT
        )

    def run(form: Form, parameters: AttentionParams, blocks: int) -> None:
        found = asked.get()
        if found is not None:
            found.append(form)
            return
        kernel_of(form).launch(parameters, blocks=blocks, threads=32 * form.warps)

    return run
