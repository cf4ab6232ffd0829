"""What error feedback does to a group of inputs, by the kernels of a device: compiled where they can be."""

import torch

from quantbench.weights.quantizers.feedback import RoundGroup, round_group
from quantbench.weights.quantizers.feedback_grids import FindInt4, find_int4


def round_group_for(device: torch.device) -> RoundGroup:
    """C++ on a CPU, Triton on a GPU, plain torch where they cannot run."""
    if device.type == "cpu":
        from quantbench.engine.cpu.search import load_search, round_group_compiled

        return round_group if load_search() is None else round_group_compiled
    from quantbench.engine.cuda.support import triton_unsupported_reason
    from quantbench.engine.cuda.triton.round_group import round_group_triton

    return round_group if triton_unsupported_reason(device) else round_group_triton


def find_int4_for(device: torch.device) -> FindInt4:
    """C++ on a CPU, plain torch elsewhere."""
    if device.type == "cpu":
        from quantbench.engine.cpu.search import find_int4_compiled, load_search

        return find_int4 if load_search() is None else find_int4_compiled
    return find_int4
