"""Which device holds what of a model that lies on several; judges nothing."""

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from quantbench.decoding import Decoder
from quantbench.measure.size import storage_bytes
from quantbench.measure.storage import module_of
from quantbench.records import HeldPlace

if TYPE_CHECKING:
    import torch

LAYER = re.compile(r"\.(\d+)\.")  # the first number in a tensor's name


def places_of(decoder: Decoder) -> tuple[HeldPlace, ...]:
    """Each device with the modules that lie there and their bytes, in the order of the forward pass."""
    found: dict[str, list[tuple[str, torch.Tensor]]] = {}
    for name, tensor in decoder.resident_tensors():
        found.setdefault(str(tensor.device), []).append((name, tensor))
    return tuple(
        HeldPlace(
            device=device,
            holds=described([name for name, _ in tensors]),
            nbytes=storage_bytes(tensor for _, tensor in tensors),
        )
        for device, tensors in found.items()
    )


def described(names: Iterable[str]) -> str:
    """'embedding, layers 0 to 11' of the names of tensors."""
    layers: set[int] = set()
    parts: dict[str, None] = {}
    for name in names:
        number = LAYER.search(name)
        if number:
            layers.add(int(number[1]))
            parts["layers"] = None
        else:
            parts[module_of(name.partition(":")[0], tied=False)] = None
    return ", ".join(spans(sorted(layers)) if part == "layers" else part for part in parts)


def spans(numbers: Sequence[int]) -> str:
    """'layers 0 to 11', 'layer 3', 'layers 0 to 2 and 5' of ascending numbers."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    told = [str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    return f"{'layer' if len(numbers) == 1 else 'layers'} {' and '.join(told)}"
