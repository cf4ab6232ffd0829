"""Random weights in the exact shape of a known model: for size, speed and memory, which need no training.

Each tensor is drawn from the seed and its own name, a block of a million values at a time, so that it is
the same in any order and on any number of threads, and only one tensor exists at once. What such a model
writes is meaningless.
"""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantbench.errors import ModelError, unknown
from quantbench.sources.architectures import ARCHITECTURES, TINY
from quantbench.sources.layout import Shape, tensor_shapes

if TYPE_CHECKING:
    import torch

STD = 0.02  # as most families initialise; activations and logits stay far inside float16
BLOCK = 1 << 20  # values drawn from one generator


class RandomSource:
    """A ModelSource whose tensors are drawn when asked: matrices and biases normal, norms one."""

    def __init__(self, name: str, config: dict[str, Any], *, seed: int, note: str | None = None) -> None:
        shapes = tensor_shapes(config)
        if shapes is None:
            raise ModelError(f"no layout is known for '{config.get('model_type')}'; use a model with weights")
        self.name = name
        self.revision: str | None = None
        self.note: str | None = note or f"random weights, seed {seed}"
        self.warnings: tuple[str, ...] = ()
        self.config = config
        self.folder: Path | None = None
        self.checkpoint_bytes: int | None = None
        self._shapes: dict[str, Shape] = shapes
        self._seed = seed

    def names(self) -> list[str]:
        """Names of all tensors."""
        return list(self._shapes)

    def tensor(self, name: str) -> "torch.Tensor":
        """The tensor in bfloat16, always the same for the same seed and name."""
        if name not in self._shapes:
            raise ModelError(f"'{self.name}' has no tensor '{name}'; check its configuration")
        return draw(name, self._shapes[name], seed=self._seed)


def open_random(model: str, *, seed: int = 0) -> RandomSource:
    """'random:NAME' with NAME from ARCHITECTURES; ModelError with a close match for another name."""
    name = model.removeprefix("random:").lower()
    if name not in ARCHITECTURES:
        raise ModelError(unknown("random architecture", name, ARCHITECTURES))
    return RandomSource(model, dict(ARCHITECTURES[name]), seed=seed)


def placeholder(seed: int) -> RandomSource:
    """What 'builtin' is where the built-in model's files are missing."""
    note = "a tiny model with random weights, because the built-in model's files are missing"
    return RandomSource("builtin", dict(TINY), seed=seed, note=note)


def draw(name: str, shape: Shape, *, seed: int) -> "torch.Tensor":
    """A bfloat16 tensor: ones for a norm, normal with deviation STD for all else."""
    import torch

    if name.endswith("norm.weight"):
        return torch.ones(shape, dtype=torch.bfloat16)
    tensor = torch.empty(shape, dtype=torch.bfloat16)
    blocks = torch.split(tensor.view(-1), BLOCK)
    start = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:6], "big")

    def fill(index: int) -> None:
        generator = torch.Generator().manual_seed(start + index)
        values = torch.empty(blocks[index].shape)
        blocks[index].copy_(values.normal_(0.0, STD, generator=generator))

    if len(blocks) == 1:
        fill(0)
        return tensor
    with ThreadPoolExecutor(max_workers=min(len(blocks), os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(len(blocks))))
    return tensor
