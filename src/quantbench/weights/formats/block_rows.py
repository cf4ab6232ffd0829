"""GGUF blocks in the layout of the GPU kernels: the same bits in another order, and not one more.

A kernel takes `span` inputs of a row at a time: 128, or 64 or 32 where only that divides the inputs. Inputs
keep their natural order; within a span the codes lie so that each of the four threads that share a row of a
tensor core's operand fetches its own as whole words:

    codes   int32 [out, span words]: nibbles, those of the span's first half low and of its second half high;
            8-bit codes as bytes, runs of 64 inputs one after another
    high    int32 [out, in / 32 or in / 16], of types with 5 or 6 bits: the bits above the nibbles, of four or
            two words of nibbles each, so that one shift and one mask put them beside the nibbles
    scale   Q4_0, Q5_0, Q8_0, IQ4_NL: float16 [out, in / 32]; Q4_1, Q5_1: int32, scale low and minimum high;
            Q4_K, Q5_K: int32 [out, in / 64], the first 16 bytes of each block; Q6_K: int8 [out, in / 16]
    sub     Q6_K: float16 [out, in / 256], what a block's scales are multiples of
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantbench.sources.ggml_types import TYPES_BY_NAME
from quantbench.weights.formats.block_codes import join_blocks, split_blocks
from quantbench.weights.formats.ggml_blocks import DEQUANTIZE
from quantbench.weights.formats.weight import GpuKind, GpuOperand, Weight

if TYPE_CHECKING:
    from torch import Tensor

SPANS = (128, 64, 32)
HIGH_BITS = {"Q5_0": 1, "Q5_1": 1, "Q5_K": 1, "Q6_K": 2}
AT_ONCE = 1 << 24  # values laid out together: temporaries of some 100 MB


def code_scheme(kind: str) -> str:
    """The bits of a type's codes: 'W4' of Q4_K."""
    return "W" + next(letter for letter in kind if letter.isdigit())


def named_format(kind: str, stored: str) -> str:
    """A type, and what it stands in for."""
    return f"{kind}, stored as {stored}" if stored else kind


def scale_group(kind: str) -> int:
    """Inputs that share a scale in a type's blocks."""
    return 16 if kind == "Q6_K" else 32


def span_of(inputs: int) -> int:
    """How many inputs of a row the kernels take at a time."""
    return next(span for span in SPANS if inputs % span == 0)


