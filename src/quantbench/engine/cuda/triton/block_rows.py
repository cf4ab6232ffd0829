"""Rows of GGUF blocks as floats: for the embedding of tokens, and a whole matrix for prompts."""

from torch import Tensor

from quantbench.engine.cuda.packing import operand_of
from quantbench.engine.cuda.triton.block_tiles import block_tile
from quantbench.engine.cuda.triton.language import gdc_launch_dependents, gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, interpreted, over
from quantbench.weights.formats import Weight
from quantbench.weights.formats.block_rows import span_of


@triton.jit(do_not_specialize=["rows"])
def _block_rows(
    codes, scale, high, sub, ids, out, rows, held, width, TYPE: tl.constexpr, SPAN: tl.constexpr,
    ROWS: tl.constexpr, ASSEMBLY: tl.constexpr, DEPENDENT: tl.constexpr,
):  # fmt: skip
    span = tl.program_id(0)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    if DEPENDENT:
        gdc_launch_dependents()
        gdc_wait()
    if ids is None:
        n = tl.where(row < held, row, 0).to(tl.int64)
    else:
        n = tl.load(ids + row, mask=row < rows, other=0).to(tl.int64)
        n = tl.where((n >= 0) & (n < held), n, 0)
    values = block_tile(codes, scale, high, sub, n, span, width, TYPE, SPAN, ROWS, tl.float32, ASSEMBLY)
    i = span * SPAN + tl.arange(0, SPAN)
    at = out + row.to(tl.int64)[:, None] * width + i[None, :]
    tl.store(at, values.to(out.dtype.element_ty), mask=(row < rows)[:, None])


def block_rows(weight: Weight, out: Tensor, ids: Tensor | None = None) -> None:
    """out [rows, in] in its own type: the weight's rows `ids`, int32 [rows], or all of them.

    A row that the weight does not have counts as row 0. Computed in float32, rounded once.
    """
    operand = operand_of(weight)
    rows, width = out.shape
    span, height = span_of(width), 16 if ids is None else 1
    dependent = ids is not None and dependent_launch(out.device)
    over(_block_rows, (width // span, triton.cdiv(rows, height)))(
        operand.rows, operand.scale, operand.high, operand.sub, ids, out, rows, weight.shape[0], width,
        TYPE=operand.block, SPAN=span, ROWS=height, ASSEMBLY=not interpreted(), DEPENDENT=dependent,
        num_warps=4 if ids is None else 1, launch_pdl=dependent,
    )  # fmt: skip
