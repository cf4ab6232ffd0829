"""Writes a GGUF file (version 3): the layout that `sources.gguf_file` states, tensors one at a time."""

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from quantbench.exporting.checkpoint import Misfit
from quantbench.exporting.gguf_metadata import (
    FAMILIES,
    check_family,
    model_metadata,
    rope_factors,
    short_name,
)
from quantbench.exporting.gguf_tokens import token_metadata
from quantbench.exporting.matrices import Parameter, shapes_of
from quantbench.sources import ModelSource
from quantbench.sources.ggml_types import GGML_TYPES
from quantbench.sources.gguf_file import ALIGNMENT, MAGIC
from quantbench.sources.gguf_source import GgufSource
from quantbench.sources.gguf_tensors import ROPE_FACTORS, heads_to_restore, reorder_rows
from quantbench.sources.layout import Shape
from quantbench.weights.writers import Unfit, ggml_tensor

if TYPE_CHECKING:
    from torch import Tensor

VERSION, QUANTIZATION_VERSION = 3, 2
NUMBERS = {kind.name: number for number, kind in GGML_TYPES.items()}
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
FILE_TYPE, BLOCKS_VERSION = OWN_KEYS = ("general.file_type", "general.quantization_version")
FILE_TYPES = {  # llama.h's numbers for files that are mostly of a type
    "F32": 0,
    "F16": 1,
    "BF16": 32,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q8_0": 7,
    "Q4_K": 15,
    "Q5_K": 17,
    "Q6_K": 18,
    "IQ4_NL": 25,
    "MXFP4": 38,
}


def write_gguf(source: ModelSource, parameters: Iterable[Parameter], path: Path, *, name: str) -> None:
    """Write the file; Misfit for a weight that no type holds, ModelError for a model that no file can say."""
    metadata = metadata_of(source, name)
    factors = rope_factors(source)
    shapes: dict[str, Shape] = {short_name(full): shape for full, shape in shapes_of(source).items()}
    if factors is not None:
        shapes[ROPE_FACTORS] = tuple(factors.shape)
    with path.open("w+b") as file:
        writer = TensorWriter(file, header_bytes(metadata, shapes))
        for parameter in parameters:
            writer.add(short_name(parameter.name), *encoded(source, parameter))
        if factors is not None:
            writer.add(ROPE_FACTORS, "F32", factors)
        header = head(metadata | file_type(source, writer), shapes, writer.placed)
        file.seek(0)
        file.write(header)


def metadata_of(source: ModelSource, name: str) -> dict[str, Any]:
    """A GGUF file's own metadata as they are; of another source what its files say. OWN_KEYS come later."""
    if isinstance(source, GgufSource):
        check_family(source)
        return {k: v for k, v in source.metadata.items() if k not in (*OWN_KEYS, "general.alignment")}
    return model_metadata(source, name) | token_metadata(source)


def file_type(source: ModelSource, writer: "TensorWriter") -> dict[str, Any]:
    """The type of most values, or what a file says that is written as it was; the blocks' version."""
    most = FILE_TYPES[max(writer.values, key=lambda kind: writer.values[kind])]
    if isinstance(source, GgufSource):
        names = {short_name(name): source.kind(name).name for name in source.names()}
        if all(kind == names.get(name, kind) for name, (kind, _) in writer.placed.items()):
            most = source.metadata.get(FILE_TYPE, most)
    return {FILE_TYPE: most, BLOCKS_VERSION: QUANTIZATION_VERSION}


def encoded(source: ModelSource, parameter: Parameter) -> "tuple[str, Tensor]":
    """(type, rows in the file's order) of one parameter; Misfit where no type holds it."""
    if parameter.weight is None:
        assert parameter.vector is not None
        kind, tensor = "F32", parameter.vector.float()
    else:
        try:
            kind, tensor = ggml_tensor(parameter.weight)
        except Unfit as error:
            raise Misfit(parameter.name, str(error)) from None
        check(parameter, kind, tensor)
    config = {**source.config, "model_type": FAMILIES[str(source.config["model_type"])]}
    heads = heads_to_restore(parameter.name, config)
    return kind, tensor if heads is None else reorder_rows(tensor, heads)


def check(parameter: Parameter, kind: str, tensor: "Tensor") -> None:
    """Read a matrix that was converted back; AssertionError where a value is another one."""
    import torch

    from quantbench.weights.formats import BlockWeight

    weight = parameter.weight
    if weight is None or weight.is_float or isinstance(weight, BlockWeight):
        return  # written as it is held
    if not torch.equal(BlockWeight(tensor, kind).dequantize(), weight.dequantize()):
        raise AssertionError(f"'{parameter.name}' is not read back as it was written")


class TensorWriter:
    """Puts tensors behind a header that is still to come."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self.placed: dict[str, tuple[str, int]] = {}  # name -> type, offset from the data's start
        self.values: dict[str, int] = {}  # type -> values held in it
        self._file, self._start = file, start
        file.seek(start)

    def add(self, name: str, kind: str, tensor: "Tensor") -> None:
        """Write one tensor, padded."""
        import torch

        self.placed[name] = (kind, self._file.tell() - self._start)
        packed = NUMBERS[kind] not in (0, 1, 30)
        block = GGML_TYPES[NUMBERS[kind]]
        held = tensor.numel() // block.nbytes * block.values if packed else tensor.numel()
        self.values[kind] = self.values.get(kind, 0) + held
        data = tensor.contiguous().view(-1).view(torch.uint8).numpy()
        self._file.write(data.data)
        self._file.write(bytes(-data.nbytes % ALIGNMENT))


def header_bytes(metadata: Mapping[str, Any], shapes: Mapping[str, Shape]) -> int:
    """How long the header will be: only its numbers are still unknown."""
    room = dict(metadata) | dict.fromkeys(OWN_KEYS, 0)
    return len(head(room, shapes, dict.fromkeys(shapes, ("F32", 0))))


def head(
    metadata: Mapping[str, Any], shapes: Mapping[str, Shape], placed: Mapping[str, tuple[str, int]]
) -> bytes:
    """Everything before the data, padded; sizes innermost first."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(shapes), len(metadata))]
    parts += [text(key) + entry(value) for key, value in metadata.items()]
    for name, (kind, offset) in placed.items():
        sizes = shapes[name][::-1]
        parts += [text(name), struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)]
        parts.append(struct.pack("<IQ", NUMBERS[kind], offset))
    joined = b"".join(parts)
    return joined + bytes(-len(joined) % ALIGNMENT)


def text(value: str) -> bytes:
    """A length and UTF-8."""
    content = value.encode("utf-8", errors="replace")
    return struct.pack("<Q", len(content)) + content


def entry(value: Any) -> bytes:
    """A value with its type before it; numbers in the types that llama.cpp asks for."""
    if isinstance(value, list):
        return array(value)
    if isinstance(value, bool):
        return struct.pack("<I?", BOOL, value)
    if isinstance(value, int):
        if value < 0:
            return struct.pack("<Ii", INT32, value)
        return struct.pack("<II", UINT32, value) if value < 1 << 32 else struct.pack("<IQ", UINT64, value)
    if isinstance(value, float):
        return struct.pack("<If", FLOAT32, value)
    return struct.pack("<I", STRING) + text(str(value))


def array(values: list[Any]) -> bytes:
    """A list of one type."""
    first = values[0] if values else ""
    if isinstance(first, str):
        return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))
    kind, letter = (
        (BOOL, "?") if isinstance(first, bool) else (INT32, "i") if isinstance(first, int) else (FLOAT32, "f")
    )
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + struct.pack(f"<{len(values)}{letter}", *values)
