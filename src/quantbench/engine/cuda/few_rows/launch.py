"""Products with few tokens on the GPU: forms of the kernel, compiled when they are first used.

What a launch computes in plain torch is `triton.linear.tiled_linear_reference`, of inputs in natural order.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from quantbench.decoding import held_scheme
from quantbench.engine.activations import ACTIVATIONS, SILU
from quantbench.engine.cuda.few_rows.variant import (
    MAX_TOKENS,
    Outcome,
    Variant,
    slices_for,
    takes,
    variant_for,
)
from quantbench.engine.cuda.nvrtc import DEPENDENT, CompiledKernel, compiled, missing
from quantbench.engine.cuda.packing import operand_of, parts_of, parts_with_rows
from quantbench.engine.cuda.products import Products
from quantbench.engine.cuda.sources import joined_source
from quantbench.engine.cuda.triton.interleave import NATURAL
from quantbench.engine.cuda.triton.linear import Epilogue
from quantbench.engine.parameters import Matrix, Parameters
from quantbench.weights.formats import MixedWeight


class ProductParams(ctypes.Structure):
    """`Product` of few_product.cuh, field by field."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("high", ctypes.c_void_p),
        ("sub", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("x", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        ("ids", ctypes.c_void_p),
        ("tokens", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("inputs", ctypes.c_int),
        ("row_bytes", ctypes.c_int),
        ("slices", ctypes.c_int),
        ("order", ctypes.c_int),
        ("out_stride", ctypes.c_int),
    )


Run = Callable[[Variant, ProductParams, int], None]  # with so many blocks


class FewRowProducts:
    """Takes over the packed matrices that it knows; x [tokens, in] is float16 in its natural order.

    Of a mixture, whose parts all want that order, each part goes its own way.
    """

    def __init__(self, others: Products, tokens: int, run: Run) -> None:
        self._others, self._tokens, self._run = others, tokens, run

    def _takes(self, matrix: Matrix) -> bool:
        return takes(matrix.weight, self._tokens)

    def order_of(self, matrix: Matrix) -> int:
        return NATURAL if self._takes(matrix) else self._others.order_of(matrix)

    def slices_of(self, matrix: Matrix) -> int:
        return slices_for(matrix.weight) if self._takes(matrix) else self._others.slices_of(matrix)

    def tiles_of(self, matrix: Matrix) -> int:
        if not self._takes(matrix):
            return self._others.tiles_of(matrix)
        return -(-matrix.weight.shape[0] // variant_for(matrix.weight, self._tokens, Outcome.BEST).outputs)

    def __call__(
        self,
        matrix: Matrix,
        x: Tensor,
        out: Tensor,
        *,
        epilogue: Epilogue = Epilogue.STORE,
        ids: Tensor | None = None,
        order: int = NATURAL,
    ) -> None:
        if isinstance(matrix.weight, MixedWeight) and epilogue is Epilogue.STORE and out.dim() == 2:
            for part, rows in parts_with_rows(matrix):
                self(part, x, out[:, rows])
            return
        if not self._takes(matrix):
            self._others(matrix, x, out, epilogue=epilogue, ids=ids, order=order)
            return
        outcome = (
            Outcome.SUMS if epilogue is Epilogue.STORE and out.dtype is torch.float32 else Outcome(epilogue)
        )
        variant = variant_for(matrix.weight, len(x), outcome)
        launch_product(self._run, variant, matrix, x, out, ids=ids, order=order)


def launch_product(
    run: Run,
    variant: Variant,
    matrix: Matrix,
    x: Tensor,
    out: Tensor,
    *,
    ids: Tensor | None = None,
    order: int = NATURAL,
) -> None:
    """x [tokens, in] times a matrix -> out (and ids), by one form of the kernel.

    Reads the packed weights once, x once a block. Partial sums [slices, tokens, out] have no bias.
    """
    operand, (outputs, inputs) = operand_of(matrix.weight), matrix.weight.shape
    slices = len(out) if out.dim() == 3 else 1
    columns = outputs // 2 if variant.outcome is Outcome.GATE else outputs
    scale = address(operand.scale)
    product = ProductParams(
        weights=operand.rows.data_ptr(),
        scale=None if variant.block else scale,
        scales=scale if variant.block else None,
        high=address(operand.high),
        sub=address(operand.sub),
        bias=None if out.dim() == 3 else address(matrix.bias),
        x=x.data_ptr(),
        out=out.data_ptr(),
        ids=address(ids),
        tokens=len(x),
        outputs=outputs,
        inputs=inputs,
        row_bytes=operand.rows.stride(0) * operand.rows.element_size(),
        slices=slices,
        order=order,
        out_stride=out.stride(-2),
    )
    run(variant, product, -(-columns // variant.outputs) * slices)


def address(tensor: Tensor | None) -> int | None:
    """Where it lies; None where there is none."""
    return None if tensor is None else tensor.data_ptr()


def few_row_products(model: Parameters, others: Products, tokens: int, run: Run | None = None) -> Products:
    """`FewRowProducts` where model, tokens and device let the kernel run, else `others`.

    `run` takes the place of launches.
    """
    parts = (part for matrix in model.matrices() for part in parts_of(matrix.weight))
    if not runs(model, tokens) or not any(takes(part, tokens) for part in parts):
        return others
    return FewRowProducts(others, tokens, run or runner_on(model.device))


def takes_layers(model: Parameters, tokens: int) -> bool:
    """Whether all matrices of the layers are multiplied by this kernel, at so many tokens."""
    matrices = (matrix for layer in model.layers for matrix in layer.matrices)
    return runs(model, tokens) and all(takes(matrix.weight, tokens) for matrix in matrices)


def runs(model: Parameters, tokens: int) -> bool:
    """Whether the kernel runs where the model is, with its activations."""
    device, config = model.device, model.config
    if tokens > MAX_TOKENS or model.dtype is not torch.float16 or missing():
        return False
    if device.type != "cuda" or torch.cuda.get_device_capability(device)[0] != 9:
        return False
    return config.gated and ACTIVATIONS[config.activation] is SILU


def noting(found: set[Variant]) -> Run:
    """In place of launches: notes the forms that they would take."""
    return lambda variant, product, blocks: found.add(variant)


def taken_scheme(model: Parameters, tokens: int) -> str:
    """How the matrices are held that the kernel multiplies with so many tokens, as 'W4/5'."""
    parts = (part for matrix in model.matrices() for part in parts_of(matrix.weight))
    return held_scheme({part.scheme: (part.scheme, 0) for part in parts if takes(part, tokens)})


@cache
def runner_on(device: torch.device) -> Run:
    """Compiles each form once and launches it on the current stream of one device."""
    kernel_of = cache(lambda variant: kernel(variant, device))

    def run(variant: Variant, product: ProductParams, blocks: int) -> None:
        kernel_of(variant).launch(product, blocks=blocks, threads=32 * variant.warps)

    return run


def kernel(variant: Variant, device: torch.device) -> CompiledKernel:
    """One form of the kernel, ready to be launched."""
    return CompiledKernel(
        machine_code(variant),
        "few_rows",
        shared_bytes=variant.shared_bytes,
        device=device,
        attribute=DEPENDENT,
    )


def machine_code(variant: Variant) -> bytes:
    """One form of the kernel compiled."""
    return compiled(joined_source("few_rows.cu"), variant.defines(), "sm_90a")
