"""Random matrices in the kernels' layout, and how far apart two tensors are."""

import torch
from torch import Tensor

from quantbench.engine.parameters import Matrix
from quantbench.weights.formats import (
    FloatWeight,
    Int4DoubleWeight,
    Int4Weight,
    Int8GroupsWeight,
    Int8Weight,
    Weight,
)

SCHEMES = ("float", "int8", "int8-groups", "int4", "double")
HALF = torch.float16


def random_weight(scheme: str, out: int, inputs: int, group: int, generator: torch.Generator) -> Weight:
    if scheme == "float":
        return FloatWeight((torch.randn(out, inputs, generator=generator) * inputs**-0.5).to(HALF))
    if scheme.startswith("int8"):
        q = torch.randint(-127, 128, (out, inputs), generator=generator, dtype=torch.int8)
        if scheme == "int8-groups":
            scale = torch.rand(out, inputs // group, generator=generator) * inputs**-0.5 / 40
            return Int8GroupsWeight(q, scale.to(HALF))
        return Int8Weight(q, torch.rand(out, generator=generator) * inputs**-0.5 / 40)
    packed = torch.randint(0, 256, (out, inputs // 2), generator=generator, dtype=torch.uint8)
    if scheme == "double":
        affine = torch.randint(1, 256, (out, 2 * inputs // group, 2), generator=generator, dtype=torch.uint8)
        return Int4DoubleWeight(packed, affine, torch.rand(out, generator=generator) * inputs**-0.5 / 999)
    scale = (torch.rand(out, inputs // group, generator=generator) * inputs**-0.5 / 4).to(HALF)
    zero = (torch.randn(out, inputs // group, generator=generator) * inputs**-0.5 / 4).to(HALF)
    return Int4Weight(packed, scale, zero)


def random_matrix(
    scheme: str,
    out: int,
    inputs: int,
    device: torch.device,
    *,
    group: int = 32,
    bias: bool = False,
    seed: int = 0,
) -> Matrix:
    generator = torch.Generator().manual_seed(seed)
    weight = random_weight(scheme, out, inputs, group, generator).gpu_layout()
    moved = weight.map(lambda tensor: tensor.to(device))
    values = torch.randn(out, generator=generator).to(device, HALF) if bias else None
    return Matrix(weight=moved, bias=values, parts=(("matrix", out),))


def normal(*shape: int, device: torch.device, dtype: torch.dtype = HALF, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(device, dtype)


def poisoned(*shape: int, device: torch.device, dtype: torch.dtype = HALF) -> Tensor:
    """Not a number everywhere: what a kernel forgets to write is seen."""
    return torch.full(shape, float("nan"), dtype=dtype, device=device)


def distance(found: Tensor, wanted: Tensor) -> float:
    """Relative in the Euclidean norm; nan when anything is missing."""
    found, wanted = found.double().cpu(), wanted.double().cpu()
    return float((found - wanted).norm() / wanted.norm())
