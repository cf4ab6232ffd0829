"""The shape that the persistent kernel is compiled for, and which models it can run; nothing is run here."""

import math
from dataclasses import dataclass
from statistics import mean

import torch

from quantbench.decoding import NO_TOKEN
from quantbench.engine.activations import ACTIVATIONS, SILU
from quantbench.engine.cuda.packing import kind_of, operand_of
from quantbench.engine.cuda.persistent.forms import (
    FLOAT,
    MOST_FORMS,
    SLICE,
    WHOLE_BLOCK,
    ModelForms,
    form_of,
    reason_against_form,
    weights_of,
)
from quantbench.engine.parameters import Parameters
from quantbench.engine.plain_layers import beyond_plain_layers
from quantbench.weights.formats import GpuKind

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
LARGE_LAYER = 45 << 20  # bytes: what the shared memories of a device hold one and a half times


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
        return {
            **ModelForms.of(model).defines(),
            "LAYERS": config.layers,
            "HIDDEN": config.hidden_size,
            "HEADS": config.heads,
            "KV_HEADS": config.kv_heads,
            "HEAD_DIM": config.head_dim,
            "INTERMEDIATE": config.intermediate_size,
            "VOCAB": config.vocab_size,
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
        }

    def long_splits(self, kv_heads: int) -> int:
        """Into how many parts a long text is split, so that each block has about one."""
        return max(1, min(MAX_LONG_SPLITS, self.blocks // (self.rows * kv_heads)))

    def flight_bytes(self, model: Parameters) -> int:
        """Bytes of weights that may be on their way to a block at once, while it computes layers.

        Where a layer's weights about fit into shared memory, few: the values that blocks hand to each other
        would queue behind them. Where weights take most of the time, as many as there is room for.
        """
        room = 1.5 * self.blocks * self.shared_bytes
        return self.in_flight if layer_bytes(model) < room else self.shared_bytes

    def slot_bytes(self, model: Parameters) -> int:
        """Bytes of a tile: whole rows of a layer where the limit lets them, else what a chunk takes."""
        config, forms = model.config, ModelForms.of(model)
        rows = 8 if self.rows_of_hidden(model) <= 8 else 16  # of the down projection in one tile
        whole = [form.tile_bytes(16, config.hidden_size) for form in forms.every()]
        down = [form.tile_bytes(rows, config.intermediate_size) for form in forms.down]
        least = max(form.tile_bytes(16, form.least_chunk, padded=True) for form in forms.every())
        most = max(whole + [size for size in down if size <= self.slot_limit])
        return max(min(most, self.slot_limit), least)

    def rows_of_hidden(self, model: Parameters) -> int:
        """Of the residual stream that a block owns, at most."""
        granule = ModelForms.of(model).granule
        return -(-model.config.hidden_size // granule // self.blocks) * granule


def layer_bytes(model: Parameters) -> float:
    """Of the weights of a layer."""
    return mean(sum(weight.nbytes for weight in weights_of(layer)) for layer in model.layers)


def rows_for(model: Parameters, *, few_rows: bool = False) -> int:
    """Up to how many rows this step is the faster one; `few_rows` says that the products of few rows run.

    Where layers of 4 bits or blocks are larger than the shared memories of a device, one: with more, what
    every block reads of the others' results costs more than launches do. With those products none: they read
    as fast.
    """
    layer = sum(matrix.weight.nbytes for matrix in model.layers[0].matrices)
    small = kind_of(model.layers[0].qkv.weight) in (GpuKind.INT4, GpuKind.BLOCKS)
    if not small or layer <= LARGE_LAYER:
        return MAX_ROWS
    return 0 if few_rows else 1


def blocks_for(model: Parameters, multiprocessors: int) -> int:
    """One block a multiprocessor, but each must own a row of every matrix, or as many as stay together.

    Packed weights leave time to spare, so that equal shares matter more than all multiprocessors: the hidden
    size is split evenly where that costs at most a fifth of them.
    """
    config, forms = model.config, ModelForms.of(model)
    hidden = config.hidden_size // forms.granule
    most = min(multiprocessors, hidden, config.intermediate_size // forms.granule)
    most = min(most, config.q_size // forms.granule)
    if all(form.kind is FLOAT for form in forms.qkv + forms.gate_up):
        return most
    even = (n for n in range(most, most * 4 // 5, -1) if hidden % n == 0)
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
    if reason := next(filter(None, map(reason_against_form, model.matrices())), None):
        return reason
    if any(len(place) > MOST_FORMS for place in ModelForms.of(model).of_layers):
        return f"one place of the layers has more than {MOST_FORMS} formats"
    forms = set(ModelForms.of(model).every())
    if model.dtype == torch.bfloat16 and any(form.kind is not FLOAT for form in forms):
        return f"weights are packed beside {model.dtype} activations"
    if any(m.weight.is_float and operand_of(m.weight).rows.dtype != model.dtype for m in model.matrices()):
        return "float weights are not of the activations' type"
    if any(n % 32 for n in (config.hidden_size, config.intermediate_size, config.q_size)):
        return "a matrix has inputs that are not a multiple of 32"
    if reason := reason_against_chunks(model):
        return reason
    if config.head_dim not in (32, 64, 128) or config.heads // config.kv_heads > 8:
        return f"heads of {config.head_dim} dimensions, {config.heads} over {config.kv_heads}"
    return None


def reason_against_chunks(model: Parameters) -> str | None:
    """Why rows of blocks that are longer than a slot cannot be cut; None where they can, or are not."""
    for matrix in model.matrices():
        form, inputs = form_of(matrix.weight), matrix.weight.shape[1]
        if form.block and inputs % WHOLE_BLOCK and form.tile_bytes(16, inputs) > SLOT_LIMIT:
            return f"rows of {inputs} inputs in {form.block} cannot be cut at multiples of {WHOLE_BLOCK}"
    return None