@dataclass(frozen=True, slots=True)
class BlockRows(Weight):
    """Rows of blocks of the GGUF type `kind`; see the module for its tensors."""

    kind: str
    codes: "Tensor"
    scale: "Tensor"
    high: "Tensor | None" = None
    sub: "Tensor | None" = None
    stored: str = ""  # as in `BlockWeight`

    @classmethod
    def of(cls, kind: str, data: "Tensor", stored: str = "") -> "BlockRows":
        """From blocks uint8 [out, bytes of a row], some rows at a time."""

        columns = data.shape[1] // TYPES_BY_NAME[kind].nbytes * TYPES_BY_NAME[kind].values
        step = max(1, AT_ONCE // columns)
        wholes = [part.new_empty(len(data), part.shape[1]) for part in _laid_out(kind, data[:1])]
        for start in range(0, len(data), step):
            rows = slice(start, start + step)
            for whole, part in zip(wholes, _laid_out(kind, data[rows]), strict=True):
                whole[rows] = part
        tensors = [whole if whole.shape[1] else None for whole in wholes]
        return cls(kind, *tensors, stored=stored)  # type: ignore[arg-type, misc]

    @property
    def shape(self) -> tuple[int, int]:
        return (self.codes.shape[0], self.codes.shape[1] * (4 if self.kind == "Q8_0" else 8))

    @property
    def scheme(self) -> str:
        return code_scheme(self.kind)

    @property
    def format(self) -> str:
        return named_format(self.kind, self.stored)

    @property
    def group_size(self) -> int | None:
        return scale_group(self.kind)

    def blocks(self, rows: "Tensor | slice | None" = None) -> "Tensor":
        """The blocks that they were made of, uint8 [out or len(rows), bytes of a row]."""
        some = self if rows is None else self.map(lambda tensor: tensor[rows])
        head = [_bytes(some.scale)] if some.sub is None else [_bytes(some.scale), _bytes(some.sub)]
        return _joined(self.kind, _codes_of(some), head)

    def dequantize(self, rows: "Tensor | None" = None) -> "Tensor":
        import torch

        columns, kind = self.shape[1], TYPES_BY_NAME[self.kind]
        some = self if rows is None else self.map(lambda tensor: tensor[rows])
        out = torch.empty(some.shape, dtype=torch.float32, device=self.codes.device)
        step = max(1, AT_ONCE // columns)
        for start in range(0, len(out), step):
            blocks = some.blocks(slice(start, start + step)).reshape(-1, kind.nbytes)
            out[start : start + step] = DEQUANTIZE[self.kind](blocks).reshape(-1, columns)
        return out

    def gpu_operand(self) -> GpuOperand:
        return GpuOperand(
            kind=GpuKind.BLOCKS,
            rows=self.codes,
            scale=self.scale,
            high=self.high,
            sub=None if self.sub is None else _by_pairs(self.sub),
            group_size=scale_group(self.kind),
            block=self.kind,
        )


def _by_pairs(halves: "Tensor") -> "Tensor":
    """Float16 values as int32, two each, where their number is even: fewer bytes are not fetched ahead."""
    import torch

    fits = halves.numel() % 2 == 0 and halves.is_contiguous() and halves.data_ptr() % 4 == 0
    return halves.view(-1).view(torch.int32) if fits else halves


def _bytes(tensor: "Tensor") -> "Tensor":
    """The bytes of a tensor's rows, uint8 [rows, ..]."""
    import torch

    return tensor.contiguous().view(torch.uint8)


def _laid_out(kind: str, data: "Tensor") -> "Iterator[Tensor]":
    """Blocks of some rows as codes, scale, high and sub; what a type lacks has no columns."""
    import torch

    rows, block = len(data), TYPES_BY_NAME[kind]
    codes, head = split_blocks(kind, data.reshape(-1, block.nbytes))
    codes = codes.reshape(rows, -1)
    yield _words_of(kind, codes)
    head = head.reshape(rows, -1, head.shape[1])
    types = {2: torch.float16, 4: torch.int32, 16: torch.int32, 18: torch.int8}
    scale = head[:, :, :16].reshape(rows, -1) if kind == "Q6_K" else head.reshape(rows, -1)
    yield scale.contiguous().view(types[head.shape[2]])
    bits = HIGH_BITS.get(kind, 0)
    yield _high_words(_halves(codes >> 4), bits) if bits else codes[:, :0]
    yield head[:, :, 16:].reshape(rows, -1).view(torch.float16) if kind == "Q6_K" else codes[:, :0]


def _joined(kind: str, codes: "Tensor", heads: "list[Tensor]") -> "Tensor":
    """The inverse: blocks uint8 [rows, ..] from codes [rows, in] and the bytes of scale and sub."""
    import torch

    rows, block = len(codes), TYPES_BY_NAME[kind]
    codes = codes.reshape(-1, block.values)
    head = torch.cat([part.reshape(len(codes), -1) for part in heads], dim=1)
    return join_blocks(kind, codes, head).reshape(rows, -1)


def _places(run: int) -> "list[int]":
    """Of each byte of a run's words, which of the run's inputs it holds.

    Thread c of four takes of every 16 inputs 2c, 2c + 1, 2c + 8 and 2c + 9: its words are neighbours, and in
    each word bytes 0 and 2 are one pair, 1 and 3 the other.
    """
    width = run // 4
    places = range(run)
    return [(p % width // 4) * 16 + p % 2 * 8 + p // width * 2 + p // 2 % 2 for p in places]


def _halves(codes: "Tensor") -> "Tensor":
    """Codes [rows, in] as [rows, spans, 2, span / 2] in the order of the words' bytes."""
    import torch

    span = span_of(codes.shape[1])
    places = torch.tensor(_places(span // 2), device=codes.device)
    return codes.reshape(len(codes), -1, 2, span // 2)[..., places]


def _whole(halves: "Tensor") -> "Tensor":
    """The inverse of `_halves`."""
    import torch

    out = torch.empty_like(halves)
    out[..., torch.tensor(_places(halves.shape[-1]), device=halves.device)] = halves
    return out.reshape(len(halves), -1)


def _words_of(kind: str, codes: "Tensor") -> "Tensor":
    """Codes uint8 [rows, in] as the kernels' words, without what is above four bits."""
    import torch

    if kind == "Q8_0":
        run = min(64, span_of(codes.shape[1]))
        places = torch.tensor(_places(run), device=codes.device)
        data = codes.reshape(len(codes), -1, run)[..., places]
    elif kind == "IQ4_NL":  # a word's low half before its high half: each is looked up in one go
        halves = _halves(codes)  # below: rows, spans, words, half, byte, nibble
        words = halves.reshape(*halves.shape[:3], -1, 2, 2).transpose(2, 3)
        data = words[..., 0] | (words[..., 1] << 4)
    else:
        halves = _halves(codes & 15)
        data = halves[:, :, 0] | (halves[:, :, 1] << 4)
    return data.reshape(len(codes), -1).contiguous().view(torch.int32)


def _codes_of(rows: BlockRows) -> "Tensor":
    """The inverse: codes uint8 [rows, in], all their bits."""
    import torch

    data, span = _bytes(rows.codes), span_of(rows.shape[1])
    if rows.kind == "Q8_0":
        run = min(64, span)
        return _whole(data.reshape(len(data), -1, run))
    if rows.kind == "IQ4_NL":
        pairs = torch.stack((data & 15, data >> 4), dim=-1).reshape(len(data), -1, span // 8, 2, 4)
        return _whole(pairs.transpose(2, 3).reshape(len(data), -1, 2, span // 2))
    data = data.reshape(len(data), -1, span // 2)
    halves = torch.stack((data & 15, data >> 4), dim=2)
    if rows.high is not None:
        halves |= _high_fields(rows.high, HIGH_BITS[rows.kind], span) << 4
    return _whole(halves)


def _high_words(halves: "Tensor", bits: int) -> "Tensor":
    """Fields [rows, spans, 2, span / 2] of so many bits as words of 32.

    A word serves 4 / bits words of nibbles, v; of each its four pairs of nibbles, t = 2 half + odd byte, and
    the two of a pair, b: the field lies at bit 16 b + 4 t + bits v.
    """
    import torch

    parts = halves.reshape(*halves.shape[:3], -1, 4 // bits, 2, 2)  # rows, spans, half, word, v, b, odd
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=halves.device)
    parts = parts.permute(0, 1, 3, 5, 2, 6, 4).flatten(5)  # rows, spans, word, b, half, (odd, v)
    data = (parts << shifts).sum(dim=-1, dtype=torch.uint8)
    return data.reshape(len(halves), -1).contiguous().view(torch.int32)


def _high_fields(words: "Tensor", bits: int, span: int) -> "Tensor":
    """The inverse of `_high_words`."""
    import torch

    data = _bytes(words).reshape(len(words), -1, span * bits // 32, 2, 2, 1)
    shifts = torch.arange(0, 8, bits, dtype=torch.uint8, device=words.device)
    fields: Tensor = (data >> shifts) & (2**bits - 1)
    parts = fields.reshape(*data.shape[:5], 2, -1)
    return parts.permute(0, 1, 4, 2, 6, 3, 5).reshape(len(words), -1, 2, span // 2)
