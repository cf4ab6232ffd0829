"""What a weight format says of itself: values, bytes, and which kernels take it.

A format is a frozen dataclass of tensors whose first dimension is the outputs. Its fields are the definition
of the format, what a checkpoint of ours would store. A kernel may want another layout of the same values
(`gpu_layout`, `cpu_layout`): it is then held instead of this one, never beside it. Biases are not part of a
weight. Torch is loaded where something is computed, so that bytes can be planned without it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class GpuKind(IntEnum):
    """How the GPU kernels tell formats apart, in Triton and in CUDA C++."""

    FLOAT = 0
    INT8 = 1
    INT4 = 2
    BLOCKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuOperand:
    """A weight as the GPU kernels read it."""

    kind: GpuKind
    rows: "Tensor"  # [out, ...]: floats, int8, or the bytes (uint8) of whole 4-bit rows
    words: "Tensor | None" = None  # 4-bit rows as int32
    scale: "Tensor | None" = None  # float32 [out], of 8-bit rows and of 4-bit ones with double quantization;
    # of 8-bit rows with groups float16 [out, in / group_size]
    group_size: int = 0  # 0 without groups; with double quantization of a pair of groups
    high: "Tensor | None" = None  # of blocks, as `block_rows` says; their `rows` are int32
    sub: "Tensor | None" = None
    block: str = ""  # the GGUF type of blocks

    @property
    def double(self) -> bool:
        """Whether the groups of 4-bit rows have steps and zeros of 8 bits."""
        return self.kind is GpuKind.INT4 and self.scale is not None

    @property
    def scale_stride(self) -> int:
        """From the scales of a row to those of the next, in elements; 0 where a row has one at most."""
        return 0 if self.scale is None or self.scale.dim() == 1 else self.scale.stride(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuOperand:
    """A weight as cpu/kernels.cpp reads it."""

    kind: int  # the number of its format there
    tensors: "tuple[Tensor, ...]"  # data, scale, zero: as many as the format has
    group_size: int = 0  # 0 without groups


class Weight(ABC):
    """A weight matrix [out, in] in one format. Whatever no kernel takes is dequantized by plain torch."""

    __slots__ = ("_gpu",)
    _gpu: "GpuOperand | None"  # what `gpu` made; no field of a format

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(out, in)."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """How it is held, as in 'W4'."""

    @abstractmethod
    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        """The values as float32 [out or len(rows), in]; rows int64."""

    @property
    def group_size(self) -> int | None:
        """Inputs that share a scale; None where a row or nothing has one."""
        return None

    @property
    def is_float(self) -> bool:
        """Whether the values are held as they are, so that nothing is gained by dequantizing them first."""
        return False

    @property
    def format(self) -> str:
        """What a reader of a table calls it: 'Q4_K', 'nf4'; the scheme where it has no name of its own."""
        return self.scheme

    @property
    def shared(self) -> tuple[str, ...]:
        """Fields that have no rows and are the same for all weights of the format."""
        return ()

    def tensors(self) -> "Iterator[tuple[str, Tensor]]":
        """Every tensor held, by its field's name."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if hasattr(value, "nbytes"):
                yield field.name, value

    def map(self, change: "Callable[[Tensor], Tensor]") -> Self:
        """The same format over changed tensors."""
        values = (getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]
        return type(self)(*(change(v) if hasattr(v, "nbytes") else v for v in values))

    def as_dtype(self, dtype: "torch.dtype") -> "Tensor":
        """The values in `dtype`, rounded once from float32."""
        return self.dequantize().to(dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors held."""
        return sum(tensor.nbytes for _, tensor in self.tensors())

    def read_bytes(self, rows: int) -> int:
        """What is read of it when only so many rows are needed, as in an embedding."""
        return self.nbytes * rows // self.shape[0]

    def gpu_layout(self) -> "Weight":
        """The layout that GPU kernels want; itself where they take it as it is."""
        return self

    def gpu_operand(self) -> GpuOperand | None:
        """For the GPU kernels; None where they do not know the format."""
        return None

    @property
    def has_gpu_kernel(self) -> bool:
        """Whether GPU kernels multiply its `gpu_layout`; what is costly to lay out says it without that."""
        return self.gpu_layout().gpu_operand() is not None

    @property
    def gpu(self) -> GpuOperand | None:
        """`gpu_operand`, made once: a step asks hundreds of times, and the device waits for the host."""
        try:
            return self._gpu
        except AttributeError:
            operand = self.gpu_operand()
            object.__setattr__(self, "_gpu", operand)
            return operand

    def cpu_layout(self, strip: int) -> "Weight":
        """The layout that CPU kernels want which take rows side by side in strips of so many, 0 for none.

        Itself where they take it as it is.
        """
        return self

    def cpu_operand(self) -> CpuOperand | None:
        """For the compiled CPU kernels; None where they do not know the format, or not in this shape."""
        return None


def contiguous(*tensors: "Tensor") -> bool:
    """Whether kernels that know no strides can read them."""
    return all(tensor.is_contiguous() for tensor in tensors)


VECTOR = 16  # floats that a CPU kernel takes at once: rows are a multiple of it wide
