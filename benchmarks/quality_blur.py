"""Weights that were quantized once, without their grid: noise of half a step on each side.

A model that was dequantized from a file of 4 to 8 bits has values on that file's lattice. A method whose
groups are the lattice's then meets values that it can hold exactly, and looks better than it is. Uniform
noise of half a step makes values anywhere between two points of the lattice as likely as on them.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import torch
from torch import Tensor

from quantbench.sources import ModelSource

RUN = 32  # inputs that share a step in the common block formats
LEAST_LEVELS = 15  # steps between a run's extremes
STEPS = 2.0**-11  # relative: closer values are one lattice point, rounded to 16 bits


def blurred(weight: Tensor, seed: int) -> Tensor:
    """`weight` [out, in] as float32 with noise between minus and plus half of each run's own step.

    The step of a run is its least distance between values that differ, but at most a fifteenth of its
    range: a run with one large value may hold two points of the lattice alone. A run of one value is left
    alone.
    """
    if weight.shape[1] % RUN:
        return weight.float()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    runs = weight.to(device).float().reshape(-1, RUN)
    ordered = runs.sort(-1).values
    gaps = ordered.diff(dim=-1)
    real = gaps > STEPS * ordered.abs().amax(-1, keepdim=True)
    step = torch.where(real, gaps, torch.inf).amin(-1, keepdim=True)
    step = torch.minimum(step, (ordered[:, -1:] - ordered[:, :1]) / LEAST_LEVELS)
    noise = torch.rand(runs.shape, generator=torch.Generator().manual_seed(seed)) - 0.5
    return (runs + step * noise.to(device)).reshape(weight.shape).cpu()


@dataclass(frozen=True)
class Blurred:
    """A ModelSource whose matrices, embedding and head apart, are blurred once and kept."""

    source: ModelSource
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def names(self) -> Collection[str]:
        return self.source.names()

    def tensor(self, name: str) -> Tensor:
        tensor = self.source.tensor(name)
        if tensor.dim() != 2 or "embed_tokens" in name or "lm_head" in name:
            return tensor
        if name not in self.kept:
            self.kept[name] = blurred(tensor, seed=crc32(name.encode()))
        return self.kept[name]
