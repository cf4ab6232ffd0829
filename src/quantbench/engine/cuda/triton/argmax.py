"""The end of a greedy step: the most likely token of every row, and the row's next position.

The head has left one candidate a weight tile; nothing else of the logits is kept.
"""

import torch
from torch import Tensor

from quantbench.decoding import NO_TOKEN
from quantbench.engine.cuda.state import StepState
from quantbench.engine.cuda.triton.language import gdc_wait, tl, triton
from quantbench.engine.cuda.triton.launch import dependent_launch, next_power_of_2, over


def argmax_reference(best: Tensor, ids: Tensor, state: StepState) -> None:
    """best float32, ids int32 [tiles, rows]: candidates in ascending order of ids. See `StepState`."""
    chosen = chosen_of(best, ids)
    for row in range(state.rows):
        position = int(state.positions[row])
        if not 0 <= position < state.capacity:
            continue
        state.tokens[row] = chosen[row]
        state.positions[row] = position + 1
        if position + 1 < state.capacity:
            state.output[row, position + 1] = chosen[row]


def chosen_of(best: Tensor, ids: Tensor) -> Tensor:
    """int32 [rows]: the id of the greatest candidate [tiles, rows], NO_TOKEN where that is not finite."""
    greatest, tile = best.max(dim=0)
    return torch.where(greatest.isfinite(), ids.gather(0, tile[None])[0], NO_TOKEN)


@triton.jit(do_not_specialize=["tiles", "rows", "capacity"])
def _argmax(
    best,
    ids,
    tokens,
    positions,
    output,
    tiles,
    rows,
    capacity,
    output_stride,
    BLOCK: tl.constexpr,
    NO_TOKEN: tl.constexpr,
    DEPENDENT: tl.constexpr,
):
    row = tl.program_id(0)
    i = tl.arange(0, BLOCK)
    if (
        DEPENDENT
    ):  # no kernel of the next step starts before this one ends: its attention reads the cache at once
        gdc_wait()
    values = tl.load(best + i * rows + row, mask=i < tiles, other=float("-inf"))
    values = tl.where(values < float("inf"), values, float("inf"))  # NaN too: it is never an index
    greatest, tile = tl.max(values, axis=0, return_indices=True)
    finite = (greatest < float("inf")) & (greatest > float("-inf"))
    token = tl.load(ids + tile * rows + row, mask=finite, other=NO_TOKEN)
    position = tl.load(positions + row)
    busy = (position >= 0) & (position < capacity)
    tl.store(tokens + row, token, mask=busy)
    tl.store(positions + row, position + 1, mask=busy)
    tl.store(
        output + row.to(tl.int64) * output_stride + position + 1, token, mask=busy & (position + 1 < capacity)
    )


def argmax(best: Tensor, ids: Tensor, state: StepState) -> None:
    """`argmax_reference` on the device."""
    tiles, rows = best.shape
    block = next_power_of_2(tiles)
    dependent = dependent_launch(best.device)
    over(_argmax, (rows,))(
        best,
        ids,
        state.tokens,
        state.positions,
        state.output,
        tiles,
        rows,
        state.capacity,
        state.output.stride(0),
        BLOCK=block,
        NO_TOKEN=NO_TOKEN,
        DEPENDENT=dependent,
        num_warps=4,
        launch_pdl=dependent,
    )
