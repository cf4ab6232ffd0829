"""What an export writes: the tensors of a model under a method, one at a time, in the order of the layout."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.errors import ModelError
from quantbench.sources import ModelSource
from quantbench.sources.families import family_of
from quantbench.sources.layout import Shape, tensor_shapes

if TYPE_CHECKING:
    from torch import Tensor

    from quantbench.weights.formats import Weight
    from quantbench.weights.readers import WeightReader

COMPUTED = "rotary_emb.inv_freq"  # a buffer of old checkpoints, not learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One named tensor: a matrix as its method holds it, or a vector (norm, bias) as its file does."""

    name: str
    weight: "Weight | None" = None
    vector: "Tensor | None" = None

    @property
    def module(self) -> str:
        """Its name without '.weight'."""
        return self.name.removesuffix(".weight")


def shapes_of(source: ModelSource) -> dict[str, Shape]:
    """Every tensor's shape; ModelError for a family whose layout is not known."""
    from quantbench.engine.config import unsupported

    shapes = tensor_shapes(source.config)
    reason = unsupported(source.config)
    if any(".experts." in name for name in shapes or ()):
        reason = "the layouts written here have no experts"
    elif (family := family_of(source.config)) is not None and family.renames:
        reason = "its family has names of its own for tensors, which are not written"
    if shapes is None or reason or any(len(shape) > 2 for shape in shapes.values()):
        why = reason or f"the layout of '{source.config.get('model_type')}' is not known"
        raise ModelError(
            f"'{source.name}' cannot be exported: {why}; use the program that made it to convert it"
        )
    return shapes


def parameters_of(source: ModelSource, reader: "WeightReader") -> Iterator[Parameter]:
    """Every parameter once, a tied head not at all; ModelError for tensors that the layout does not have."""
    from quantbench.weights.readers import read_tensor

    unused = set(source.names())
    for name, shape in shapes_of(source).items():
        if len(shape) == 2:
            unused -= set(reader.stored(name))
            yield Parameter(name=name, weight=reader(name, (shape[0], shape[1])).map(lambda t: t.cpu()))
        else:
            unused.discard(name)
            yield Parameter(name=name, vector=read_tensor(source, name, shape))
    if left := sorted(name for name in unused if not name.endswith(COMPUTED)):
        raise ModelError(
            f"'{source.name}' holds the tensor '{left[0]}', which has no place in the layout of its family; "
            "it cannot be exported"
        )
