"""Products with few tokens on the GPU: forms of the kernel, compiled when they are first used.

What a launch computes in plain torch is `triton.linear.tiled_linear_reference`, of inputs in natural order.
"""

import ctypes
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

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
from quantbench.engine.cuda.packing import operand_of
from quantbench.engine.cuda.products import Products
from quantbench.engine.cuda.sources import joined_source
from quantbench.engine.cuda.triton.interleave import NATURAL
from quantbench.engine.cuda.triton.linear import Epilogue
from quantbench.engine.parameters import Matrix, Parameters


class ProductParams(ctypes.Structure):
    """`Product` of few_rows.cu, field by field."""

    _fields_ = (
        ("weights", ctypes.c_void_p),
        ("scale", ctypes.c_void_p),
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
    )


Run = Callable[[Variant, ProductParams, int], None]  # with so many blocks


class FewRowProducts:
    """Takes over the 4-bit matrices of other products; x [tokens, in] is float16 in its natural order."""

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
    product = ProductParams(
        weights=operand.rows.data_ptr(),
        scale=None if operand.scale is None else operand.scale.data_ptr(),
        bias=None if matrix.bias is None or out.dim() == 3 else matrix.bias.data_ptr(),
        x=x.data_ptr(),
        out=out.data_ptr(),
        ids=None if ids is None else ids.data_ptr(),
        tokens=len(x),
        outputs=outputs,
        inputs=inputs,
        row_bytes=operand.rows.stride(0),
        slices=slices,
        order=order,
    )
    run(variant, product, -(-columns // variant.outputs) * slices)


def few_row_products(model: Parameters, others: Products, tokens: int, run: Run | None = None) -> Products:
    """`FewRowProducts` where model, tokens and device let the kernel run, else `others`.

    `run` takes the place of launches.
    """
    if not runs(model, tokens) or not any(takes(matrix.weight, tokens) for matrix in model.matrices()):
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
