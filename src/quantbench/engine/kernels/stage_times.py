"""Where the time of a persistent step goes: clock ticks of each stage of a layer, as the blocks note them.

For tuning and for the log; a step that is compiled to note times is a few percent slower than another.
"""

import torch

from quantbench.engine.kernels.few_rows import StepArguments, launcher
from quantbench.engine.kernels.layout import PackedModel
from quantbench.engine.kernels.step_shape import MARKS, StepShape
from quantbench.engine.state import StepState

STAGES = (
    "norm, queries, keys, values",
    "attention",
    "wait for attention",
    "output",
    "norm, gate, up, activation",
    "wait for the activations",
    "down",
)


def stage_ticks(
    model: PackedModel, state: StepState, shape: StepShape, *, steps: int = 10, block: int = 1
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
