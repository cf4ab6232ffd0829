"""What our quantizers make of fixed data, with their versions: neither changes alone.

The data are small and made of whole numbers, so that no machine's last bits decide between candidates.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from quantbench.engine.calibration import input_mean_squares
from quantbench.engine.divergence import candidate_divergences
from quantbench.engine.key_smoothing import smoothing_of
from quantbench.engine.kv_format import KV_CODES, encode
from quantbench.engine.rope import Rope
from quantbench.methods import METHODS, calibrating, mixed, versions_of
from quantbench.methods.feedback import grid_of
from quantbench.methods.ggml import GGML, blocks_of
from quantbench.methods.groups import FiveBits, Int4Groups, Int8Groups, Int8Rows
from quantbench.methods.method import Method
from quantbench.methods.mixed import MIXED
from quantbench.methods.published import PUBLISHED
from quantbench.methods.quantized import QUANTIZED
from quantbench.methods.versions import CHANGED, version_of
from quantbench.weights.formats import FloatWeight, Weight
from quantbench.weights.quantizers.feedback import quantize_with_feedback, round_group
from tests.model_folders import tiny_source

OURS: dict[str, Method] = {**QUANTIZED, **PUBLISHED, **MIXED, **GGML}
MADE = {  # part -> its version, and what that version makes
    "int8": (1, "ccb6bddf6d70b1ff"),
    "int4": (2, "8cee7e61f6c2e57f"),
    "int4-rtn": (1, "3c6dd05ea1cd8a35"),
    "int4-sym": (1, "e9a86ca61d3ef878"),
    "int4-asym": (1, "83c0c007facbed26"),
    "fp8": (1, "1d711e13a2acfe50"),
    "q5_0": (1, "abf565723de97ac2"),
    "k-quants": (1, "ed90a8c5fdcf7ffa"),
    "ggml": (1, "7c06aa117b7d9617"),
    "text": (2, "008cff119ddd3802"),
    "drawn": (2, "e41d4a4e00f92a54"),
    "feedback": (2, "617ea93edf6f0563"),
    "sharing": (2, "b733566ae59cd8b6"),
    "cache": (2, "3e80b96398785f6a"),
}


def numbers(rows: int, columns: int, seed: int) -> Tensor:
    """Multiples of 2^-16 between -0.5 and 0.5 without any order: [rows, columns]."""
    places = torch.arange(rows * columns, dtype=torch.int64) + seed
    mixed_up = (places * 2654435761 % 2**32) >> 11
    return (((mixed_up * mixed_up) >> 7) % 2**16).reshape(rows, columns) / 2**16 - 0.5


def strengths(columns: int) -> Tensor:
    return numbers(1, columns, 99)[0] + 0.75


def by(method: str, *widths: int) -> Iterator[Weight]:
    """What a method's quantizer makes of matrices of these widths, with strengths of inputs and without."""
    quantize = METHODS[method].quantize  # type: ignore[attr-defined]
    for width in widths:
        for squares in (strengths(width), None):
            yield quantize("w", numbers(6, width, width), squares)


def int4() -> Iterator[Weight]:
    yield from by("int4", 256, 64, 96)
    yield from by("int4-hq", 128)


def int8() -> Iterator[Weight]:
    for form in (Int8Rows(), Int8Groups(128), Int8Groups(32)):
        yield form("w", numbers(6, 256, 1), None)


def q5_0() -> Iterator[Weight]:
    for squares in (strengths(128), None):
        yield FiveBits()("w", numbers(6, 128, 1), squares)


def ggml() -> Iterator[Weight]:
    yield blocks_of("w", numbers(4, 128, 1), "Q4_0")
    yield blocks_of("w", numbers(4, 128, 1), "Q8_0")


def feedback() -> Iterator[Weight]:
    x, lost, w = numbers(300, 128, 5), numbers(300, 128, 6) / 20, numbers(4, 128, 7)
    for form in (Int4Groups(64), Int4Groups(32), FiveBits()):
        grid = grid_of("w", w, form)
        assert grid is not None
        yield quantize_with_feedback(
            "w", w, hessian=x.T @ x / 300, pull=w @ (lost.T @ x) / 300, grid=grid, rounding=round_group
        )


def text() -> Iterator[str]:
    for extent in (calibrating.OF_SQUARES, calibrating.OF_MOMENTS):
        yield str(extent)
        yield hashlib.sha256((files("quantbench.assets") / extent.shipped).read_bytes()).hexdigest()
    found = input_mean_squares(tiny_source(), [[1, 5, 9], [7, 3]], device="cpu", dtype=torch.float32)
    for name, squares in sorted(found.items()):
        yield f"{name} {float(squares.mean()):.3g}"


