"""Which form of the kernel of few_rows.cu a product takes, and which products it takes; nothing is run here.

A form fixes how a block's work is cut and with that the order of sums, which therefore depends on the number
of tokens: not for results that must be the same in every batch.
"""

from dataclasses import dataclass
from enum import IntEnum

from quantbench.engine.cuda.packing import operand_of
from quantbench.weights.formats import GpuKind, GpuOperand, MixedWeight, Weight
from quantbench.weights.formats.block_rows import HIGH_BITS

MAX_TOKENS = 16
GROUPS = (32, 64, 128)  # that divide the 128 inputs of a piece
BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")  # GGUF types, numbered from 1
PIECE = 128  # inputs that a warp takes at once
MAX_BYTES = 1 << 32  # of a matrix: places in it are 32-bit numbers
HUGE = 65536  # outputs of a head
WIDE = 8192  # outputs from which on blocks are many whatever their size: gate and up
MIDDLE = 4096  # outputs
LONG = 2048  # inputs
MOST_SLICES, ENOUGH = (
    8,
    256,
)  # partial sums, all of which the norm behind them reads; blocks that fill a device
SHARED_BYTES = 227 * 1024  # of a multiprocessor, for its blocks together
REGISTERS = 65536  # the same


class Outcome(IntEnum):
    """What becomes of the sums; the first three are `triton.linear.Epilogue`."""

    STORE = 0  # float16
    GATE = 1
    BEST = 2
    SUMS = 3  # float32, a slice of the inputs behind the other


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What the kernel is compiled for."""

    outcome: Outcome
    tiles: int  # of 16 rows a block
    columns: int  # of 8 tokens
    group: int = 32
    double: bool = False
    block: str = ""  # the GGUF type of blocks, which have groups of their own
    warps: int = 4
    stages: int = 4

    @property
    def outputs(self) -> int:
        """Of a block."""
        return self.tiles * (8 if self.outcome is Outcome.GATE else 16)

    @property
    def shared_bytes(self) -> int:
        """Of a block."""
        return self.warps * self.stages * (self._block_stage() if self.block else self._group_stage())

    def _group_stage(self) -> int:
        """Bytes of a piece of 4-bit rows: nibbles, inputs, scales."""
        return 1024 * self.tiles + 2048 * self.columns + 64 * self.tiles * (PIECE // self.group)

    def _block_stage(self) -> int:
        """Bytes of a piece of blocks: codes, the bits above them, scales, inputs."""
        codes = (2048 if self.block == "Q8_0" else 1024) * self.tiles
        high = 256 * self.tiles * HIGH_BITS.get(self.block, 0) or -(-8 * self.tiles // 16) * 16
        return codes + high + 256 * self.tiles + 16 * (PIECE + 8) * self.columns

    @property
    def least_blocks(self) -> int:
        """Blocks of a multiprocessor that the compiler leaves registers for."""
        registers = (128 if self.block else 96) + 8 * self.tiles * self.columns
        by_registers = REGISTERS // (32 * self.warps * registers)
        return max(1, min(by_registers, SHARED_BYTES // (self.shared_bytes + 1024)))

    def defines(self) -> dict[str, object]:
        """The kernel's macros."""
        numbers = {name: number for number, name in enumerate(BLOCKS, start=1)}
        return {
            "BF16": 0,
            "BLOCK": numbers.get(self.block, 0),
            "GROUP": self.group,
            "DOUBLE": int(self.double),
            "TILES": self.tiles,
            "COLUMNS": self.columns,
            "WARPS": self.warps,
            "STAGES": self.stages,
            "LEAST_BLOCKS": self.least_blocks,
            "SHARED_LIMIT": self.shared_bytes,
            "EPILOGUE": int(self.outcome),
            **{f"EPILOGUE_{outcome.name}": int(outcome) for outcome in Outcome},
            **{f"BLOCK_{name}": number for name, number in numbers.items()},
        }


def takes(weight: Weight, tokens: int) -> bool:
    """Whether the kernel multiplies a matrix with so many tokens of float16 activations."""
    if isinstance(weight, MixedWeight) or not knows(operand_of(weight), weight.shape[1]):
        return False
    rows, (out, inputs) = operand_of(weight).rows, weight.shape
    if tokens > 8 and out >= HUGE and inputs < LONG:
        return False  # the tiled kernel is faster
    return rows.is_contiguous() and rows.nbytes < MAX_BYTES


def knows(operand: GpuOperand, inputs: int) -> bool:
    """Whether the kernel has a form for rows of so many inputs."""
    if operand.kind is GpuKind.BLOCKS:
        return operand.block in BLOCKS and inputs % PIECE == 0
    return operand.kind is GpuKind.INT4 and operand.group_size in GROUPS and inputs % operand.group_size == 0


def variant_for(weight: Weight, tokens: int, outcome: Outcome) -> Variant:
    """The form for a matrix, a number of tokens and what becomes of the sums.

    The outcome of timing some 60 forms of each product of Llama-3.1-8B and Qwen2.5-0.5B at 4, 8 and 16
    tokens on an H100: benchmarks/few_rows.py --products. Blocks take the same forms.
    """
    operand, columns = operand_of(weight), 1 if tokens <= 8 else 2
    tiles, warps, stages = _cut(weight.shape[0], columns, sliced=outcome is Outcome.SUMS)
    return Variant(
        group=operand.group_size,
        double=operand.double,
        block=operand.block,
        outcome=outcome,
        tiles=tiles,
        columns=columns,
        warps=warps,
        stages=stages,
    )


def _cut(out: int, columns: int, *, sliced: bool) -> tuple[int, int, int]:
    """Tiles, warps and stages of a block."""
    if out >= WIDE:
        return (3, 4, 2 if columns == 2 or out >= HUGE else 3)
    if sliced:
        wide = columns == 2 and out >= MIDDLE
        return (4 if wide else 2, 8, 2 if wide or columns == 1 else 3)
    if out >= MIDDLE:
        return (1 + columns, 8, 2)
    return (1, 4, 3) if columns == 1 else (1, 8, 4)


def slices_for(weight: Weight) -> int:
    """In how many partial sums a product into the residual stream comes; of two pieces at least."""
    out, inputs = weight.shape
    return max(1, min(MOST_SLICES, ENOUGH // -(-out // 32), inputs // (2 * PIECE)))
