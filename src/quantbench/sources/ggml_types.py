"""The types of GGUF tensors: how many values a block holds, and in how many bytes.

Numbers and sizes are ggml's (ggml.h, gguf-py constants). A row is a whole number of blocks; their content
stands in weights/formats/ggml_blocks.py. Types that are not here are refused by name or number.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GgmlType:
    """One type; floats have one value a block."""

    name: str
    values: int  # of a block
    nbytes: int  # of a block

    @property
    def bits(self) -> float:
        """Bits per weight, scales included."""
        return 8 * self.nbytes / self.values


GGML_TYPES = {
    0: GgmlType("F32", 1, 4),
    1: GgmlType("F16", 1, 2),
    2: GgmlType("Q4_0", 32, 18),
    3: GgmlType("Q4_1", 32, 20),
    6: GgmlType("Q5_0", 32, 22),
    7: GgmlType("Q5_1", 32, 24),
    8: GgmlType("Q8_0", 32, 34),
    12: GgmlType("Q4_K", 256, 144),
    13: GgmlType("Q5_K", 256, 176),
    14: GgmlType("Q6_K", 256, 210),
    20: GgmlType("IQ4_NL", 32, 18),
    30: GgmlType("BF16", 1, 2),
    39: GgmlType("MXFP4", 32, 17),
}
KNOWN_BY_NUMBER = {  # types that exist and are not read, for an error that names them
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    29: "IQ1_M",
    34: "TQ1_0",
    35: "TQ2_0",
    40: "NVFP4",
}
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
TYPES_BY_NAME = {kind.name: kind for kind in GGML_TYPES.values()}