def drawn() -> Iterator[str]:
    yield f"{calibrating.drawn_ids(50_000)} {calibrating.DRAWN_WINDOW}"


def sharing() -> Iterator[str]:
    """By sizes alone, and the losses that a small model has."""
    source = tiny_source(hidden_size=128, intermediate_size=256, num_hidden_layers=4)
    given = SimpleNamespace(name="tiny", config=source.config)
    yield f"{mixed.FORMATS} {mixed.OF_GRADIENTS}"
    for bits in (4.75, 6.0):
        method = mixed.MixedMethod(bits=bits)
        yield str(method._places(given, SimpleNamespace(), calibrating.Strengths()))  # type: ignore[arg-type]

    def candidates(names: Sequence[str], values: Sequence[Tensor]) -> list[list[Weight]]:
        return [[mixed.weight_in(0, *pair, None) for pair in zip(names, values, strict=True)]]

    losses = candidate_divergences(tiny_source(), [[1, 5, 9], [7, 3]], candidates, device="cpu")
    for name, (loss,) in sorted(losses.items()):
        yield f"{name} {loss:.2g}"


def cache() -> Iterator[str]:
    """Codes of keys and values, and how keys with biases are smoothed before."""
    shape: Any = SimpleNamespace(q_size=64, kv_size=32, kv_heads=2, head_dim=16, groups=2)
    norm = SimpleNamespace(weight=strengths(32), bias=None)
    layer: Any = SimpleNamespace(
        qkv=SimpleNamespace(bias=numbers(1, 128, 5)[0] * 64, weight=FloatWeight(numbers(128, 32, 6))),
        norms=SimpleNamespace(before_attention=norm),
    )
    rope = Rope(kind="default", theta=1e4, head_dim=16)
    for kv, codes in KV_CODES.items():
        held, scales = encode(codes, numbers(4, 32, 7))
        yield f"{held.tolist()} {scales.tolist()}"
        offset, factor = smoothing_of(shape, layer, rope, kv)
        yield " ".join(f"{x:.2g}" for x in (*offset.flatten().tolist(), *factor.flatten().tolist()))


PARTS: dict[str, Callable[[], Iterator[Weight | str]]] = {
    "int8": int8,
    "int4": int4,
    "int4-rtn": lambda: by("int4-rtn", 128),
    "int4-sym": lambda: by("int4-sym", 256, 64),
    "int4-asym": lambda: by("int4-asym", 256, 96),
    "fp8": lambda: by("fp8", 128),
    "q5_0": q5_0,
    "k-quants": lambda: (blocks_of("w", numbers(2, 512, 1), kind) for kind in ("Q4_K", "Q5_K", "Q6_K")),
    "ggml": ggml,
    "text": text,
    "drawn": drawn,
    "feedback": feedback,
    "sharing": sharing,
    "cache": cache,
}


def digest(found: Iterator[Weight | str]) -> str:
    """What tells weights, or sentences, from others."""
    whole = hashlib.sha256()
    for one in found:
        if isinstance(one, str):
            whole.update(one.encode())
            continue
        for name, tensor in one.tensors():
            whole.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            whole.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()[:16]


@pytest.mark.parametrize("part", PARTS)
def test_weights_change_with_their_version_alone(part: str) -> None:
    if part in ("ggml", "k-quants") and find_spec("gguf") is None:
        pytest.skip("gguf is not installed")
    found = (version_of(part), digest(PARTS[part]()))
    assert found == MADE.get(part), (
        f"'{part}' makes other weights than its version {version_of(part)} did: give it the next version in "
        "methods/versions.py, so that no recorded trial passes for a new one, and both here"
    )


@pytest.mark.parametrize("name", OURS)
def test_every_method_of_ours_says_what_makes_its_weights(name: str) -> None:
    parts = OURS[name].parts  # type: ignore[attr-defined]
    assert parts and set(parts) <= set(PARTS)


def test_only_quantizers_that_there_are_have_a_later_version() -> None:
    assert set(CHANGED) <= set(PARTS)


def test_methods_of_other_libraries_and_floats_have_none() -> None:
    assert versions_of(METHODS["fp16"]) == versions_of(METHODS["bnb-nf4"]) == versions_of(None) == ()
