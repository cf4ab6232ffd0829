"""How a weight matrix is held: one class a format, which owns every fact about it."""

from quantbench.weights.formats.beside import BesideWeight
from quantbench.weights.formats.block_rows import BlockRows
from quantbench.weights.formats.blocks import BlockWeight
from quantbench.weights.formats.float8 import Float8Weight
from quantbench.weights.formats.floats import FloatWeight
from quantbench.weights.formats.int4 import Int4Weight
from quantbench.weights.formats.int4_double import Int4DoubleWeight
from quantbench.weights.formats.int4_rows import Int4DoubleRows, Int4Rows
from quantbench.weights.formats.int8 import Int8Weight
from quantbench.weights.formats.int8_groups import Int8GroupsWeight
from quantbench.weights.formats.int8_rows import Int8GroupRows
from quantbench.weights.formats.integers import IntegerWeight
from quantbench.weights.formats.mixed import MixedWeight, PermutedWeight, stack
from quantbench.weights.formats.tables import TableWeight
from quantbench.weights.formats.weight import CpuOperand, GpuKind, GpuOperand, Weight

__all__ = [
    "BesideWeight",
    "BlockRows",
    "BlockWeight",
    "CpuOperand",
    "Float8Weight",
    "FloatWeight",
    "GpuKind",
    "GpuOperand",
    "Int4DoubleRows",
    "Int4DoubleWeight",
    "Int4Rows",
    "Int4Weight",
    "Int8GroupRows",
    "Int8GroupsWeight",
    "Int8Weight",
    "IntegerWeight",
    "MixedWeight",
    "PermutedWeight",
    "TableWeight",
    "Weight",
    "stack",
]
