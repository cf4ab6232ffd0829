"""What the persistent kernel knows matrices in: their forms, and which of them the layers of a model have."""

from collections.abc import Iterator
from dataclasses import dataclass

from quantbench.engine.cuda.few_rows.variant import BLOCKS
from quantbench.engine.cuda.packing import operand_of
from quantbench.engine.parameters import LayerParameters, Matrix, Parameters
from quantbench.weights.formats import GpuKind, MixedWeight, Weight
from quantbench.weights.formats.block_rows import HIGH_BITS

# inputs that a warp takes at once: one group of the 4-bit default, a whole number of smaller ones
SLICE = 128
FLOAT, INT8, INT4 = GpuKind.FLOAT, GpuKind.INT8, GpuKind.INT4
SCALE_BYTES = {INT8: 2, INT4: 4}  # of a group
BLOCK_NUMBERS = {name: number for number, name in enumerate(BLOCKS, start=1)}
MOST_FORMS = 4  # of a place in a layer: 16 bits each of a number
GRANULE = 8  # rows of blocks whose planes begin at a multiple of 16 bytes
WHOLE_BLOCK = 256  # inputs whose scales are as many bytes, whatever the type


@dataclass(frozen=True, slots=True, order=True)
class Form:
    """What stage.cuh calls so: one format, as a kernel is compiled for it."""

    kind: GpuKind
    group: int = 0  # inputs that share a scale; 0 where a row or nothing has one, and of blocks
    double: bool = False
    block: str = ""

    @property
    def number(self) -> int:
        """As the kernel's macros name it."""
        block = BLOCK_NUMBERS.get(self.block, 0)
        return int(self.kind) | self.double << 2 | block << 3 | self.group << 7

    def bits(self, inputs: int) -> int:
        """Of a row, without the scales behind it."""
        if not self.block:
            return inputs * {FLOAT: 16, INT8: 8, INT4: 4}[self.kind]
        scales = inputs if self.block in ("Q4_1", "Q5_1") else inputs // 2
        sub = inputs // 256 * 16 if self.block == "Q6_K" else 0
        return inputs * (8 if self.block == "Q8_0" else 4 + HIGH_BITS.get(self.block, 0)) + scales + sub

    def tile_bytes(self, rows: int, inputs: int, *, padded: bool = False) -> int:
        """Of rows in shared memory; chunks of rows are padded so that they lie 64 bytes apart modulo 128."""
        row = self.bits(inputs) // 8
        if self.group:
            row += -(-(-(-inputs // self.group) * SCALE_BYTES[self.kind]) // 16) * 16
        if padded:
            row = row + 128 if self.block else -(-(row + 64) // 128) * 128 - 64
        return rows * row

    @property
    def least_chunk(self) -> int:
        """Inputs of the smallest chunk: a slice at least, whose scales are a multiple of 16 bytes."""
        if self.block:
            return WHOLE_BLOCK
        return max(SLICE, 16 // SCALE_BYTES[self.kind] * self.group) if self.group else SLICE

    @property
    def unit(self) -> int:
        """By what the inputs of a matrix are a multiple."""
        return max(64, self.group) if self.kind is INT8 else self.group or (64 if self.block else 32)

    @property
    def summed(self) -> int:
        """Inputs whose two halves have a sum each, at least; a slice where only a row has."""
        if self.block:
            return 64
        return min(self.group, 64) if self.kind is INT8 and self.group else self.group or SLICE


def form_of(weight: Weight) -> Form:
    """Of one format; TypeError of several in one matrix, or of none that kernels know."""
    if isinstance(weight, MixedWeight):
        raise TypeError("a matrix of several formats has no one form")
    operand = operand_of(weight)
    group = 0 if operand.block else operand.group_size
    return Form(operand.kind, group, operand.double, operand.block)


@dataclass(frozen=True, slots=True)
class ModelForms:
    """The forms of each place in a layer, in the order in which the kernel's lists have them."""

    qkv: tuple[Form, ...]
    output: tuple[Form, ...]
    gate_up: tuple[Form, ...]
    down: tuple[Form, ...]
    head: Form
    embedding: Form

    @classmethod
    def of(cls, model: Parameters) -> "ModelForms":
        """Of a model all of whose matrices have one."""
        layers = zip(*(map(form_of, weights_of(layer)) for layer in model.layers), strict=True)
        qkv, output, gate_up, down = (tuple(sorted(set(forms))) for forms in layers)
        ends = form_of(model.head.weight), form_of(model.embedding.weight)
        return cls(qkv, output, gate_up, down, *ends)

    @property
    def of_layers(self) -> tuple[tuple[Form, ...], ...]:
        """Of queries, keys and values; output; gate and up; down."""
        return (self.qkv, self.output, self.gate_up, self.down)

    def every(self) -> Iterator[Form]:
        """All but the embedding's."""
        for forms in self.of_layers:
            yield from forms
        yield self.head

    @property
    def granule(self) -> int:
        """Rows of a layer's matrices that stay together."""
        return GRANULE if any(form.block for forms in self.of_layers for form in forms) else 1

    def places(self, layer: LayerParameters) -> tuple[int, ...]:
        """Where in its list each of a layer's four matrices finds its form."""
        found = map(form_of, weights_of(layer))
        return tuple(forms.index(form) for forms, form in zip(self.of_layers, found, strict=True))

    def defines(self) -> dict[str, object]:
        """The kernel's macros that tell of forms."""
        names = ("QKV", "OUTPUT", "GATE_UP", "DOWN")
        lists = {
            f"{name}_FORMS": f"{sum((1 << 15 | form.number) << 16 * i for i, form in enumerate(forms))}ull"
            for name, forms in zip(names, self.of_layers, strict=True)
        }
        return {
            **lists,
            "HEAD_FORM": self.head.number,
            "EMBEDDING_FORM": self.embedding.number,
            "GRANULE": self.granule,
            "SUM_INPUTS": min(form.summed for form in self.every()),
            **{f"KIND_{kind.name}": int(kind) for kind in GpuKind},
            **{f"BLOCK_{name}": number for name, number in BLOCK_NUMBERS.items()},
        }


def weights_of(layer: LayerParameters) -> tuple[Weight, ...]:
    """Of the four matrices of a layer without experts."""
    return tuple(matrix.weight for matrix in layer.matrices)


def planes(matrix: Matrix) -> tuple[int, int, int, int]:
    """Addresses of `Held` of shared.cuh; 0 where there is nothing."""
    operand = operand_of(matrix.weight)
    behind = operand.kind is INT8 and operand.group_size  # the scales, of each row
    tensors = (operand.rows, operand.high, None if behind else operand.scale, operand.sub)
    first, high, scale, sub = (0 if tensor is None else tensor.data_ptr() for tensor in tensors)
    return first, high, scale, sub


def reason_against_form(matrix: Matrix) -> str | None:
    """Why the kernel does not multiply a matrix, whatever the model; None where it does."""
    weight = matrix.weight
    if isinstance(weight, MixedWeight):
        return f"parts of one matrix are {weight.format}"
    operand, (out, inputs), form = operand_of(weight), weight.shape, form_of(weight)
    if form.block and form.block not in BLOCK_NUMBERS:
        return f"blocks of {form.block} have no form"
    if form.kind in SCALE_BYTES and form.group not in (32, 64, 128, *([0] if form.kind is INT8 else [])):
        return f"groups of {form.group} are not of 32, 64 or 128"
    if inputs % form.unit:
        return f"a matrix of {form.block or weight.scheme} has inputs that are not a multiple of {form.unit}"
    if form.block and out % GRANULE:
        return f"a matrix of {form.block} has outputs that are not a multiple of {GRANULE}"
    if form.block and not all(
        tensor is None or (tensor.is_contiguous() and tensor.data_ptr() % 16 == 0)
        for tensor in (operand.rows, operand.high, operand.scale, operand.sub)
    ):
        return "blocks do not lie at a multiple of 16 bytes"
    return None if scales_lie_behind(weight) else "scales of 8-bit groups do not lie behind their rows"


def scales_lie_behind(weight: Weight) -> bool:
    """Whether the scales of 8-bit groups follow each row, as in `Int8GroupRows`; True for other weights."""
    operand = operand_of(weight)
    if operand.kind is not INT8 or not operand.group_size or operand.scale is None:
        return True
    rows, scale = operand.rows, operand.scale
    size = Form(INT8, operand.group_size).tile_bytes(1, rows.shape[1])
    return rows.stride(0) == size and scale.data_ptr() == rows.data_ptr() + rows.shape[1]
