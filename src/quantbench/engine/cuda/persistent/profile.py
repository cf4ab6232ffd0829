"""Where the time of a persistent step goes: clock ticks of each stage of a layer, as the blocks note them.

For tuning and for what bounds a step; a step that is compiled to note times is a few percent slower.
"""

import torch

from quantbench.engine.cuda.persistent.launch import StepArguments, codes_of, launcher, shape_of
from quantbench.engine.cuda.persistent.shape import MARKS, STAGES, StepShape
from quantbench.engine.cuda.state import StepState, allocate_state
from quantbench.engine.parameters import Parameters
from quantbench.settings import KvFormat


def stage_shares(model: Parameters, rows: int, context: int, kv: KvFormat | None = None) -> dict[str, float]:
    """Stage -> share of the layers' time of one block, at this many rows and tokens of context.

    The persistent kernel is compiled once more, to note times; its cache holds zeros.
    """
    device = model.device
    state = allocate_state(
        model.config, rows=rows, capacity=context + 16, dtype=model.dtype, device=device, kv=kv
    )
    for cache in state.caches():
        cache.zero_()
    state.positions.fill_(context)
    ticks = stage_ticks(model, state, shape_of(model, rows, times=True, codes=codes_of(state)))
    return {stage: value / sum(ticks.values()) for stage, value in ticks.items()}


def stage_ticks(
    model: Parameters, state: StepState, shape: StepShape, *, steps: int = 10, block: int = 1
) -> dict[str, float]:
    """Median clock ticks of one block in each stage over the layers after the first two.

    `shape.times` must be set. Makes `steps` steps of `state` (no logits), which therefore moves on.
    """
    arguments = StepArguments(model, state, shape)
    step = launcher(model, state, shape, arguments)
    layers = model.config.layers
    ticks = []
    for _ in range(steps):
        step()
        torch.cuda.synchronize()
        marks = arguments.times[block, : layers * MARKS].double().view(layers, MARKS)
        before = torch.cat((marks[:-1, -1:], marks[1:, :-1]), dim=1)
        ticks.append((marks[1:] - before)[1:])
    medians = torch.cat(ticks).median(dim=0).values.tolist()
    return dict(zip(STAGES, medians, strict=True))
