"""Rows of GGUF blocks, held as the file holds them, byte for byte."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats.block_codes import HEADS, join_blocks, split_blocks
from quantbench.weights.formats.block_rows import BlockRows, code_scheme, named_format, scale_group
from quantbench.weights.formats.ggml_blocks import DEQUANTIZE
from quantbench.weights.formats.int4_rows import Int4Rows
from quantbench.weights.formats.int8_rows import Int8GroupRows
from quantbench.weights.formats.weight import CpuOperand, Weight, contiguous

if TYPE_CHECKING:
    from torch import Tensor

CPU_KINDS = {  # of cpu/kernels.cpp; plain torch multiplies the others
    "Q4_0": 16,
    "Q4_1": 17,
    "Q5_0": 18,
    "Q5_1": 19,
    "Q8_0": 20,
    "Q4_K": 21,
    "Q5_K": 22,
    "Q6_K": 23,
    "IQ4_NL": 24,
}
CENTRES = {"Q4_0": 8, "Q5_0": 16}  # codes that stand for zero
AT_ONCE = 1 << 22  # values dequantized together: temporaries of some 16 MiB


@dataclass(frozen=True, slots=True)
class BlockWeight(Weight):
    """Blocks uint8 [out, bytes of a row] of the GGUF type `kind`, as 'Q4_K'."""

    data: "Tensor"
    kind: str
    stored: str = ""  # the types of a file that this one stands in for

    @property
    def shape(self) -> tuple[int, int]:
        kind = TYPES_BY_NAME[self.kind]
        return (self.data.shape[0], self.data.shape[1] // kind.nbytes * kind.values)

    @property
    def scheme(self) -> str:
        """The bits of a code: 'W4' of Q4_0 and Q4_K; with scales they are a little more."""
        return code_scheme(self.kind)

    @property
    def format(self) -> str:
        return named_format(self.kind, self.stored)

    @property
    def group_size(self) -> int | None:
        return scale_group(self.kind)

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        kind = TYPES_BY_NAME[self.kind]
        data = self.data if rows is None else self.data[rows]
        out = torch.empty(len(data), self.shape[1], dtype=torch.float32, device=data.device)
        step = max(1, AT_ONCE // self.shape[1])
        for start in range(0, len(data), step):
            blocks = data[start : start + step].reshape(-1, kind.nbytes)
            out[start : start + step] = DEQUANTIZE[self.kind](blocks).reshape(-1, self.shape[1])
        return out

    def whole_rows(self) -> Weight | None:
        """The same values as rows of another format, their scales behind them; None where none has them.

        Q8_0 takes as many bytes, and up to 15 a row to fill its last 16; Q4_0 two more a group, its zero.
        """
        import torch

        out, inputs = self.shape
        if self.kind not in ("Q8_0", "Q4_0"):
            return None
        parts = self.data.reshape(out, inputs // 32, -1)
        scale = parts[..., :2].contiguous().view(torch.float16)  # [out, groups, 1]
        codes = parts[..., 2:].reshape(out, -1)
        if self.kind == "Q8_0":
            return Int8GroupRows.of(codes.view(torch.int8), scale[..., 0], self.kind)
        affine = torch.cat((scale, torch.zeros_like(scale)), dim=-1)
        return Int4Rows.of(codes, affine.reshape(out, -1).view(torch.uint8), 32, block=self.kind)

    def as_bytes(self) -> "BlockWeight | None":
        """The same values in Q8_0; None for a type whose values are no multiples of one scale."""
        if self.kind == "Q8_0":
            return self
        if self.kind not in CENTRES:
            return None
        codes, heads = split_blocks(self.kind, self.data.reshape(-1, TYPES_BY_NAME[self.kind].nbytes))
        data = join_blocks("Q8_0", codes - CENTRES[self.kind], heads)  # modulo 256
        return BlockWeight(data.reshape(len(self.data), -1), "Q8_0", self.kind)

    def gpu_layout(self) -> Weight:
        """The same bits as the GPU kernels fetch them; `BlockRows.blocks` is the way back."""
        return BlockRows.of(self.kind, self.data, self.stored) if self.has_gpu_kernel else self

    @property
    def has_gpu_kernel(self) -> bool:
        return self.kind in HEADS

    def cpu_operand(self) -> CpuOperand | None:
        if self.kind not in CPU_KINDS or not contiguous(self.data):
            return None
        inputs = TYPES_BY_NAME[self.kind].values
        return CpuOperand(kind=CPU_KINDS[self.kind], tensors=(self.data,), group_size=inputs)
