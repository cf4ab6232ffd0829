"""The shape that the persistent kernel is compiled for, and which models it can run; nothing is run here."""

import math
from dataclasses import dataclass

import torch

from quantbench.decoding import NO_TOKEN
from quantbench.engine.activations import ACTIVATIONS, SILU
from quantbench.engine.cuda.packing import kind_of, operand_of
from quantbench.engine.parameters import Parameters
from quantbench.engine.plain_layers import beyond_plain_layers
from quantbench.weights.formats import GpuKind, Weight

SLICE = (
    128  # inputs that a warp takes at once: one group of the 4-bit default, a whole number of smaller ones
)
MAX_ROWS = 4  # above, the step in Triton was faster; a tensor-core product would hold 8 columns
WARPS = 7  # that compute, beside the one that copies: 8 warps may use 255 registers a thread
# Texts of up to SHORT_SPLITS times SHORT_SPLIT positions are attended to in at most so many runs, whose parts
# every block reads for itself; 2 or 3 runs were slower. Longer texts have more, which a block a head joins.
SHORT_SPLIT, SHORT_SPLITS = 448, 4
MAX_LONG_SPLITS = 60  # bounds the parts that one block joins, four at a time; not tuned
# The stages whose ends a block notes, where asked to: the columns of `times`.
STAGES = (
    "norm, queries, keys, values",
    "attention",
    "wait for attention",
    "output",
    "norm, gate, up, activation",
    "wait for the activations",
    "down",
)
MARKS = len(STAGES)
SLOT_LIMIT = 32 * 1024  # bytes of a tile, at most: the ring needs several; larger ones gained int8 nothing
IN_FLIGHT = 24 * 1024  # bytes of weights on their way to a block at once; see `flight_bytes`
FLOAT, INT8, INT4 = GpuKind.FLOAT, GpuKind.INT8, GpuKind.INT4
LARGE_LAYER = 45 << 20  # bytes: what the shared memories of a device hold one and a half times
SCALE_BYTES = {INT8: 2, INT4: 4}  # of a group


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShape:
    """What the kernel is compiled for; lengths in elements."""

    rows: int
    blocks: int
    shared_bytes: int  # of a block, at most
    warps: int = WARPS
    short_split: int = SHORT_SPLIT
    short_splits: int = SHORT_SPLITS
    least_run: int = 16 * WARPS  # positions that a block attends to at least, where there are as many
    slot_limit: int = SLOT_LIMIT
    in_flight: int = IN_FLIGHT
    times: bool = False  # whether each block notes clock ticks at every stage
    kv_codes: int = 0  # format of the cache's codes; 0 is 16 bits
    ask_ahead: bool = True  # whether a layer's cache is fetched into the second-level cache a layer ahead

    def defines(self, model: Parameters) -> dict[str, object]:
        """The kernel's macros for this model."""
        config = model.config
        kinds = {"LAYER": model.layers[0].qkv, "HEAD": model.head, "EMBEDDING": model.embedding}
        return {
            "LAYERS": config.layers,
            "HIDDEN": config.hidden_size,
            "HEADS": config.heads,
            "KV_HEADS": config.kv_heads,
            "HEAD_DIM": config.head_dim,
            "INTERMEDIATE": config.intermediate_size,
            "VOCAB": config.vocab_size,
            **{f"{name}_KIND": int(kind_of(matrix.weight)) for name, matrix in kinds.items()},
            "GROUP": group_size(model, INT4) or 128,  # something, where there is none
            "INT8_GROUP": group_size(model, INT8),
            "DOUBLE": int(any(double_of(model))),
            "BF16": int(model.dtype == torch.bfloat16),
            "QK_NORM": int(config.qk_norm),
            "SMOOTHING": int(model.layers[0].smoothing is not None),
            "SOFTMAX_SCALE": f"{1 / math.sqrt(config.head_dim):.9g}f",
            "ROWS": self.rows,
            "BLOCKS": self.blocks,
            "WARPS": self.warps,
            "SHORT_SPLIT": self.short_split,
            "LEAST_RUN": self.least_run,
            "SHORT_SPLITS": self.short_splits,
            "LONG_SPLITS": self.long_splits(config.kv_heads),
            "SLOT_BYTES": self.slot_bytes(model),
            "IN_FLIGHT_BYTES": self.flight_bytes(model),
            "SHARED_LIMIT": self.shared_bytes,
            "TIMES": int(self.times),
            "KV_CODES": self.kv_codes,
            "ASK_AHEAD": int(self.ask_ahead),
            "SLICE": SLICE,
            "MARKS": MARKS,
            "NO_TOKEN": NO_TOKEN,
            **{f"KIND_{kind.name}": int(kind) for kind in GpuKind},
        }

    def long_splits(self, kv_heads: int) -> int:
        """Into how many parts a long text is split, so that each block has about one."""
        return max(1, min(MAX_LONG_SPLITS, self.blocks // (self.rows * kv_heads)))

    def flight_bytes(self, model: Parameters) -> int:
        """Bytes of weights that may be on their way to a block at once, while it computes layers.

        Where a layer's weights about fit into shared memory, few: the values that blocks hand to each other
        would queue behind them. Where weights take most of the time, as many as there is room for.
        """
        config, kind = model.config, kind_of(model.layers[0].qkv.weight)
        group = group_size(model, kind)
        outputs = 2 * (config.q_size + config.kv_size + config.intermediate_size)  # all but of `down`
        layer = tile_bytes(kind, group, outputs, config.hidden_size) + tile_bytes(
            kind, group, config.hidden_size, config.intermediate_size
        )
        return self.in_flight if layer < 1.5 * self.blocks * self.shared_bytes else self.shared_bytes

    def slot_bytes(self, model: Parameters) -> int:
        """Bytes of a tile: whole rows of a layer where the limit lets them, else what a chunk takes."""
        config, weights = model.config, (model.layers[0].qkv.weight, model.head.weight)
        kinds = {(kind_of(weight), group_size(model, kind_of(weight))) for weight in weights}
        rows = 8 if -(-config.hidden_size // self.blocks) <= 8 else 16  # of the down projection in one tile
        whole = [tile_bytes(*kind, 16, config.hidden_size) for kind in kinds]
        down = [tile_bytes(*kind, rows, config.intermediate_size) for kind in kinds]
        least = max(tile_bytes(*kind, 16, least_chunk(*kind), padded=True) for kind in kinds)
        most = max(whole + down) if max(down) <= self.slot_limit else max(whole)
        return max(min(most, self.slot_limit), least)


def tile_bytes(kind: GpuKind, group: int, rows: int, inputs: int, *, padded: bool = False) -> int:
    """Of rows in shared memory; chunks of rows are padded so that they lie 64 bytes apart modulo 128."""
    row = inputs * {FLOAT: 16, INT8: 8, INT4: 4}[kind] // 8
    if group:
        scales = -(-inputs // group) * SCALE_BYTES[kind]
        row += -(-scales // 16) * 16
    return int(rows * (-(-(row + 64) // 128) * 128 - 64 if padded else row))


def least_chunk(kind: GpuKind, group: int) -> int:
    """Inputs of the smallest chunk: a slice at least, whose scales are a multiple of 16 bytes."""
    return max(SLICE, 16 // SCALE_BYTES[kind] * group) if group else SLICE


def group_size(model: Parameters, kind: GpuKind) -> int:
    """Of the matrices of a kind; 0 where rows have one scale, or there are none."""
    return max(group_sizes(model, kind), default=0)


def group_sizes(model: Parameters, kind: GpuKind) -> set[int]:
    """Of the matrices of a kind; 0 where rows have one scale."""
    return {operand_of(m.weight).group_size for m in model.matrices() if kind_of(m.weight) is kind}


def scales_lie_behind(weight: Weight) -> bool:
    """Whether the scales of 8-bit groups follow each row, as in `Int8GroupRows`; True for other weights."""
    if kind_of(weight) is not INT8:
        return True
    operand = operand_of(weight)
    if not operand.group_size or operand.scale is None:
        return True
    rows, scale = operand.rows, operand.scale
    size = tile_bytes(INT8, operand.group_size, 1, rows.shape[1])
    return rows.stride(0) == size and scale.data_ptr() == rows.data_ptr() + rows.shape[1]


def double_of(model: Parameters) -> set[bool]:
    """Whether 4-bit matrices have double quantization."""
    return {operand_of(m.weight).double for m in model.matrices() if kind_of(m.weight) is INT4}


def rows_for(model: Parameters, *, few_rows: bool = False) -> int:
    """Up to how many rows this step is the faster one; `few_rows` says that the products of few rows run.

    Where 4-bit layers are larger than the shared memories of a device, one: with more, what every block reads
    of the others' results costs more than launches do. With those products none: they read as fast.
    """
    layer = sum(matrix.weight.nbytes for matrix in model.layers[0].matrices)
    four = kind_of(model.layers[0].qkv.weight) is INT4
    if not four or layer <= LARGE_LAYER:
        return MAX_ROWS
    return 0 if few_rows else 1


def blocks_for(model: Parameters, multiprocessors: int) -> int:
    """One block a multiprocessor, but each must own a row of every matrix.

    Packed weights leave time to spare, so that equal shares matter more than all multiprocessors: the hidden
    size is split evenly where that costs at most a fifth of them.
    """
    config = model.config
    most = min(multiprocessors, config.hidden_size, config.intermediate_size, config.q_size)
    if kind_of(model.layers[0].qkv.weight) == FLOAT:
        return most
    even = (n for n in range(most, most * 4 // 5, -1) if config.hidden_size % n == 0)
    return next(even, most)


def unsupported_reason(model: Parameters) -> str | None:
    """Why the kernel cannot run this model, whatever the device; None when it can."""
    config = model.config
    if model.dtype not in (torch.float16, torch.bfloat16):
        return f"activations are {model.dtype}"
    if ACTIVATIONS[config.activation] is not SILU:
        return f"the activation '{config.activation}' has no kernel"
    if others := beyond_plain_layers(config):
        return f"{others} are not in it"
    if not config.rope.uniform:
        return "a part of each head is rotated and scaled"
    if any(kind_of(m.weight) is GpuKind.BLOCKS for m in model.matrices()):
        return "weights are GGUF blocks"
    floats = {FLOAT} if model.dtype == torch.bfloat16 else {FLOAT, INT8, INT4}
    layers = {kind_of(m.weight) for layer in model.layers for m in layer.matrices}
    if len(layers) > 1 or not layers | {kind_of(model.head.weight)} <= floats:
        return f"weights mix forms, or are packed beside {model.dtype} activations"
    if any(m.weight.is_float and operand_of(m.weight).rows.dtype != model.dtype for m in model.matrices()):
        return "float weights are not of the activations' type"
    for kind, bits in ((INT4, 4), (INT8, 8)):
        sizes = group_sizes(model, kind)
        if len(sizes) > 1 or not sizes <= {32, 64, 128, *([0] if kind is INT8 else [])}:
            return f"group sizes {sorted(sizes)} of {bits}-bit weights are not one of 32, 64 and 128"
    if not all(scales_lie_behind(m.weight) for m in model.matrices()):
        return "scales of 8-bit groups do not lie behind their rows"
    if len(double_of(model)) > 1:
        return "4-bit weights with and without double quantization are mixed"
    unit = max(64, group_size(model, INT8)) if INT8 in layers else 32
    if any(n % unit for n in (config.hidden_size, config.intermediate_size, config.q_size)):
        return f"a matrix has inputs that are not a multiple of {unit}"
    if config.head_dim not in (32, 64, 128) or config.heads // config.kv_heads > 8:
        return f"heads of {config.head_dim} dimensions, {config.heads} over {config.kv_heads}"
    return None
