"""The search of `quantizers.int4_double` compiled: a third of the time of plain torch, or less, on a CPU.

With it what `quantizers.feedback` does to one group of inputs. A library of its own, so that it compiles
in a second.
"""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from quantbench.engine.cpu.build import FLAGS, Unit, load_unit
from quantbench.weights.formats import Int4DoubleWeight
from quantbench.weights.quantizers.blocks import require_finite

SOURCE = Path(__file__).with_name("int4_search.cpp")
SEARCH = Unit(stem="int4-search", sources=(SOURCE,), flags=(*FLAGS, "-fno-trapping-math"))
BLOCK = 1 << 22  # weights that are copied as float32 at once


@cache
def load_search() -> ctypes.CDLL | None:
    """The library, compiled if need be; None where it cannot be."""
    library = load_unit(SEARCH).kernels
    if library is not None:
        function = library.quantbench_search_int4
        function.argtypes = [*(ctypes.c_void_p,) * 2, *(ctypes.c_int64,) * 3, *(ctypes.c_void_p,) * 3]
        function.restype = None
        find, rounding = library.quantbench_find_int4, library.quantbench_round_group
        pointer, whole, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        find.argtypes = [pointer, whole, pointer, pointer, whole, whole, pointer, pointer]
        rounding.argtypes = [
            pointer, whole, pointer, whole, pointer, pointer, real, real, whole, whole, pointer, pointer,
        ]  # fmt: skip
        find.restype = rounding.restype = None
    return library


def quantize_compiled(
    name: str, weight: Tensor, *, group_size: int, importance: Tensor | None
) -> Int4DoubleWeight | None:
    """As `quantize_int4_double`, but for sums' last bits, where candidates are as good as equal.

    None for weights elsewhere than on a CPU, and where nothing can be compiled.
    """
    library = load_search() if weight.device.type == "cpu" else None
    if library is None:
        return None
    rows, columns = weight.shape
    groups = columns // group_size
    packed = torch.empty(rows, columns // 2, dtype=torch.uint8)
    affine = torch.empty(rows, groups, 2, dtype=torch.uint8)
    scale = torch.empty(rows, dtype=torch.float32)
    strengths = torch.ones(columns) if importance is None else importance.float().cpu().contiguous()
    step = max(1, BLOCK // columns)
    for start in range(0, rows, step):
        block = weight[start : start + step].float().contiguous()
        made = (part[start : start + step].data_ptr() for part in (packed, affine, scale))
        library.quantbench_search_int4(
            block.data_ptr(), strengths.data_ptr(), len(block), groups, group_size, *made
        )
    require_finite(name, weight, scale)
    return Int4DoubleWeight(packed, affine, scale)


def find_int4_compiled(w: Tensor, strengths: Tensor, by_row: Tensor) -> tuple[Tensor, Tensor]:
    """As `feedback_grids.find_int4`, but for sums' last bits; the library is there."""
    library = load_search()
    assert library is not None
    step, zero = torch.empty(len(w)), torch.empty(len(w))
    given = strengths.contiguous(), by_row.contiguous()
    library.quantbench_find_int4(
        w.data_ptr(),
        w.stride(0),
        *(part.data_ptr() for part in given),
        *w.shape,
        step.data_ptr(),
        zero.data_ptr(),
    )
    return step, zero


def round_group_compiled(
    w: Tensor, spread: Tensor, scale: Tensor, offset: Tensor, ends: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """As `feedback.round_group`, but for products' last bits; the library is there."""
    library = load_search()
    assert library is not None
    codes, errors = torch.empty(w.shape), torch.empty(w.shape)
    library.quantbench_round_group(
        w.data_ptr(), w.stride(0), spread.data_ptr(), spread.stride(0), scale.data_ptr(), offset.data_ptr(),
        *map(float, ends), *w.shape, codes.data_ptr(), errors.data_ptr(),
    )  # fmt: skip
    return codes, errors
